"""The sentences of a verdict: every one carries the numbers it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.decide.cost import amount
from trimtab.decide.evidence import Evidence, band, constraint_checks, goal_checks
from trimtab.decide.gains import OTHER_GAINS, more_than_rows
from trimtab.decide.gates import rows_required
from trimtab.decide.thresholds import THRESHOLDS
from trimtab.task.split import labels_to_train
from trimtab.types import Forecast, Gate, Money, Swing, VariantScore, Word

_SWINGS_TOLD = 3


def scores(evidence: Evidence) -> str:
    """Both arms' quality in half a sentence, for a headline."""
    parts = [
        f"{words} scores {score.quality.estimate:.2f}"
        for words, score in (
            ("the fine-tune", evidence.fine_tune),
            ("the best prompt", evidence.prompt),
        )
        if score is not None and score.quality.estimate is not None
    ]
    return f"{' and '.join(parts)} in {evidence.task.metric}" if parts else "nothing was scored"


def warning(score: VariantScore, evidence: Evidence, word: Word) -> str:
    """What must be known before the prompt of `score` is used: what it misses or may not keep.

    Whole sentences that follow the headline of `word`, each after a space; maybe empty.
    """
    subject = "But this prompt" if word == "prompt" else "The best prompt, to use until then,"
    task = evidence.task
    checks = goal_checks(score, task) + constraint_checks(score, task, evidence.served)
    missed = [check.complaint for check in checks if check.status == "fail"]
    unsure = [check.complaint for check in checks if check.status == "unknown"]
    said = ""
    if missed:
        said += f" {subject} does not do what the task asks: {'; '.join(missed)}."
    if unsure:
        said += f" Not shown to be met: {'; '.join(unsure)}."
    return said


def needed(gate: Gate) -> str:
    """What a failed gate asks for, beside what was found."""
    return f"{gate.threshold} (found: {gate.evidence})"


def labels_headline(evidence: Evidence, forecast: Forecast) -> str:
    """How many labels the forecast asks for, beyond the rows that exist."""
    assert forecast.rows_needed is not None

    def beyond(rows: int) -> str:
        return f"{_labels(evidence, rows):,}"

    low = "unknown" if forecast.rows_low is None else beyond(forecast.rows_low)
    high = "more than can be foretold" if forecast.rows_high is None else beyond(forecast.rows_high)
    ahead = evidence.money_ahead
    paying = f", and pay with a probability of {ahead.p_pays:.0%}" if ahead else ""
    return (
        f"Label about {beyond(forecast.rows_needed)} more rows (95%: {low} to {high}): "
        f"{scores(evidence)}, the goal is {evidence.task.goals.quality:g}, and the learning curve "
        f"says that a fine-tune on {forecast.rows_needed:,} rows would reach it{paying}"
    )


def _labels(evidence: Evidence, rows: int) -> int:
    """Rows to label until `rows` train."""
    data = evidence.task.data
    return labels_to_train(evidence.n_train, rows, data.dev, data.test)


def too_few_headline(evidence: Evidence, shown: bool) -> str:
    """How many labels are missing to the least rows of any fine-tune; whether its gain is shown."""
    rows, price = rows_required(evidence), evidence.task.labelling.cost_per_example
    missing = _labels(evidence, rows)
    paid = "" if price is None else f" ({amount(missing * price, evidence.task.currency)})"
    gain = ", but" if shown else ", a gain that the test does not show;"
    return (
        f"Label {missing:,} more rows{paid}: {scores(evidence)}{gain} a fine-tune should not rest "
        f"on {evidence.n_train:,} rows; {rows:,} are the least"
    )


def reasons(evidence: Evidence, gates: Sequence[Gate]) -> tuple[str, ...]:
    """Short sentences: the scores, the difference, shown gains, money, what stands against it."""
    found = [
        _standing(words, score, evidence)
        for words, score in (
            ("the best prompt", evidence.prompt),
            ("the fine-tune", evidence.fine_tune),
        )
        if score is not None
    ]
    if (difference := evidence.measured_difference) and evidence.comparison:
        compared = evidence.comparison
        found.append(
            f"fine-tune minus prompt is {difference[0]:+.3f} (95%: {difference[1]:+.3f} to "
            f"{difference[2]:+.3f}) on {compared.n:,} shared test rows: {compared.wins} better, "
            f"{compared.losses} worse, {compared.ties} alike{more_than_rows(compared)}"
        )
    found += [
        f"{g.name}: {g.evidence}" for g in gates if g.name in OTHER_GAINS and g.status == "pass"
    ]
    if evidence.money:
        found.append(_money(evidence.money))
    found += [
        f"{gate.name} {'fails' if gate.status == 'fail' else 'is unknown'}: {gate.evidence}"
        for gate in gates
        if gate.blocks and gate.status != "pass"
    ]
    if evidence.forecast:
        found.append(f"forecast: {evidence.forecast.statement}")
    return tuple(found)


def would_change(evidence: Evidence, gates: Sequence[Gate], word: Word) -> tuple[str, ...]:
    """What would turn the verdict, as numbers to compare with."""
    if evidence.task.models.tune is None:
        found = ["a model that can be tuned (models.tune), for a fine-tune to be weighed at all"]
        return (*found, *_goal(evidence, word))
    blocking = [gate for gate in gates if gate.blocks]
    found = [f"{g.name}: {g.settle}" for g in blocking if g.status == "unknown" and g.settle]
    found += [f"{needed(g)}, for {g.name} to hold" for g in blocking if g.status == "fail"]
    if evidence.money:
        found += _volume(evidence.money, word)
        found += _worth(evidence)
        found += _swings(evidence.money)
    found += _goal(evidence, word)
    least, difference = evidence.task.goals.smallest_difference, evidence.measured_difference
    if word == "prompt" and difference and difference[0] < least:
        found.append(f"a fine-tune better by {least:g} (measured {difference[0]:+.3f}) would count")
    return tuple(found)


def _standing(words: str, score: VariantScore, evidence: Evidence) -> str:
    task = evidence.task
    quality, *others = goal_checks(score, task) + constraint_checks(score, task, evidence.served)
    known = band(score.quality)
    interval = f", 95% interval {known[1]:.3f} to {known[2]:.3f}" if known else ""
    rest = "".join(f"; {check.sentence}" for check in others)
    failures = f"; {score.failures} of its calls failed" if score.failures else ""
    return f"{words}, {score.name}: {quality.sentence}{interval}{rest}{failures}"


def _money(money: Money) -> str:
    saving = money.saving_per_month
    point = (
        "no volume makes the fine-tune pay"
        if money.break_even_calls is None
        else f"it pays from {money.break_even_calls:,.0f} calls a month"
    )
    return (
        f"{point}; at {money.calls_per_month:,.0f} it saves {saving.estimate:,.2f} "
        f"{money.currency} a month (95%: {saving.low:,.2f} to {saving.high:,.2f}), and pays with "
        f"a probability of {money.p_pays:.0%}"
    )


def _volume(money: Money, word: Word) -> list[str]:
    point = money.break_even_calls
    if point is None:
        return []
    calls = f"{money.calls_per_month:,.0f}"
    if word == "fine-tune":
        return [f"below {point:,.0f} calls a month (now {calls}) the fine-tune would not pay"]
    if point > money.calls_per_month:
        return [f"a fine-tune would begin to pay above {point:,.0f} calls a month (now {calls})"]
    return []


def _worth(evidence: Evidence) -> list[str]:
    """The value of a right answer at which the fine-tune breaks even at the stated volume."""
    money, difference = evidence.money, evidence.measured_difference
    if not money or not difference or difference[0] <= 0 or money.calls_per_month <= 0:
        return []
    if money.break_even_calls is not None and money.break_even_calls <= money.calls_per_month:
        return []
    overhead = money.fixed / money.horizon_months + money.monthly
    extra = overhead / money.calls_per_month + money.tune_per_call - money.prompt_per_call
    value, now = extra / difference[0], evidence.task.traffic.value_per_correct_answer
    return [
        f"if a right answer were worth {value:.2g} {money.currency} or more (now {now:g}), the "
        "fine-tune would begin to pay at this volume"
    ]


def _swings(money: Money) -> list[str]:
    """Single inputs whose 5% or 95% end takes the probability of paying across what is asked."""
    if not money.tornado:
        return []
    least, now = THRESHOLDS.probability_of_paying, money.p_pays
    turning = [
        f"{swing.name} of {_amount(value, swing, money.currency)} would make it {chance:.0%} "
        f"likely to pay (now {now:.0%}; {least:.0%} is asked)"
        for swing in money.tornado
        for value, chance in ((swing.low, swing.p_low), (swing.high, swing.p_high))
        if (chance >= least) != (now >= least)
    ]
    return turning[:_SWINGS_TOLD] or [
        f"no single input of the money, at its 5% or 95% end, takes the probability of paying "
        f"({now:.0%}) across the {least:.0%} that is asked"
    ]


def _amount(value: float, swing: Swing, currency: str) -> str:
    if swing.unit == "money":
        return amount(value, currency)
    return {
        "calls": f"{value:,.0f}",
        "difference": f"{value:+.3f}",
        "months": f"{value:.1f} months",
        "factor": f"{value:.2f} times what is stated",
    }[swing.unit]


def _goal(evidence: Evidence, word: Word) -> list[str]:
    goal = evidence.task.goals.quality
    best = evidence.prompt.quality.estimate if evidence.prompt else None
    if best is None:
        return []
    if word == "prompt" and best >= goal:
        return [f"a goal above {best:.3f} (now {goal:g}) would be out of the prompt's reach"]
    if word == "collect-data" and best < goal:
        return [f"a goal of {best:.3f} or less (now {goal:g}) would be met by the prompt"]
    if word == "prompt" and evidence.n_train < THRESHOLDS.fewest_rows:
        return [
            f"with {THRESHOLDS.fewest_rows} rows to train on (now {evidence.n_train}) a fine-tune "
            "could be weighed"
        ]
    return []
