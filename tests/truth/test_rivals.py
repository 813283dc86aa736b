"""What the estimates alone say, each for the reason that is known beforehand."""

from types import SimpleNamespace

import pytest
from benchmarks.truth.rivals import estimates_alone
from benchmarks.truth.teams import tell

from .factories import team, world


def told(quality=0.6, gap=0.2, saves=100.0, tuned_call=1.0):
    """A fine-tune that gains and pays, unless said otherwise; a prompt's call costs 1."""
    return SimpleNamespace(
        scores=[SimpleNamespace(quality=SimpleNamespace(estimate=quality))],
        comparison=SimpleNamespace(difference=SimpleNamespace(estimate=gap)),
        money=SimpleNamespace(
            saving_per_month=SimpleNamespace(estimate=saves),
            prompt_per_call=1.0,
            tune_per_call=tuned_call,
        ),
    )


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        ({}, "fine-tune"),
        ({"quality": 0.9}, "prompt"),
        ({"saves": 0.0}, "prompt"),
        ({"gap": 0.03}, "fine-tune"),
        ({"gap": 0.029}, "prompt"),
        ({"gap": -0.029, "tuned_call": 0.79}, "fine-tune"),
        ({"gap": -0.029, "tuned_call": 0.8}, "prompt"),
        ({"gap": -0.03, "tuned_call": 0.79}, "prompt"),
    ],
)
def test_what_was_measured_is_taken_for_the_truth(measured, word):
    assert estimates_alone(team(), told(**measured)) == word


def test_a_gain_on_few_rows_asks_for_more():
    assert estimates_alone(team(rows=100), told()) == "collect-data"


def test_it_reads_what_a_team_is_told():
    made = world((0.6, 0.6), {25: 0.7, 50: 0.8, 100: 0.9, 200: 0.95, 400: 0.97})
    assert estimates_alone(team(), tell(made, team())) == "fine-tune"


def test_a_gain_on_too_few_rows_asks_for_more():
    made = world((0.6, 0.6), {25: 0.9})
    assert estimates_alone(team(rows=75), tell(made, team(rows=75))) == "collect-data"
