"""The race stops what cannot win, seldom what would have led, and depends on the records alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import BudgetSpent
from trimtab.prompt.race import Behind, Race, blocks
from trimtab.prompt.recipe import Recipe
from trimtab.types import Completion, Failed, Prompt, Record, Scored, Variant

from .factories import row

ROWS = [row(f"name {i}") for i in range(40)]


def build(recipe: Recipe) -> Variant:
    name = f"candidate {recipe.nearest}"
    return Variant(name=name, arm="prompt", model="m", prompt=Prompt(system=name), max_tokens=1)


def completion() -> Completion:
    return Completion(text="x", finish="stop", tokens_in=10, tokens_out=1)


class Bench:
    """Answers by a table of candidates x rows; None is a failed call. Keeps what it was asked."""

    def __init__(self, table, *, most: int | None = None) -> None:
        self.table = {f"candidate {i}": scores for i, scores in enumerate(table)}
        self.places = {each.id: i for i, each in enumerate(ROWS)}
        self.kept: dict[tuple[str, str], Record] = {}
        self.asked: list[tuple[str, str]] = []
        self.most = most

    def __call__(self, variant, rows):
        found = []
        for each in rows:
            key = (variant.name, each.id)
            if key not in self.kept:
                if self.most is not None and len(self.asked) >= self.most:
                    raise BudgetSpent("test")
                self.asked.append(key)
                score = self.table[variant.name][self.places[each.id]]
                outcome = (
                    Failed(boundary="timeout", message="m")
                    if score is None
                    else Scored(metrics={"exact": float(score)}, valid=True)
                )
                answer = None if score is None else completion()
                self.kept[key] = Record(
                    variant=variant.id, example=each.id, completion=answer, outcome=outcome
                )
            found.append(self.kept[key])
        return found


def race_of(bench, seed=0, error=0.1) -> Race:
    return Race(ROWS, "exact", bench, build, lambda record: 0.5, seed, error)


def candidates(count: int) -> list[Recipe]:
    return [Recipe(nearest=i) for i in range(count)]


def of(mean: float) -> list[float]:
    """Scores of 0 and 1 with about this mean, mixed."""
    return [1.0 if (i * 7) % 40 < mean * 40 else 0.0 for i in range(40)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (0, []),
        (10, [(0, 10)]),
        (20, [(0, 8), (8, 16), (16, 20)]),
        (43, [(0, 10), (10, 20), (20, 30), (30, 43)]),
        (40, [(0, 10), (10, 20), (20, 30), (30, 40)]),
        (100, [(0, 16), (16, 32), (32, 48), (48, 64), (64, 80), (80, 100)]),
    ],
)
def test_blocks_cover_all_rows(rows, expected) -> None:
    assert blocks(rows) == expected


def test_a_candidate_that_cannot_catch_up_is_behind_for_certain() -> None:
    bet = Behind(4, room=3.0)  # the leader has all of one row, and nothing of the rest
    for difference, room in ((-1.0, 0.0), (0.0, 1.0), (0.0, 1.0)):
        assert math.isfinite(bet.evidence)
        bet.add(difference, room)
    assert math.isfinite(bet.evidence)  # the last row could still draw level
    bet.add(0.0, 1.0)
    assert bet.evidence == math.inf


def test_nothing_can_pass_a_leader_that_is_right_throughout() -> None:
    bet = Behind(40, room=0.0)
    bet.add(-0.1, 0.0)
    assert bet.evidence == math.inf


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=60))
def test_who_ends_no_worse_is_never_behind_for_certain(differences) -> None:
    rooms = [max(0.0, difference) for difference in differences]
    bet = Behind(len(differences), sum(rooms))
    for difference, room in zip(differences, rooms, strict=True):
        bet.add(difference, room)
        assert bet.evidence >= 0
    assert math.isfinite(bet.evidence) == (sum(differences) >= 0)


@pytest.mark.parametrize("rows", [20, 40, 100])
@pytest.mark.parametrize("kind", ["labels", "f1"])
def test_an_equal_candidate_is_seldom_called_behind(rows, kind) -> None:
    """The hardest case that the promise covers: exactly as good over all rows."""
    rng = np.random.default_rng(rows)
    alpha, wrong, trials = 0.1, 0, 1000
    for _ in range(trials):
        half = rng.choice([1.0, 0.0], rows // 2) if kind == "labels" else rng.random(rows // 2)
        differences = rng.permutation(np.concatenate([half, -half]))
        bet = Behind(len(differences), len(differences))
        for difference in differences:
            bet.add(float(difference), 1.0)
            if bet.evidence >= 1 / alpha:
                wrong += 1
                break
    assert wrong / trials <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / trials)


def test_the_best_of_a_stage_is_seldom_stopped() -> None:
    """Candidates alike but for luck; the first stage may err with half of the error."""
    rng = np.random.default_rng(0)
    lost, trials, error = 0, 250, 0.2
    for seed in range(trials):
        table = [(rng.random(40) < 0.5).astype(float).tolist() for _ in range(5)]
        race = race_of(Bench(table), seed, error)
        race.run("all", candidates(5))
        best = max(sum(scores) for scores in table)
        lost += not any(e.finished and sum(e.scores.values()) == best for e in race.entries)
    assert lost / trials <= error / 2 + 3 * math.sqrt(0.1 * 0.9 / trials)


def test_weak_candidates_are_stopped_and_calls_are_saved() -> None:
    race = race_of(Bench([of(0.9), of(0.1), of(0.05), of(0.925)]))
    race.run("all", candidates(4))
    ended = {trial.name: trial for trial in race.trials()}
    assert [ended[f"candidate {i}"].ended for i in range(4)] == [
        "finished",
        "behind",
        "behind",
        "finished",
    ]
    assert ended["candidate 1"].behind == "candidate 0"
    assert 10 <= ended["candidate 1"].rows < 40
    assert race.leader.variant.name == "candidate 3"
    assert race.calls == sum(trial.rows for trial in race.trials())
    assert race.calls_of_grid == 160
    assert race.seconds == 0.5 * race.calls
    assert [t.best for t in race.trials()] == [0.9, 0.9, 0.9, 0.925]


def test_of_equals_the_first_stays_the_leader() -> None:
    race = race_of(Bench([of(0.5), of(0.5)]))
    race.run("all", candidates(2))
    assert race.leader.variant.name == "candidate 0"
    assert all(entry.finished for entry in race.entries)


def test_failed_calls_stop_nobody_and_lead_nothing() -> None:
    race = race_of(Bench([of(0.5), [None] * 40, [None] * 10 + [1.0] * 30]))
    race.run("all", candidates(3))
    assert [e.ended for e in race.entries] == ["finished"] * 3
    assert race.leader.variant.name == "candidate 0"
    assert race.entries[1].mean is None


def cut_while(scores, most: int) -> tuple[Race, Bench]:
    """A leader of .5 that saw all rows, and a second candidate that the budget ends."""
    bench = Bench([of(0.5), scores], most=40 + most)
    race = race_of(bench)
    with pytest.raises(BudgetSpent):
        race.run("stage", candidates(2))
    return race, bench


def test_a_candidate_that_led_as_the_budget_ended_can_see_the_rest() -> None:
    race, bench = cut_while(of(0.9), 25)
    leading = race.unfinished_leader
    assert leading is race.entries[1]
    assert 0 < len(leading.scores) < 40
    bench.most = None
    race.finish(leading)
    assert leading.finished
    assert race.leader is leading
    assert leading.mean == pytest.approx(np.mean(of(0.9)))
    assert race.unfinished_leader is None
    assert len(bench.asked) == len(set(bench.asked)) == race.calls == 80
    assert race.trials()[-1].best == leading.mean


def test_a_candidate_that_was_not_ahead_is_no_loss() -> None:
    race, _ = cut_while(of(0.5), 25)
    assert race.unfinished_leader is None


def test_a_last_look_that_is_cut_too_leaves_it_unfinished() -> None:
    race, bench = cut_while(of(0.9), 25)
    bench.most = 40 + 30
    with pytest.raises(BudgetSpent):
        race.finish(race.unfinished_leader)
    assert race.unfinished_leader is race.entries[1]
    assert race.leader is race.entries[0]


def test_a_variant_runs_once_over_all_stages() -> None:
    bench = Bench([of(0.5), of(0.6)])
    race = race_of(bench)
    race.run("first", candidates(2))
    assert race.run("second", candidates(2)) == []
    assert len(bench.asked) == len(set(bench.asked)) == 80


def test_each_stage_sees_the_rows_in_another_order() -> None:
    bench = Bench([of(0.5)] * 3)
    race = race_of(bench)
    for i in range(3):
        race.run(str(i), [Recipe(nearest=i)])
    orders = [[row for name, row in bench.asked if name == f"candidate {i}"] for i in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[1])


@pytest.mark.parametrize("most", [*range(0, 45, 4), 90, 130, 200])
def test_a_race_that_is_cut_goes_on_to_the_same_end(most) -> None:
    table = [of(0.5), of(0.1), of(0.7), of(0.05), of(0.725)]
    whole = race_of(Bench(table))
    whole.run("a", candidates(3))
    whole.run("b", candidates(5))
    bench = Bench(table, most=most)
    try:
        cut = race_of(bench)
        cut.run("a", candidates(3))
        cut.run("b", candidates(5))
    except BudgetSpent:
        assert cut.entries[-1].ended == "budget"
        assert cut.leader is None or cut.leader.finished
    bench.most = None
    again = race_of(bench)
    again.run("a", candidates(3))
    again.run("b", candidates(5))
    assert again.trials() == whole.trials()
    assert len(bench.asked) == len(set(bench.asked))
