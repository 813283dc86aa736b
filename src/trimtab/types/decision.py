"""What is decided, and what the report shows of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue

from trimtab.types.base import Arm, Noun, Status, Word
from trimtab.types.calls import HostedJob, Variant
from trimtab.types.evidence import Consistency, Knowledge, Language, Retention, Searched
from trimtab.types.scores import (
    Comparison,
    CurvePoint,
    Forecast,
    Interval,
    JudgeAgreement,
    VariantScore,
)


class Swing(Noun):
    """One input of the money at its 5% and 95% ends, while all others stay in doubt."""

    name: str
    unit: Literal["money", "calls", "difference", "months", "factor"]
    basis: Literal["measured", "stated"]
    low: float
    high: float
    p_low: float
    """Probability that the fine-tune pays where the input is `low`."""
    p_high: float
    break_even_low: float | None
    """Calls a month, where the input is `low`; None means never."""
    break_even_high: float | None


class Money(Noun):
    """Costs per call and the volume at which a fine-tune pays. All sums in the task's currency."""

    currency: str
    prompt_per_call: float
    tune_per_call: float
    fixed: float
    """One-off cost F: labels and training runs."""
    monthly: float
    """Retraining, hosting and people's time, per month."""
    horizon_months: float
    calls_per_month: float
    volume: Literal["stated", "measured"] = "stated"
    """Where `calls_per_month` comes from: the task file, or the traffic that Trimtab served."""
    break_even_calls: float | None
    """Calls a month at which the fine-tune starts to pay; None means never."""
    p_pays: float
    """Probability that the fine-tune pays at this volume (Monte-Carlo)."""
    saving_per_month: Interval
    assumptions: tuple[str, ...] = ()
    curve: tuple[tuple[float, float, float], ...] = ()
    """(calls a month, monthly cost with the prompt, with the fine-tune) for the plot."""
    tornado: tuple[Swing, ...] = ()
    """What `p_pays` and the break-even hang on, the widest swing first."""


class Gate(Noun):
    """One condition of the guide, with its evidence and where its threshold comes from."""

    name: str
    question: str
    status: Status
    evidence: str
    threshold: str
    source: str
    basis: Literal["measured", "asked", "none"]
    blocks: bool = False
    """Whether fail or unknown here forbids the verdict `fine-tune`."""
    settle: str = ""
    """For `unknown`: what would measure it."""


class Verdict(Noun):
    """One of the four words, why it was chosen, and what would change it."""

    word: Word
    headline: str
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    gates: tuple[Gate, ...]
    rule_sha256: str
    winner: str | None = None
    """Id of the variant to use now; None where none could be measured."""


class Flag(Noun):
    """One row to review, and why. Flagged is not wrong: a person decides."""

    row: str
    """Example id, or `file:line` for a row that never became an example."""
    source: str = ""
    why: str = ""
    suggestion: str = ""
    """What may belong there instead."""


class Finding(Noun):
    """One result of the data audit, with the rows behind it."""

    check: str
    severity: Literal["info", "warn", "stop"]
    message: str
    count: int
    rows: tuple[str, ...] = ()
    """Example ids (or `file:line` for rows that never became examples); at most 200 listed."""
    flags: tuple[Flag, ...] = ()
    """The same rows with a reason for each, the gravest first; empty where all have one reason."""
    figures: dict[str, float | None] = Field(default_factory=dict)
    """What was measured, by name."""
    collect: dict[str, int] = Field(default_factory=dict)
    """What to label next: a kind of input, and how many rows of it."""
    measured: bool = True
    """False: the question could not be answered; the message says what it needs."""


class Case(Noun):
    """One test row with both finalists' answers, for the report."""

    example: str
    input: str
    target: str
    prompt_answer: str
    tune_answer: str
    prompt_score: float | None
    tune_score: float | None


class Spent(Noun):
    """What a stage planned to use, or used."""

    stage: str
    arm: Arm | None = None
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    train_tokens: int = 0
    seconds: float = 0.0
    money: float = 0.0

    @property
    def key(self) -> tuple[str, Arm | None]:
        return self.stage, self.arm

    def __add__(self, more: Spent) -> Spent:
        """Both together, under the stage and arm of the first."""
        return Spent(
            stage=self.stage,
            arm=self.arm,
            calls=self.calls + more.calls,
            tokens_in=self.tokens_in + more.tokens_in,
            tokens_out=self.tokens_out + more.tokens_out,
            train_tokens=self.train_tokens + more.train_tokens,
            seconds=self.seconds + more.seconds,
            money=self.money + more.money,
        )

    def within(self, left: Spent) -> bool:
        """Whether `left` pays for its seconds, calls and money."""
        return (
            self.seconds <= left.seconds and self.calls <= left.calls and self.money <= left.money
        )

    @classmethod
    def by_stage(cls, parts: Iterable[Spent]) -> dict[tuple[str, Arm | None], Spent]:
        """The sum of each stage and arm, in the order of first appearance."""
        sums: dict[tuple[str, Arm | None], Spent] = {}
        for part in parts:
            sums[part.key] = sums[part.key] + part if part.key in sums else part
        return sums


class Decision(Noun):
    """`verdict.json`: everything that the report shows and a program may read."""

    schema_version: Literal[1] = 1
    task: str
    run: str
    created: datetime
    verdict: Verdict
    metric: str
    goals: dict[str, float | None]
    prompt: VariantScore | None
    fine_tune: VariantScore | None
    comparison: Comparison | None
    money: Money | None
    variants: tuple[Variant, ...]
    dev_scores: tuple[VariantScore, ...]
    search: Searched | None = None
    """How the prompts were searched; None where no search began."""
    curve: tuple[CurvePoint, ...]
    forecast: Forecast | None
    retention: Retention | None = None
    """None where what the fine-tune loses elsewhere was not measured."""
    consistency: Consistency | None = None
    """Whether the finalists answer alike when asked again; None where none was."""
    language: Language | None = None
    """How foreign the task's language is; None where it was not measured."""
    knowledge: Knowledge | None = None
    """How much of the task asks for what the input does not say."""
    audit: tuple[Finding, ...]
    rows: dict[str, int]
    """Rows of each split."""
    cases: tuple[Case, ...]
    planned: tuple[Spent, ...]
    spent: tuple[Spent, ...]
    stopped_by: str | None
    """Which budget stopped the run early, in words; None when nothing did."""
    no_tuning: str | None = None
    """Why no fine-tune was planned or came of it; None where one was."""
    jobs: tuple[HostedJob, ...] = ()
    """Fine-tuning jobs at an endpoint, smallest first; empty where training was local."""
    test_openings: tuple[str, ...]
    test_uses: int | None = None
    """How often this and other runs of the task opened these test rows; None: this one did not."""
    judge: JudgeAgreement | None = None
    """Of the task's judge model, where people's reviews were given."""
    preference: Comparison | None = None
    """The judge's choice between both finalists' answers: 1 for the fine-tune's, -1 for the
    prompt's, 0 for a tie."""
    settings: dict[str, JsonValue]
    """The resolved task file."""
    environment: dict[str, JsonValue]

    @property
    def winner(self) -> Variant | None:
        """The variant to use now; None where none could be measured."""
        return self.variant(self.verdict.winner)

    def variant(self, identity: str | None) -> Variant | None:
        """By its id; None where there is none of it."""
        return next((each for each in self.variants if each.id == identity), None)

    def score_of(self, identity: str | None) -> VariantScore | None:
        """What the sealed test measured of this finalist; None where it did not meet it."""
        scores = (self.prompt, self.fine_tune)
        return next((s for s in scores if s is not None and s.variant == identity), None)
