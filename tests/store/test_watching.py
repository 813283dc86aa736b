"""Windows, checks, alarms and rollouts come back as they were written, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trimtab.store.database import Database
from trimtab.store.deployments import Deployed, champion_since, promote, retire, roll_back
from trimtab.store.rollouts import Rollout, keep_rollout, list_rollouts, under_way
from trimtab.store.watching import (
    Alarm,
    Check,
    Hour,
    Reading,
    Window,
    add_window,
    close_alarm,
    keep_check,
    list_alarms,
    mark_told,
    newest_check,
    open_alarm,
    read_windows,
    standing,
)

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
READING = Reading(kind="contract", state="quiet", message="fine", figures={"share": 0.01})


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def window(number: int) -> Window:
    return Window(
        number=number,
        since=START,
        until=START + timedelta(days=7),
        inputs=120,
        hours=(Hour(start=START, calls=3, broken=1),),
        mix={"a": 2},
        readings=(READING,),
    )


def alarm(kind: str = "quality", minute: int = 0, task: str = "t") -> Alarm:
    return Alarm(
        id=f"{minute:028x}",
        task=task,
        kind=kind,  # type: ignore[arg-type]
        opened=START,
        deployment=1,
        message="it fell",
    )


def test_windows_are_kept_once(database) -> None:
    for number in (0, 1):
        add_window(database, "t", 3, window(number))
    add_window(database, "t", 3, window(1).model_copy(update={"inputs": 0}))
    assert read_windows(database, "t", 3) == [window(0), window(1)]
    assert read_windows(database, "t", 4) == read_windows(database, "other", 3) == []


def test_the_newest_check_takes_the_place_of_the_last(database) -> None:
    assert newest_check(database, "t") is None
    for calls in (1, 2):
        found = Check(
            task="t", time=START, deployment=1, since=START, calls=calls, readings=(READING,)
        )
        keep_check(database, found)
    assert newest_check(database, "t") == found


def test_one_alarm_of_a_kind_stands_at_a_time(database) -> None:
    assert open_alarm(database, alarm(minute=1))
    assert not open_alarm(database, alarm(minute=2))
    assert open_alarm(database, alarm("cost", 3))
    assert open_alarm(database, alarm(minute=4, task="other"))
    mark_told(database, alarm(minute=1))
    assert [(each.kind, each.told) for each in standing(database, "t")] == [
        ("quality", True),
        ("cost", False),
    ]
    closed = close_alarm(database, "t", alarm(minute=1).id, "reviewer-1", "mended")
    assert (closed.closed_by, closed.closed_why, closed.told) == ("reviewer-1", "mended", True)
    assert [each.kind for each in standing(database, "t")] == ["cost"]
    assert list_alarms(database, "t")[-1] == closed
    assert open_alarm(database, alarm(minute=5))


def test_a_rollout_is_found_while_it_is_under_way(database) -> None:
    deployed = Deployed(run="r", variant="v", name="n")
    begun = Rollout(
        task="t", number=2, deployed=deployed, who="a", why="b", stage="shadow", since=START
    )
    assert under_way(database, "t") is None
    keep_rollout(database, begun)
    assert under_way(database, "t") == begun
    ended = begun.model_copy(update={"stage": "stopped", "notes": ("bad",)})
    keep_rollout(database, ended)
    assert under_way(database, "t") is None
    assert list_rollouts(database, "t") == [ended]


def test_a_champions_time_ends_with_another_champion_only(database) -> None:
    first, second = (Deployed(run="r", variant=v, name=v) for v in "vw")
    assert champion_since(database, "t") is None
    promote(database, "t", first, "champion", 0, "a", "b")
    promote(database, "t", second, "canary", 0.1, "a", "b")
    retire(database, "t", "canary", "a", "b")
    assert champion_since(database, "t").number == 1
    promote(database, "t", second, "champion", 0, "a", "b")
    assert champion_since(database, "t").number == 4
    roll_back(database, "t", 1, "a", "b")
    assert champion_since(database, "t").number == 5
