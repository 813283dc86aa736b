"""The endpoint engine against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from pathlib import Path

import pytest

from trimtab.engine import openai
from trimtab.engine.openai import OpenAIEngine
from trimtab.errors import EngineUnavailable, ModelError
from trimtab.task.spec import ModelSpec
from trimtab.types import (
    HOSTED_FILE,
    Completion,
    Decoding,
    Failed,
    HostedModel,
    Message,
    OutputContract,
    Request,
)

from .endpoint import Endpoint, Reply, answer, echo

LABELS = OutputContract(kind="label", labels=("yes", "no"))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.engine.endpoint._FIRST_WAIT_S", 0.01)


def engine_for(endpoint: Endpoint, **settings: object) -> OpenAIEngine:
    return OpenAIEngine(
        ModelSpec(engine="openai", model="m", base_url=endpoint.url, **settings)  # type: ignore[arg-type]
    )


def ask(text: str = "hello", contract: OutputContract | None = None, seed: int = 0) -> Request:
    return Request(
        messages=(Message(role="system", content="s"), Message(role="user", content=text)),
        decoding=Decoding(max_tokens=7, temperature=0.5, seed=seed, contract=contract),
    )


def only(engine: OpenAIEngine, request: Request | None = None) -> Completion | Failed:
    [(position, result)] = list(engine.generate([request or ask()]))
    assert position == 0
    return result


def test_a_call_sends_all_settings_and_reads_the_usage(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: answer("hi", cached=9)
    result = only(engine_for(endpoint), ask(seed=5))
    assert result == Completion(
        text="hi", finish="stop", tokens_in=12, tokens_cached=9, tokens_out=3
    )
    assert endpoint.paths == ["/v1/chat/completions"]
    assert endpoint.bodies == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}],
            "max_tokens": 7,
            "temperature": 0.5,
            "seed": 5,
        }
    ]


def test_every_request_gets_its_own_answer(endpoint: Endpoint) -> None:
    texts = [f"text {i}" for i in range(40)]
    results = dict(engine_for(endpoint).generate([ask(text) for text in texts]))
    assert [results[i].text for i in range(40)] == texts  # type: ignore[union-attr]


def test_no_requests_no_calls(endpoint: Endpoint) -> None:
    assert list(engine_for(endpoint).generate([])) == []
    assert endpoint.bodies == []


def test_concurrency_is_used_and_never_exceeded(endpoint: Endpoint) -> None:
    def slow(body: dict, call: int) -> Reply:
        reply = echo(body, call)
        reply.wait_s = 0.05
        return reply

    endpoint.script = slow
    list(engine_for(endpoint, concurrency=3).generate([ask() for _ in range(15)]))
    assert endpoint.most_at_once == 3


def test_results_come_as_each_call_ends(endpoint: Endpoint) -> None:
    def first_is_slow(body: dict, call: int) -> Reply:
        reply = echo(body, call)
        reply.wait_s = 0.4 if body["messages"][-1]["content"] == "slow" else 0.0
        return reply

    endpoint.script = first_is_slow
    order = [p for p, _ in engine_for(endpoint).generate([ask("slow"), ask("quick")])]
    assert order == [1, 0]


def test_abandoned_requests_are_not_sent(endpoint: Endpoint) -> None:
    results = engine_for(endpoint, concurrency=1).generate([ask() for _ in range(500)])
    next(results)
    results.close()  # type: ignore[attr-defined]
    time.sleep(0.1)
    sent = len(endpoint.bodies)
    time.sleep(0.2)
    assert len(endpoint.bodies) == sent < 500


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_error_that_passes_is_tried_again(endpoint: Endpoint, status: int) -> None:
    endpoint.script = lambda body, call: Reply(status) if call < 3 else echo(body, call)
    assert isinstance(only(engine_for(endpoint)), Completion)
    assert len(endpoint.bodies) == 3


def test_retry_after_is_waited_for(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: (
        Reply(429, headers={"Retry-After": "0.5"}) if call == 1 else echo(body, call)
    )
    assert isinstance(only(engine_for(endpoint)), Completion)
    assert endpoint.times[1] - endpoint.times[0] >= 0.5


def test_an_endpoint_that_asks_for_a_day_is_not_waited_for(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: Reply(429, headers={"Retry-After": "86400"})
    with pytest.raises(EngineUnavailable, match="try again later"):
        only(engine_for(endpoint))
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(("status", "tries"), [(500, 5), (503, 8)])
def test_an_error_that_stays_fails_the_call(endpoint: Endpoint, status: int, tries: int) -> None:
    endpoint.script = lambda body, call: Reply(status, b"overloaded")
    result = only(engine_for(endpoint))
    assert isinstance(result, Failed)
    assert result.boundary == "server"
    assert "overloaded" in result.message
    assert result.attempts == len(endpoint.bodies) == tries


def test_an_endpoint_that_refuses_all_calls_for_long_stops_the_run(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: echo(body, call) if call < 3 else Reply(429, b"slow down")
    got = []
    with pytest.raises(EngineUnavailable, match=r"slow down.*lower `concurrency`"):
        for result in engine_for(endpoint, concurrency=2).generate([ask()] * 50):
            got.append(result)
    assert [type(result) for _, result in got] == [Completion, Completion]


def test_one_call_that_is_refused_again_and_again_fails_alone(endpoint: Endpoint) -> None:
    def refuse_one(body: dict, call: int) -> Reply:
        return Reply(429) if body["messages"][-1]["content"] == "unlucky" else echo(body, call)

    endpoint.script = refuse_one
    results = dict(
        engine_for(endpoint, concurrency=2).generate([ask("unlucky"), *[ask("fine")] * 30])
    )
    assert isinstance(results[0], Failed)
    assert results[0].boundary == "rate-limit"
    assert all(isinstance(results[i], Completion) for i in range(1, 31))


def test_a_refusal_holds_back_all_calls(endpoint: Endpoint) -> None:
    """The endpoint refuses the sixth call and asks for half a second."""
    endpoint.script = lambda body, call: (
        Reply(429, headers={"Retry-After": "0.5"}) if call == 6 else echo(body, call)
    )
    results = dict(engine_for(endpoint, concurrency=4).generate([ask()] * 40))
    assert all(isinstance(result, Completion) for result in results.values())
    pauses = [b - a for a, b in itertools.pairwise(endpoint.times)]
    assert max(pauses) > 0.4
    # The few calls that were already sent arrive after the refused one.
    assert pauses.index(max(pauses)) < 6 + 4


def test_the_limit_of_an_endpoint_is_learned(endpoint: Endpoint) -> None:
    """It takes three calls at once and was given a concurrency of twelve."""
    at_once = 0

    def three_at_once(body: dict, call: int) -> Reply:
        nonlocal at_once
        at_once = endpoint.now
        reply = echo(body, call) if at_once <= 3 else Reply(429)
        reply.wait_s = 0.02
        return reply

    endpoint.script = three_at_once
    results = [r for _, r in engine_for(endpoint, concurrency=12).generate([ask()] * 150)]
    answered = [r for r in results if isinstance(r, Completion)]
    assert len(answered) == 150
    refused = sum(r.attempts - 1 for r in answered)
    assert len(endpoint.bodies) == 150 + refused
    # Without slowing down, three of four calls would be refused.
    assert 9 <= refused < 100


def test_the_tries_of_an_answer_are_counted(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: Reply(500) if call < 3 else echo(body, call)
    result = only(engine_for(endpoint))
    assert isinstance(result, Completion)
    assert result.attempts == 3
    result = only(engine_for(endpoint))
    assert isinstance(result, Completion)
    assert result.attempts == 1


def test_connections_are_used_again(endpoint: Endpoint) -> None:
    engine = engine_for(endpoint, concurrency=4)
    for _ in range(3):
        list(engine.generate([ask()] * 20))
    assert endpoint.connections <= 4


def test_a_chunk_keeps_all_connections_busy(endpoint: Endpoint) -> None:
    assert engine_for(endpoint, concurrency=4).chunk_size == 128


def test_a_hanging_call_times_out_once_and_others_go_on(endpoint: Endpoint) -> None:
    def hang_one(body: dict, call: int) -> Reply:
        reply = echo(body, call)
        reply.wait_s = 2.0 if body["messages"][-1]["content"] == "hang" else 0.0
        return reply

    endpoint.script = hang_one
    start = time.monotonic()
    results = dict(
        engine_for(endpoint, timeout_seconds=0.3).generate([ask("hang"), ask("a"), ask("b")])
    )
    assert time.monotonic() - start < 1.5
    assert isinstance(results[0], Failed)
    assert results[0].boundary == "timeout"
    assert isinstance(results[1], Completion)
    assert isinstance(results[2], Completion)
    assert len(endpoint.bodies) == 3


def test_trickling_bytes_do_not_outwit_the_time_limit(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: Reply(trickle=True)
    result = only(engine_for(endpoint, timeout_seconds=0.3))
    assert isinstance(result, Failed)
    assert result.boundary == "timeout"


def test_an_endless_body_is_not_read_to_its_end(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "LARGEST_BODY", 1000)
    endpoint.script = lambda body, call: Reply(body=b" " * 10_000_000)
    with pytest.raises(EngineUnavailable, match="not JSON"):
        only(engine_for(endpoint))


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (Reply(401, b'{"error": "bad key"}'), "api_key_env"),
        (Reply(403, b"forbidden"), "api_key_env"),
        (Reply(404, b'{"error": "no such model"}'), "`model`"),
        (Reply(200, b"<html>Welcome to nginx</html>"), "base_url"),
        (Reply(301, b"moved", {"Location": "/"}), "base_url"),
        (Reply(200, b"{]"), "base_url"),
        (Reply(200, b"[" * 100_000), "base_url"),
        (Reply(429, b'{"error": {"code": "insufficient_quota"}}'), "quota"),
        (Reply(400, b'{"error": {"code": "unsupported_parameter"}}'), "max_tokens"),
        (Reply(200, b'{"choices": [{"message": {"content": "x"}}]}'), "usage"),
    ],
)
def test_a_first_answer_that_shows_nothing_can_work_stops_at_once(
    endpoint: Endpoint, reply: Reply, advice: str
) -> None:
    endpoint.script = lambda body, call: reply
    with pytest.raises(EngineUnavailable) as caught:
        list(engine_for(endpoint, concurrency=1).generate([ask()] * 50))
    assert len(endpoint.bodies) == 1
    message = str(caught.value)
    assert endpoint.url in message
    assert advice in message
    if reply.status != 200:
        assert str(reply.status) in message
    assert repr(reply.body.decode()[:20])[1:-1] in message
    assert len(message) < 500


def test_the_same_trouble_after_an_answer_is_one_failed_call(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: echo(body, call) if call != 2 else Reply(404, b"gone")
    results = dict(engine_for(endpoint, concurrency=1).generate([ask(), ask(), ask()]))
    assert [type(results[i]) for i in range(3)] == [Completion, Failed, Completion]
    assert results[1].boundary == "response"  # type: ignore[union-attr]


def test_an_endpoint_that_goes_down_on_the_way_stops_the_run(endpoint: Endpoint) -> None:
    # The third call is made once one of the first two was answered, whichever came first.
    endpoint.script = lambda body, call: echo(body, call) if call <= 2 else Reply(401, b"expired")
    got = []
    with pytest.raises(EngineUnavailable, match="expired"):
        for result in engine_for(endpoint, concurrency=2).generate([ask()] * 100):
            got.append(result)
    assert isinstance(got[0][1], Completion)
    assert len(got) < 30


def test_an_endpoint_that_dies_on_the_way_stops_the_run(endpoint: Endpoint) -> None:
    def die(body: dict, call: int) -> Reply:
        if call == 10:
            endpoint.close()
        return echo(body, call) if call < 10 else Reply(drop=True)

    endpoint.script = die
    got = []
    with pytest.raises(EngineUnavailable, match="is running"):
        for result in engine_for(endpoint, concurrency=2).generate([ask()] * 100):
            got.append(result)
    assert [type(result) for _, result in got] == [Completion] * 9


def test_who_asks_one_by_one_is_told_of_each_lost_call(endpoint: Endpoint) -> None:
    """A server goes on for as long as its callers do, and tells them what happened to theirs."""
    endpoint.script = lambda body, call: Reply(wait_s=0.3)
    engine = engine_for(endpoint, timeout_seconds=0.02)

    async def ask_on() -> list[Completion | Failed]:
        lost = [await engine.answer(ask()) for _ in range(25)]
        endpoint.script = echo
        engine._spec = engine._spec.model_copy(update={"timeout_seconds": 20})
        return [*lost, await engine.answer(ask())]

    *lost, last = asyncio.run(ask_on())
    assert {each.boundary for each in lost if isinstance(each, Failed)} == {"timeout"}
    assert "25 calls in a row were lost" in lost[-1].message  # type: ignore[union-attr]
    assert isinstance(last, Completion)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    engine = OpenAIEngine(
        ModelSpec(engine="openai", model="m", base_url=f"http://127.0.0.1:{port}/v1")
    )
    with pytest.raises(EngineUnavailable, match="ConnectError") as caught:
        only(engine)
    assert "running" in str(caught.value)


def test_an_unknown_host() -> None:
    engine = OpenAIEngine(
        ModelSpec(engine="openai", model="m", base_url="http://no-such-host.invalid/v1")
    )
    with pytest.raises(EngineUnavailable, match=r"no-such-host\.invalid"):
        only(engine)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "context_length_exceeded"}}',
        b'{"message": "This model\'s maximum context length is 2048 tokens"}',
        b'{"error": "the request exceeds the available context size"}',
    ],
)
def test_a_prompt_too_long_is_blamed_on_the_context(endpoint: Endpoint, body: bytes) -> None:
    endpoint.script = lambda _, call: Reply(400, body)
    result = only(engine_for(endpoint))
    assert isinstance(result, Failed)
    assert result.boundary == "context"
    assert len(endpoint.bodies) == 1


def test_a_refused_request_is_its_own_failure_and_no_outage(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: Reply(400, b"response_format is not supported")
    results = list(engine_for(endpoint).generate([ask()] * 50))
    assert all(isinstance(r, Failed) and r.boundary == "response" for _, r in results)
    assert len(results) == 50


def test_a_refused_output_format_is_said_and_stops_nothing(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: (
        Reply(400, b'{"error": "unsupported_value: response_format json_schema"}')
        if "response_format" in body
        else echo(body, call)
    )
    results = dict(engine_for(endpoint).generate([ask(contract=LABELS), ask()]))
    assert isinstance(results[0], Failed)
    assert "refuses the schema in `response_format`" in results[0].message
    assert isinstance(results[1], Completion)


def test_an_ignored_output_format_is_a_failed_call(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: answer("no")
    result = only(engine_for(endpoint), ask(contract=LABELS))
    assert isinstance(result, Failed)
    assert "ignored `response_format`" in result.message


def test_a_constrained_label_is_wrapped_and_unwrapped(endpoint: Endpoint) -> None:
    endpoint.script = lambda body, call: answer('{"label": "no"}')
    result = only(engine_for(endpoint), ask(contract=LABELS))
    assert isinstance(result, Completion)
    assert result.text == "no"
    sent = endpoint.bodies[0]
    schema = sent["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["label"]["enum"] == ["yes", "no"]
    assert sent["max_tokens"] > 7


def test_the_key_is_sent_and_never_shown(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SOME_KEY", "sk-secret-1")
    endpoint.script = lambda body, call: Reply(401, b"Incorrect API key: sk-secret-1")
    engine = engine_for(endpoint, api_key_env="SOME_KEY")
    with pytest.raises(EngineUnavailable) as caught:
        only(engine)
    assert endpoint.headers[0]["authorization"] == "Bearer sk-secret-1"
    assert "sk-secret-1" not in f"{caught.value!r} {engine.model_id} {caplog.text}"


def test_without_a_key_no_authorization_is_sent(endpoint: Endpoint) -> None:
    only(engine_for(endpoint))
    assert "authorization" not in endpoint.headers[0]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_names_its_variable(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("SOME_KEY", value)
    with pytest.raises(ModelError, match="SOME_KEY"):
        engine_for(endpoint, api_key_env="SOME_KEY")


@pytest.mark.parametrize(
    "base_url", [None, "localhost:8000", "ftp://x/v1", "http://", "http://localhost:port/v1"]
)
def test_a_base_url_that_cannot_work_is_refused(base_url: str | None) -> None:
    with pytest.raises(ModelError, match="base_url"):
        OpenAIEngine(ModelSpec(engine="openai", model="m", base_url=base_url))


def test_an_adapter_folder_is_refused(endpoint: Endpoint) -> None:
    request = ask().model_copy(update={"adapter": "adapters/a"})
    with pytest.raises(ModelError, match="adapters/a"):
        only(engine_for(endpoint), request)
    assert endpoint.bodies == []


def test_a_fine_tune_that_the_endpoint_trained_is_asked_for_by_its_name(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    hosted = HostedModel(
        model="ft:m:1",
        base="m",
        job="j",
        trained_tokens=None,
        money=None,
        training_sha256="0" * 64,
    )
    (tmp_path / HOSTED_FILE).write_text(hosted.model_dump_json())
    engine = engine_for(endpoint)
    only(engine, ask().model_copy(update={"adapter": str(tmp_path)}))
    only(engine, ask())
    engine.time_call(ask().model_copy(update={"adapter": str(tmp_path)}))
    assert [body["model"] for body in endpoint.bodies] == ["ft:m:1", "m", "ft:m:1"]
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / HOSTED_FILE).write_text(hosted.model_dump_json()[:-5])
    with pytest.raises(ModelError, match=r"hosted\.json back"):
        only(engine, ask().model_copy(update={"adapter": str(tmp_path / "torn")}))


def test_time_call_measures_one_try(endpoint: Endpoint) -> None:
    def slow(body: dict, call: int) -> Reply:
        reply = echo(body, call) if call == 1 else Reply(500)
        reply.wait_s = 0.2
        return reply

    endpoint.script = slow
    engine = engine_for(endpoint)
    timed = engine.time_call(ask())
    assert isinstance(timed, Completion)
    assert timed.latency_s is not None
    assert 0.2 <= timed.latency_s < 1
    failed = engine.time_call(ask())
    assert isinstance(failed, Failed)
    assert len(endpoint.bodies) == 2


def test_generate_gives_no_latency(endpoint: Endpoint) -> None:
    result = only(engine_for(endpoint))
    assert isinstance(result, Completion)
    assert result.latency_s is None


def test_it_works_inside_a_running_loop(endpoint: Endpoint) -> None:
    async def notebook() -> Completion | Failed:
        return only(engine_for(endpoint))

    assert isinstance(asyncio.run(notebook()), Completion)


def test_the_model_id_names_endpoint_and_model_without_credentials() -> None:
    spec = ModelSpec(engine="openai", model="org/m", base_url="https://u:pw@host.example:8443/v1/")
    assert OpenAIEngine(spec).model_id == "openai:host.example:8443/v1:org/m"


def test_tokens_are_estimated_from_characters(endpoint: Endpoint) -> None:
    messages = [Message(role="user", content="12345678"), Message(role="user", content="9")]
    assert engine_for(endpoint).count_tokens(messages) == 3
