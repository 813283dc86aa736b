"""`trimtab watch`, `retrain`, `versions` and `prune` on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.traces import add_traces
from watch.traffic import OTHERS, week_of_calls


@pytest.fixture
def drifting(trimtab, folder, decided, monkeypatch):
    """A task that served two weeks, the second of them another kind of calls."""
    start = datetime.now(UTC) - timedelta(days=15)
    with monkeypatch.context() as patch:
        patch.setattr(deployments.time, "time", start.timestamp)
        trimtab("promote", folder / "runs" / "latest", "--reason", "it won")
    winner = decided[1].verdict.winner
    rng = np.random.default_rng(0)
    database = Database(str(folder / "production.sqlite"))
    for week, words in enumerate([None, OTHERS]):
        chosen = {"words": words} if words else {}
        calls = week_of_calls(week, rng, start=start, variant=winner, **chosen)
        add_traces(database, calls)
    database.close()
    return folder


def test_one_look_exits_with_1_while_an_alarm_stands(trimtab, drifting) -> None:
    ended = trimtab("watch", drifting, "--once")
    assert ended.code == 1, ended.err
    assert "ALARM" in ended.out
    assert "input-drift, new; review 200 calls" in ended.out
    again = trimtab("watch", drifting, "--once", "--json")
    assert again.code == 1
    (alarm,) = json.loads(again.out)["alarms"]
    assert trimtab("watch", drifting, "--close", alarm["id"]).code == 2, "a reason is needed"
    closed = trimtab("watch", drifting, "--close", alarm["id"], "--reason", "a new shop")
    assert closed.code == 0, closed.err
    assert trimtab("watch", drifting, "--once").code == 0


def test_nothing_to_watch_is_an_error(trimtab, folder) -> None:
    ended = trimtab("watch", folder, "--once")
    assert (ended.code, "promote a run first" in ended.err) == (2, True)


def test_retrain_says_what_calls_for_it(trimtab, drifting) -> None:
    quiet = trimtab("retrain", drifting)
    assert quiet.code == 0, quiet.err
    assert "Nothing calls for it" in quiet.out
    asked = trimtab("retrain", drifting, "--check", "--reason", "new rows")
    assert "Called for: new rows" in asked.out


def test_retrain_decides_again_and_lists_the_versions(trimtab, drifting) -> None:
    ended = trimtab("retrain", drifting, "--reason", "a person asks", "--by", "reviewer-1")
    assert ended.code == 0, ended.err
    assert "The champion stays" in ended.out
    listed = trimtab("versions", drifting)
    assert "[champion]" in listed.out
    assert "90 rows" in listed.out
    run = next((drifting / "runs").glob("*-*")).name
    compared = trimtab("versions", drifting, "--compare", run, run)
    assert "prompt: the same" in compared.out
    data = listed.out.split()[1]
    assert "0 added" in trimtab("versions", drifting, "--compare", data, data).out
    assert trimtab("versions", drifting, "--compare", "x", "y").code == 2


def test_prune_lists_before_it_deletes(trimtab, drifting) -> None:
    ended = trimtab("prune", drifting)
    assert "Would delete" in ended.out
    assert "Deleted: 0 parts" in trimtab("prune", drifting, "--yes").out
