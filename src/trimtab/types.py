"""The nouns of Trimtab: frozen, validated values that every part passes to the next.

Everything that is saved in a run directory is one of these, dumped as JSON. Behaviour lives in
the folders; this module imports nothing of Trimtab.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Arm = Literal["prompt", "fine-tune"]
SplitName = Literal["train", "dev", "test"]
Word = Literal["prompt", "fine-tune", "collect-data", "inconclusive"]
Status = Literal["pass", "fail", "unknown"]

ADAPTER_FILE = "adapter_model.safetensors"
"""peft's name for the weights in an adapter folder."""

HOSTED_FILE = "hosted.json"
"""What an adapter folder holds in their place where an endpoint trained the model and keeps it."""

FAILURE_CAP = 0.05
"""Share of failed calls above which a variant's figures decide nothing."""


class Noun(BaseModel):
    """A frozen value that refuses unknown fields. Docstrings of fields go into its JSON Schema."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True
    )


def content_hash(*parts: str, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 over `parts`, each closed by a NUL byte."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:length]


# --- data -----------------------------------------------------------------------------------


class Example(Noun):
    """One labelled row. `id` hashes input and target, so it survives reordering of the file."""

    id: str
    input: str
    target: str
    group: str | None = None
    time: datetime | None = None
    approved_by: str | None = None
    source: str = ""
    """Where it came from, as `file:line`."""


class OutputContract(Noun):
    """What an answer must look like: one of a label set, JSON of a schema, or free text."""

    kind: Literal["label", "json", "text"]
    labels: tuple[str, ...] = ()
    json_schema: dict[str, JsonValue] = Field(default_factory=dict, alias="schema")


# --- calling a model ------------------------------------------------------------------------


class Message(Noun):
    role: Literal["system", "user", "assistant"]
    content: str


class Decoding(Noun):
    """How to decode. `contract` set means: constrained to it, token by token or by the endpoint."""

    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    contract: OutputContract | None = None


class Request(Noun):
    """One call: what the model sees and how it decodes. `adapter` is an adapter folder."""

    messages: tuple[Message, ...]
    decoding: Decoding
    adapter: str | None = None
    shared_messages: int = 0
    """How many leading messages are the same in every call of the variant, so that an engine may
    compute them once."""


class Completion(Noun):
    """One answer. Token counts are the engine's own; `latency_s` only where this call was timed."""

    text: str
    finish: Literal["stop", "length"]
    tokens_in: int
    tokens_cached: int = 0
    """How many of `tokens_in` came from a computed prefix shared with other calls."""
    tokens_out: int
    latency_s: float | None = None
    attempts: int = 1
    """Calls that were made for it: one for each round, one more for each that was tried again."""
    rounds: int = 1
    """Answers that it took. Tokens, seconds and attempts are sums over them, `text` is the last."""


class Failed(Noun):
    """A call that gave no judgeable answer, blamed on exactly one boundary. Never a zero score."""

    status: Literal["failed"] = "failed"
    boundary: Literal[
        "connection", "timeout", "rate-limit", "server", "response", "context", "scorer"
    ]
    message: str
    attempts: int = 1
    """As of `Completion`."""


class Scored(Noun):
    """A judged answer. An answer that breaks the contract is scored (as wrong), not failed."""

    status: Literal["scored"] = "scored"
    metrics: dict[str, float]
    valid: bool
    parsed: JsonValue = None
    problem: str | None = None
    """Why the answer is invalid, for a person."""


Outcome = Annotated[Scored | Failed, Field(discriminator="status")]


class Prompt(Noun):
    """The text side of a variant: instructions, then fixed and/or retrieved demonstrations."""

    system: str
    demonstrations: tuple[Example, ...] = ()
    nearest: int = 0
    """How many training rows nearest to the input are shown as demonstrations."""
    nearest_first: bool = False
    """Whether the most similar comes first; by default it comes last, next to the input."""
    style: str = "plain"
    """How instructions, demonstrations and input are laid out: a name of `prompt.styles.STYLES`."""
    template: tuple[Message, ...] = ()
    """A prompt of the user's own: messages whose contents are Jinja templates with `input`. Where
    there are any, they are the whole prompt, and `system` is empty."""


class Adapter(Noun):
    """A trained LoRA adapter in a run: its folder, its weights' hash, and how it was made.

    Of a fine-tune that an endpoint trained, the folder holds a `HostedModel`, and that is hashed.
    """

    path: str
    sha256: str
    rows: int
    epoch: int
    learning_rate: float | None
    """None where an endpoint chose it."""
    seed: int


class HostedModel(Noun):
    """`hosted.json`: a fine-tune that an endpoint trained, keeps and serves."""

    model: str
    """The name under which the endpoint serves it."""
    base: str
    job: str
    """Id of the fine-tuning job."""
    step: int | None = None
    """Of the optimiser, for a checkpoint on the way; None for the job's final model."""
    trained_tokens: int | None
    """Of the whole job, as the endpoint told them."""
    money: float | None
    """What the job cost at `prices.training`."""
    training_sha256: str
    """Of the file that it was trained on."""


class HostedJob(Noun):
    """A fine-tuning job at an endpoint, as it was last heard of."""

    rows: int
    estimated_tokens: int
    """Training tokens of all epochs, by the engine's own estimate."""
    status: Literal["not made", "asked for", "running", "succeeded", "failed", "cancelled"] = (
        "not made"
    )
    job: str | None = None
    asked_at: float | None = None
    """When it was asked for, in seconds since 1970."""
    seconds: float | None = None
    """From its creation to its end."""
    trained_tokens: int | None = None
    problem: str | None = None
    """Why it gave no model."""

    @property
    def tokens(self) -> int:
        """What it is charged for. A job that succeeded and does not say was as large as estimated;
        any other that does not say cost nothing."""
        if self.trained_tokens is not None:
            return self.trained_tokens
        return self.estimated_tokens if self.status == "succeeded" else 0


class Variant(Noun):
    """Anything that answers the task. Both arms end here; nothing after branches on the kind."""

    name: str
    arm: Arm
    model: str
    prompt: Prompt
    max_tokens: int
    constrained: bool = False
    temperature: float = 0.0
    adapter: Adapter | None = None
    reason: bool = False
    """Think first: free text in a first call, the answer in a second one that sees it."""
    retries: int = 0
    """How often an answer that breaks the contract is shown to the model to be put right."""

    @property
    def id(self) -> str:
        """Content hash: the same settings are the same variant, whatever they are called."""
        adapter = self.adapter.sha256 if self.adapter else ""
        # Where a demonstration stood in a file does not matter. What no variant of the first
        # version had counts only where it is used, so that ids in finished runs stay true.
        settings = self.model_dump_json(
            exclude={
                "name": True,
                "arm": True,
                "adapter": True,
                "prompt": {
                    "demonstrations": {"__all__": {"source"}},
                    **_at_default(self.prompt, "nearest_first", "style", "template"),
                },
                **_at_default(self, "reason", "retries"),
            }
        )
        return content_hash(settings, adapter, length=12)


def _at_default(noun: Noun, *names: str) -> dict[str, bool]:
    """Those of the named fields that have their default, for leaving them out."""
    fields = type(noun).model_fields
    return {name: True for name in names if getattr(noun, name) == fields[name].default}


class Record(Noun):
    """One variant x one example x one repeat."""

    variant: str
    example: str
    repeat: int = 0
    completion: Completion | None
    outcome: Outcome
    reused: bool = False
    """Served from the request cache of an earlier run: its timing is not a measurement."""


# --- what was measured ----------------------------------------------------------------------


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
    widened_by: dict[str, float] = Field(default_factory=dict)
    """Half-widths that further sources added to it, such as prompt layouts and training seeds."""
    not_in_interval: tuple[str, ...] = ()
    """Sources that were drawn too seldom for their variation to be known."""


# --- searching prompts ----------------------------------------------------------------------


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


# --- consistency ----------------------------------------------------------------------------

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


# --- deciding -------------------------------------------------------------------------------


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
