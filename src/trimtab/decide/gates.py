"""The gates: each condition under which a fine-tune is the right answer, measured or asked.

Every gate is put so that `pass` speaks for the fine-tune: its condition holds. `fail` says that it
does not hold, `unknown` that nobody measured or said. A gate that `blocks` must pass before a
fine-tune may win; of the gains in gains.py at least one must pass besides.
"""

from __future__ import annotations

from datetime import timedelta

from trimtab.decide.evidence import (
    Evidence,
    against,
    constraint_checks,
    goal_checks,
    settled_by,
    worst,
)
from trimtab.decide.gains import GAINS
from trimtab.decide.thresholds import CHOICE, GUIDE, THRESHOLDS
from trimtab.types import Gate, Status

_INVERSE: dict[Status, Status] = {"pass": "fail", "fail": "pass", "unknown": "unknown"}


def gates(evidence: Evidence) -> tuple[Gate, ...]:
    """All gates in the order of the report: prompting, task, data, upkeep, fine-tune, gains."""
    return tuple(gate(evidence) for gate in (*_CONDITIONS, *GAINS))


def _search_complete(evidence: Evidence) -> Gate:
    asked = evidence.task.search.demonstrations
    found, settle = "it ran to its end, with and without demonstrations", ""
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
        threshold="every planned prompt measured, some of them with demonstrations",
        source=GUIDE,
        basis="measured",
        blocks=True,
        settle=settle,
    )


def _prompting_exhausted(evidence: Evidence) -> Gate:
    """Does not block: a cheaper fine-tune may replace a prompt that is good enough."""
    status: Status = "unknown"
    sentences, settle = ["no prompt was measured"], "measure a prompt"
    if evidence.prompt is not None:
        quality, *others = (
            *goal_checks(evidence.prompt, evidence.task),
            *constraint_checks(evidence.prompt, evidence.task),
        )
        reached = against(quality.limit, evidence.prompt.quality)
        status = _INVERSE[worst((reached, *(check.status for check in others)))]
        sentences = [check.sentence for check in (quality, *others)]
        settle = settled_by(others) or "more test rows"
    return Gate(
        name="prompting-exhausted",
        question="Does even the best prompt miss a goal or a constraint?",
        status=status,
        evidence="; ".join(sentences),
        threshold="the interval of its quality lies below the goal, or another limit is missed",
        source="task file: goals, constraints",
        basis="measured" if evidence.prompt else "none",
        settle=settle if status == "unknown" else "",
    )


def _task_stable(evidence: Evidence) -> Gate:
    since, changed = evidence.task.traffic.stable_since, evidence.last_changed
    limit = evidence.today - timedelta(days=THRESHOLDS.stable_days)
    status: Status = "unknown"
    found = "nobody said since when the task stands"
    if since is not None:
        contradicted = changed is not None and changed >= since
        status = "pass" if since <= limit and not contradicted else "fail"
        found = f"unchanged since {since.isoformat()}, by the task file"
    if changed is not None:
        found += f"; runs saw {evidence.task_changes} changes, the last by {changed.isoformat()}"
    return Gate(
        name="task-stable",
        question="Do instructions, output and metric stand still?",
        status=status,
        evidence=found,
        threshold=f"unchanged for {THRESHOLDS.stable_days} days",
        source=f"{GUIDE}; the days are {CHOICE}",
        basis="none" if since is None else "asked",
        blocks=True,
        settle="set traffic.stable_since" if since is None else "",
    )


def _format_stable(evidence: Evidence) -> Gate:
    """Does not block: the same date answers for the format, and task-stable blocks on it."""
    stable = _task_stable(evidence)
    return stable.model_copy(
        update={
            "name": "format-stable",
            "question": "Does the output format stand still?",
            "evidence": f"as the task as a whole: {stable.evidence}",
            "blocks": False,
        }
    )


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


def _covers_traffic(_: Evidence) -> Gate:
    return Gate(
        name="data-covers-traffic",
        question="Do the rows look like the real inputs?",
        status="unknown",
        evidence="the rows were not compared with real traffic; every figure holds for inputs "
        "like these rows only",
        threshold="inputs distributed as in a sample of traffic",
        source=GUIDE,
        basis="none",
        settle="compare the rows with a sample of unlabelled real inputs",
    )


def _hard_cases(_: Evidence) -> Gate:
    return Gate(
        name="hard-cases",
        question="Does the data hold hard and edge cases?",
        status="unknown",
        evidence="hard and edge cases were not counted",
        threshold="hard and edge cases are among the rows",
        source=GUIDE,
        basis="none",
        settle="have someone who knows the task list the hard cases and label them",
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
            f"pays from {point} calls a month, there are {money.calls_per_month:,.0f}; "
            f"probability of paying {money.p_pays:.0%}"
        )
    return Gate(
        name="volume-pays",
        question="Does a fine-tune pay at this volume?",
        status=status,
        evidence=found,
        threshold=f"volume above break-even, with a probability of "
        f"{THRESHOLDS.probability_of_paying:.0%}",
        source=f"{GUIDE}; the probability is {CHOICE}",
        basis="measured" if money else "none",
        blocks=True,
        settle="" if money else "; ".join(evidence.money_missing) or "measure both arms",
    )


def _upkeep(evidence: Evidence) -> Gate:
    upkeep = evidence.task.upkeep
    asked = {
        "owner": upkeep.owner,
        "review_every_days": upkeep.review_every_days,
        "retrain_every_months": upkeep.retrain_every_months,
        "rollback": upkeep.rollback,
    }
    missing = [f"upkeep.{name}" for name, value in asked.items() if value is None]
    given = [f"{name} {value}" for name, value in asked.items() if value is not None]
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


def _general_ability(evidence: Evidence) -> Gate:
    needed = evidence.task.constraints.general_ability
    found = {
        None: "nobody said whether the tuned model must still do other work",
        "needed": "needed, and what tuning cost it elsewhere was not measured",
        "not-needed": "the tuned model does this task only",
    }
    settle = {
        None: "set constraints.general_ability to needed or not-needed",
        "needed": "measure general ability before and after tuning",
        "not-needed": "",
    }
    return Gate(
        name="general-ability",
        question="Is general ability kept, or not needed?",
        status="pass" if needed == "not-needed" else "unknown",
        evidence=found[needed],
        threshold="not needed, or kept within a margin",
        source=GUIDE,
        basis="asked" if needed else "none",
        blocks=True,
        settle=settle[needed],
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
    _task_stable,
    _format_stable,
    _enough_data,
    _data_approved,
    _data_sound,
    _covers_traffic,
    _hard_cases,
    _volume_pays,
    _upkeep,
    _general_ability,
    _failures,
)
