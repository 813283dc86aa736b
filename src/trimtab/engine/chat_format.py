"""The chat-completions format: requests to JSON, answers and errors back. No network here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue, ValidationError

from trimtab.engine.endpoint import one_line, retry_after_s
from trimtab.types import Completion, Failed, OutputContract, Request

_WRAPPING_TOKENS = 32
"""Room for `{"label": "` and `"}` around a constrained label, which the caller never sees."""
_WHITESPACE = 2
"""Endpoints break and indent constrained JSON as they like; the limit is for its compact form."""

_CONTEXT = re.compile(
    r"context[ _](length|window|size)|maximum context|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)

_FORMAT = re.compile(r"response_format|json_schema|schema|grammar|structured", re.IGNORECASE)
_PARAMETER = re.compile(r"unsupported_(parameter|value)|max_completion_tokens")

_NO_ENDPOINT = "this is no chat-completions endpoint: check `base_url` (it often ends in /v1)"

_REFUSED = (400, 413, 422)
_TOO_MANY = (429, 503, 529)

Boundary = Literal["rate-limit", "server", "context", "response"]


@dataclass(frozen=True)
class Trouble:
    """A call that was not answered, and what that means for the calls after it."""

    failed: Failed
    retry: bool = False
    too_many: bool = False
    """The endpoint has more calls than it takes: all calls must slow down, not only this one."""
    retry_after_s: float | None = None
    hopeless: str | None = None
    """Set where no other call can work either: the advice for the person."""


def request_body(model: str, request: Request) -> dict[str, JsonValue]:
    """The JSON to send for `request`.

    A label is asked for as `{"label": ...}`, because endpoints that follow the standard take only
    objects; the tokens around it are counted as the endpoint bills them.
    """
    decoding = request.decoding
    body: dict[str, JsonValue] = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "max_tokens": decoding.max_tokens,
        "temperature": decoding.temperature,
        "seed": decoding.seed,
    }
    contract = decoding.contract
    if contract is None or contract.kind == "text":
        return body
    schema: dict[str, JsonValue] = contract.json_schema
    most = decoding.max_tokens * _WHITESPACE
    if contract.kind == "label":
        schema = _label_schema(contract)
        most = decoding.max_tokens + _WRAPPING_TOKENS
    body["max_tokens"] = most
    body["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": _is_strict(schema), "schema": schema},
    }
    return body


def read_answer(body: str, contract: OutputContract | None) -> Completion | Trouble:
    """Read the body of a 200 response. The text is the model's own and may be anything.

    An answer that `contract` constrained and that is complete but no JSON shows that the endpoint
    ignored the constraint. It is no judgement of the constrained variant, and so a failed call.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return Trouble(_response_failed("the answer is not JSON", body), hopeless=_NO_ENDPOINT)
    try:
        choice = payload["choices"][0]
        text, refused = _text(choice["message"])
        finish = choice.get("finish_reason") or "stop"
        usage = _usage(payload)
    except (KeyError, IndexError, TypeError, AttributeError):
        return Trouble(_response_failed("the answer is no chat completion", body))
    if usage is None:
        return Trouble(
            _response_failed("the answer has no token usage", body),
            hopeless="without `usage` in its answers, what a call costs cannot be measured",
        )
    if problem := _problem(text, finish, None if refused else contract):
        return Trouble(_response_failed(problem, body))
    if contract is not None and contract.kind == "label":
        text = _unwrap_label(text)
    try:
        return Completion(text=text, finish=finish, **usage)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        return Trouble(_response_failed(f"the answer is no chat completion: {problem}", body))


def _problem(text: str, finish: object, contract: OutputContract | None) -> str | None:
    """Why an answer of the right form still judges nothing."""
    if finish not in ("stop", "length"):
        return f"the answer ended by {str(finish)[:40]!r}"
    constrained = contract is not None and contract.kind != "text"
    if constrained and finish == "stop" and not _is_object(text):
        return "the endpoint ignored `response_format`"
    return None


def read_error(
    status: int, headers: Mapping[str, str], body: str, contract: OutputContract | None = None
) -> Trouble:
    """Read a response whose status is not 200. Header names are lower case."""
    boundary = _boundary(status, body)
    what = f"status {status}"
    refused_format = contract is not None and status in _REFUSED and bool(_FORMAT.search(body))
    if refused_format and boundary == "response":
        what = f"the endpoint refuses the schema in `response_format`: {what}"
    hopeless = None if refused_format else _advice(status, body)
    return Trouble(
        Failed(boundary=boundary, message=_message(what, body)),
        retry=boundary in ("rate-limit", "server") and hopeless is None,
        too_many=status in _TOO_MANY,
        retry_after_s=retry_after_s(headers.get("retry-after")),
        hopeless=hopeless,
    )


def _boundary(status: int, body: str) -> Boundary:
    if status == 429:
        return "rate-limit"
    if status >= 500:
        return "server"
    if status in _REFUSED and _CONTEXT.search(body):
        return "context"
    return "response"


def _advice(status: int, body: str) -> str | None:
    """What to do where this error would meet every call; None where it may be this call's own."""
    if status in (401, 403):
        return "the key is refused: check the variable that `api_key_env` names"
    if status == 404:
        return "check `base_url` (it often ends in /v1) and `model`"
    if status == 429 and "insufficient_quota" in body:
        return "the account has no quota left"
    if status in _REFUSED and _PARAMETER.search(body):
        return "this model does not take `max_tokens`, `temperature` and `seed`, which are needed"
    if status < 400:
        return _NO_ENDPOINT
    return None


def _label_schema(contract: OutputContract) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(contract.labels)}},
        "required": ["label"],
        "additionalProperties": False,
    }


def _unwrap_label(text: str) -> str:
    """The label in the object; a text that is none (cut off, or not constrained) stays."""
    try:
        label = json.loads(text)["label"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return text
    return label if isinstance(label, str) else text


def _is_strict(schema: JsonValue) -> bool:
    """Whether a schema may be sent as strict: OpenAI then refuses optional properties."""
    if isinstance(schema, list):
        return all(_is_strict(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict):
        required = schema.get("required")
        named = set(map(str, required)) if isinstance(required, list) else set()
        if schema.get("additionalProperties") is not False or named != set(properties):
            return False
    return all(_is_strict(part) for part in schema.values())


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _text(message: dict[str, Any]) -> tuple[str, bool]:
    """The answer as valid Unicode, and whether it is a refusal, which is judged as any answer.

    JSON can hold half a surrogate pair, a file cannot.
    """
    content, refusal = message.get("content"), message.get("refusal")
    text = content if content is not None else refusal or ""
    if not isinstance(text, str):
        raise TypeError("content is no text")
    return text.encode("utf-8", "replace").decode(), content is None and bool(refusal)


def _usage(payload: dict[str, Any]) -> dict[str, int] | None:
    usage = payload.get("usage")
    if usage is None:
        return None
    details = usage.get("prompt_tokens_details") or {}
    total, cached = usage["prompt_tokens"], details.get("cached_tokens") or 0
    out = usage["completion_tokens"]
    if not 0 <= cached <= total or out < 0:
        raise TypeError("these are no token counts")
    return {"tokens_in": total, "tokens_cached": cached, "tokens_out": out}


def _response_failed(what: str, body: str) -> Failed:
    return Failed(boundary="response", message=_message(what, body))


def _message(what: str, body: str) -> str:
    """`what` and the beginning of the body, on one line."""
    return f"{what}: {one_line(body)}"
