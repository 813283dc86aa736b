"""What is right, and what a wrong verdict costs, by hand."""

from types import SimpleNamespace

import pytest
from benchmarks.truth.scoreboard import OURS, Case, case, coverage, figures, reasons, words
from benchmarks.truth.verdicts import (
    Stakes,
    Truth,
    foretold,
    holds,
    judge,
    saving,
    stakes,
    truth,
)

from trimtab.decide.money import Effort, money
from trimtab.types import Forecast, Interval

from .factories import team, world

BETTER = {25: 0.6, 50: 0.7, 100: 0.8, 200: 0.85, 400: 0.88}


def told(made):
    return SimpleNamespace(prompt=made.fixed[0].variant, tuned=made.trained[-1].variant)


def test_a_saving_is_the_formula_by_hand():
    made, mine = world([0.5], BETTER), team(calls=1e5, value=0.05)
    prompt_call = (300 * 0.1 + 1 * 0.4) / 1e6
    tuned_call = (20 * 0.1 + 1 * 0.4) / 1e6
    training = 20 * sum(BETTER) * 0.5 / 1e6
    expected = 1e5 * (prompt_call - tuned_call + 0.05 * 0.38) - 700 - training / 12 - training / 6
    last = made.trained[-1].variant
    assert saving(made, mine, made.fixed[0].variant, last) == pytest.approx(expected)


def test_a_saving_is_trimtabs_own_where_nothing_is_uncertain():
    made, mine = world([0.5], BETTER), team(calls=2e4, value=0.2)
    prompt, tuned = made.fixed[0].variant, made.trained[-1].variant
    saving(made, team(), prompt, tuned)  # what is kept must not depend on who asked first
    scores = [made.true(each, mine.train) for each in (prompt, tuned)]
    difference = made.true_difference(prompt, tuned, mine.train)
    spent = Effort.of(made.sweep, [each.point for each in made.trained])
    found = money(mine.task(made.task), *scores, difference, spent).money
    assert saving(made, mine, prompt, tuned) == pytest.approx(found.saving_per_month.estimate)


def test_a_gain_that_pays_is_right_and_one_that_does_not_pay_is_not():
    made = world([0.5, 0.6], BETTER)
    assert truth(made, team(goal=0.95)).words == {"fine-tune"}
    assert truth(made, team(goal=0.88, calls=100.0)).words == {"prompt"}
    assert truth(made, team(goal=0.95)).gap == pytest.approx(0.28)


def test_a_prompt_that_meets_the_goal_is_right_even_where_a_fine_tune_pays():
    assert truth(world([0.5, 0.85], BETTER), team(goal=0.8)).words == {"prompt"}


def test_below_the_guides_hundred_rows_more_data_is_right():
    mine = team(rows=100)
    assert mine.train == 50
    assert truth(world([0.5], BETTER), mine).words == {"collect-data"}


def test_more_rows_are_right_where_the_record_shows_that_they_reach_the_goal_and_pay():
    flat = {25: 0.5, 50: 0.5, 100: 0.5, 200: 0.92, 400: 0.95}
    assert truth(world([0.6], flat), team(rows=200)).words == {"collect-data"}
    assert truth(world([0.6], flat), team(rows=200, value=0.001)).words == {"prompt"}


def test_where_the_record_ends_before_the_forecast_does_both_are_right():
    flat = dict.fromkeys(BETTER, 0.5)
    assert truth(world([0.6], flat), team(rows=200)).words == {"collect-data", "prompt"}


def test_as_good_and_cheaper_is_a_gain():
    alike = dict.fromkeys(BETTER, 0.6)
    busy = team(calls=3e8, value=0.0)
    assert truth(world([0.6], alike), busy).words == {"fine-tune"}
    assert "fine-tune" not in truth(world([0.6], alike, tokens=(20, 20)), busy).words


def test_the_net_gap_is_what_is_left_once_costs_are_taken_off():
    made, mine = world([0.5], BETTER), team(goal=0.95)
    prompt, last = made.fixed[0].variant, made.trained[-1].variant
    known = truth(made, mine)
    assert known.net * mine.calls * mine.value == pytest.approx(saving(made, mine, prompt, last))
    assert 0 < known.net < known.gap
    assert truth(made, team(calls=100.0)).net < 0


def test_a_forgone_gain_is_regretted_and_so_is_a_wrong_fine_tune():
    tune = Truth(0.3, frozenset({"fine-tune"}))
    missed = judge("inconclusive", tune, Stakes(0.3, 900.0))
    assert (missed.right, missed.lost, missed.unpaid) == (False, False, False)
    assert (missed.quality_regret, missed.money_regret) == (0.3, 900.0)
    said = judge("fine-tune", tune, Stakes(0.3, 900.0))
    assert (said.right, said.quality_regret, said.money_regret) == (True, 0.0, 0.0)
    keep = Truth(-0.02, frozenset({"prompt"}))
    lost = judge("fine-tune", keep, Stakes(-0.1, -800.0))
    assert (lost.right, lost.lost, lost.unpaid) == (False, True, True)
    assert (lost.quality_regret, lost.money_regret) == (0.1, 800.0)


def test_stakes_are_of_the_teams_own_finalists():
    made, mine = world([0.5], BETTER), team(goal=0.95)
    own = stakes(made, mine, told(made))
    prompt, last = made.fixed[0].variant, made.trained[-1].variant
    assert own.quality == pytest.approx(0.38)
    assert own.money == pytest.approx(saving(made, mine, prompt, last))


def test_intervals_that_are_unknown_neither_hold_nor_miss():
    known = Interval(estimate=0.5, low=0.4, high=0.6, n=9, method="test")
    assert holds(known, 0.6) is True
    assert holds(known, 0.61) is False
    assert holds(known.model_copy(update={"low": None}), 0.5) is None
    assert holds(None, 0.5) is None


def test_a_forecast_is_held_against_each_larger_recorded_size():
    made, mine = world([0.5], BETTER), team(rows=200)
    outlook = Forecast(
        goal=0.9,
        rows_now=140,
        rows_needed=None,
        rows_low=None,
        rows_high=None,
        label_cost=None,
        statement="",
        curve=((25, 0.6, 0.5, 0.7), (200, 0.8, 0.75, 0.83), (800, 0.9, 0.88, 0.92)),
    )
    at_200, at_400 = foretold(made, mine, outlook)
    assert at_200 == (2.0, False, pytest.approx(0.05))
    assert at_400 == (4.0, False, pytest.approx(0.03))
    assert foretold(made, mine, outlook.model_copy(update={"curve": ()})) == []


def test_shares_are_of_the_cases_that_they_name():
    made = world([0.5, 0.6], BETTER)
    rivals = {"peer": lambda rows: "fine-tune"}
    cases = [case("made-up", made, team(number=n, goal=0.95), rivals) for n in range(10)]
    small = case("made-up", made, team(number=99, goal=0.95, least=0.5), rivals)
    assert all(each.matters for each in cases)
    assert not small.matters
    ours, peer, prompt = (
        figures([*cases, small], way) for way in (OURS, "peer", "always the prompt")
    )
    assert (ours["teams"], ours["teams_with_a_gap"]) == (11, 10)
    assert peer["right"] == 1.0
    assert peer["fine_tune"] == 1.0
    assert prompt["right"] == 0.0
    assert prompt["fine_tune"] == 0.0
    assert prompt["money_regret"] > 0
    found = coverage(cases)
    assert found["difference"]["n"] == 10
    assert set(words(cases)) == {"fine-tune"}
    assert sum(row[-1] for row in reasons([*cases, small])) == sum(bool(c.why) for c in cases)
    assert isinstance(cases[0], Case)
