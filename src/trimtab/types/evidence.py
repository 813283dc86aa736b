"""What was measured beside the scores: how prompts were searched, what the fine-tune loses
elsewhere, whether answers stay the same, and what the task asks of the base model."""

from __future__ import annotations

from typing import Literal

from trimtab.types.base import Arm, Noun, Status
from trimtab.types.scores import Interval


class Trial(Noun):
    """One candidate of the prompt search: how far it came on the dev rows, and why it ended."""

    variant: str
    name: str
    stage: str
    rows: int
    """Dev rows that it was asked."""
    of: int
    """Dev rows that there are."""
    quality: float | None
    """Mean over the rows that it answered: all of them, or only the first where it was stopped."""
    ended: Literal["finished", "behind", "budget"]
    """It saw all rows; it was shown to end below the leader; or the budget was spent."""
    behind: str | None = None
    """Name of the leader that it was stopped behind."""
    calls: int
    """Calls of the whole search when it ended, those taken from the cache included."""
    seconds: float
    """Likewise, at the speed that calibration measured."""
    best: float | None
    """Highest dev quality of the candidates that had seen all rows by then."""


class Plateau(Noun):
    """Whether the last part of the search's budget still bought quality."""

    state: Literal["exhausted", "rising", "unclear"]
    last_share: float
    """Share of what the search used that counts as its last part."""
    gain: Interval
    """What that part added to the best dev score, each row judged by choices made without it."""
    least: float
    """A gain below this is not worth a change: the task's smallest difference."""
    statement: str


class LayoutScore(Noun):
    style: str
    quality: float | None


class Sensitivity(Noun):
    """The best prompt in other layouts that mean the same, on the same dev rows."""

    rows: int
    planned: int
    """Layouts that there are; `layouts` holds those that the budget allowed."""
    layouts: tuple[LayoutScore, ...]
    mean: float | None
    worst: float | None
    spread: float | None
    """Standard deviation of a layout's true quality, without the noise of few rows."""


class Searched(Noun):
    """How the prompts were searched, and whether more of it would pay."""

    trials: tuple[Trial, ...]
    complete: bool
    """Whether every stage before the automatic search came to its end."""
    notes: tuple[str, ...]
    """What was left out, and which automatic search ran, each with its reason."""
    error: float
    """Highest chance that some stage of the race stopped the candidate that would have led it."""
    headroom: float | None
    """Best dev quality less that of the instructions alone, when the stages had ended."""
    calls: int
    calls_of_grid: int
    """Calls that the same candidates would have taken without the race."""
    plateau: Plateau | None
    sensitivity: Sensitivity | None = None


class Retained(Noun):
    """One part of the retention suite, or all of it, answered by the base and by the fine-tune."""

    section: str
    base: float | None
    tuned: float | None
    """Mean scores in 0 to 1 over the items that both answered; more is better."""
    difference: Interval
    """Paired, tuned minus base."""
    status: Status
    """`pass`: the whole interval lies above minus the margin. `fail`: a loss is shown, and it is
    more than the margin. Else `unknown`."""


class TradeOff(Noun):
    """A fine-tune, or a remedy for what it lost: its score on the task beside what it keeps."""

    variant: str
    name: str
    dev_quality: Interval
    difference: Interval
    """As `Retention.overall.difference`."""
    status: Status


class Retention(Noun):
    """What the fine-tune loses on everything else, against the same model without its adapter."""

    variant: str
    name: str
    margin: float
    """A loss up to this is borne."""
    complete: bool
    """False: measured on the quick suite, a third of the items."""
    status: Status
    overall: Retained
    sections: tuple[Retained, ...]
    failures: int
    """Items that the base or the fine-tune gave no answer to."""
    bits_per_byte: tuple[float, float] | None
    """Of plain text, base and tuned; less is better."""
    divergence_task: float | None
    """Mean KL divergence (base || tuned, nats a token) over the answers of the task's dev rows."""
    divergence_general: float | None
    """The same over the base's own answers to messages of the suite."""
    trade_offs: tuple[TradeOff, ...] = ()
    """The fine-tune that was best on dev, then the remedies that were tried, in their order."""


Source = Literal["sample", "input", "format", "seed"]
"""What was varied: the draw of a sampled answer, the form of the input, the layout of the prompt,
or the seed of the training."""


class Variation(Noun):
    """The same rows asked once more with one thing changed."""

    name: str
    rows: int
    """Rows that it and the first answer were judged on."""
    kept: float | None
    """Share of them whose answer stayed what it was at first."""
    quality: float | None
    """Mean score over the rows that every variation of the source answered; None where the change
    touches what is right."""


class Steady(Noun):
    """How far a variant's answers stay the same while one source varies."""

    source: Source
    kept: Interval
    """Share of varied answers that equal the row's first answer; the rest is the flip rate."""
    variations: tuple[Variation, ...]
    worst: float | None
    """Lowest mean score, that of the first answers included."""
    spread: float | None
    """Standard deviation of a variation's true mean score, without the noise of few rows."""


class ArmConsistency(Noun):
    """One finalist asked again and again on the same dev rows."""

    variant: str
    name: str
    arm: Arm
    kept: Interval
    """Mean over the sources in `Consistency.compared`, each counting alike."""
    worst_answer: float | None
    """Mean over the rows of the lowest score that any of a row's answers got."""
    sources: tuple[Steady, ...]
    variance: dict[str, float]
    """Of one answer's score: what rows differ in ("row"), and what one draw of each source adds."""


class Consistency(Noun):
    """Whether the finalists answer alike when asked again, with differences that should not matter.

    The first answer of a row is the greedy one to its own input in the variant's own layout.
    """

    rows: int
    of: int
    """Dev rows that there are."""
    arms: tuple[ArmConsistency, ...]
    compared: tuple[Source, ...]
    """Sources that every finalist was measured on."""
    difference: Interval | None
    """Of `ArmConsistency.kept`, paired by row, fine-tune minus prompt; None without both."""
    p_value: float | None


class Language(Noun):
    """How foreign the task's language is to the base model. All intervals are bits per byte: less
    is better known."""

    rows: int
    """Dev rows that were read."""
    general: Interval
    """Of general passages, base model."""
    inputs: Interval
    """Of the rows' inputs as plain text, base model."""
    tokens_per_word: dict[str, float]
    """Of general text, the inputs and the targets, by the names `general`, `inputs` and
    `targets`."""
    untuned: Interval
    """Of the targets after the fine-tune's own short prompt, base model."""
    prompted: Interval | None
    """After the best prompt, base model; None where that is another model, or thinks first."""
    tuned: Interval
    """After the short prompt, with the adapter."""
    saved: Interval | None
    """Paired, `prompted` minus `tuned`."""
    p_value: float | None
    closed: float | None
    """Share of what `untuned` takes beyond `general` that the fine-tune saves; None where it takes
    no more."""


class Knowledge(Noun):
    """How much of the task asks for what the input does not say."""

    beyond_input: Interval | None
    """Share of the rows of train and dev of whose target half the words or more are not in the
    input; None for labels, which are chosen and not read off."""
    closed_book: Interval | None
    """Dev quality of the prompted model by the instructions alone; None where it was not asked."""
    closed_book_beyond: Interval | None
    """The same over the dev rows that count in `beyond_input`."""


class Remeasured(Noun):
    """The winner of an earlier run, under the task as it was then and as it is now."""

    run: str
    name: str
    """Of the variant."""
    parts: tuple[str, ...]
    """Of the task that changed in between."""
    before: Interval
    """Dev quality in that run, by its metric."""
    after: Interval
    """Dev quality now: the same variant, judged by what the task asks now."""
