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
    retention_margin: float = Field(default=0.05, gt=0, lt=1)
    """How much the tuned model may lose on the retention suite, whose scores lie in 0 to 1."""
    retention_suite: str | None = None
    """JSONL with more items for the retention suite, relative to the task file."""


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

    def of_training(self, tokens: float) -> float:
        """Money for training on so many tokens; 0 where no price for it is given."""
        return tokens * (self.training or 0.0) / 1e6


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

    @property
    def seconds(self) -> float:
        return 60 * self.minutes


class Search(Spec):
    """What each arm tries. The defaults suit a small model on a small machine."""

    demonstrations: tuple[Annotated[int, Field(ge=1)], ...] = (4, 8)
    prompts: tuple[str, ...] = ()
    """Files with prompts of your own, relative to the task file; ranked with the others."""
    optimiser: str | None = None
    """Automatic search of prompts; by default `gepa` where there is a reflection model, else
    `mutations`, which needs none."""
    reflection: ModelSpec | None = None
    """A strong model that reads wrong answers and rewrites the instructions."""
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(3e-4, 1e-3, 2e-3), min_length=1
    )
    train_sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Nested training sizes; empty: geometric, as large and then as many as the budget allows."""
    epochs: int = Field(default=3, ge=1)
    rank: int = Field(default=16, ge=1)
    batch_size: int = Field(default=4, ge=1)
    four_bit: bool = False
    """Train on a base whose weights are held in 4 bits (QLoRA); needs the extra `qlora`."""


class Tolerance(Spec):
    """How far a number may lie from the target: within either of the two."""

    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=0.0, ge=0, lt=1)
    """As a share of the target's size."""

    def allows(self, given: float, wanted: float) -> bool:
        return abs(given - wanted) <= max(self.absolute, self.relative * abs(wanted))


class FieldScoring(Tolerance):
    """How one field of a JSON answer is judged."""

    weight: float = Field(default=1.0, ge=0)
    """What the field counts for in precision, recall and F1."""


class Costs(Spec):
    """What a wrong label costs, in any unit; only the proportions matter."""

    table: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = Field(default_factory=dict)
    """Target's label, then the answered label. What is not named costs 1, the right label 0."""
    invalid: float | None = Field(default=None, ge=0)
    """Of an answer that is no label; by default as the dearest wrong label."""

    def of(self, target: str, answered: str) -> float:
        return self.table.get(target, {}).get(answered, 0.0 if target == answered else 1.0)

    def dearest_label(self, labels: tuple[str, ...]) -> float:
        """The highest cost of any answered label."""
        return max(self.of(target, answered) for target in labels for answered in labels)


class JudgeSpec(Spec):
    """A model that grades answers by a rubric, from 1 (worst) to `grades` (best)."""

    model: ModelSpec
    rubric: str = Field(min_length=1)
    """What each grade means, written as for a careful person."""
    grades: int = Field(default=5, ge=2, le=10)
    votes: int = Field(default=3, ge=1, le=15)
    """Sampled grades of each answer; a single one is greedy."""
    combine: Literal["mean", "majority"] = "mean"
    reviews: str | None = None
    """People's grades of answers, JSONL, relative to the task file. Without them the judge's
    score is shown and decides nothing."""


class Scoring(Spec):
    """How answers are judged, beyond what the kind of output says."""

    fields: dict[str, FieldScoring] = Field(default_factory=dict)
    """By a field's place in a JSON answer, such as `address.zip`."""
    costs: Costs | None = None
    number: Tolerance | None = None
    """For text answers that are numbers."""
    pattern: str | None = None
    """A regular expression for text answers, with at most one group."""
    chrf: bool = False
    """Whether text answers are compared by their character n-grams; needs the extra `chrf`."""
    function: str | None = Field(default=None, pattern=r"^[^:]+\.py:[A-Za-z_]\w*$")
    """`scorer.py:judge`: a function in a file, relative to the task file."""
    judge: JudgeSpec | None = None


class Task(Spec):
    """A task as its team describes it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    instructions: str = Field(min_length=1)
    short_instructions: str | None = None
    """The prompt of the fine-tuned model; by default the first sentence of the instructions."""
    data: DataSpec
    output: OutputContract
    metric: str
    scoring: Scoring = Scoring()
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
    "label": ("accuracy", "cost_score", "function", "judge"),
    "json": ("field_f1", "exact", "function", "judge"),
    "text": ("exact", "normalized_exact", "number", "pattern", "chrf", "function", "judge"),
}
"""Metrics that may decide, by kind of output; each row has a value in 0..1, and more is better."""

NEEDS = {
    "cost_score": "costs",
    "number": "number",
    "pattern": "pattern",
    "chrf": "chrf",
    "function": "function",
    "judge": "judge",
}
"""Metrics that need a key of `scoring`."""
