"""What was measured: intervals, scores, learning curves and comparisons."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trimtab.types.base import FAILURE_CAP, Arm, Noun, SplitName


class Interval(Noun):
    """An estimate with its uncertainty; `low`/`high` are None where undefined (never faked)."""

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    level: float = 0.95


class Latency(Noun):
    """Seconds per call, from `n` calls that were made one at a time.

    Where the token counts explain the times, the figures are of all answered rows.
    """

    p50: float
    p95: float
    mean: float
    n: int
    p95_interval: Interval | None = None
    mean_interval: Interval | None = None


class LabelTable(Noun):
    """Answered labels by the target's label."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """A row for each label as target: how often each label was answered, and last, how often an
    answer was none of them."""
    f1: tuple[float | None, ...]
    """Of each label; None where it was neither a target nor an answer."""
    macro_f1: Interval
    """Their mean: every label counts alike, however rare."""


class JudgeAgreement(Noun):
    """How far a judge model's scores agree with people's grades of the same answers."""

    model: str
    kappa: Interval
    """Cohen's, with quadratic weights; `n` counts the reviews that the judge graded too."""
    equal: float | None
    """Share of those with the same grade, the judge's rounded."""
    lost: int
    """Reviews on which none of the judge's votes could be read."""


class VariantScore(Noun):
    """All that was measured of one variant on one split. Token counts are means per call."""

    variant: str
    name: str
    arm: Arm
    split: SplitName
    n: int
    failures: int
    failure_boundaries: dict[str, int] = Field(default_factory=dict)
    quality: Interval
    metrics: dict[str, Interval]
    validity: Interval
    tokens_in: float | None
    tokens_cached: float | None
    tokens_out: float | None
    prompt_tokens: float | None = None
    """Mean tokens of the prompt without the row's own input: instructions and demonstrations."""
    latency: Latency | None = None
    agreement: Interval | None = None
    """Share of repeated sampled answers to a dev row that parse to the same value."""
    money_per_1000: float | None = None
    money_interval: Interval | None = None
    """Of `money_per_1000`."""
    label_table: LabelTable | None = None
    """For label outputs."""

    @property
    def calls(self) -> int:
        """Rows that were asked: those judged, and those whose call failed."""
        return self.n + self.failures

    @property
    def rank(self) -> tuple[bool, float]:
        """For choosing on dev: a variant whose calls fail often comes after all that answer.

        Its mean over the rows that it answered would flatter it. The share is the cap that the
        rule puts on failures.
        """
        if self.n == 0 or self.quality.estimate is None:
            return (False, 0.0)
        return (self.failures / self.calls <= FAILURE_CAP, self.quality.estimate)


class CurvePoint(Noun):
    """One trained size of the learning curve, at its best epoch by dev quality."""

    rows: int
    seed: int
    learning_rate: float | None
    """None where an endpoint chose it."""
    epoch: int
    epochs: int
    train_tokens: int
    seconds: float
    peak_memory: int | None = None
    """Bytes that training held at once: of the GPU, or of the whole process on a CPU."""
    dev_loss: float | None
    """Nats per answer token; None where an endpoint does not tell it."""
    dev_quality: Interval
    variant: str
    sweep: bool = False
    """True for runs of the learning-rate sweep that were not chosen."""


class RowsNeeded(Noun):
    """From how many rows on a learning curve keeps above a target; None beyond what it can say."""

    target: float
    rows: int | None
    low: int | None
    high: int | None
    chance: float
    """Probability of getting there within 8x the largest measured size."""
    label_cost: float | None = None
    """Of the rows still missing."""
    label_cost_low: float | None = None
    label_cost_high: float | None = None


class Forecast(Noun):
    """What more labels would bring, or why that cannot be said."""

    goal: float
    rows_now: int
    rows_needed: int | None
    rows_low: int | None
    rows_high: int | None
    label_cost: float | None
    statement: str
    curve: tuple[tuple[int, float, float, float], ...] = ()
    """(rows, quality, low, high) of the fitted curve, up to 8x the largest measured size."""
    chance: float | None = None
    """Probability that the goal is reached within 8x the largest measured size."""
    label_cost_low: float | None = None
    label_cost_high: float | None = None
    at_reach: Interval | None = None
    """Quality at 8x the largest measured size: the most that this curve can speak of."""
    to_beat_prompt: RowsNeeded | None = None
    loss: tuple[tuple[int, float, float, float], ...] = ()
    """(rows, dev loss, low, high) at 2, 4 and 8 times the largest measured size."""

    @property
    def stop_collecting(self) -> bool:
        """Whether even the best that this curve can speak of stays below the goal."""
        return self.rows_low is None and self.at_reach is not None


class Sequential(Noun):
    """How a comparison went that was looked at block by block, until it was clear or rows ended."""

    outcome: Literal["superior", "futile", "open"]
    """The gain is above 0 and enough; it is below the least that matters; or neither is clear."""
    rows_used: int
    """Rows that both sides answered."""
    rows_saved: int
    """Rows that nobody had to answer."""
    looks: int
    clear_after: int | None = None
    """Rows after which the answer was clear for the first time, whether or not that ended the test;
    None where it never was."""
    e_superior: float
    """Evidence against "no gain": times that a stake on a gain has multiplied."""
    e_futile: float
    """Evidence against "a gain that matters"."""
    interval: Interval
    """Allows for the looks."""


class Comparison(Noun):
    """Paired difference `b - a` of two variants over the same examples."""

    a: str
    b: str
    metric: str
    n: int
    difference: Interval
    test: str
    p_value: float | None
    smallest_detectable: float | None
    """Difference that this n would detect with 80 % power at the 5 % level."""
    wins: int
    losses: int
    ties: int
    failures_a: int
    failures_b: int
    sequential: Sequential | None = None
    """Set where the rows were looked at in blocks. Then `difference` is its interval if rows were
    saved, and that of a fixed number of rows otherwise."""
    fixed_rows: Interval | None = None
    """Where rows were saved: the interval that a fixed number of rows would have; too narrow here,
    since the moment of the last look was chosen by what was seen."""
    rows_alone: Interval | None = None
    """The interval over rows alone, where `difference` allows for more."""
    rows_alone_p: float | None = None
    """That of `test`; `p_value` then allows for more, as `difference` does."""
    widened_by: dict[str, float] = Field(default_factory=dict)
    """Half-widths that further sources added to it, such as prompt layouts and training seeds."""
    not_in_interval: tuple[str, ...] = ()
    """Sources that were drawn too seldom for their variation to be known."""
