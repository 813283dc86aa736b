"""Each change is whole, recorded, and can be undone."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.store.database import Database
from trimtab.store.deployments import (
    Deployed,
    Deployment,
    current,
    history,
    newest_number,
    promote,
    retire,
    roll_back,
)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def variant(name: str) -> Deployed:
    return Deployed(run=f"run-{name}", variant=f"id-{name}", name=name)


def put(database: Database, name: str, role: str = "champion", share: float = 0.1):
    return promote(database, "t", variant(name), role, share, "someone", f"because {name}")


def champion(database: Database) -> str | None:
    state = current(database, "t").state
    return state.champion.name if state.champion else None


def test_nothing_serves_before_anything_is_promoted(database) -> None:
    assert newest_number(database, "t") == 0
    assert current(database, "t") is None
    assert history(database, "t") == []


def test_a_change_says_who_when_and_why(database) -> None:
    change = put(database, "a")
    assert (change.number, change.who, change.why) == (1, "someone", "because a")
    assert current(database, "t") == change
    assert newest_number(database, "t") == 1
    assert newest_number(database, "another task") == 0


def test_roles_stand_beside_each_other(database) -> None:
    put(database, "a")
    put(database, "b", "canary", 0.25)
    put(database, "c", "shadow")
    assert current(database, "t").state == Deployment(
        champion=variant("a"), canary=variant("b"), share=0.25, shadow=variant("c")
    )


def test_a_canary_that_becomes_champion_is_no_canary_any_more(database) -> None:
    put(database, "a")
    put(database, "b", "canary")
    put(database, "b", "shadow")
    put(database, "b")
    assert current(database, "t").state == Deployment(champion=variant("b"))


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_a_challenger_needs_a_champion(database, role) -> None:
    with pytest.raises(InputError, match="no champion yet"):
        put(database, "a", role)
    assert current(database, "t") is None


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_a_challenger_can_be_retired(database, role) -> None:
    put(database, "a")
    with pytest.raises(InputError, match=f"no {role}"):
        retire(database, "t", role, "me", "w")
    put(database, "b", role)
    assert retire(database, "t", role, "me", "w").state == Deployment(champion=variant("a"))


def test_rollback_undoes_one_change_and_then_the_one_before(database) -> None:
    for name in "abc":
        put(database, name)
    roll_back(database, "t", None, "me", "w")
    assert champion(database) == "b"
    roll_back(database, "t", None, "me", "w")
    assert champion(database) == "a"
    with pytest.raises(InputError, match="no earlier state"):
        roll_back(database, "t", None, "me", "w")
    put(database, "d")
    change = roll_back(database, "t", None, "me", "oops")
    assert champion(database) == "a"
    assert (change.who, change.why) == ("me", "oops")
    assert len(history(database, "t")) == newest_number(database, "t") == 7, "history only grows"


def test_rollback_to_any_change(database) -> None:
    for name in "abc":
        put(database, name)
    assert roll_back(database, "t", 1, "me", "w").state.champion == variant("a")
    assert roll_back(database, "t", 3, "me", "w").state.champion == variant("c")
    with pytest.raises(InputError, match="change number 99"):
        roll_back(database, "t", 99, "me", "w")
    with pytest.raises(InputError, match="nothing was ever promoted"):
        roll_back(database, "other", None, "me", "w")


def test_changes_made_at_once_are_all_kept(database_url) -> None:
    Database(database_url).close()
    problems: list[BaseException] = []

    def promote_some(worker: int) -> None:
        try:
            database = Database(database_url)
            for i in range(5):
                put(database, f"{worker}-{i}")
            database.close()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=promote_some, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    database = Database(database_url)
    assert [change.number for change in history(database, "t")] == list(range(20, 0, -1))
    database.close()


@settings(max_examples=40)
@given(steps=st.lists(st.sampled_from(["promote", "undo"]), max_size=12))
def test_undo_is_that_of_an_editor(tmp_path_factory, steps) -> None:
    """Against a plain stack: promoting pushes, undoing pops."""
    database = Database(str(tmp_path_factory.mktemp("undo") / "db"))
    stack: list[str] = []
    for number, step in enumerate(steps):
        if step == "promote":
            stack.append(str(number))
            put(database, str(number))
        elif len(stack) > 1:
            stack.pop()
            roll_back(database, "t", None, "me", "w")
        else:
            with pytest.raises(InputError):
                roll_back(database, "t", None, "me", "w")
    assert (champion(database) if stack else None) == (stack[-1] if stack else None)
    database.close()
