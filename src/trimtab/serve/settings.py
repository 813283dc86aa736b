"""`serve.yaml`, beside the task file: how the server captures calls and what it allows.

It is a file of its own because a change here decides nothing anew, as one of the task file would.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from trimtab.task.load import load_spec_or_defaults
from trimtab.task.spec import Spec

SERVE_FILE = "serve.yaml"

_WRITING = timedelta(seconds=15)
"""More than enough for a trace to come from an answer to the disk."""


class CaptureSettings(Spec):
    """What is kept of the calls."""

    share: float = Field(default=1.0, gt=0, le=1)
    """Share of good answers that are kept, drawn at random; failed and invalid ones all are."""
    survive_power_loss: bool = False
    """Whether an acknowledged trace survives that as well as a kill; SQLite then waits for the disk
    at each commit. PostgreSQL's traces always do."""
    retention_days: float = Field(default=90, gt=0)
    """Traces older than this are deleted."""
    personal_data: Literal["mask", "keep"] = "mask"
    """Whether the patterns of `trimtab audit` mask personal data before a text is stored."""
    redact: tuple[str, ...] = ()
    """Regular expressions of your own; what they match is stored as `[redacted]`."""

    @field_validator("redact")
    @classmethod
    def _are_expressions(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return patterns


class Limits(Spec):
    """What one key, and all together, may ask for."""

    body_bytes: int = Field(default=1_000_000, ge=1)
    calls_per_minute: int = Field(default=6000, ge=1)
    """Of one key; short bursts up to a tenth of it pass at once."""
    concurrent_calls: int = Field(default=64, ge=1)
    """Of one key, at a time."""
    endpoint_calls: int | None = Field(default=None, ge=1)
    """To one endpoint at a time; by default what the task file says as `concurrency`."""
    waiting_calls: int = Field(default=512, ge=1)
    """Of all keys, before a model takes them; more are refused at once."""
    timeout_seconds: float = Field(default=60, gt=0)
    """From the arrival of a call to its answer."""


class ServeSettings(Spec):
    """All of `serve.yaml`."""

    capture: CaptureSettings = CaptureSettings()
    limits: Limits = Limits()

    @property
    def settled_after(self) -> timedelta:
        """So long after a call's arrival its trace is on the disk, or will never be."""
        return timedelta(seconds=self.limits.timeout_seconds) + _WRITING


def load_settings(task_folder: Path) -> ServeSettings:
    """The settings of the task in this folder; the defaults where it has no `serve.yaml`.

    Raises:
        TaskError: one `file:line: key: problem` a line.
    """
    return load_spec_or_defaults(task_folder / SERVE_FILE, ServeSettings)
