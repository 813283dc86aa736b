"""Why a team was told something else than what is right."""

from __future__ import annotations

from benchmarks.truth.teams import Team, Told
from benchmarks.truth.verdicts import Truth, gains, saving
from benchmarks.truth.world import World

from trimtab.decide.gains import OTHER_GAINS, QUALITY


def why(world: World, team: Team, told: Told, known: Truth) -> str:
    """The first cause in the order of the rule; empty where the word is right."""
    word = told.verdict.word
    if word in known.words:
        return ""
    if word == "fine-tune":
        return _tuned(world, team, told)
    if word == "collect-data":
        return "the forecast reaches the goal" if _foretold(told) else "only rows stand against it"
    quality = told.scores[0].quality.estimate
    if word == "prompt" and quality is not None and quality >= team.goal:
        return "the prompt was measured at the goal"
    if known.words == {"collect-data"} and "more rows" in known.because:
        if not told.forecast.curve:
            return "too few sizes for a forecast"
        if not _foretold(told):
            return "the forecast does not reach the goal"
    return _standing(told)


def _foretold(told: Told) -> bool:
    outlook = told.forecast
    return (outlook.rows_needed or 0) > outlook.rows_now


def _tuned(world: World, team: Team, told: Told) -> str:
    """A fine-tune was said, and was not the thing to do."""
    quality = world.true(told.prompt, team.train).quality.estimate
    if quality is not None and quality >= team.goal:
        return "the prompt meets the goal, and was measured below it"
    if not gains(world, team, told.prompt, told.tuned):
        return "it does not gain"
    if saving(world, team, told.prompt, told.tuned) <= 0:
        return "it does not pay"
    return "a better prompt was not chosen"


def _standing(told: Told) -> str:
    """The gates that did not pass, money by its probability."""
    passed = {gate.name for gate in told.verdict.gates if gate.status == "pass"}
    found = [] if passed & {QUALITY, *OTHER_GAINS} else ["no gain is shown"]
    against = [each for each in told.verdict.gates if each.blocks and each.name not in passed]
    for gate in against:
        if gate.name == "volume-pays":
            saves = told.money.saving_per_month.estimate or 0.0
            found.append("it pays, not surely enough" if saves > 0 else "it does not pay")
        else:
            found.append(f"{gate.name} {gate.status}")
    return ", ".join(found) or "it is not shown to be as good"
