"""A trace that was acknowledged is in the database; what must not be stored is not."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trimtab.engine.fake import FakeEngine
from trimtab.errors import DatabaseUnavailable, TaskError
from trimtab.serve import capture as module
from trimtab.serve.calls import Busy, Served
from trimtab.serve.capture import Capture, Upkeep
from trimtab.serve.live import Live
from trimtab.serve.metrics import Metrics
from trimtab.serve.redact import Redactor
from trimtab.serve.service import Service
from trimtab.serve.settings import CaptureSettings, ServeSettings, load_settings
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed
from trimtab.store.traces import Trace, add_traces, new_id, read_traces

from .servers import FIXED, promote, running, wait_until

DAY = timedelta(days=1)


def trace(text: str = "in", age: timedelta = timedelta()) -> Trace:
    moment = datetime.now(UTC) - age
    return Trace(
        id=new_id(moment.timestamp()),
        task="t",
        time=moment,
        role="champion",
        variant="v",
        run="r",
        deployment=1,
        input=text,
        output="out",
        valid=True,
        latency_s=0.1,
    )


def stored(url: str) -> list[Trace]:
    database = Database(url)
    found = list(read_traces(database, "t"))
    database.close()
    return found


def capturing(url: str, open_database=None) -> Capture:
    return Capture(open_database or (lambda: Database(url)), lambda text: text)


def test_what_is_acknowledged_can_be_read_by_others_at_once(database_url) -> None:
    capture = capturing(database_url)
    for _ in range(5):
        written = trace()
        assert capture.put(written).result(timeout=20)
        assert written in stored(database_url)
    capture.close()


def test_many_go_into_few_commits(url, monkeypatch) -> None:
    commits: list[int] = []

    def counted(database, traces) -> None:
        commits.append(len(traces))
        add_traces(database, traces)

    monkeypatch.setattr(module, "add_traces", counted)
    capture = capturing(url)
    futures = [capture.put(trace(str(i))) for i in range(2000)]
    assert all(future.result(timeout=20) for future in futures)
    capture.close()
    assert len(stored(url)) == sum(commits) == 2000
    assert len(commits) < 500


def test_closing_writes_what_waits_and_takes_no_more(url) -> None:
    capture = capturing(url)
    futures = [capture.put(trace(str(i))) for i in range(300)]
    capture.close()
    assert all(future.result(timeout=0) for future in futures)
    assert len(stored(url)) == 300
    assert capture.put(trace()).result(timeout=0) is False


class Flaky:
    """Opens a database that is not there for the first `failures` times."""

    def __init__(self, url: str, failures: int) -> None:
        self.url, self.failures = url, failures

    def __call__(self) -> Database:
        self.failures -= 1
        if self.failures >= 0:
            raise DatabaseUnavailable("down")
        return Database(self.url)


def test_a_lost_connection_is_made_anew(url) -> None:
    capture = capturing(url, Flaky(url, failures=1))
    assert capture.put(trace()).result(timeout=20)
    capture.close()


def test_a_database_that_is_down_acknowledges_nothing_and_recovers(url) -> None:
    flaky = Flaky(url, failures=3)
    capture = capturing(url, flaky)
    assert capture.put(trace("lost")).result(timeout=20) is False
    assert capture.healthy is False
    wait_until(lambda: capture.put(trace("kept")).result(timeout=20))
    assert capture.healthy
    assert {t.input for t in stored(url)} == {"kept"}
    capture.close()


def test_old_traces_are_deleted_without_being_asked(url) -> None:
    database = Database(url)
    old = [trace(f"old {i}", age=2 * DAY) for i in range(450)]
    add_traces(database, [*old, trace("new", age=DAY / 2)])
    database.close()
    upkeep = Upkeep(lambda: Database(url), "t", DAY)
    wait_until(lambda: [t.input for t in stored(url)] == ["new"])
    upkeep.close()


def test_the_log_of_sqlite_stays_small_while_traces_come(url, monkeypatch) -> None:
    monkeypatch.setattr(module, "_CHECKPOINT_EVERY_S", 0.01)
    upkeep, capture = Upkeep(lambda: Database(url), "t", DAY), capturing(url)
    for _ in range(20):
        assert capture.put(trace("x" * 50_000)).result(timeout=20)
    wait_until(lambda: Path(url).stat().st_size > 20 * 50_000)
    capture.close()
    upkeep.close()
    assert len(stored(url)) == 20


def test_an_answer_is_given_though_its_trace_is_lost(folder, url, monkeypatch) -> None:
    def fails(database, traces) -> None:
        raise DatabaseUnavailable("the disk is full")

    promote(folder, url)
    with running(folder, url) as server:
        monkeypatch.setattr(module, "add_traces", fails)
        answer = server.chat()
        assert answer.status_code == 200
        assert "x-trimtab-trace" not in answer.headers, "nothing was stored, so nothing is claimed"
        assert server.metric('trimtab_traces_total{result="lost"}') == 1
        assert server.client.get("/health").status_code == 503
        monkeypatch.undo()
        assert "x-trimtab-trace" in server.chat().headers
        assert server.client.get("/health").status_code == 200


def test_texts_are_masked_before_they_are_stored(folder, url) -> None:
    settings = ServeSettings(capture=CaptureSettings(redact=(r"\bCASE-\d+\b",)))
    promote(folder, url)
    with running(folder, url, settings) as server:
        server.chat("Anna, anna@example.org, CASE-123")
        server.chat("nothing to hide")
        hidden, plain = server.traces()
    assert "anna@example.org" not in hidden.input
    assert "CASE-123" not in hidden.input
    assert hidden.redacted
    assert (plain.input, plain.redacted) == ("nothing to hide", False)
    assert b"CASE-123" not in Path(url).read_bytes()


def test_redaction_is_as_set() -> None:
    text = "Anna, anna@example.org, CASE-123"
    assert Redactor(CaptureSettings(personal_data="keep"))(text) == text
    masked = Redactor(CaptureSettings(redact=("CASE",)))(text)
    assert "[redacted]-123" in masked
    assert re.search(r"\*+@\*+\.\*rg", masked)


def test_a_share_of_good_answers_is_kept_with_its_weight(folder, url) -> None:
    settings = ServeSettings(capture=CaptureSettings(share=0.25))
    promote(folder, url)
    with running(folder, url, settings) as server:
        answers = [server.chat(f"Anna {i} Brown") for i in range(200)]
        traces = server.traces()
    acknowledged = {a.headers.get("x-trimtab-trace") for a in answers} - {None}
    assert {t.id for t in traces} == acknowledged
    assert 20 < len(traces) < 85
    assert {t.weight for t in traces} == {4.0}


def test_invalid_answers_are_kept_whatever_the_share(folder, url, decision) -> None:
    settings = ServeSettings(capture=CaptureSettings(share=0.01))
    free = next(v.id for v in decision.variants if v.name in FIXED)
    promote(folder, url, free)

    def make(spec, progress) -> FakeEngine:
        return FakeEngine(lambda messages, decoding: "neither of them", model_id="fake:m")

    with running(folder, url, settings, make=make) as server:
        answers = [server.chat() for _ in range(5)]
        assert {a.headers["x-trimtab-valid"] for a in answers} == {"false"}
        assert len(server.traces()) == 5
        assert {t.weight for t in server.traces()} == {1.0}
        assert all("is not one of" in t.problem for t in server.traces())


class Full:
    """A dispatcher whose queue is full."""

    def submit(self, call, *, background=False):
        raise Busy


def test_a_shadow_that_cannot_keep_up_is_skipped_and_counted(folder, url) -> None:
    promote(folder, url)
    with running(folder, url) as server:
        now = server.server._service.live
        deployed = Deployed(run="r", variant="slow", name="slow")
        slow = Served(deployed, now.champion.predictor, Full())  # type: ignore[arg-type]
        server.server._service.live = Live(now.number, now.champion, shadow=slow)
        assert server.chat().status_code == 200
        assert server.metric("trimtab_shadow_skipped_total") == 1
        assert [t.role for t in server.traces()] == ["champion"]


def test_an_answer_does_not_wait_for_a_database_that_hangs(url, monkeypatch) -> None:
    monkeypatch.setattr("trimtab.serve.service._ACKNOWLEDGE_S", 0.05)
    monkeypatch.setattr(module, "add_traces", lambda database, traces: time.sleep(1))

    async def keep() -> bool:
        capture = capturing(url)
        service = Service("t", ServeSettings(), capture, Metrics())
        kept = await service._keep(trace())
        capture.close()
        return kept

    assert asyncio.run(keep()) is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("capture:\n  redact: ['(']\n", r"serve.yaml:2: capture.redact: .*no regular expression"),
        ("limits:\n  body_byte: 3\n", "serve.yaml:2: .*did you mean 'body_bytes'"),
        ("capture:\n  share: 0\n", "serve.yaml:2: "),
        ("- a\n", "serve.yaml:1: "),
    ],
)
def test_mistakes_in_the_settings_are_shown_with_their_line(tmp_path, text, message) -> None:
    (tmp_path / "serve.yaml").write_text(text)
    with pytest.raises(TaskError, match=message):
        load_settings(tmp_path)


def test_without_a_file_the_defaults_hold(tmp_path) -> None:
    assert load_settings(tmp_path) == ServeSettings()
