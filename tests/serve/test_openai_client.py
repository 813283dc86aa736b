"""The official client works unchanged, for good answers and for errors."""

from __future__ import annotations

import asyncio

import openai
import pytest

from trimtab.predictor import load


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=f"{server.base}/v1", api_key="none yet", max_retries=0)


@pytest.fixture
def right(folder):
    """What the champion answers, by `trimtab predict`."""
    predictor = load(folder / "runs" / "latest")
    return lambda text="Anna Brown": predictor.predict(text).text


def ask(client, text: str = "Anna Brown", **fields):
    messages = [
        {"role": "system", "content": "left out: the variant has its own"},
        {"role": "user", "content": text},
    ]
    return client.chat.completions.create(model="names", messages=messages, **fields)


def test_a_chat_completion(server, client, right) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="names", messages=[{"role": "user", "content": "Anna Brown"}]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == right()
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model == "names"
    (trace,) = server.traces()
    assert raw.headers["x-trimtab-trace"] == trace.id
    assert answer.id == f"chatcmpl-{trace.id}"
    assert answer.system_fingerprint == trace.variant
    assert (trace.input, trace.output, trace.valid) == ("Anna Brown", right(), True)
    assert (trace.tokens_in, trace.tokens_out) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )


def test_the_answer_is_the_one_that_predict_gives(client, right) -> None:
    texts = ["Anna 004 Fox", "Hugo 123 Ott Ltd", "Springfield Incorporated"]
    answers = [ask(client, text).choices[0].message.content for text in texts]
    assert answers == [right(text) for text in texts]


def test_a_streamed_chat_completion(server, client, right) -> None:
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == right()
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens > 0
    assert chunks[0].id == f"chatcmpl-{server.traces()[0].id}"


def test_a_completion_with_and_without_a_stream(client, right) -> None:
    answer = client.completions.create(model="names", prompt="Anna Brown")
    assert answer.choices[0].text == right()
    chunks = list(client.completions.create(model="names", prompt="Anna Brown", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == right()


def test_content_parts_are_joined(server, client) -> None:
    parts = [{"type": "text", "text": "Anna "}, {"type": "text", "text": "Brown"}]
    messages = [{"role": "user", "content": parts}]
    client.chat.completions.create(model="names", messages=messages)
    assert server.traces()[0].input == "Anna Brown"


def test_models(client) -> None:
    assert [model.id for model in client.models.list()] == ["names"]
    assert client.models.retrieve("names").owned_by == "trimtab"
    with pytest.raises(openai.NotFoundError, match="no model"):
        client.models.retrieve("other")


def test_errors_are_those_that_the_client_knows(client) -> None:
    with pytest.raises(openai.NotFoundError, match="answers 'names'") as caught:
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="is empty") as caught:
        ask(client, " ")
    assert caught.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="'tools' is not supported"):
        ask(client, tools=[{"type": "function", "function": {"name": "f"}}])
    with pytest.raises(openai.BadRequestError, match="one answer a call"):
        ask(client, n=2)


def test_the_asynchronous_client_and_many_calls_at_once(server, right) -> None:
    texts = [f"Anna {i} Brown" for i in range(25)] + [f"{i} Anna Ltd" for i in range(25)]

    async def all_at_once() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.base}/v1", api_key="-") as client:
            answers = await asyncio.gather(*(ask(client, text) for text in texts))
        return [answer.choices[0].message.content for answer in answers]

    assert asyncio.run(all_at_once()) == [right(text) for text in texts]
    assert sorted(trace.input for trace in server.traces()) == sorted(texts)
