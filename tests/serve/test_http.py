"""Odd, large, frequent and forbidden requests get an answer in OpenAI's shape, never a crash."""

from __future__ import annotations

import json
import threading

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.engine.fake import FakeEngine
from trimtab.serve.settings import Limits, ServeSettings
from trimtab.store.database import Database
from trimtab.store.keys import add_key, list_keys, revoke_key
from trimtab.types import Failed

from .servers import promote, running, wait_until

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = (
    "model", "messages", "prompt", "stream", "stream_options", "n", "tools", "user", "role",
    "content", "trace", "rating", "correction", "comment",
)  # fmt: skip
BODIES = st.dictionaries(
    st.sampled_from(FIELDS),
    JSON
    | st.just("names")
    | st.lists(st.dictionaries(st.sampled_from(["role", "content"]), JSON | st.just("user"))),
)
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/feedback")


def check_error(answer: httpx.Response, status: int) -> dict:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), body=BODIES | JSON, named=st.booleans())
def test_odd_bodies_are_refused_and_never_break_anything(server, path, body, named) -> None:
    if named and isinstance(body, dict):
        body["model"] = "names"
    answer = server.client.post(path, content=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        check_error(answer, answer.status_code)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b'{"model": "names"}', b"null"],
    ids=lambda body: repr(body[:12]),
)
@pytest.mark.parametrize("path", PATHS)
def test_bodies_that_are_no_calls(server, path, body) -> None:
    check_error(server.client.post(path, content=body), 400)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_surrogate_pair_is_no_input(server, text) -> None:
    assert "surrogate" in check_error(server.chat(text), 400)["message"]
    assert server.traces() == []


@pytest.mark.parametrize("text", ["\u0000", "\u2028\u0085", "{{ input }} {% raw %}", "<|im_end|>"])
def test_odd_characters_are_an_input_like_any_other(server, text) -> None:
    answer = server.chat(text + "x")
    assert answer.status_code == 200
    assert server.traces()[0].input == text + "x"


def test_paths_and_methods_that_are_not_there(server) -> None:
    check_error(server.client.get("/v1/other"), 404)
    check_error(server.client.get("/v1/chat/completions"), 405)


def test_the_caller_learns_which_messages_were_left_out(server) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "Anna"}]
    body = {"model": "names", "messages": messages}
    answer = server.client.post("/v1/chat/completions", json=body)
    assert answer.headers["x-trimtab-left-out"] == "1"
    assert "x-trimtab-left-out" not in server.chat().headers


def test_nothing_is_answered_before_a_promotion(folder, url) -> None:
    with running(folder, url) as server:
        assert "promoted yet" in check_error(server.chat(), 503)["message"]
        assert server.client.get("/health").status_code == 503
        promote(folder, url)
        wait_until(lambda: server.chat().status_code == 200)
        health = server.client.get("/health")
        assert (health.status_code, health.json()["deployment"]) == (200, 1)


def limited(**limits: object) -> ServeSettings:
    return ServeSettings(limits=Limits(**limits))  # type: ignore[arg-type]


def test_a_large_body_is_refused_whether_announced_or_not(folder, url) -> None:
    promote(folder, url)
    with running(folder, url, limited(body_bytes=500)) as server:
        check_error(server.chat("x" * 1000), 413)
        pieces = iter([b'{"model": "names", '] + [b" " * 100] * 100)
        check_error(server.client.post("/v1/chat/completions", content=pieces), 413)
        assert server.chat().status_code == 200
        assert server.metric('trimtab_refused_total{status="413"}') == 2


def test_calls_beyond_the_rate_are_told_when_to_come_back(folder, url) -> None:
    promote(folder, url)
    with running(folder, url, limited(calls_per_minute=30)) as server:
        answers = [server.chat() for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert check_error(answers[-1], 429)["code"] == "rate_limit_exceeded"
        assert int(answers[-1].headers["retry-after"]) >= 1


class Blocked:
    """An engine that answers once it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.under_way = 0

    def make(self, spec, progress) -> FakeEngine:
        def answer(messages, decoding) -> str:
            self.under_way += 1
            assert self.go.wait(20)
            return "person"

        return FakeEngine(answer, model_id="fake:m")


@pytest.fixture
def blocked():
    engine = Blocked()
    yield engine
    engine.go.set()


def in_threads(server, count: int) -> tuple[list[threading.Thread], list[httpx.Response]]:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(server.chat())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, answers


def test_calls_beyond_those_at_a_time_are_refused(folder, url, blocked) -> None:
    promote(folder, url)
    with running(folder, url, limited(concurrent_calls=2), make=blocked.make) as server:
        threads, answers = in_threads(server, 1)
        wait_until(lambda: blocked.under_way == 1)
        more, later = in_threads(server, 1)
        wait_until(lambda: server.loader.waiting() == 1)
        assert check_error(server.chat(), 429)["code"] == "concurrency_limit"
        blocked.go.set()
        for thread in threads + more:
            thread.join()
        assert [answer.status_code for answer in answers + later] == [200, 200]
        assert server.chat().status_code == 200


def test_calls_beyond_those_that_may_wait_are_refused(folder, url, blocked) -> None:
    promote(folder, url)
    with running(folder, url, limited(waiting_calls=1), make=blocked.make) as server:
        threads, answers = in_threads(server, 1)
        wait_until(lambda: blocked.under_way == 1)
        more, later = in_threads(server, 1)
        wait_until(lambda: server.loader.waiting() == 1)
        refused = server.chat()
        assert check_error(refused, 503)["code"] == "unavailable"
        assert refused.headers["retry-after"] == "1"
        blocked.go.set()
        for thread in threads + more:
            thread.join()
        assert [answer.status_code for answer in answers + later] == [200, 200]


def test_a_call_that_lasts_too_long_ends_with_its_trace(folder, url, blocked) -> None:
    promote(folder, url)
    with running(folder, url, limited(timeout_seconds=0.2), make=blocked.make) as server:
        assert check_error(server.chat(), 504)["code"] == "timeout"
        (trace,) = server.traces()
        assert (trace.output, trace.valid) == (None, None)
        assert trace.problem.startswith("timeout")
        blocked.go.set()


@pytest.mark.parametrize(
    ("boundary", "status"),
    [("connection", 502), ("server", 502), ("rate-limit", 429), ("context", 400)],
)
def test_a_call_that_fails_says_where_and_nothing_from_inside(
    folder, url, boundary, status
) -> None:
    def make(spec, progress) -> FakeEngine:
        failed = Failed(boundary=boundary, message="the secret inside")
        return FakeEngine(fail=lambda request: failed, model_id="fake:m")

    promote(folder, url)
    with running(folder, url, make=make) as server:
        assert "secret" not in str(check_error(server.chat(), status))
        (trace,) = server.traces()
        assert trace.problem == f"{boundary}: the secret inside"
        assert server.metric(f'trimtab_calls_total{{outcome="{boundary}",role="champion"}}') == 1


def test_an_engine_that_raises_breaks_one_call_and_no_more(folder, url) -> None:
    def answer(messages, decoding) -> str:
        if "bad" in messages[-1].content:
            raise ZeroDivisionError
        return "person"

    def make(spec, progress) -> FakeEngine:
        return FakeEngine(answer, model_id="fake:m")

    promote(folder, url)
    with running(folder, url, make=make) as server:
        check_error(server.chat("bad"), 502)
        assert server.chat("good").status_code == 200


def test_keys_are_asked_for_once_there_is_one(server, url) -> None:
    assert server.chat().status_code == 200
    database = Database(url)
    key = add_key(database, "names", "n", "w")
    wait_until(lambda: server.chat().status_code == 401)
    for wrong in ("", "Bearer", "Bearer tt_wrong", f"Basic {key}", key, "Bearer né"):
        answer = server.chat(headers={"authorization": wrong.encode("latin-1")})
        assert check_error(answer, 401)["code"] == "invalid_api_key"
    allowed = {"authorization": f"Bearer {key}"}
    assert server.chat(headers=allowed).status_code == 200
    assert server.client.get("/v1/models").status_code == 401
    assert server.client.get("/health").status_code == 200
    revoke_key(database, "names", list_keys(database, "names")[0].id)
    wait_until(lambda: server.chat(headers=allowed).status_code == 401)
    database.close()


def test_the_rate_is_that_of_each_key(folder, url) -> None:
    promote(folder, url)
    database = Database(url)
    keys = [add_key(database, "names", "n", "w") for _ in range(2)]
    database.close()
    with running(folder, url, limited(calls_per_minute=10)) as server:
        for key in keys:
            headers = {"authorization": f"Bearer {key}"}
            statuses = [server.chat(headers=dict(headers)).status_code for _ in range(2)]
            assert statuses == [200, 429]


def test_feedback_needs_a_trace_and_something_to_say(server) -> None:
    trace = server.chat().headers["x-trimtab-trace"]

    def say(**fields: object) -> httpx.Response:
        return server.client.post("/v1/feedback", json={"trace": trace} | fields)

    assert say(rating="down", correction="company", comment="wrong").status_code == 201
    assert say(trace=f"chatcmpl-{trace}", rating="up").status_code == 201
    check_error(say(), 400)
    check_error(say(rating="good"), 400)
    check_error(say(rating="up", colour="red"), 400)
    assert "breaks the task's contract" in check_error(say(correction="neither"), 400)["message"]
    check_error(say(trace="0" * 28, rating="up"), 404)
    check_error(say(trace="; DROP TABLE", rating="up"), 400)


def test_metrics_count_what_happened(server) -> None:
    for _ in range(3):
        server.chat()
    assert server.metric('trimtab_calls_total{outcome="ok",role="champion"}') == 3
    assert server.metric('trimtab_traces_total{result="stored"}') == 3
    assert server.metric('trimtab_call_seconds_count{role="champion"}') == 3
    assert server.metric("trimtab_deployment") == 1
    assert "Anna" not in server.client.get("/metrics").text
