"""The chat-completions format: requests to JSON, answers and errors back. No network here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue, ValidationError

from trimtab.types import Completion, Failed, OutputContract, Request

_WRAPPING_TOKENS = 16
"""Room for `{"label": "` and `"}` around a constrained label, which the caller never sees."""

_CONTEXT = re.compile(
    r"context[ _](length|window|size)|maximum context|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)

_NO_ENDPOINT = "this is no chat-completions endpoint: check `base_url` (it often ends in /v1)"

Boundary = Literal["rate-limit", "server", "context", "response"]


@dataclass(frozen=True)
class Trouble:
    """A call that was not answered, and what that means for the calls after it."""

    failed: Failed
    retry: bool = False
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
    if contract.kind == "label":
        schema = _label_schema(contract)
        body["max_tokens"] = decoding.max_tokens + _WRAPPING_TOKENS
    body["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": _is_strict(schema), "schema": schema},
    }
    return body


def read_answer(body: str, contract: OutputContract | None) -> Completion | Trouble:
    """Read the body of a 200 response. The text is the model's own and may be anything."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return Trouble(
            _response_failed("the answer is not JSON", body),
            hopeless=_NO_ENDPOINT,
        )
    try:
        choice = payload["choices"][0]
        text = _text(choice["message"])
        finish = choice.get("finish_reason") or "stop"
        usage = _usage(payload)
    except (KeyError, IndexError, TypeError, AttributeError):
        return Trouble(_response_failed("the answer is no chat completion", body))
    if usage is None:
        return Trouble(
            _response_failed("the answer has no token usage", body),
            hopeless="without `usage` in its answers, what a call costs cannot be measured",
        )
    if finish not in ("stop", "length"):
        return Trouble(_response_failed(f"the answer ended by {str(finish)[:40]!r}", body))
    if contract is not None and contract.kind == "label":
        text = _unwrap_label(text)
    try:
        return Completion(text=text, finish=finish, **usage)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        return Trouble(_response_failed(f"the answer is no chat completion: {problem}", body))


def read_error(status: int, headers: Mapping[str, str], body: str) -> Trouble:
    """Read a response whose status is not 200. Header names are lower case."""
    boundary = _boundary(status, body)
    hopeless = _advice(status, body)
    return Trouble(
        Failed(boundary=boundary, message=_message(f"status {status}", body)),
        retry=boundary in ("rate-limit", "server") and hopeless is None,
        retry_after_s=_seconds(headers.get("retry-after")),
        hopeless=hopeless,
    )


def _boundary(status: int, body: str) -> Boundary:
    if status == 429:
        return "rate-limit"
    if status >= 500:
        return "server"
    if status in (400, 413, 422) and _CONTEXT.search(body):
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


def _text(message: dict[str, Any]) -> str:
    """The answer as valid Unicode: JSON can hold half a surrogate pair, a file cannot."""
    content = message.get("content")
    if content is None:
        content = message.get("refusal") or ""  # a refusal is this model's answer, and is judged
    if not isinstance(content, str):
        raise TypeError("content is no text")
    return content.encode("utf-8", "replace").decode()


def _usage(payload: dict[str, Any]) -> dict[str, int] | None:
    usage = payload.get("usage")
    if usage is None:
        return None
    details = usage.get("prompt_tokens_details") or {}
    return {
        "tokens_in": usage["prompt_tokens"],
        "tokens_cached": details.get("cached_tokens") or 0,
        "tokens_out": usage["completion_tokens"],
    }


def _seconds(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header; its form as a date is rare here and left to the backoff."""
    if retry_after is None or not re.fullmatch(r"\d{1,9}(\.\d*)?", retry_after.strip()):
        return None
    return float(retry_after)


def _response_failed(what: str, body: str) -> Failed:
    return Failed(boundary="response", message=_message(what, body))


def _message(what: str, body: str) -> str:
    """`what` and the first 120 characters of the body, on one line."""
    shown = " ".join(body[:2000].split())[:120]
    return f"{what}: {shown!r}"
