"""The replay gives the answers that are known beforehand."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.truth.teams import ROWS, Luck, draw_team, tell

from trimtab.prompt.variants import constrained
from trimtab.task.split import place_rows

from .factories import team, world

FAR_BETTER = {25: 0.6, 50: 0.7, 100: 0.8, 200: 0.9, 400: 1.0}
TEAMS = range(40)


@pytest.mark.parametrize("rows", ROWS)
def test_a_team_splits_its_rows_as_trimtab_does(rows):
    ids = [str(i) for i in range(rows)]
    places = place_rows(ids, [None] * rows, dev=None, test=None, seed=0, clusters=range(rows))
    mine = team(rows=rows)
    assert (mine.train, mine.dev, mine.test) == tuple(
        map(len, (places.train, places.dev, places.test))
    )


def test_the_same_number_is_the_same_team_with_the_same_verdict():
    made = world([0.5, 0.6, 0.6], FAR_BETTER)
    assert draw_team(7) == draw_team(7) != draw_team(8)
    assert tell(made, team(number=3)) == tell(made, team(number=3))


def test_a_fine_tune_that_is_far_better_and_pays_is_said():
    made = world([0.5, 0.6, 0.6], FAR_BETTER)
    words = [tell(made, team(number=n)).verdict.word for n in TEAMS]
    assert words.count("fine-tune") == len(TEAMS)


def test_a_prompt_that_meets_the_goal_is_kept_whatever_the_fine_tune_adds():
    made = world([0.5, 0.97, 0.97], FAR_BETTER)
    words = {tell(made, team(number=n, goal=0.8)).verdict.word for n in TEAMS}
    assert words == {"prompt"}


def test_a_fine_tune_that_is_no_better_is_never_said():
    made = world([0.6, 0.6, 0.6], {25: 0.6, 50: 0.6, 100: 0.6, 200: 0.6, 400: 0.6})
    words = [tell(made, team(number=n)).verdict.word for n in TEAMS]
    assert "fine-tune" not in words


def test_a_fine_tune_that_nobody_has_use_for_is_not_said():
    made = world([0.5, 0.6, 0.6], FAR_BETTER)
    told = tell(made, team(calls=100.0))
    assert told.money is not None
    assert told.money.saving_per_month.estimate < 0
    assert told.verdict.word == "prompt"


def test_only_sizes_that_the_team_has_rows_for_are_trained():
    made = world([0.5, 0.6, 0.6], FAR_BETTER)
    few = team(rows=200)
    assert few.train == 140
    within = [each.variant for each in made.trained[:3]]
    chosen = [tell(made, replace(few, number=n)).tuned for n in TEAMS]
    assert set(chosen) <= {*within, *map(constrained, within)}
    assert chosen.count(within[2]) > len(TEAMS) / 2


def test_nearest_demonstrations_come_from_the_largest_pool_that_the_team_has():
    made = world([0.5], FAR_BETTER, nearest={50: 0.6, 200: 0.9})
    (_, poor), (_, rich) = (made.prompts(rows) for rows in (199, 200))
    (prompt,) = made.nearest[50][0]
    shares = [
        np.mean([r.outcome.metrics["accuracy"] for r in records[prompt.variant.id].values()])
        for records in (poor, rich)
    ]
    assert shares == pytest.approx([0.6, 0.9])
    assert len(made.prompts(49)[0]) == 1


def test_few_rows_show_that_more_would_pay():
    """75 rows leave 25 to train on: one size, which gains, and may not win."""
    told = tell(world([0.5, 0.6, 0.6], FAR_BETTER | {25: 0.95}), team(rows=75))
    assert told.tuned.name in {"tuned 25", "tuned 25, constrained"}
    assert told.forecast.curve == ()
    assert told.verdict.word == "collect-data"


def test_a_team_that_knows_the_test_measures_what_is_true():
    made = world([0.5, 0.6, 0.6], FAR_BETTER)
    (prompt, tuned) = tell(made, team(), Luck(dev=False, test=False)).scores
    assert (prompt.quality.estimate, tuned.quality.estimate) == pytest.approx((0.6, 1.0))
    assert prompt.quality.high - prompt.quality.low < 0.04


def test_a_team_that_knows_dev_always_chooses_the_best():
    made = world([0.5, 0.60, 0.62], {25: 0.60, 50: 0.61, 100: 0.62})
    told = [tell(made, team(number=n), Luck(dev=False)) for n in range(10)]
    assert {each.prompt.name for each in told} == {"prompt 2"}
    assert {each.tuned.name for each in told} == {"tuned 100"}


def test_where_the_money_is_known_it_pays_or_does_not():
    made = world([0.5, 0.6, 0.6], FAR_BETTER)
    found = {tell(made, team(number=n, calls=4e4), Luck(money=False)).money.p_pays for n in TEAMS}
    assert found == {0.0, 1.0} or found == {1.0}
    assert 0 < tell(made, team(calls=2e4)).money.p_pays < 1


def test_a_team_that_knows_the_curve_hears_of_the_first_size_that_is_enough():
    made = world([0.5], {25: 0.5, 50: 0.5, 100: 0.5, 200: 0.92, 400: 0.95})
    known = Luck(curve=False)
    assert tell(made, team(rows=200), known).forecast.rows_needed == 200
    assert tell(made, team(rows=200, goal=0.99), known).forecast.rows_needed is None


def test_samples_are_independent_draws_of_the_whole_pool():
    """The prompt's test score is right on average, and the 95% interval holds it about as often."""
    made = world([0.7], {25: 0.7})
    scores = [tell(made, team(number=n, goal=0.7)).scores[0].quality for n in range(300)]
    assert np.mean([score.estimate for score in scores]) == pytest.approx(0.7, abs=0.01)
    held = np.mean([score.low <= 0.7 <= score.high for score in scores])
    assert 0.91 <= held <= 0.99
