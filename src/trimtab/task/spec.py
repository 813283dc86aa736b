"""`task.yaml`: all that a team says about its task, with the defaults that Trimtab assumes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from trimtab.types import Noun, OutputContract


class Spec(Noun):
    """A part of the task file. No number in it may be infinite or undefined."""

    model_config = ConfigDict(allow_inf_nan=False)


class DataSpec(Spec):
    """Where the labelled rows are, and how they are split."""

    path: str
    """JSONL, CSV or Parquet, relative to the task file."""
    approved_by: str | None = None
    """Who approved the targets as right, where no column says it row by row."""
    traffic_sample: str | None = None
    """Unlabelled real inputs, one a line or JSONL with `input`."""
    slices: tuple[str, ...] = ()
    """Other columns of the data whose values the audit counts rows by, such as a region."""
    dev: int | None = Field(default=None, ge=10)
    """Rows for selection; by default a tenth of the data, 20 to 100."""
    test: int | None = Field(default=None, ge=20)
    """Sealed rows for the confirmation; by default a fifth of the data, 30 to 300."""


class Goals(Spec):
    """What good enough means. Set before any result is seen."""

    quality: float = Field(gt=0, le=1)
    validity: float = Field(default=0.99, ge=0, le=1)
    smallest_difference: float = Field(default=0.03, gt=0, lt=1)
    """A gain smaller than this is not worth a change."""


class Constraints(Spec):
    p95_latency_seconds: float | None = Field(default=None, gt=0)
    money_per_1000_calls: float | None = Field(default=None, gt=0)
    general_ability: Literal["needed", "not-needed"] | None = None
    """Whether the tuned model must still do other work. Left out, the gate stays unknown."""


class Traffic(Spec):
    calls_per_month: float | None = Field(default=None, ge=0)
    calls_spread: float = Field(default=0.3, ge=0, le=2)
    """Relative standard deviation of the volume, for the Monte-Carlo."""
    stable_since: date | None = None
    """Since when instructions, schema and metric have not changed."""
    horizon_months: float = Field(default=12, gt=0)
    value_per_correct_answer: float = Field(default=0.0, ge=0)


class Prices(Spec):
    """Money per million tokens, as endpoints charge it."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    training: float | None = Field(default=None, ge=0)
    batch_discount: float = Field(default=0.0, ge=0, lt=1)
    """Share taken off where production sends its calls as batches. Trimtab's own calls are single,
    and pay in full."""

    def of(self, tokens_in: float, tokens_cached: float, tokens_out: float) -> float:
        """Money for single calls with these tokens; `tokens_cached` are among `tokens_in`."""
        cached_input = self.input if self.cached_input is None else self.cached_input
        fresh = tokens_in - tokens_cached
        return (fresh * self.input + tokens_cached * cached_input + tokens_out * self.output) / 1e6


class ModelSpec(Spec):
    """One model: which engine runs it, and what it costs (token prices or a machine)."""

    engine: str = "local"
    model: str = "smollm2-135m-instruct"
    base_url: str | None = None
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself never enters a file."""
    concurrency: int = Field(default=8, ge=1)
    timeout_seconds: float = Field(default=60, gt=0)
    prices: Prices | None = None
    machine_per_hour: float | None = Field(default=None, ge=0)
    utilisation: float = Field(default=0.5, gt=0, le=1)
    hosting_per_month: float = Field(default=0.0, ge=0)


class Models(Spec):
    prompt: ModelSpec = ModelSpec()
    tune: ModelSpec | None = ModelSpec()
    """None: no fine-tune is possible or wanted."""


class Labelling(Spec):
    cost_per_example: float | None = Field(default=None, ge=0)


class Upkeep(Spec):
    """Who keeps a fine-tune true. Owner, review and retraining are needed before one may win."""

    owner: str | None = None
    review_every_days: int | None = Field(default=None, ge=1)
    retrain_every_months: float | None = Field(default=None, gt=0)
    cost_per_month: float | None = Field(default=None, ge=0)
    """What people's time for reviewing, evaluating and retraining costs, beyond a prompt's."""
    rollback: bool | None = None
    """Whether the team can switch back to the prompt at once."""


class Budget(Spec):
    """Hard limits of one decision; both arms get equal shares."""

    minutes: float = Field(default=60, gt=0)
    calls: int = Field(default=50_000, ge=1)
    money: float = Field(default=10.0, ge=0)


class Search(Spec):
    """What each arm tries. The defaults suit a small model on a small machine."""

    demonstrations: tuple[Annotated[int, Field(ge=1)], ...] = (4, 8)
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(3e-4, 1e-3, 2e-3), min_length=1
    )
    train_sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Nested training sizes; empty: geometric, up to what the budget allows."""
    epochs: int = Field(default=3, ge=1)
    rank: int = Field(default=16, ge=1)
    batch_size: int = Field(default=4, ge=1)
    four_bit: bool = False
    """Train on a base whose weights are held in 4 bits (QLoRA); needs the extra `qlora`."""


class Task(Spec):
    """A task as its team describes it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    instructions: str = Field(min_length=1)
    short_instructions: str | None = None
    """The prompt of the fine-tuned model; by default the first sentence of the instructions."""
    data: DataSpec
    output: OutputContract
    metric: str
    goals: Goals
    constraints: Constraints = Constraints()
    traffic: Traffic = Traffic()
    models: Models = Models()
    labelling: Labelling = Labelling()
    upkeep: Upkeep = Upkeep()
    budget: Budget = Budget()
    search: Search = Search()
    currency: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "USD"
    seed: int = 0

    @field_validator("metric")
    @classmethod
    def _metric_fits_output(cls, metric: str, info: ValidationInfo) -> str:
        output: OutputContract | None = info.data.get("output")  # absent where it is itself wrong
        if output and metric not in (fitting := METRICS[output.kind]):
            raise ValueError(
                f"metric {metric!r} does not judge {output.kind} outputs; "
                f"use one of: {', '.join(fitting)}"
            )
        return metric


METRICS: dict[str, tuple[str, ...]] = {
    "label": ("accuracy",),
    "json": ("field_f1", "exact"),
    "text": ("exact", "normalized_exact"),
}
"""Primary metrics by kind of output; all lie in 0..1 and more is better."""
