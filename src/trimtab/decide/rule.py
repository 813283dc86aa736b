"""The rule that turns evidence into one of four words. Written, and hashed, before any result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trimtab.compare.looking import FEWEST_ROWS
from trimtab.compare.paired import rows_to_settle
from trimtab.compare.several import FEWEST_DRAWS
from trimtab.decide.evidence import Evidence, meets_everything
from trimtab.decide.gains import OTHER_GAINS, QUALITY
from trimtab.decide.gates import gates
from trimtab.decide.judge import JUDGE
from trimtab.decide.thresholds import THRESHOLDS
from trimtab.decide.wording import (
    labels_headline,
    needed,
    reasons,
    scores,
    too_few_headline,
    warning,
    would_change,
)
from trimtab.prompt.search import LAST_SHARE
from trimtab.tune.curve_fit import MAX_REACH
from trimtab.types import Comparison, Gate, Money, Verdict, Word, content_hash

RULE = """\
All scores are of the sealed test, the difference is fine-tune minus prompt on the same rows, and
goals are compared with estimates, a limit of latency with the whole interval. A test of
{looked_at_from} rows or more ends once the two are told apart; the interval then allows for the
looks. It also allows for the prompt's layout and for training seeds, where each was drawn at least
{fewest_draws} times. Where Trimtab serves the task, the volume and the latency of the variant that
serves are those of production. The first line that holds decides.

1. inconclusive, if no comparison was measured: the best prompt is missing, or the fine-tune is
   missing although one was asked for and there are {fewest_rows} rows to train on, or their
   difference has no interval, or more than {failure_cap:.0%} of either's calls failed; or if the
   metric is a judge model's score and its agreement with people is not shown.
2. prompt, if the best prompt meets every goal and constraint: it is not exhausted on the team's own
   criteria, whatever a fine-tune would add.
3. fine-tune, if it shows a gain and every blocking gate passes. A gain is shown if the interval of
   the difference lies above 0 and its estimate is at least the smallest difference that matters;
   or if the interval lies above minus that difference and cost, latency (each by more than
   {relative_gain:.0%}), format, consistency or domain language is better. Where a gain has a
   p-value, it must be at most 5% after Holm's correction for all gains.
4. collect-data, if no blocking gate fails but the amount of data and the volume, and a fine-tune
   pays with a probability above {probability_of_paying_ahead:.0%}, which is less than is asked of
   one that is put to use, because labels bind nobody. Either both arms miss the goal of quality and
   the learning curve reaches it with more rows than there are, within {max_reach} times its largest
   size; the volume is then judged at the goal, with the missing rows bought, whatever the fine-tune
   at hand does; where that cannot be worked out, by the one at hand; and where no money can, it
   stays open. Or there are too few rows for any fine-tune, no blocking gate is unknown, and the one
   at hand gains as measured, shown or not.
5. inconclusive, if no blocking gate fails, and the interval of the difference cannot tell a gain
   from none, or a gain is shown and a blocking gate is unknown, or the learning curve reaches the
   goal with rows that exist and were not trained on.
6. prompt otherwise, even where it misses the goal: no fine-tune beats it by enough to pay.

The gates, and which of them block, are those of the report. Stable means {stable_days} days
unchanged; enough data means {fewest_rows} rows for label or JSON output and {rows_for_any_task} for
any other; approved means {approved_share:.0%} of the rows; general ability is kept if the interval
of the loss on the retention suite is within the task's margin and no part of it is shown to lose
more. Prompting is exhausted where the best prompt misses a goal or limit and the last
{last_share:.0%} of its search bought less than the smallest difference that matters, with the whole
interval on dev or, where that cannot be told, surely less than the prompt lacks to the goal and to
the fine-tune; where the search still rises, more of it would settle the question.
""".format(
    **asdict(THRESHOLDS),
    max_reach=MAX_REACH,
    last_share=LAST_SHARE,
    looked_at_from=FEWEST_ROWS,
    fewest_draws=FEWEST_DRAWS,
)


def rule_sha256() -> str:
    """Hash of the rule's text and of all code that decides: this folder's modules."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return content_hash(RULE, *(path.read_text("utf-8") for path in modules), length=64)


@dataclass(frozen=True)
class _Case:
    """The evidence and what its gates say together."""

    evidence: Evidence
    gates: tuple[Gate, ...]

    def passes(self, name: str) -> bool:
        return any(gate.name == name and gate.status == "pass" for gate in self.gates)

    def blocked_by(self, status: str) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if gate.blocks and gate.status == status)

    @property
    def failed(self) -> set[str]:
        """Names of the blocking gates that fail."""
        return {gate.name for gate in self.blocked_by("fail")}

    @property
    def other_gain(self) -> bool:
        return any(self.passes(name) for name in OTHER_GAINS)

    @property
    def gain_shown(self) -> bool:
        found = self.evidence.measured_difference
        if found is None:
            return False
        as_good = found[1] > -self.evidence.task.goals.smallest_difference
        return self.passes(QUALITY) or (as_good and self.other_gain)

    @property
    def gains_as_measured(self) -> bool:
        """Whether the estimate alone is a gain, whatever its interval."""
        found = self.evidence.measured_difference
        if found is None:
            return False
        least = self.evidence.task.goals.smallest_difference
        return found[0] >= least or (self.other_gain and found[0] > -least)

    @property
    def gain_open(self) -> bool:
        """Whether a gain is not shown, but the interval does not rule one out either."""
        found = self.evidence.measured_difference
        if found is None or self.gain_shown:
            return False
        least = self.evidence.task.goals.smallest_difference
        return found[2] >= least or (self.other_gain and found[2] > -least)

    @property
    def goal_missed_by_all(self) -> bool:
        measured = [
            score.quality.estimate
            for score in (self.evidence.prompt, self.evidence.fine_tune)
            if score is not None and score.quality.estimate is not None
        ]
        return bool(measured) and max(measured) < self.evidence.task.goals.quality


def decide(evidence: Evidence) -> Verdict:
    """The verdict of RULE on `evidence`, with its reasons and with what would change it."""
    case = _Case(evidence, gates(evidence))
    for line in (_unmeasured, _prompt_suffices, _fine_tune, _collect_data, _cannot_tell):
        if verdict := line(case):
            return verdict
    return _prompt_anyway(case)


def _unmeasured(case: _Case) -> Verdict | None:
    evidence = case.evidence
    stopped = (
        f" because the budget was spent ({evidence.stopped_by})" if evidence.stopped_by else ""
    )
    prompt, fine_tune = evidence.prompt, evidence.fine_tune
    tunable = evidence.task.models.tune is not None and evidence.n_train >= THRESHOLDS.fewest_rows
    what, settle = "", "a larger budget, or a smaller search in the task file"
    judge = next((g for g in case.gates if g.name == JUDGE and g.status != "pass"), None)
    if judge is not None:
        what = (
            "the metric is a judge model's score, and whether it agrees with people is not shown "
            f"({judge.evidence})"
        )
        settle = judge.settle or "another judge model or rubric, or a metric without a model"
    elif prompt is None or prompt.quality.estimate is None:
        what = f"no prompt was measured on the test rows{stopped}"
    elif fine_tune is None and tunable:
        what = evidence.why_no_fine_tune
    elif any(gate.name == "failures-under-cap" and gate.status == "fail" for gate in case.gates):
        what = f"more than {THRESHOLDS.failure_cap:.0%} of the test calls failed"
        settle = "mend what made the calls fail, and run again with --fresh"
    elif fine_tune is not None and evidence.measured_difference is None:
        what = "the two arms share too few answered test rows to be compared"
        settle = "more test rows"
    return _inconclusive(case, what, settle) if what else None


def _prompt_suffices(case: _Case) -> Verdict | None:
    prompt = case.evidence.prompt
    assert prompt is not None
    if not meets_everything(prompt, case.evidence.task, case.evidence.served):
        return None
    headline = (
        f"Keep prompting: {scores(case.evidence)}; the prompt meets every goal and constraint"
    )
    if case.evidence.fine_tune is None:
        headline += f"; {case.evidence.why_no_fine_tune}"
    elif case.gain_shown and case.passes("volume-pays"):
        headline += "; a fine-tune would gain and pay, but none of them asks for it"
    else:
        headline += ", and no fine-tune is shown to beat it by enough to pay"
    return _verdict(case, "prompt", headline)


def _fine_tune(case: _Case) -> Verdict | None:
    if not case.gain_shown or case.blocked_by("fail") or case.blocked_by("unknown"):
        return None
    evidence, money = case.evidence, case.evidence.money
    assert money is not None
    headline = (
        f"Fine-tune: {scores(evidence)}, and it pays at {money.calls_per_month:,.0f} calls a month"
    )
    assert evidence.fine_tune is not None and evidence.fine_tune.quality.estimate is not None
    if evidence.fine_tune.quality.estimate < evidence.task.goals.quality:
        outlook = evidence.forecast.statement if evidence.forecast else "no forecast was made"
        headline += f"; the goal of {evidence.task.goals.quality:g} is not reached yet ({outlook})"
    return _verdict(case, "fine-tune", headline)


def _collect_data(case: _Case) -> Verdict | None:
    evidence, forecast = case.evidence, case.evidence.forecast
    reach = forecast.rows_needed if forecast else None
    if case.failed - {"enough-data", "volume-pays"}:
        return None
    ahead = evidence.money_ahead or evidence.money
    more = reach is not None and reach > evidence.n_train
    if case.goal_missed_by_all and more and (ahead is None or _worth_labels(ahead)):
        assert forecast is not None
        return _verdict(case, "collect-data", labels_headline(evidence, forecast))
    too_few = "enough-data" in case.failed
    if not too_few or not case.gains_as_measured or case.blocked_by("unknown"):
        return None
    if evidence.money is None or not _worth_labels(evidence.money):
        return None
    return _verdict(case, "collect-data", too_few_headline(evidence, case.gain_shown))


def _worth_labels(money: Money) -> bool:
    """Whether a fine-tune of this money pays surely enough for rows to be labelled."""
    return money.p_pays > THRESHOLDS.probability_of_paying_ahead


def _cannot_tell(case: _Case) -> Verdict | None:
    if case.blocked_by("fail"):
        return None
    evidence, forecast = case.evidence, case.evidence.forecast
    if case.gain_shown and (unknown := case.blocked_by("unknown")):
        questions = " ".join(gate.question for gate in unknown)
        return _verdict(
            case,
            "inconclusive",
            f"The evidence cannot tell: {scores(evidence)}, but this is not known: {questions} "
            f"To settle it: {'; '.join(dict.fromkeys(gate.settle for gate in unknown))}",
        )
    reach = forecast.rows_needed if forecast else None
    if case.goal_missed_by_all and reach is not None and reach <= evidence.n_train:
        assert forecast is not None
        return _inconclusive(
            case,
            f"{forecast.statement}, and {evidence.n_train:,} rows exist",
            f"train on all {evidence.n_train:,} rows, with a larger budget",
        )
    if case.gain_open:
        assert evidence.comparison is not None and evidence.measured_difference is not None
        _, low, high = evidence.measured_difference
        least = evidence.task.goals.smallest_difference
        return _inconclusive(
            case,
            f"{scores(evidence)}, and the difference lies between {low:+.3f} and {high:+.3f}, too "
            f"wide to tell whether {least:g} is gained or lost",
            _rows_that_settle(evidence.comparison, least),
        )
    return None


def _rows_that_settle(found: Comparison, least: float) -> str:
    """What would narrow the difference. Enough rows to see `least` do not tell a true difference
    just below it from one just above, and no rows take away what other sources add."""
    rows = rows_to_settle(found, least)
    if rows is None or rows <= found.n:
        settle = f"more test rows than {found.n:,}: the difference lies near {least:g}"
    else:
        settle = f"about {rows:,} test rows in all, to see a difference of {least:g} with 80% power"
    if found.widened_by:
        settle += f"; what the {' and the '.join(found.widened_by)} adds stays, whatever the rows"
    return settle


def _prompt_anyway(case: _Case) -> Verdict:
    evidence = case.evidence
    assert evidence.prompt is not None
    headline = f"Keep prompting: {scores(evidence)}"
    if case.gain_shown:
        against = "; ".join(needed(gate) for gate in case.blocked_by("fail"))
        headline += f"; the fine-tune shows a gain, but would need {against}"
    elif evidence.fine_tune is not None:
        headline += "; no fine-tune is shown to beat it by enough to pay"
    else:
        headline += f"; {evidence.why_no_fine_tune}"
    return _verdict(case, "prompt", headline)


def _inconclusive(case: _Case, what: str, settle: str) -> Verdict:
    headline = f"The evidence cannot tell: {what}. To settle it: {settle}"
    return _verdict(case, "inconclusive", headline, (settle,))


def _verdict(case: _Case, word: Word, headline: str, first: Sequence[str] = ()) -> Verdict:
    evidence = case.evidence
    prompt = evidence.prompt
    winner = evidence.fine_tune if word == "fine-tune" else prompt
    measured = winner is not None and winner.quality.estimate is not None
    caution = ""
    if prompt is not None and measured and word != "fine-tune":
        caution = warning(prompt, evidence, word)
    return Verdict(
        word=word,
        headline=f"{headline}.{caution}",
        reasons=reasons(evidence, case.gates),
        would_change=(*first, *would_change(evidence, case.gates, word)),
        gates=case.gates,
        rule_sha256=rule_sha256(),
        winner=winner.variant if winner is not None and measured else None,
    )
