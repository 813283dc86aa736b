"""Budgets are hard, hold over sittings, and say which of them ended what."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.errors import BudgetSpent
from trimtab.measure.meter import Meter, Silent
from trimtab.store.run import open_run
from trimtab.task.spec import Budget
from trimtab.types import Spent

from .factories import GENEROUS


@pytest.fixture
def sitting(tmp_path):
    """Opens the same run again and again; each call is a sitting with a meter of its own."""
    opened = []

    def open_meter(budget: Budget = GENEROUS, progress=None) -> Meter:
        while opened:
            opened.pop().close()
        run, _ = open_run(tmp_path, {"task file": "t"}, {})
        opened.append(run)
        return Meter(run, budget, progress or Silent())

    open_meter.run = lambda: opened[-1]
    yield open_meter
    while opened:
        opened.pop().close()


def work(meter: Meter, clock: SimpleNamespace, seconds: float = 0.0, **used) -> None:
    clock.now += seconds
    meter.book(**used)
    meter.check()


LIMITS = {
    "minutes": (Budget(minutes=1), {"seconds": 20}, 3, "1 minutes"),
    "calls": (Budget(calls=3), {"calls": 1}, 3, "3 calls"),
    "money": (Budget(money=0.5), {"money": 0.2}, 3, "0.5 of money"),
}


@pytest.mark.parametrize("what", LIMITS)
@pytest.mark.parametrize("sittings", [1, 3])
def test_a_budget_ends_the_work_over_all_sittings(clock, sitting, what, sittings) -> None:
    budget, used, units, name = LIMITS[what]
    done = 0
    with pytest.raises(BudgetSpent) as caught:
        for _ in range(2 * units):
            if done % units < sittings or sittings == 1:
                meter = sitting(budget)
            clock.now += 5000  # time between sittings is nobody's
            with meter.stage("work"):
                work(meter, clock, **used)
            done += 1
    assert done == units - 1
    assert caught.value.what == meter.stopped_by == name


def test_a_spent_budget_refuses_the_next_sitting(clock, sitting) -> None:
    meter = sitting(Budget(calls=2))
    with pytest.raises(BudgetSpent), meter.stage("work"):
        work(meter, clock, calls=2)
    again = sitting(Budget(calls=2))
    assert again.stopped_by is None, "nothing was stopped in this sitting yet"
    with pytest.raises(BudgetSpent), again.stage("work"):
        again.check()
    assert again.stopped_by == "2 calls"


def test_a_budget_of_no_money_allows_calls_that_cost_nothing(clock, sitting) -> None:
    meter = sitting(Budget(money=0))
    with meter.stage("work"):
        work(meter, clock, calls=5)
    with pytest.raises(BudgetSpent), meter.stage("work"):
        work(meter, clock, money=1e-9)


def test_a_stage_has_its_own_share_over_all_sittings(clock, sitting) -> None:
    meter = sitting()
    with meter.stage("search", "prompt", 60):
        work(meter, clock, 40)
    meter = sitting()
    with meter.stage("tune", "fine-tune", 60):
        work(meter, clock, 59)
    share = r"search: its share of 1\.0 minutes"
    with pytest.raises(BudgetSpent, match=share), meter.stage("search", "prompt", 60):
        work(meter, clock, 20)
    with meter.stage("confirmation"):  # the whole is not spent
        work(meter, clock, 500)
    assert meter.stopped_by == "search: its share of 1.0 minutes"


@pytest.mark.parametrize(
    ("budget", "seconds", "named"),
    [("a share", 61, None), ("the run", 300, "2 minutes")],
)
def test_less_of_what_is_optional_is_no_early_stop(clock, sitting, budget, seconds, named) -> None:
    meter = sitting(Budget(minutes=2))
    done = []
    with meter.optional(), meter.stage("more", "prompt", 60):
        done.append("begun")
        work(meter, clock, seconds)
        done.append("not reached")
    assert done == ["begun"]
    assert meter.stopped_by == named, budget


def test_an_earlier_stop_stays_named_after_what_is_optional(clock, sitting) -> None:
    meter = sitting()
    with pytest.raises(BudgetSpent), meter.stage("search", "prompt", 1):
        work(meter, clock, 2)
    with meter.optional(), meter.stage("more", "prompt", 60):
        work(meter, clock, 61)
    assert meter.stopped_by == "search: its share of 0.0 minutes"


def test_the_first_budget_that_ended_something_is_named(clock, sitting) -> None:
    meter = sitting(Budget(calls=10))
    with pytest.raises(BudgetSpent), meter.stage("search", "prompt", 1):
        work(meter, clock, 2, calls=1)
    with pytest.raises(BudgetSpent), meter.stage("tune", "fine-tune", 10):
        work(meter, clock, 1, calls=9)
    assert meter.stopped_by == "search: its share of 0.0 minutes"


def test_all_work_is_booked_to_its_stage_and_arm(clock, sitting) -> None:
    meter = sitting()
    with meter.stage("search", "prompt"):
        work(meter, clock, 1.5, calls=2, tokens_in=30, tokens_out=4, money=0.25)
        work(meter, clock, 2.5, calls=1)
    with meter.stage("tune", "fine-tune"):
        work(meter, clock, 3, train_tokens=100)
        clock.now += 7  # what follows the last booking
    clock.now += 100  # between stages nothing is booked
    assert sitting.run().spent() == (
        Spent(
            stage="search", arm="prompt", calls=3, tokens_in=30, tokens_out=4, seconds=4, money=0.25
        ),
        Spent(stage="tune", arm="fine-tune", train_tokens=100, seconds=10),
    )


def test_the_time_of_interrupted_work_is_booked(clock, sitting) -> None:
    meter = sitting()
    with pytest.raises(KeyboardInterrupt), meter.stage("search"):
        clock.now += 30
        raise KeyboardInterrupt
    assert sitting.run().spent()[0].seconds == 30


def test_a_stage_may_go_on_until_the_whole_run_has_worked_so_long(clock, sitting) -> None:
    meter = sitting()
    with meter.stage("search"):
        work(meter, clock, 30)
    meter = sitting()
    with pytest.raises(BudgetSpent, match="kept for other stages"), meter.stage("more", until=50):
        work(meter, clock, 15)
        work(meter, clock, 5)
    with meter.stage("last"):
        work(meter, clock, 5)
    assert meter.seconds == 55


def test_what_is_left_is_never_below_nothing(clock, sitting) -> None:
    meter = sitting(Budget(minutes=1, calls=5, money=1))
    with meter.stage("search"):
        clock.now += 20
        meter.book(calls=2, money=0.25)
    assert meter.left == Spent(stage="left", seconds=40, calls=3, money=0.75)
    with meter.stage("search"):
        clock.now += 50
        meter.book(calls=9, money=3)
    assert meter.left == Spent(stage="left")


def test_progress_hears_of_all_that_is_booked(clock, sitting) -> None:
    heard: list[Spent] = []

    class Listener(Silent):
        def advance(self, spent: Spent) -> None:
            heard.append(spent)

    meter = sitting(progress=Listener())
    with meter.stage("search", "prompt"):
        work(meter, clock, 2, calls=3)
        work(meter, clock, 1, calls=1)
    assert sum(s.calls for s in heard) == 4
    assert sum(s.seconds for s in heard) == 3
    assert {(s.stage, s.arm) for s in heard} == {("search", "prompt")}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(st.integers(0, 5), max_size=12),
    limit=st.integers(1, 20),
    cuts=st.sets(st.integers(0, 11)),
)
def test_sittings_do_not_change_where_a_budget_ends(tmp_path_factory, calls, limit, cuts) -> None:
    root = tmp_path_factory.mktemp("run")
    budget = Budget(minutes=600, calls=limit)
    booked, stopped = 0, False
    run, _ = open_run(root, {"task file": "t"}, {})
    meter = Meter(run, budget, Silent())
    for index, count in enumerate(calls):
        if index in cuts:
            run.close()
            run, _ = open_run(root, {"task file": "t"}, {})
            meter = Meter(run, budget, Silent())
        with meter.stage("work"):
            meter.book(calls=count)
            booked += count
        try:
            meter.check()
        except BudgetSpent:
            stopped = True
            break
    run.close()
    assert stopped == (booked >= limit)
    assert sum(s.calls for s in run.spent()) == booked
