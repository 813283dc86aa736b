"""`watch.yaml`, beside the task file: how a served task is watched and brought up to date.

It is a file of its own because a change here decides nothing anew, as one of the task file would.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from trimtab.task.load import load_spec_or_defaults
from trimtab.task.spec import Spec

WATCH_FILE = "watch.yaml"


class TrafficSettings(Spec):
    """How traffic is cut for the tests of drift."""

    window_days: float = Field(default=7, ge=1)
    """A window of this length is compared with the first one of the champion's time."""
    fewest_inputs: int = Field(default=100, ge=50)
    """Distinct inputs that a window needs; with fewer it goes on for another length."""


class QualitySettings(Spec):
    """When quality on reviewed traffic calls for retraining."""

    tolerance: float | None = Field(default=None, ge=0, lt=1)
    """How far it may fall below what the sealed test measured; by default the task's
    `goals.smallest_difference`."""
    floor: float | None = Field(default=None, gt=0, lt=1)
    """Quality below which retraining is called for, instead of one from test and tolerance."""
    labels: int = Field(default=200, ge=1)
    """Random calls whose review an alarm asks for."""


class AlarmSettings(Spec):
    """Where alarms are told, besides the database and `alarms.jsonl`."""

    webhook: str | None = None
    """Gets a POST with JSON for each alarm."""
    allow_private: bool = False
    """Whether the webhook may be at an address of this machine or of a private network."""
    timeout_seconds: float = Field(default=10, gt=0)

    @field_validator("webhook")
    @classmethod
    def _is_web_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            usable = usable and parts.username is None and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(
                "the webhook must be http://HOST/... or https://HOST/..., without a user name"
            )
        return url


class RetrainSettings(Spec):
    """When to decide again, and how a new variant comes into service."""

    new_rows: int = Field(default=100, ge=1)
    """Approved rows since the champion's run that are enough to decide again."""
    shadow_calls: int = Field(default=200, ge=1)
    """Answers of the shadow before it becomes a canary."""
    canary_share: float = Field(default=0.1, gt=0, lt=1)
    canary_calls: int = Field(default=500, ge=1)
    """Answers of the canary before it becomes the champion."""
    validity_margin: float = Field(default=0.02, gt=0, lt=1)
    """Loss of valid answers against the champion that is borne."""
    latency_factor: float = Field(default=1.5, ge=1)
    """Times the champion's 95th percentile of seconds that a call may take; without this, or a
    limit in the task file, one in twenty calls is slower."""


class KeepSettings(Spec):
    """What `trimtab prune` leaves."""

    runs: int = Field(default=5, ge=1)
    """The newest finished runs, besides those that serve or may be rolled back to."""
    data: int = Field(default=10, ge=1)
    """The newest dataset versions, besides those that kept runs rest on."""


class WatchSettings(Spec):
    """All of `watch.yaml`."""

    traffic: TrafficSettings = TrafficSettings()
    quality: QualitySettings = QualitySettings()
    alarms: AlarmSettings = AlarmSettings()
    retrain: RetrainSettings = RetrainSettings()
    keep: KeepSettings = KeepSettings()


def load_settings(task_folder: Path) -> WatchSettings:
    """The settings of the task in this folder; the defaults where it has no `watch.yaml`.

    Raises:
        TaskError: one `file:line: key: problem` a line.
    """
    return load_spec_or_defaults(task_folder / WATCH_FILE, WatchSettings)
