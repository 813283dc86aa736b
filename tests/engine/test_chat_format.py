from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.engine.chat_format import Trouble, read_answer, read_error, request_body
from trimtab.types import Completion, Decoding, Message, OutputContract, Request

LABELS = OutputContract(kind="label", labels=("yes", "no"))


def body_for(contract: OutputContract | None) -> dict:
    decoding = Decoding(max_tokens=5, contract=contract)
    return request_body(
        "m", Request(messages=(Message(role="user", content="x"),), decoding=decoding)
    )


def payload(message: object, finish: object = "stop", **usage: object) -> str:
    tokens = {"prompt_tokens": 1, "completion_tokens": 1, **usage}
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], "usage": tokens})


CLOSED = {
    "type": "object",
    "properties": {"b": {"type": "string"}, "a": {"type": "string"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


def test_free_and_text_requests_ask_for_no_format() -> None:
    assert "response_format" not in body_for(None)
    assert "response_format" not in body_for(OutputContract(kind="text"))


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (CLOSED | {"required": ["a"]}, False),
        ({k: v for k, v in CLOSED.items() if k != "additionalProperties"}, False),
        (
            CLOSED | {"properties": {"a": {"type": "object", "properties": {"c": {}}}, "b": {}}},
            False,
        ),
        (CLOSED | {"properties": {"a": {"anyOf": [CLOSED | {"required": []}]}, "b": {}}}, False),
    ],
)
def test_a_schema_is_sent_whole_and_strict_only_where_it_may_be(schema: dict, strict: bool) -> None:
    sent = body_for(OutputContract(kind="json", schema=schema))["response_format"]
    assert sent["json_schema"]["strict"] is strict
    assert sent["json_schema"]["schema"] == schema
    assert list(sent["json_schema"]["schema"]["properties"]) == list(schema["properties"])


@pytest.mark.parametrize(
    ("message", "finish", "text"),
    [
        ({"content": "a"}, "stop", "a"),
        ({"content": "a"}, None, "a"),
        ({"content": None}, "length", ""),
        ({"content": None, "refusal": "I will not"}, "stop", "I will not"),
        ({"content": "half \ud83d"}, "stop", "half ?"),
    ],
)
def test_answers(message: dict, finish: str | None, text: str) -> None:
    completion = read_answer(payload(message, finish), None)
    assert isinstance(completion, Completion)
    assert completion.text == text
    assert completion.finish == (finish or "stop")
    completion.model_dump_json()


@pytest.mark.parametrize(
    "body",
    [
        "null",
        "[]",
        '"text"',
        "{}",
        '{"choices": []}',
        '{"choices": {}}',
        payload({"content": ["parts"]}),
        payload(None),
        payload({"content": "x"}, "content_filter"),
        payload({"content": "x"}, ["stop"]),
        payload({"content": "x"}, prompt_tokens="many"),
        payload({"content": "x"}, prompt_tokens=None),
        payload({"content": "x"}, prompt_tokens_details=[1]),
    ],
)
def test_what_is_no_chat_completion_fails_at_the_response(body: str) -> None:
    result = read_answer(body, None)
    assert isinstance(result, Trouble)
    assert result.failed.boundary == "response"
    assert not result.retry


@pytest.mark.parametrize("text", ['{"label": "y', '{"other": 1}', '{"label": 3}', ""])
def test_what_is_no_label_stays_as_it_is(text: str) -> None:
    finish = "stop" if text.endswith("}") else "length"
    completion = read_answer(payload({"content": text}, finish), LABELS)
    assert isinstance(completion, Completion)
    assert completion.text == text


@pytest.mark.parametrize("contract", [LABELS, OutputContract(kind="json", schema=CLOSED)])
@pytest.mark.parametrize("text", ["yes", "", "[1]", '```json\n{"a": 1}\n```', '{"a": 1} Done!'])
def test_a_whole_answer_that_breaks_its_constraint_was_not_constrained(
    text: str, contract: OutputContract
) -> None:
    result = read_answer(payload({"content": text}), contract)
    assert isinstance(result, Trouble)
    assert "ignored `response_format`" in result.failed.message
    assert isinstance(read_answer(payload({"content": text}), None), Completion)


def test_a_refusal_is_an_answer_also_to_a_constrained_call() -> None:
    completion = read_answer(payload({"content": None, "refusal": "I will not"}), LABELS)
    assert isinstance(completion, Completion)
    assert completion.text == "I will not"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
        {"prompt_tokens_details": {"cached_tokens": -1}},
        {"completion_tokens": -1},
    ],
)
def test_token_counts_that_cannot_be_are_not_billed(usage: dict) -> None:
    assert isinstance(read_answer(payload({"content": "x"}, **usage), None), Trouble)


def test_a_constrained_answer_has_room_for_whitespace() -> None:
    assert body_for(None)["max_tokens"] == 5
    assert body_for(OutputContract(kind="json", schema=CLOSED))["max_tokens"] == 10
    assert body_for(LABELS)["max_tokens"] == 37


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, "response_format type json_schema is not available", True),
        (400, "grammar failed to parse", True),
        (400, "your message offends", False),
        (500, "schema", False),
    ],
)
def test_a_refused_schema_is_said_where_one_was_sent(status: int, body: str, said: bool) -> None:
    message = read_error(status, {}, body, LABELS).failed.message
    assert ("refuses the schema" in message) is said
    assert body in message
    assert "refuses the schema" not in read_error(status, {}, body).failed.message


@given(st.text(max_size=300), st.integers(100, 599))
def test_no_body_breaks_the_reader(body: str, status: int) -> None:
    assert isinstance(read_answer(body, None), Trouble)
    trouble = read_error(status, {}, body)
    assert len(trouble.failed.message) < 700
    assert "\n" not in trouble.failed.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("1.5", 1.5), ("-1", None), ("soon", None), ("9" * 400, None), (None, None)],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    headers = {} if header is None else {"retry-after": header}
    assert read_error(429, headers, "").retry_after_s == seconds
