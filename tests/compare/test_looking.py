import pytest

from trimtab.compare.looking import ALPHA, CLAIMS, FEWEST_ROWS, FIRST_LOOK, Looking
from trimtab.compare.sequential import Looks
from trimtab.types import Example

from .factories import answer, failure


def rows(count):
    return [Example(id=f"e{i}", input=f"in {i}", target="out") for i in range(count)]


def run(count, prompt, tune, *, goal=0.5, clusters=None):
    """The sizes of the blocks, and what the looks found; `prompt` and `tune` score a row number."""
    looking = Looking(rows(count), "m", goal, 0.05, clusters or {})
    sizes = []
    for block in looking.blocks():
        sizes.append(len(block))
        numbers = [int(row.id[1:]) for row in block]
        looking.add(
            [answer(f"e{i}", {"m": prompt(i)}) for i in numbers],
            [answer(f"e{i}", {"m": tune(i)}, of="b") for i in numbers],
        )
    return sizes, looking.looked


def sometimes(i):
    return float(i % 10 == 0)


def test_a_clear_gain_ends_at_the_first_look():
    sizes, looked = run(400, sometimes, lambda i: 1.0)
    assert sizes == [FIRST_LOOK]
    assert (looked.outcome, looked.rows_used, looked.rows_saved) == ("superior", 100, 300)
    assert looked.clear_after == 100
    assert looked.interval.low > 0


def test_a_clear_loss_ends_too():
    sizes, looked = run(400, lambda i: 1.0, sometimes)
    assert sizes == [FIRST_LOOK]
    assert looked.outcome == "futile"


def test_a_gain_that_ends_the_test_passes_holm_whatever_the_other_gains():
    """A p-value of 2 / stake, times the six gains of a decision, must be at most 5%."""
    found = []
    for wins in range(3, 30):
        _, looked = run(400, lambda i: 0.0, lambda i, wins=wins: float(i % 100 < wins))
        if looked.rows_saved:
            assert looked.outcome == "superior"
            found.append(looked.e_superior)
    assert len(found) > 5
    assert min(found) >= 5 * 2 / 0.05


def test_equal_arms_use_every_row():
    sizes, looked = run(300, lambda i: float(i % 2), lambda i: float(i // 2 % 2))
    assert sizes == [100, 50, 50, 50, 50]
    assert looked.outcome == "open"
    assert looked.rows_saved == 0


def test_a_prompt_near_its_goal_is_measured_in_full():
    """The verdict asks first whether the prompt reaches the goal."""
    sizes, looked = run(300, lambda i: float(i % 2), lambda i: 1.0)
    assert sum(sizes) == 300
    assert (looked.outcome, looked.clear_after) == ("superior", 100)
    assert run(300, lambda i: float(i % 2), lambda i: 1.0, goal=0.95)[1].rows_saved > 0


def test_few_rows_are_one_block_and_are_looked_at_one_by_one():
    """Nothing is saved, and the answer is that of the same rows in a larger test."""
    few = FEWEST_ROWS - 1
    sizes, looked = run(few, sometimes, lambda i: 1.0)
    assert sizes == [few]
    assert (looked.outcome, looked.looks, looked.rows_saved) == ("superior", few, 0)
    assert 0 < looked.clear_after < 50
    whole = Looks(0.05, ALPHA, 1, CLAIMS)
    whole.add([1.0 - sometimes(i) for i in range(few)])
    assert looked.e_superior == pytest.approx(whole.result(0).e_superior)
    assert looked.interval == whole.result(0).interval


def test_few_equal_rows_are_never_clear():
    _, looked = run(60, lambda i: float(i % 2), lambda i: float(i // 2 % 2))
    assert (looked.outcome, looked.clear_after) == ("open", None)
    assert looked.interval.low < 0 < looked.interval.high


def test_few_rows_are_looked_at_between_clusters():
    clusters = {f"e{i}": f"c{i // 20}" for i in range(60)}
    _, looked = run(60, sometimes, lambda i: 1.0, clusters=clusters)
    assert looked.looks == 3


def test_later_blocks_grow_so_that_looks_stay_few():
    sizes, _ = run(5_000, lambda i: float(i % 2), lambda i: float(i // 2 % 2))
    assert sum(sizes) == 5_000
    assert len(sizes) < 25


def test_no_block_ends_inside_a_cluster():
    clusters = {f"e{i}": f"c{i // 70}" for i in range(280)}
    sizes, _ = run(280, lambda i: float(i % 2), lambda i: float(i // 2 % 2), clusters=clusters)
    assert sizes == [140, 70, 70]


def test_failed_rows_are_asked_but_not_compared():
    looking = Looking(rows(200), "m", 0.5, 0.05, {})
    for block in looking.blocks():
        ids = [row.id for row in block]
        looking.add(
            [answer(e, {"m": sometimes(i)}) for i, e in enumerate(ids)],
            [failure(ids[0], of="b"), *(answer(e, {"m": 1.0}, of="b") for e in ids[1:])],
        )
    assert looking.looked.rows_used == 99
    assert looking.looked.rows_saved == 100
    assert looking.looked.interval.n == 99


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_rows(count):
    sizes, looked = run(count, sometimes, sometimes)
    assert sizes == [count]
    assert looked is None
