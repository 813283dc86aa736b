"""Whole checks on a database: windows close, alarms open once, are told and closed."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from decisions import write_task
from trimtab.decide.stability import task_stable
from trimtab.errors import DiskFull, InputError
from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed
from trimtab.store.history import task_history
from trimtab.store.reviews import open_requests
from trimtab.store.traces import Trace, add_traces, prune
from trimtab.store.watching import (
    ALARMS_FILE,
    Alarm,
    OpenWindow,
    close_alarm,
    list_alarms,
    newest_check,
    read_counts,
    read_windows,
    standing,
)
from trimtab.watch import check as module
from trimtab.watch.check import check
from trimtab.watch.notify import WebhookRefused

from .traffic import OTHERS, START, review, watched, week_of_calls

CHAMPION = Deployed(run="r", variant="v", name="a variant")


@pytest.fixture
def database(database_url, monkeypatch):
    opened = Database(database_url)
    monkeypatch.setattr(deployments.time, "time", START.timestamp)
    deployments.promote(opened, "names", CHAMPION, "champion", 0, "a test", "to test")
    monkeypatch.undo()
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path):
    return write_task(tmp_path / "task")


def serve(database: Database, *weeks: dict, seed: int = 0):
    rng = np.random.default_rng(seed)
    served = [week_of_calls(i, rng, **changes) for i, changes in enumerate(weeks)]
    for each in served:
        add_traces(database, each)
    return served


def look(folder, database, weeks: float, tell=None, **changes):
    now = START + timedelta(weeks=weeks, hours=1)
    return check(watched(folder, database, **changes), now, tell)


def test_quiet_weeks_raise_nothing(folder, database) -> None:
    serve(database, {}, {}, {})
    found = look(folder, database, 3)
    assert {r.kind: r.state for r in found.check.readings} == {
        "input-drift": "quiet",
        "output-mix": "quiet",
        "contract": "quiet",
        "latency": "quiet",
        "cost": "quiet",
        "quality": "unknown",
    }
    assert (found.opened, found.standing) == ((), ())
    assert found.check.calls == 600
    assert newest_check(database, "names") == found.check
    assert not (folder / ALARMS_FILE).exists()


def test_drift_buys_labels_and_does_not_call_for_retraining(folder, database) -> None:
    serve(database, {}, {"words": OTHERS})
    (alarm,) = look(folder, database, 2).opened
    assert (alarm.kind, alarm.retrain, alarm.labels_wanted) == ("input-drift", False, 200)
    (request,) = open_requests(database, "names")
    assert (request.items, request.who) == (200, "trimtab watch")


def test_a_moved_mix_and_broken_answers_raise_their_own_alarms(folder, database) -> None:
    serve(database, {}, {"company": 0.9}, {"valid": False, "company": 0.9})
    kinds = {alarm.kind for alarm in look(folder, database, 3).opened}
    assert kinds == {"output-mix", "contract"}


def test_a_fall_of_quality_calls_for_retraining(folder, database) -> None:
    (served,) = serve(database, {})
    rng = np.random.default_rng(0)
    review(database, served, (rng.random(len(served)) < 0.7).astype(float).tolist())
    found = look(folder, database, 1, quality={"floor": 0.85})
    (alarm,) = found.opened
    assert (alarm.kind, alarm.retrain, alarm.labels_wanted) == ("quality", True, 0)
    assert found.check.quality.high < 0.85
    assert found.check.floor == 0.85


def test_an_alarm_opens_once_and_is_told_until_it_was_heard(folder, database) -> None:
    serve(database, {}, {"words": OTHERS})
    heard, down = [], True

    def tell(alarm):
        if down:
            raise WebhookRefused("it is down")
        heard.append(alarm.kind)

    assert look(folder, database, 2, tell).problems == ("it is down",)
    down = False
    again = look(folder, database, 2.1, tell)
    assert (again.opened, again.problems) == ((), ())
    assert len(again.standing) == 1
    look(folder, database, 2.2, tell)
    assert heard == ["input-drift"]
    assert len((folder / ALARMS_FILE).read_text("utf-8").splitlines()) == 1


def test_a_closed_alarm_does_not_open_again_on_the_same_traffic(
    folder, database, monkeypatch
) -> None:
    (served, *_) = serve(database, {}, {"words": OTHERS, "valid": False}, {}, {"valid": False})
    review(database, served, [0.0] * len(served))
    floor = {"quality": {"floor": 0.9}}
    opened = look(folder, database, 2, **floor).opened
    assert {alarm.kind for alarm in opened} == {"input-drift", "contract", "quality"}
    for alarm in opened:
        closed = close_alarm(database, "names", alarm.id, "a test", "dealt with")
        assert closed.closed_by == "a test"
    # As if they had been closed at the end of the second week.
    moment = START + timedelta(weeks=2)
    for alarm in list_alarms(database, "names"):
        text = alarm.model_copy(update={"closed": moment}).model_dump_json()
        database.query("UPDATE alarms SET content = ? WHERE id = ?", (text, alarm.id))
    assert look(folder, database, 3, **floor).standing == ()
    (again,) = look(folder, database, 4, **floor).opened
    assert again.kind == "contract", "what breaks anew is told anew"


def test_closing_what_does_not_stand_is_refused(database) -> None:
    with pytest.raises(InputError, match="no alarm"):
        close_alarm(database, "names", "0" * 28, "a test", "why")


def test_another_champion_ends_alarms_and_begins_windows_anew(folder, database) -> None:
    serve(database, {}, {"words": OTHERS})
    look(folder, database, 2)
    other = Deployed(run="r", variant="w", name="another")
    deployments.promote(database, "names", other, "champion", 0, "a test", "to test")
    found = look(folder, database, 2)
    assert found.standing == ()
    (closed,) = list_alarms(database, "names")
    assert "new champion" in (closed.closed_why or "")
    assert (found.check.deployment, found.check.calls) == (2, 0)
    assert len(read_windows(database, "names", 1)) == 2
    assert read_windows(database, "names", 2) == []


def test_a_canary_does_not_end_the_champions_time(folder, database) -> None:
    serve(database, {}, {})
    canary = Deployed(run="r", variant="w", name="another")
    deployments.promote(database, "names", canary, "canary", 0.1, "a test", "to test")
    assert look(folder, database, 2).check.deployment == 1


def test_windows_are_tested_once_and_survive_the_pruning_of_their_traces(folder, database) -> None:
    serve(database, {}, {"words": OTHERS}, {"words": OTHERS})
    look(folder, database, 2)
    before = read_windows(database, "names", 1)
    prune(database, "names", START + timedelta(weeks=1))
    found = look(folder, database, 3)
    assert read_windows(database, "names", 1)[:2] == before
    assert [alarm.kind for alarm in found.standing] == ["input-drift"]
    assert found.check.calls == 600
    assert all("input" not in window.model_dump() for window in before), "no text is kept"


def test_a_window_with_few_inputs_goes_on(folder, database) -> None:
    serve(database, {"calls": 60}, {"calls": 60}, {"calls": 200})
    look(folder, database, 3)
    windows = read_windows(database, "names", 1)
    assert [(w.until - w.since).days for w in windows] == [14, 7]


def test_nothing_can_be_watched_that_does_not_serve(folder, tmp_path) -> None:
    empty = Database(str(tmp_path / "empty.sqlite"))
    with pytest.raises(InputError, match="promote a run first"):
        check(watched(folder, empty), START)
    empty.close()


def test_the_webhook_of_the_settings_is_used(folder, database) -> None:
    serve(database, {}, {"words": OTHERS})
    found = look(folder, database, 2, alarms={"webhook": "http://127.0.0.1:9/alarm"})
    assert "not public" in found.problems[0]
    assert len(standing(database, "names")) == 1


def test_the_next_decision_reads_drift_off_the_file(folder, database) -> None:
    serve(database, {}, {"words": OTHERS})
    look(folder, database, 2)
    assert task_history(folder).drifts == ((START + timedelta(weeks=2)).date(),)
    assert task_stable.__doc__ is not None


def test_each_call_is_read_once_and_windows_come_out_the_same(
    folder, database, monkeypatch
) -> None:
    served = [
        each for week in serve(database, {}, {"words": OTHERS}, {"calls": 60}) for each in week
    ]
    read: list[str] = []
    monkeypatch.setattr(module, "traffic", lambda *given: None)  # the decision's own week
    validate = Trace.model_validate_json
    monkeypatch.setattr(
        Trace,
        "model_validate_json",
        lambda text: (found := validate(text), read.append(found.id))[0],
    )
    for day in range(1, 22):
        look(folder, database, day / 7)
    in_steps = read_windows(database, "names", 1)
    sampled = [each for window in in_steps for each in window.sample]
    assert len(in_steps) == 2, "the third week goes on"
    kept = read_counts(database, "names", "window", OpenWindow)
    assert (kept.number, sum(hour.calls for hour in kept.hours)) == (2, 60)
    # Both samples are read for the test of drift, and calls of an hour that is not over.
    assert len(served) <= len(read) <= len(served) + len(sampled) + 21 * 3
    database.query("DELETE FROM watch_windows")
    database.query("DELETE FROM watch_counts")
    look(folder, database, 3)
    assert read_windows(database, "names", 1) == in_steps


def test_a_changed_limit_counts_the_open_window_anew(folder, database) -> None:
    serve(database, {"latency_s": 0.5})
    look(folder, database, 0.5)
    before = read_counts(database, "names", "window", OpenWindow)
    assert sum(hour.slow for hour in before.hours) == 0
    write_task(folder, constraints={"p95_latency_seconds": 0.4})
    look(folder, database, 0.5)
    after = read_counts(database, "names", "window", OpenWindow)
    assert sum(hour.slow for hour in after.hours) == sum(hour.calls for hour in before.hours) > 0


def test_a_kill_between_alarm_and_request_loses_neither(folder, database, monkeypatch) -> None:
    serve(database, {}, {"words": OTHERS})

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    for name in ("request_items", "_write"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(KeyboardInterrupt):
                look(folder, database, 2)
        assert not (folder / ALARMS_FILE).exists()
        assert len(standing(database, "names")) == len(open_requests(database, "names"))
    look(folder, database, 2)
    (alarm,) = standing(database, "names")
    (line,) = (folder / ALARMS_FILE).read_text("utf-8").splitlines()
    assert Alarm.model_validate_json(line) == alarm
    (request,) = open_requests(database, "names")
    assert request.items == alarm.labels_wanted


def test_a_full_disk_is_told_and_made_up_for(folder, database, monkeypatch) -> None:
    serve(database, {}, {"words": OTHERS})

    def full(*args: object) -> None:
        raise DiskFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write", full)
        assert look(folder, database, 2).problems == ("no room",)
    (alarm,) = standing(database, "names")
    close_alarm(database, "names", alarm.id, "a test", "dealt with")
    look(folder, database, 2)
    (line,) = (folder / ALARMS_FILE).read_text("utf-8").splitlines()
    assert Alarm.model_validate_json(line) == alarm, "as it was opened"
