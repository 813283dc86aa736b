"""What the server runs on fails and comes back: nothing acknowledged is lost, and nothing stays
broken."""

from __future__ import annotations

import resource
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

import postgres
from trimtab.serve import capture as module
from trimtab.serve.capture import Upkeep
from trimtab.store.database import Database
from trimtab.store.traces import add_traces, read_feedback

from .servers import promote, running, wait_until
from .test_capture import DAY, capturing, stored, trace
from .test_process import chat, start, stored_ids


def say(server, answer: httpx.Response) -> httpx.Response:
    fields = {"trace": answer.headers["x-trimtab-trace"], "rating": "up"}
    return server.client.post("/v1/feedback", json=fields)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_postgresql_is_gone_through(folder, mode) -> None:
    if reason := postgres.why_not():
        pytest.skip(reason)
    with postgres.server() as place:
        url = postgres.new_database(place)
        promote(folder, url)
        with running(folder, url) as server:
            first = server.chat()
            assert say(server, first).status_code == 201
            postgres.stop(place, mode)
            during = server.chat()
            assert (during.status_code, "x-trimtab-trace" in during.headers) == (200, False)
            told = say(server, first)
            assert (told.status_code, told.json()["error"]["type"]) == (503, "server_error")
            assert server.client.get("/health").status_code == 503
            postgres.start(place)
            assert say(server, first).status_code == 201
            after = server.chat()
            wait_until(lambda: server.client.get("/health").status_code == 200)
            kept = [trace.id for trace in server.traces()]
    assert kept == [each.headers["x-trimtab-trace"] for each in (first, after)]


def test_feedback_over_a_lost_connection_is_kept_at_once(server, url) -> None:
    answer = server.chat()
    assert say(server, answer).status_code == 201
    server.server._feedback._database._backend.close()
    assert say(server, answer).status_code == 201
    database = Database(url)
    assert len(read_feedback(database, "names", answer.headers["x-trimtab-trace"])) == 2
    database.close()


def test_a_connection_is_made_anew_after_any_error(url, monkeypatch) -> None:
    """A driver may break in ways of its own, and would go on to do so."""
    broken: list[Database] = []

    def breaks_the_first(database, traces) -> None:
        broken.append(database)
        if database is broken[0]:
            raise IndexError
        add_traces(database, traces)

    monkeypatch.setattr(module, "add_traces", breaks_the_first)
    capture = capturing(url)
    assert capture.put(trace("kept")).result(timeout=20)
    capture.close()
    assert [t.input for t in stored(url)] == ["kept"]


def test_a_writer_that_holds_sqlite_delays_answers_and_stops_none(folder, url, monkeypatch) -> None:
    monkeypatch.setattr("trimtab.serve.service._ACKNOWLEDGE_S", 0.2)
    promote(folder, url)
    with running(folder, url) as server:
        assert "x-trimtab-trace" in server.chat("before").headers
        database = Database(url)
        with database.transaction():
            began = time.monotonic()
            during = server.chat("during")
            assert time.monotonic() - began < 3
            assert "cannot be written" in server.client.get("/health").json()["problem"]
        database.close()
        assert (during.status_code, "x-trimtab-trace" in during.headers) == (200, False)
        wait_until(lambda: "x-trimtab-trace" in server.chat("after").headers)
        texts = [trace.input for trace in server.traces()]
    assert texts[:3] == ["before", "during", "after"], "kept late, though nobody was told so"


def test_a_full_disk_takes_the_acknowledgement_and_nothing_else(folder, url) -> None:
    """The limit on the size of its files stands for the disk: the server meets it at a write."""
    promote(folder, url)
    process, base = start(folder, url)
    acknowledged: list[str] = []

    def ask(text: str) -> bool:
        answer = chat(client, text)
        assert answer.status_code == 200
        found = answer.headers.get("x-trimtab-trace")
        acknowledged.extend([found] if found else [])
        return found is not None

    with httpx.Client(base_url=base, timeout=30) as client:
        assert all(ask(f"Anna {number}") for number in range(5))
        log = Path(f"{url}-wal")
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, most))
        wait_until(lambda: not ask("x" * 20_000))
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "degraded")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        wait_until(lambda: ask("Anna again"))
        assert client.get("/health").status_code == 200
    process.terminate()
    assert process.wait(timeout=30) == 0
    assert len(acknowledged) >= 6
    assert set(acknowledged) <= stored_ids(url)


def test_a_clock_that_jumps_forward_deletes_nothing(url, monkeypatch) -> None:
    clock = SimpleNamespace(time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_PRUNE_EVERY_S", 0.01)
    monkeypatch.setattr(module, "_CHECKPOINT_EVERY_S", 0.01)
    pruned: list[object] = []
    real = module.prune
    monkeypatch.setattr(module, "prune", lambda *asked: pruned.append(asked) or real(*asked))
    database = Database(url)
    add_traces(database, [trace("kept", age=DAY / 2), trace("old", age=2 * DAY)])
    database.close()
    upkeep = Upkeep(lambda: Database(url), "t", DAY)
    wait_until(lambda: [t.input for t in stored(url)] == ["kept"])
    clock.time = lambda: time.time() + timedelta(days=400).total_seconds()
    before = len(pruned)
    wait_until(lambda: len(pruned) > before + 3)
    upkeep.close()
    assert [t.input for t in stored(url)] == ["kept"]
