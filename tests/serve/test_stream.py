"""Free text is sent as it is written; a caller who hangs up is not written for."""

from __future__ import annotations

import json
import threading

import httpx
import openai
import pytest

from trimtab.serve.calls import Served
from trimtab.serve.settings import Limits, ServeSettings
from trimtab.store.deployments import Deployed
from trimtab.types import Failed, OutputContract

from .servers import FIXED, decided_task, promote, running, wait_until
from .stepping import ANSWER, WordByWord

WORDS = [word + " " for word in ANSWER.split(" ")]
WORDS[-1] = WORDS[-1].rstrip()


@pytest.fixture(scope="module")
def free_text(tmp_path_factory):
    """A task of free text with a finished run, and the id of a variant that fits `WordByWord`."""
    root = tmp_path_factory.mktemp("text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        decision = decided_task(root / "task", output={"kind": "text"}, metric="normalized_exact")
    return root / "task", next(v.id for v in decision.variants if v.name == FIXED[0])


@pytest.fixture
def serving(free_text, url, writer):
    """Starts a server of the task of free text; settings are its limits."""
    folder, variant = free_text
    promote(folder, url, variant)

    def start(engine: WordByWord = writer, **limits: object):
        settings = ServeSettings(limits=Limits(**limits))  # type: ignore[arg-type]
        return running(folder, url, settings, make=engine.make)

    return start


def streamed(server, **fields: object):
    client = openai.OpenAI(base_url=f"{server.base}/v1", api_key="-", max_retries=0)
    messages = [{"role": "user", "content": "Anna"}]
    return client.chat.completions.create(model="names", messages=messages, stream=True, **fields)


def events(body: str) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def test_each_word_comes_when_it_is_written(serving, writer) -> None:
    with serving() as server:
        writer.let(1)
        chunks = iter(streamed(server, stream_options={"include_usage": True}))
        assert next(chunks).choices[0].delta.role == "assistant"
        for word in WORDS[:-1]:
            assert next(chunks).choices[0].delta.content == word
            assert len(writer.under_way) == 1, "the answer is not over"
            writer.let(1)
        assert next(chunks).choices[0].delta.content == WORDS[-1]
        last, usage = chunks
        (trace,) = server.traces()
        assert last.choices[0].finish_reason == "stop"
        assert last.model_extra["trimtab"] == {"trace": trace.id, "valid": True}
        assert last.id == f"chatcmpl-{trace.id}"
        assert usage.usage.completion_tokens == trace.tokens_out
        assert trace.output == ANSWER


@pytest.mark.parametrize("form", ["chat", "text"])
def test_a_stream_holds_the_same_bytes(serving, writer, form) -> None:
    writer.free.set()
    path, body = "/v1/completions", {"model": "names", "prompt": "Anna"}
    if form == "chat":
        path = "/v1/chat/completions"
        body = {"model": "names", "messages": [{"role": "user", "content": "Anna"}]}
    with serving() as server:
        whole = server.client.post(path, json=body)
        stream = server.client.post(path, json=body | {"stream": True})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.endswith("data: [DONE]\n\n")
    choices = [event["choices"][0] for event in events(stream.text)]
    if form == "chat":
        joined = "".join(choice["delta"].get("content", "") for choice in choices)
        assert joined == whole.json()["choices"][0]["message"]["content"] == ANSWER
    else:
        assert "".join(choice["text"] for choice in choices) == ANSWER
    for name in ("x-trimtab-variant", "x-trimtab-role"):
        assert stream.headers[name] == whole.headers[name]
    assert "x-trimtab-trace" not in stream.headers, "it is not kept when the head is sent"
    assert "x-trimtab-trace" in whole.headers


def test_a_reader_who_goes_away_frees_the_row_and_the_place_of_the_key(serving, writer) -> None:
    body = {"model": "names", "messages": [{"role": "user", "content": "Anna"}], "stream": True}
    with serving(concurrent_calls=1) as server:
        writer.let(2)
        with server.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            texts = answer.iter_text()  # the connection is closed where this is let go
            assert "Größe" in next(texts)
            assert server.chat().status_code == 429
        wait_until(lambda: len(writer.left) == 1)
        wait_until(lambda: len(server.traces()) == 1)
        (trace,) = server.traces()
        assert (trace.output, trace.problem) == (
            None,
            "timeout: the caller hung up before the answer",
        )
        writer.free.set()
        wait_until(lambda: server.chat().status_code == 200)


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_hangs_up_before_the_first_word_frees_the_row(serving, writer, stream) -> None:
    body = {"model": "names", "messages": [{"role": "user", "content": "Anna"}], "stream": stream}
    with serving() as server:
        with pytest.raises(httpx.ReadTimeout):
            server.client.post("/v1/chat/completions", json=body, timeout=0.3)
        wait_until(lambda: len(writer.left) == 1)
        wait_until(lambda: len(server.traces()) == 1)
        assert "hung up" in server.traces()[0].problem
        counted = 'trimtab_calls_total{outcome="timeout",role="champion"}'
        wait_until(lambda: server.metric(counted) == 1)


def test_a_call_that_lasts_too_long_leaves_the_engine(serving, writer) -> None:
    with serving(timeout_seconds=0.2) as server:
        assert server.chat().status_code == 504
        wait_until(lambda: len(writer.left) == 1)
        with pytest.raises(openai.APIStatusError) as caught:
            list(streamed(server))
        assert caught.value.status_code == 504
        writer.let(1)
        with pytest.raises(openai.APIError, match="timeout"):
            list(streamed(server))
        wait_until(lambda: len(writer.left) == 3)


def test_what_fails_before_the_first_word_is_refused(serving) -> None:
    failed = Failed(boundary="context", message="inside")
    engine = WordByWord(fail=lambda request: failed)
    engine.free.set()
    with serving(engine) as server, pytest.raises(openai.BadRequestError, match="too long"):
        streamed(server)


def test_what_fails_in_the_middle_is_told_in_the_stream(serving, writer) -> None:
    writer.breaks_after = 2
    writer.free.set()
    with serving() as server:
        seen = []
        with pytest.raises(openai.APIError, match="the model could not answer"):
            for chunk in streamed(server):
                seen.append(chunk.choices[0].delta.content)
        assert seen == ["", *WORDS[:2]]
        assert server.traces()[0].output is None
        assert server.metric('trimtab_refused_total{status="502"}') == 1


def test_an_invalid_answer_is_marked_at_its_end(serving) -> None:
    engine = WordByWord("\n \n")
    engine.free.set()
    with serving(engine) as server:
        *_, last = streamed(server)
        assert last.model_extra["trimtab"]["valid"] is False


def test_many_streams_at_once_hold_no_word_of_another(serving) -> None:
    engine = WordByWord()
    found: list[str] = []
    with serving(engine) as server:

        def read() -> None:
            chunks = streamed(server)
            found.append("".join(c.choices[0].delta.content or "" for c in chunks))

        threads = [threading.Thread(target=read) for _ in range(9)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(engine.under_way) == engine.chunk_size)
        engine.free.set()
        for thread in threads:
            thread.join()
    assert found == [ANSWER] * 9


@pytest.mark.parametrize(
    ("kind", "retries", "engine", "streams"),
    [
        ("text", 0, True, True),
        ("text", 1, True, False),
        ("text", 0, False, False),
        ("label", 0, True, False),
        ("json", 0, True, False),
    ],
)
def test_what_is_judged_or_asked_again_is_sent_whole(kind, retries, engine, streams) -> None:
    from types import SimpleNamespace

    more = {"label": {"labels": ("a", "b")}, "json": {"schema": {"type": "object"}}}
    output = OutputContract(kind=kind, **more.get(kind, {}))
    predictor = SimpleNamespace(
        task=SimpleNamespace(output=output), variant=SimpleNamespace(retries=retries)
    )
    deployed = Deployed(run="r", variant="v", name="v")
    assert Served(deployed, predictor, SimpleNamespace(streams=engine)).streams is streams
