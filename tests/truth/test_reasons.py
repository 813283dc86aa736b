"""Each wrong word has the cause that is known beforehand."""

from types import SimpleNamespace

import pytest
from benchmarks.truth.reasons import why
from benchmarks.truth.teams import tell
from benchmarks.truth.verdicts import Truth, truth

from .factories import team, world

BETTER = {25: 0.6, 50: 0.7, 100: 0.8, 200: 0.85, 400: 0.88}
TUNE = Truth(0.3, frozenset({"fine-tune"}), because="it gains and pays")
MORE = Truth(0.3, frozenset({"collect-data"}), because="more rows reach the goal and pay")


NO_CURVE = SimpleNamespace(curve=(), rows_needed=None, rows_now=50)


def said(made, word, *, prompt=0, measured=0.5, gates=(), saves=10.0, forecast=NO_CURVE):
    quality = SimpleNamespace(estimate=measured)
    saving = SimpleNamespace(estimate=saves)
    return SimpleNamespace(
        verdict=SimpleNamespace(
            word=word,
            gates=[SimpleNamespace(name=n, status=s, blocks=b) for n, s, b in gates],
        ),
        scores=[SimpleNamespace(quality=quality)],
        prompt=made.fixed[prompt].variant,
        tuned=made.trained[-1].variant,
        money=SimpleNamespace(saving_per_month=saving),
        forecast=forecast,
    )


GAIN = ("gain-quality", "pass", False)
NO_GAIN = ("gain-quality", "unknown", False)
COSTS = ("volume-pays", "fail", True)
CURVE = ((25, 0.6, 0.5, 0.7),)


@pytest.mark.parametrize(
    ("known", "told", "cause"),
    [
        (TUNE, {"measured": 0.96}, "the prompt was measured at the goal"),
        (TUNE, {"gates": (GAIN, COSTS)}, "it pays, not surely enough"),
        (TUNE, {"gates": (GAIN, COSTS), "saves": -1.0}, "it does not pay"),
        (
            TUNE,
            {"gates": (NO_GAIN, COSTS), "saves": -1.0},
            "no gain is shown, it does not pay",
        ),
        (
            TUNE,
            {"gates": (GAIN, ("prompting-exhausted", "unknown", True))},
            "prompting-exhausted unknown",
        ),
        (MORE, {}, "too few sizes for a forecast"),
        (
            MORE,
            {"forecast": SimpleNamespace(curve=CURVE, rows_needed=None, rows_now=50)},
            "the forecast does not reach the goal",
        ),
        (
            MORE,
            {
                "forecast": SimpleNamespace(curve=CURVE, rows_needed=99, rows_now=50),
                "gates": (GAIN, COSTS),
            },
            "it pays, not surely enough",
        ),
    ],
)
def test_a_prompt_that_was_kept_wrongly(known, told, cause):
    made = world([0.5], BETTER)
    assert why(made, team(goal=0.95), said(made, "prompt", **told), known) == cause


@pytest.mark.parametrize(
    ("changes", "prompt", "cause"),
    [
        ({"goal": 0.8}, 1, "the prompt meets the goal, and was measured below it"),
        ({"goal": 0.8}, 0, "a better prompt was not chosen"),
        ({"calls": 100.0}, 0, "it does not pay"),
        ({"least": 0.5}, 0, "it does not gain"),
    ],
)
def test_a_fine_tune_that_was_said_wrongly(changes, prompt, cause):
    made = world([0.5, 0.85], BETTER, tokens=(20, 20))
    mine = team(**{"goal": 0.95} | changes)
    known = Truth(0.1, frozenset({"prompt"}))
    assert why(made, mine, said(made, "fine-tune", prompt=prompt), known) == cause


def test_a_right_word_needs_no_cause():
    made, mine = world([0.5], BETTER), team(goal=0.95)
    told, known = tell(made, mine), truth(made, mine)
    assert told.verdict.word in known.words
    assert why(made, mine, told, known) == ""
