"""`review.yaml`, beside the task file: what is reviewed, by how many, and with which guidelines.

It is a file of its own because a change here decides nothing anew, as one of the task file would.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from trimtab.task.load import load_spec_or_defaults
from trimtab.task.spec import Spec

REVIEW_FILE = "review.yaml"


class ReviewSettings(Spec):
    """All of `review.yaml`."""

    guidelines: str | None = None
    """A text file, relative to the task file; by default the task's instructions are shown."""
    batch: int = Field(default=50, ge=1, le=1000)
    """Calls drawn at a time, about; the next draw comes when half of them are settled."""
    rows: int = Field(default=25, ge=0, le=1000)
    """Labelled rows drawn at a time; 0: none."""
    random_share: float = Field(default=0.5, ge=0.1, le=1)
    """Share of a draw that every call has the same chance to be in, whatever speaks for it."""
    second_reviewer: float = Field(default=0.0, ge=0, le=1)
    """Share of the items that two people review, unseen by each other."""
    masked_rows: bool = False
    """Whether reviewed calls in which something was masked become rows of the data too."""
    session_hours: float = Field(default=12, gt=0, le=720)
    """After this, a reviewer signs in again."""
    public_url: str | None = None
    """Where the pages are reached through a proxy, such as https://review.example.org."""

    @field_validator("public_url")
    @classmethod
    def _is_an_origin(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("give only scheme and host, such as https://review.example.org")
        return f"{parts.scheme}://{parts.netloc}"


def load_settings(task_folder: Path) -> ReviewSettings:
    """The settings of the task in this folder; the defaults where it has no `review.yaml`.

    Raises:
        TaskError: one `file:line: key: problem` a line.
    """
    return load_spec_or_defaults(task_folder / REVIEW_FILE, ReviewSettings)
