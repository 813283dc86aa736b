"""The gates: each condition under which a fine-tune is the right answer, measured or asked.

Every gate is put so that `pass` speaks for the fine-tune: its condition holds. `fail` says that it
does not hold, `unknown` that nobody measured or said. A gate that `blocks` must pass before a
fine-tune may win; of the gains in gains.py at least one must pass besides.
"""

from __future__ import annotations

from trimtab.audit.coverage import WARN_AUC
from trimtab.audit.difficulty import CHALLENGING
from trimtab.decide.ability import general_ability
from trimtab.decide.evidence import (
    Evidence,
    constraint_checks,
    goal_checks,
    settled_by,
    worst,
)
from trimtab.decide.gains import GAINS
from trimtab.decide.judge import judge_agrees
from trimtab.decide.stability import format_stable, task_stable
from trimtab.decide.thresholds import CHOICE, GUIDE, THRESHOLDS
from trimtab.types import Gate, Money, Status

_INVERSE: dict[Status, Status] = {"pass": "fail", "fail": "pass", "unknown": "unknown"}


def gates(evidence: Evidence) -> tuple[Gate, ...]:
    """All gates in the order of the report: prompting, task, data, upkeep, fine-tune, gains."""
    judge = (judge_agrees,) if evidence.task.metric == "judge" else ()
    return tuple(gate(evidence) for gate in (*_CONDITIONS, *judge, *GAINS))


def _search_complete(evidence: Evidence) -> Gate:
    asked = evidence.task.search.demonstrations
    found, settle = "every stage ran to its end, with and without demonstrations", ""
    if not evidence.prompt_search_complete:
        cause = f" ({evidence.stopped_by})" if evidence.stopped_by else ""
        found, settle = f"it was cut short{cause}", "a larger budget, so that the search ends"
    elif not any(count <= evidence.n_train for count in asked):
        found = "no prompt with demonstrations was tried"
        settle = f"numbers in search.demonstrations, none above the {evidence.n_train:,} rows"
    return Gate(
        name="prompt-search-complete",
        question="Was the whole prompt search run before tuning?",
        status="unknown" if settle else "pass",
        evidence=found,
        threshold="every stage of hand-made prompts measured, some with demonstrations",
        source=GUIDE,
        basis="measured",
        blocks=True,
        settle=settle,
    )


def _prompting_exhausted(evidence: Evidence) -> Gate:
    """Goals are compared with estimates, as in the rule: where all are met, the prompt wins."""
    status: Status = "unknown"
    sentences, settle = ["no prompt was measured"], "measure a prompt"
    if evidence.prompt is not None:
        checks = (
            *goal_checks(evidence.prompt, evidence.task),
            *constraint_checks(evidence.prompt, evidence.task, evidence.served),
        )
        status = _INVERSE[worst(check.status for check in checks)]
        sentences = [check.sentence for check in checks]
        settle = settled_by(checks)
        if status == "pass":
            status, settle = _on_a_plateau(evidence)
        sentences.append(evidence.plateau.statement if evidence.plateau else "no prompt was tried")
        if _out_of_reach(evidence):
            sentences.append(
                f"as much search again would not bring the {_lacking(evidence):.3f} that it lacks"
            )
    return Gate(
        name="prompting-exhausted",
        question="Does even the best prompt miss a goal or a constraint, and would more search "
        "not mend it?",
        status=status,
        evidence="; ".join(sentences),
        threshold="a goal or limit is missed, and the last part of the search bought less than "
        f"{100 * evidence.task.goals.smallest_difference:g} points, with its whole interval, or, "
        "where that cannot be told, less than lacks to the goal and to the fine-tune",
        source="task file: goals, constraints",
        basis="measured" if evidence.prompt else "none",
        blocks=True,
        settle=settle if status == "unknown" else "",
    )


def _on_a_plateau(evidence: Evidence) -> tuple[Status, str]:
    """Whether more search would not pay, and what would tell where that is unknown."""
    plateau = evidence.plateau
    if (plateau is not None and plateau.state == "exhausted") or _out_of_reach(evidence):
        return "pass", ""
    if plateau is not None and plateau.state == "unclear":
        return "unknown", "more budget for the prompt search, or more dev rows (data.dev)"
    return "unknown", "more budget for the prompt search"


def _out_of_reach(evidence: Evidence) -> bool:
    """Whether a search that does not clearly rise, gone on for as long again, would bring less
    than the prompt lacks, even at the upper end of what its last part bought."""
    plateau, lacking = evidence.plateau, _lacking(evidence)
    return (
        plateau is not None
        and plateau.state == "unclear"
        and plateau.gain.high is not None
        and plateau.gain.high < lacking
    )


def _lacking(evidence: Evidence) -> float:
    """Quality by which the best prompt misses the goal, or the fine-tune where that is nearer."""
    if evidence.prompt is None or evidence.prompt.quality.estimate is None:
        return 0.0
    reached = evidence.prompt.quality.estimate
    wanted = evidence.task.goals.quality
    if evidence.fine_tune is not None and evidence.fine_tune.quality.estimate is not None:
        wanted = min(wanted, evidence.fine_tune.quality.estimate)
    return max(0.0, wanted - reached)


def _enough_data(evidence: Evidence) -> Gate:
    rows, kind = evidence.n_train, evidence.task.output.kind
    enough = rows_required(evidence)
    found = f"{rows:,} distinct rows to train on"
    if enough <= rows < THRESHOLDS.rows_for_any_task:
        found += f": enough to adapt the format ({kind}), not to teach new knowledge"
    return Gate(
        name="enough-data",
        question="Is there enough data to tune on?",
        status="pass" if rows >= enough else "fail",
        evidence=found,
        threshold=f"{THRESHOLDS.fewest_rows} rows for label or JSON output, "
        f"{THRESHOLDS.rows_for_any_task} for any task",
        source=GUIDE,
        basis="measured",
        blocks=True,
    )


def rows_required(evidence: Evidence) -> int:
    """Training rows that a fine-tune of this output needs at least."""
    if evidence.task.output.kind == "text":
        return THRESHOLDS.rows_for_any_task
    return THRESHOLDS.fewest_rows


def _data_approved(evidence: Evidence) -> Gate:
    approved, total = evidence.rows_approved, evidence.rows_total
    said = approved > 0
    enough = said and approved >= THRESHOLDS.approved_share * total
    return Gate(
        name="data-approved",
        question="Did someone who knows the task approve the targets?",
        status="pass" if enough else "fail" if said else "unknown",
        evidence=f"{approved:,} of {total:,} rows are approved by a named person or group"
        if said
        else "nobody is named as having approved the targets",
        threshold=f"{THRESHOLDS.approved_share:.0%} of the rows",
        source=f"{GUIDE}; the share is {CHOICE}",
        basis="asked" if said else "none",
        blocks=True,
        settle="" if said else "set data.approved_by, or an approved_by column",
    )


def _data_sound(evidence: Evidence) -> Gate:
    stops = [finding.message for finding in evidence.findings if finding.severity == "stop"]
    return Gate(
        name="data-sound",
        question="Is the data free of faults that spoil the measurement?",
        status="fail" if stops else "pass",
        evidence="; ".join(stops)
        or f"{len(evidence.findings)} audit findings, none of them a stop",
        threshold="no audit finding of severity stop",
        source=GUIDE,
        basis="measured",
        blocks=True,
    )


def _covers_traffic(evidence: Evidence) -> Gate:
    return _from_audit(
        evidence,
        check="coverage",
        name="data-covers-traffic",
        question="Do the rows look like the real inputs?",
        threshold=f"a learner tells rows from traffic with an AUC of at most {WARN_AUC}, and no "
        "common kind of input is missing",
        settle="name a sample of unlabelled real inputs in data.traffic_sample",
    )


def _hard_cases(evidence: Evidence) -> Gate:
    return _from_audit(
        evidence,
        check="difficulty",
        name="hard-cases",
        question="Does the data hold hard and edge cases?",
        threshold=f"at least {CHALLENGING:.0%} of the tried rows are hard or ambiguous",
        settle="measure several variants, or train, on more rows",
    )


def _from_audit(
    evidence: Evidence, *, check: str, name: str, question: str, threshold: str, settle: str
) -> Gate:
    """What the audit's finding `check` says. Does not block: a finding that must stop a decision
    has the severity stop, and data-sound blocks on it."""
    found = next((each for each in evidence.findings if each.check == check), None)
    measured = found is not None and found.measured
    status: Status = "unknown"
    if found is not None and measured:
        status = "pass" if found.severity == "info" else "fail"
    return Gate(
        name=name,
        question=question,
        status=status,
        evidence=found.message if found else "the audit did not look at it",
        threshold=threshold,
        source=f"{GUIDE}; the limit is {CHOICE}",
        basis="measured" if measured else "none",
        settle="" if measured else settle,
    )


def _volume_pays(evidence: Evidence) -> Gate:
    money = evidence.money
    status: Status = "unknown"
    found = "cannot be worked out: " + ("; ".join(evidence.money_missing) or "nothing to compare")
    if money is not None:
        enough = money.break_even_calls is not None and (
            money.calls_per_month >= money.break_even_calls
        )
        likely = money.p_pays >= THRESHOLDS.probability_of_paying
        status = "pass" if enough and likely else "fail"
        point = "no volume" if money.break_even_calls is None else f"{money.break_even_calls:,.0f}"
        found = (
            f"pays from {point} calls a month, there are {money.calls_per_month:,.0f}"
            f"{_where_counted(evidence, money)}; probability of paying {money.p_pays:.0%}"
        )
    return Gate(
        name="volume-pays",
        question="Does a fine-tune pay at this volume?",
        status=status,
        evidence=found,
        threshold=f"volume above break-even, with a probability of "
        f"{THRESHOLDS.probability_of_paying:.0%}",
        source=f"{GUIDE}; the probability is {CHOICE}",
        basis="none" if money is None else "asked" if money.volume == "stated" else "measured",
        blocks=True,
        settle="" if money else "; ".join(evidence.money_missing) or "measure both arms",
    )


def _where_counted(evidence: Evidence, money: Money) -> str:
    """Where the calls a month come from."""
    asked, served = evidence.task.traffic.calls_per_month, evidence.served
    if money.volume == "stated" or served is None:
        return " by the task file"
    said = "nothing" if asked is None else f"{asked:,.0f}"
    return (
        f" as served from {served.since.date().isoformat()} to {served.until.date().isoformat()} "
        f"(the task file says {said})"
    )


def _upkeep(evidence: Evidence) -> Gate:
    upkeep = evidence.task.upkeep
    way_back = {True: "a way back", False: "no way back", None: None}[upkeep.rollback]
    days, months = upkeep.review_every_days, upkeep.retrain_every_months
    asked = {
        "owner": upkeep.owner if upkeep.owner is None else f"owner: {upkeep.owner or 'nobody'}",
        "review_every_days": f"reviewed every {days} days" if days else None,
        "retrain_every_months": f"retrained every {months:g} months" if months else None,
        "rollback": way_back,
    }
    missing = [f"upkeep.{name}" for name, said in asked.items() if said is None]
    given = [said for said in asked.values() if said is not None]
    status: Status = "unknown" if missing else "pass"
    if upkeep.rollback is False or upkeep.owner == "":
        status = "fail"
    return Gate(
        name="upkeep",
        question="Will someone review, retrain and if need be roll back?",
        status=status,
        evidence=", ".join(given) or "nothing was said",
        threshold="an owner, a review, a retraining interval and a way back",
        source=GUIDE,
        basis="asked" if given else "none",
        blocks=True,
        settle=f"set {', '.join(missing)}" if missing else "",
    )


def _failures(evidence: Evidence) -> Gate:
    shares = {
        score.name: score.failures / (score.n + score.failures)
        for score in (evidence.prompt, evidence.fine_tune)
        if score is not None and score.n + score.failures
    }
    over = any(share > THRESHOLDS.failure_cap for share in shares.values())
    return Gate(
        name="failures-under-cap",
        question="Did nearly all test calls give an answer?",
        status="unknown" if not shares else "fail" if over else "pass",
        evidence=", ".join(f"{name}: {share:.1%} failed" for name, share in shares.items())
        or "no test call was made",
        threshold=f"at most {THRESHOLDS.failure_cap:.0%} failed",
        source=CHOICE,
        basis="measured" if shares else "none",
        blocks=True,
        settle="" if shares else "measure both arms on the test rows",
    )


_CONDITIONS = (
    _search_complete,
    _prompting_exhausted,
    task_stable,
    format_stable,
    _enough_data,
    _data_approved,
    _data_sound,
    _covers_traffic,
    _hard_cases,
    _volume_pays,
    _upkeep,
    general_ability,
    _failures,
)
