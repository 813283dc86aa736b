"""What a fine-tune gains over the best prompt, and what it must reach itself, as gates.

See gates.py for what pass, fail and unknown mean. Any one gain is enough, so the gains are tested
together: each must keep a p-value of at most 5% after Holm's correction for all that have one, and
one whose figures have no interval is not shown.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from trimtab.compare.bounds import z_value
from trimtab.compare.several import FEWEST_DRAWS, holm
from trimtab.decide.evidence import (
    Evidence,
    against,
    band,
    constraint_checks,
    goal_checks,
    settled_by,
    worst,
)
from trimtab.decide.thresholds import CHOICE, GUIDE, THRESHOLDS
from trimtab.types import Comparison, Gate, Interval, Language, Sensitivity, Source, Status

QUALITY = "gain-quality"
OTHER_GAINS = ("gain-cost", "gain-latency", "gain-format", "gain-consistency", "gain-language")
_LEVEL = 0.05
_VARIED: dict[Source, str] = {
    "sample": "sampling",
    "input": "other forms of the input",
    "format": "other layouts",
    "seed": "other training seeds",
}


def _corrected(evidence: Evidence, gate: Gate) -> Gate:
    """`gate` as it stands, or unknown where its gain may be one lucky figure among several, or is
    a figure without an interval."""
    p_value = holm(_p_values(evidence))[gate.name]
    if gate.status != "pass" or (p_value is not None and p_value <= _LEVEL):
        return gate
    luck = "without an interval, so that it may be luck"
    if p_value is not None:
        luck = f"p {p_value:.2g} after Holm's correction for all gains"
    return gate.model_copy(
        update={
            "status": "unknown",
            "evidence": f"{gate.evidence}; {luck}",
            "settle": "more test rows",
        }
    )


def _p_values(evidence: Evidence) -> dict[str, float | None]:
    """P-value of each gain being none at all; None where a side has no interval."""
    before, after = evidence.prompt, evidence.fine_tune
    if before is None or after is None:
        return dict.fromkeys((QUALITY, *OTHER_GAINS))
    mean_of = [score.latency.mean_interval if score.latency else None for score in (before, after)]
    return {
        QUALITY: evidence.comparison.p_value if evidence.comparison else None,
        "gain-cost": _p_higher(after.money_interval, before.money_interval),
        "gain-latency": _p_higher(mean_of[1], mean_of[0]),
        "gain-format": _p_higher(before.validity, after.validity),
        "gain-consistency": evidence.consistency.p_value if evidence.consistency else None,
        "gain-language": evidence.language.p_value if evidence.language else None,
    }


def _p_higher(low: Interval | None, high: Interval | None) -> float | None:
    """Two-sided p of two independent estimates being of one value, 1 where `high` is not above.

    By the halves of their intervals that face each other; None where one of these is open."""
    if low is None or high is None or low.estimate is None or high.estimate is None:
        return None
    if low.high is None or high.low is None:
        return None
    gap = high.estimate - low.estimate
    if gap <= 0:
        return 1.0
    reach = math.hypot(low.high - low.estimate, high.estimate - high.low) / z_value(0.95)
    return 2 * NormalDist().cdf(-gap / reach) if reach > 0 else 0.0


def _quality(evidence: Evidence) -> Gate:
    least = evidence.task.goals.smallest_difference
    found = evidence.measured_difference
    status: Status = "unknown"
    sentence = "the two arms were not compared"
    if found is not None:
        estimate, low, high = found
        status = _gained(found, least)
        sentence = f"fine-tune minus prompt: {estimate:+.3f} (95%: {low:+.3f} to {high:+.3f})"
        sentence += more_than_rows(evidence.comparison)
        sentence += _layouts(evidence.sensitivity)
    gate = Gate(
        name=QUALITY,
        question="Is the fine-tune better, by enough to matter?",
        status=status,
        evidence=sentence,
        threshold=f"interval above 0 and estimate at least {least:g}",
        source="task file: goals.smallest_difference",
        basis="measured" if found else "none",
        settle="more test rows" if status == "unknown" else "",
    )
    return _corrected(evidence, gate)


def _gained(difference: tuple[float, float, float], least: float) -> Status:
    """A gain must be sure, and as measured large enough to matter: estimate, low and high."""
    estimate, low, high = difference
    if low > 0 and estimate >= least:
        return "pass"
    return "fail" if high < least else "unknown"


def more_than_rows(found: Comparison | None) -> str:
    """What the interval allows for besides the choice of rows, and what it does not."""
    if found is None:
        return ""
    told = ""
    if found.widened_by:
        parts = ", ".join(f"{name} ±{half:.3f}" for name, half in found.widened_by.items())
        told += f"; the interval allows for more than rows: {parts}"
    if found.not_in_interval:
        missing = " and ".join(found.not_in_interval)
        told += f"; not in it: {missing}, drawn fewer than {FEWEST_DRAWS} times"
    return told


def _layouts(found: Sensitivity | None) -> str:
    """How far the prompt's own quality moves with its layout; empty where that is not known."""
    if found is None or found.spread is None or found.worst is None or found.mean is None:
        return ""
    return (
        f"; in {len(found.layouts)} layouts of the same meaning the prompt scores "
        f"{found.mean:.3f} on average and {found.worst:.3f} at worst on {found.rows} dev rows "
        f"(standard deviation {found.spread:.3f} without the noise of the rows)"
    )


def _cost(evidence: Evidence) -> Gate:
    money = evidence.money
    prompt = money.prompt_per_call if money else None
    tune = money.tune_per_call if money else None
    gate = _less("gain-cost", "Does a call cost less?", "money per call", prompt, tune)
    return _corrected(evidence, gate)


def _latency(evidence: Evidence) -> Gate:
    """By the mean: of few timed calls the 95th percentile is the slowest one, mostly luck."""
    prompt, tune = (
        score.latency.mean if score and score.latency else None
        for score in (evidence.prompt, evidence.fine_tune)
    )
    gate = _less("gain-latency", "Is it faster?", "mean latency in seconds", prompt, tune)
    return _corrected(evidence, gate)


def _less(name: str, question: str, what: str, prompt: float | None, tune: float | None) -> Gate:
    """A gain where the fine-tune's figure is smaller by more than measuring and prices vary."""
    gain = THRESHOLDS.relative_gain
    status: Status = "unknown"
    if prompt is not None and tune is not None:
        status = "pass" if tune < (1 - gain) * prompt else "fail"
    known = status != "unknown"
    return Gate(
        name=name,
        question=question,
        status=status,
        evidence=f"{what}: prompt {_figure(prompt)}, fine-tune {_figure(tune)}",
        threshold=f"smaller by more than {gain:.0%}",
        source=CHOICE,
        basis="measured" if known else "none",
        settle="" if known else f"measure {what} of both arms",
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _format(evidence: Evidence) -> Gate:
    prompt, tune = (s.validity if s else None for s in (evidence.prompt, evidence.fine_tune))
    gate = _higher("gain-format", "Does it keep the output format more strictly?", prompt, tune)
    goal = evidence.task.goals.validity
    if prompt and prompt.low is not None and prompt.low >= goal:
        solved = f"the prompt already holds the format ({_bounds(prompt)}, goal {goal:g})"
        return gate.model_copy(update={"status": "fail", "evidence": solved, "settle": ""})
    return _corrected(evidence, gate)


def _consistency(evidence: Evidence) -> Gate:
    """As with quality, a difference must be sure, and large enough to matter."""
    found, least = evidence.consistency, evidence.task.goals.smallest_difference
    difference = band(found.difference) if found else None
    status: Status = "unknown"
    sentence = "how far both arms answer alike was not measured"
    settle = "a larger budget, so that both finalists are asked again on dev"
    if found is not None and difference is not None:
        estimate, low, high = difference
        status = _gained(difference, least)
        kept = ", ".join(f"{arm.arm} {arm.kept.estimate:.3f}" for arm in found.arms)
        *others, last = (_VARIED[source] for source in found.compared)
        varied = f"{', '.join(others)} and {last}" if others else last
        sentence = (
            f"share of answers that stay the same with {varied}: {kept}, difference "
            f"{estimate:+.3f} (95%: {low:+.3f} to {high:+.3f}) on {found.rows} dev rows"
        )
        settle = "more dev rows (data.dev), with a larger budget"
    gate = Gate(
        name="gain-consistency",
        question="Does it answer more alike when asked again?",
        status=status,
        evidence=sentence,
        threshold=f"interval of the paired difference above 0 and estimate at least {least:g}",
        source=f"{GUIDE}; task file: goals.smallest_difference",
        basis="measured" if difference else "none",
        settle=settle if status == "unknown" else "",
    )
    return _corrected(evidence, gate)


def _language(evidence: Evidence) -> Gate:
    """Only where the language is foreign to the base: any fine-tune learns the form of answers."""
    found, gain = evidence.language, THRESHOLDS.relative_gain
    status: Status = "unknown"
    sentence = "how foreign the task's language is was not measured"
    settle = "a larger budget, and one local model for both arms"
    if found is not None:
        status = worst((_foreign(found, gain), _learnt(found, gain)))
        settle = "more dev rows (data.dev), with a larger budget"
        sentence = (
            f"bits a byte: inputs {_bounds(found.inputs)}, general text {_bounds(found.general)}; "
            f"targets {_bounds(found.prompted)} with the best prompt and {_bounds(found.tuned)} "
            f"with the fine-tune, on {found.rows} dev rows"
        )
    gate = Gate(
        name="gain-language",
        question="Is the task's language foreign to the model, and does the fine-tune learn it?",
        status=status,
        evidence=sentence,
        threshold=f"inputs take at least {gain:.0%} more bits a byte than general text, and "
        f"targets at least {gain:.0%} fewer than with the best prompt, both surely",
        source=f"{GUIDE}; the shares are {CHOICE}",
        basis="measured" if found else "none",
        settle=settle if status == "unknown" else "",
    )
    return _corrected(evidence, gate)


def _foreign(found: Language, gain: float) -> Status:
    """Both texts are samples, so even the least that the inputs may take must be enough beside the
    most that general text may."""
    inputs, general = band(found.inputs), band(found.general)
    if inputs is None or general is None:
        return "unknown"
    if inputs[1] >= (1 + gain) * general[2]:
        return "pass"
    return "fail" if inputs[2] < (1 + gain) * general[1] else "unknown"


def _learnt(found: Language, gain: float) -> Status:
    known = band(found.saved)
    if found.prompted is None or found.prompted.estimate is None or known is None:
        return "unknown"
    return _gained(known, gain * found.prompted.estimate)


def _higher(name: str, question: str, prompt: Interval | None, tune: Interval | None) -> Gate:
    """A gain where the fine-tune's interval lies wholly above the prompt's."""
    status: Status = "unknown"
    old, new = band(prompt), band(tune)
    if old and new:
        status = "pass" if new[1] > old[2] else "fail" if new[0] <= old[0] else "unknown"
    measured = old is not None and new is not None
    return Gate(
        name=name,
        question=question,
        status=status,
        evidence=f"prompt {_bounds(prompt)}, fine-tune {_bounds(tune)}",
        threshold="the fine-tune's interval lies above the prompt's",
        source=GUIDE,
        basis="measured" if measured else "none",
        settle="" if status != "unknown" else "more rows" if measured else "measure both arms",
    )


def _bounds(interval: Interval | None) -> str:
    if interval is None or interval.estimate is None:
        return "not measured"
    low, high = (
        "unknown" if each is None else f"{each:.3f}" for each in (interval.low, interval.high)
    )
    return f"{interval.estimate:.3f} (95%: {low} to {high})"


def _goal_reached(evidence: Evidence) -> Gate:
    """Does not block: a fine-tune that pays may win on its way to the goal."""
    score = evidence.fine_tune
    status: Status = "unknown"
    sentences: tuple[str, ...] = ()
    settle = "measure a fine-tune"
    if score is not None:
        settle = "more test rows: the interval straddles the goal"
        quality, validity = goal_checks(score, evidence.task)
        status = worst((against(quality.limit, score.quality), validity.status))
        sentences = (quality.sentence, validity.sentence)
    return Gate(
        name="goal-reached",
        question="Does the fine-tune itself reach the goals?",
        status=status,
        evidence="; ".join(sentences) or evidence.why_no_fine_tune,
        threshold="the interval of its quality lies above the goal, and validity is reached",
        source="task file: goals",
        basis="measured" if score else "none",
        settle=settle if status == "unknown" else "",
    )


def _constraints(evidence: Evidence) -> Gate:
    score = evidence.fine_tune
    served = evidence.served
    checks = constraint_checks(score, evidence.task, served) if score else ()
    status: Status = worst(check.status for check in checks) if score else "unknown"
    nothing = "the task sets no limit" if score else evidence.why_no_fine_tune
    settle = settled_by(checks) if score else "measure a fine-tune"
    found = "; ".join(check.sentence for check in checks) or nothing
    if served is not None and (score is None or served.variant != score.variant):
        found += f"; what serves now takes {_bounds(served.p95_s)} s for 95 of 100 calls"
    return Gate(
        name="tune-meets-constraints",
        question="Does the fine-tune keep the limits of latency and money?",
        status=status,
        evidence=found,
        threshold="every limit that the task sets, of latency by the whole interval",
        source="task file: constraints",
        basis="measured" if score else "none",
        blocks=True,
        settle=settle if status == "unknown" else "",
    )


GAINS = (_quality, _cost, _latency, _format, _consistency, _language, _goal_reached, _constraints)
