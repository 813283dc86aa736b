"""Calls to an endpoint: in rounds, side by side, and lost in every way that calls are lost."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from engine.endpoint import Endpoint, Reply, answer, echo
from trimtab.engine import openai
from trimtab.engine.openai import OpenAIEngine
from trimtab.predictor import load
from trimtab.serve import endpoint as module
from trimtab.serve.calls import Busy, Call, Served
from trimtab.serve.endpoint import EndpointCalls, Wire
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed
from trimtab.store.deployments import promote as record
from trimtab.types import Prompt, Variant

from .servers import decided_task, running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch) -> None:
    monkeypatch.setattr("trimtab.engine.endpoint._FIRST_WAIT_S", 0.01)


@pytest.fixture(scope="module")
def upstream():
    server = Endpoint()
    server.script = lambda body, call: answer("person")
    yield server
    server.close()


@pytest.fixture(scope="module")
def decided(upstream, tmp_path_factory):
    root = tmp_path_factory.mktemp("endpoint")
    spec = {
        "engine": "openai",
        "model": "m",
        "base_url": upstream.url,
        "concurrency": 3,
        "api_key_env": "UPSTREAM_KEY",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        patch.setenv("UPSTREAM_KEY", "sk-secret")
        decided_task(root / "task", models={"prompt": spec, "tune": None})
    return root / "task"


@pytest.fixture
def serving(decided, upstream, url, monkeypatch):
    """A server of a variant with these changes; what it asks of the endpoint is in `upstream`."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-secret")
    started = []

    def start(**changes: object):
        path = next(decided.glob("runs/*-*/verdict.json"))
        decision = json.loads(path.read_text())
        plain = Variant(
            name="plain",
            arm="prompt",
            model=decision["variants"][0]["model"],
            prompt=Prompt(system="Say who."),
            max_tokens=8,
        ).model_copy(update=changes)
        decision["variants"].append(plain.model_dump(mode="json", by_alias=True))
        path.write_text(json.dumps(decision))
        database = Database(url)
        deployed = Deployed(run=path.parent.name, variant=plain.id, name="plain")
        record(database, "names", deployed, "champion", 0.1, "w", "y")
        database.close()
        context = running(decided, url)
        server = context.__enter__()
        started.append(context)
        for kept in (upstream.bodies, upstream.headers, upstream.times):
            kept.clear()
        upstream.most_at_once = 0
        return server

    yield start
    for context in started:
        context.__exit__(None, None, None)
    upstream.script = lambda body, call: answer("person")


def said(reply) -> str:
    return reply.json()["choices"][0]["message"]["content"]


def test_the_call_carries_the_variant_and_the_upstream_key(serving, upstream) -> None:
    server = serving()
    reply = server.chat("Ada né 😀", headers={"authorization": "Bearer callers-own"})
    assert said(reply) == "person"
    (body,), (headers,) = upstream.bodies, upstream.headers
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["messages"][-1]["content"] == "Ada né 😀"
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 8, 0.0)
    assert headers["authorization"] == "Bearer sk-secret"
    assert reply.json()["usage"]["prompt_tokens"] == 12


def test_an_answer_that_breaks_the_contract_is_asked_for_again(serving, upstream) -> None:
    upstream.script = lambda body, call: answer("nobody" if len(body["messages"]) < 6 else "person")
    server = serving(retries=3)
    reply = server.chat()
    assert (said(reply), reply.headers["x-trimtab-valid"]) == ("person", "true")
    assert [len(body["messages"]) for body in upstream.bodies] == [2, 4, 6]
    assert reply.json()["usage"]["prompt_tokens"] == 36, "all rounds are billed"
    (trace,) = server.traces()
    assert (trace.tokens_in, trace.valid) == (36, True)


def test_an_answer_that_stays_wrong_is_given_and_marked(serving, upstream) -> None:
    upstream.script = lambda body, call: answer("nobody")
    server = serving(retries=1)
    reply = server.chat()
    assert (reply.status_code, said(reply)) == (200, "nobody")
    assert reply.headers["x-trimtab-valid"] == "false"
    assert len(upstream.bodies) == 2
    assert server.traces()[0].valid is False


def test_a_variant_that_thinks_first_does_so_here(serving, upstream) -> None:
    upstream.script = lambda body, call: answer(
        "Let me think." if len(body["messages"]) == 2 else "company"
    )
    reply = serving(reason=True).chat()
    assert said(reply) == "company"
    assert upstream.bodies[1]["messages"][2]["content"] == "Let me think."


def test_calls_go_side_by_side_but_never_more_than_allowed(serving, upstream) -> None:
    def slow(body: dict, call: int) -> Reply:
        reply = answer(body["messages"][-1]["content"].split()[0])
        reply.wait_s = 0.05
        return reply

    upstream.script = slow
    server = serving()
    replies = {}

    def ask(label: str, i: int) -> None:
        replies[label, i] = said(server.chat(f"{label} {i}"))

    threads = [
        threading.Thread(target=ask, args=(label, i))
        for label in ("person", "company")
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(text == label for (label, _), text in replies.items())
    assert upstream.most_at_once == 3


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(drop=True), 502),
        (Reply(500, b"oops"), 502),
        (Reply(400, b"maximum context length"), 400),
        (Reply(200, b"no json"), 502),
        (Reply(200, b"x" * 5000), 502),
        (Reply(401, b"bad key"), 502),
    ],
    ids=["hung up", "500", "context", "no json", "endless", "key"],
)
def test_lost_calls_are_told_and_kept_and_the_next_one_works(
    serving, upstream, monkeypatch, reply, status
) -> None:
    monkeypatch.setattr(module, "LARGEST_BODY", 1000)
    server = serving()
    upstream.script = lambda body, call: reply
    refused = server.chat()
    assert refused.status_code == status
    assert "sk-secret" not in refused.text
    upstream.script = echo
    assert said(server.chat("person")) == "person"
    lost, kept = server.traces()
    assert (lost.output, kept.output) == (None, "person")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_endpoint_cannot_send_a_call_elsewhere(serving, upstream, status) -> None:
    """Else it could have the server ask what only machines beside it may."""
    trap = Endpoint()
    trap.script = lambda body, call: answer("person")
    server = serving()
    where = {"location": f"{trap.url}/chat/completions"}
    upstream.script = lambda body, call: Reply(status, b"elsewhere", where)
    assert server.chat().status_code == 502
    assert trap.connections == 0
    assert server.traces()[0].problem.startswith(f"response: status {status}")
    trap.close()


def test_an_endpoint_that_is_gone_is_a_failed_call(decided, serving, upstream, monkeypatch) -> None:
    server = serving()
    monkeypatch.setattr(
        server.server._service.live.champion.predictor.engine,
        "_url",
        openai.httpx.URL("http://127.0.0.1:9/v1/chat/completions"),
    )
    assert server.chat().status_code == 502
    assert server.traces()[0].problem.startswith("connection")


def test_a_shadow_gives_way_to_calls(decided, monkeypatch) -> None:
    """Where calls wait for the endpoint, the shadow is skipped."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-secret")
    predictor = load(next(decided.glob("runs/*-*")))
    assert isinstance(predictor.engine, OpenAIEngine)

    async def crowd() -> None:
        calls = EndpointCalls(predictor.engine, Wire(), most_waiting=2)
        served = Served(Deployed(run="r", variant="v", name="n"), predictor, calls)
        call = Call("0", "Anna", served)
        for _ in range(3):
            calls.submit(call, background=True)
        assert calls.waiting == 0
        calls.submit(call)
        with pytest.raises(Busy):
            calls.submit(call, background=True)
        calls.submit(call)
        with pytest.raises(Busy):
            calls.submit(call)
        await calls.finish()

    asyncio.run(crowd())
