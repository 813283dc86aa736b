"""What an endpoint says of files and fine-tuning jobs. Nothing in it is trusted.

Unknown fields are passed over; ids become parts of a path, so only plain characters may be in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)

from trimtab.prompt.render import render_with_target
from trimtab.tune.export.chat_rows import openai_file
from trimtab.types import Example, Prompt

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.:-]{0,127}$")]
"""Begins with no dot, so that it is one step down in a path and never one up."""
ModelName = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,256}$")]
_Count = Annotated[int, Field(ge=0)]

ItemT = TypeVar("ItemT", bound=BaseModel)

_MOST_SHOWN = 200


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class File(_Told):
    """An uploaded file."""

    id: Id
    filename: str | None = None


class JobError(_Told):
    message: str | None = None
    code: str | None = None
    param: str | None = None


class Hyperparameters(_Told):
    n_epochs: int | str | None = None


def _words(raw: Any) -> dict[str, str]:
    return {k: v for k, v in raw.items() if isinstance(v, str)} if isinstance(raw, dict) else {}


def _number(raw: Any) -> float | None:
    is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
    return float(raw) if is_number and math.isfinite(raw) else None


_Number = Annotated[float | None, BeforeValidator(_number)]
"""None where something else is told, such as a time in words."""


class Job(_Told):
    """A fine-tuning job."""

    id: Id
    status: str
    fine_tuned_model: ModelName | None = None
    trained_tokens: _Count | None = None
    training_file: str | None = None
    metadata: Annotated[dict[str, str], BeforeValidator(_words)] = Field(default_factory=dict)
    error: JobError | None = None
    created_at: _Number = None
    finished_at: _Number = None
    hyperparameters: Hyperparameters | None = None

    @property
    def ended(self) -> bool:
        """Any other status, also one that is not known, is taken as one on the way."""
        return self.status in ("succeeded", "failed", "cancelled")

    @property
    def seconds(self) -> float | None:
        if self.created_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.created_at)

    @property
    def epochs(self) -> int | None:
        told = self.hyperparameters.n_epochs if self.hyperparameters else None
        return told if isinstance(told, int) and told > 0 else None

    @property
    def problem(self) -> str | None:
        """What went wrong, as one line for a person."""
        if self.error is None or not (said := self.error.message or self.error.code):
            return None
        about = f" ({self.error.param})" if self.error.param else ""
        return shown(said + about)


class Metrics(_Told):
    full_valid_loss: _Number = None
    valid_loss: _Number = None


class Checkpoint(_Told):
    """The model as it was after some step, ready to use."""

    fine_tuned_model_checkpoint: ModelName
    step_number: _Count
    metrics: Metrics = Metrics()

    @property
    def dev_loss(self) -> float | None:
        """On the whole validation file where it is told, else on a part of it."""
        full = self.metrics.full_valid_loss
        return self.metrics.valid_loss if full is None else full


class Event(_Told):
    """A line of a job's log."""

    level: str = "info"
    message: str = ""


class Page(_Told):
    """A part of a list."""

    data: tuple[dict[str, Any], ...]
    has_more: bool = False


def readable(kind: type[ItemT], page: Page) -> Iterator[ItemT]:
    """The items of a page. A list holds what others made too, so what cannot be read is passed
    over."""
    for raw in page.data:
        with suppress(ValidationError):
            yield kind.model_validate(raw)


def new_job(
    model: str,
    training_file: str,
    validation_file: str,
    *,
    epochs: int,
    seed: int,
    suffix: str,
    key: str,
) -> dict[str, JsonValue]:
    """The JSON that asks for a job. `key` is how it is found again; what is not said here, such as
    the learning rate, is the endpoint's choice."""
    return {
        "model": model,
        "training_file": training_file,
        "validation_file": validation_file,
        "method": {
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": epochs}},
        },
        "seed": seed,
        "suffix": suffix,
        "metadata": {KEY: key},
    }


KEY = "trimtab"
"""Name of the entry of a job's metadata that holds its key."""


def training_file(prompt: Prompt, rows: Sequence[Example]) -> bytes:
    """The rows as JSON lines, rendered by the code that will call the tuned model."""
    return openai_file(render_with_target(prompt, row, None) for row in rows)


def shown(text: str) -> str:
    """An endpoint's words, short and on one line."""
    return " ".join(text.split())[:_MOST_SHOWN]
