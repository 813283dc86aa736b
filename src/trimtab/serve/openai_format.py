"""OpenAI's chat completions and completions: bodies to what is asked, answers back. No network.

The task's variant brings its own instructions, demonstrations and decoding. So the input is the
last user message; other messages and sampling parameters are left out, and what would change the
form of the answer (tools, several choices, log probabilities) is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from trimtab.serve.refusal import Refused
from trimtab.task.contract import check_encodable

_UNSUPPORTED = ("tools", "functions", "tool_choice", "logprobs", "top_logprobs", "audio", "suffix")
_USER_FIELDS = ("user", "safety_identifier")
_LONGEST_USER = 512

Form = Literal["chat", "text"]


@dataclass(frozen=True)
class Asked:
    """One call as the caller meant it. `left_out` counts messages that the variant replaces."""

    form: Form
    input: str
    user: str | None
    stream: bool
    with_usage: bool
    left_out: int = 0


@dataclass(frozen=True)
class Origin:
    """What is known of an answer before it is there."""

    id: str
    created: int
    task: str
    variant: str


@dataclass(frozen=True)
class Reply(Origin):
    """What an answer tells its caller."""

    text: str
    finish: Literal["stop", "length"]
    tokens_in: int
    tokens_cached: int
    tokens_out: int


def read_call(body: bytes, form: Form, task: str) -> Asked:
    """Read the body of a call to `/v1/chat/completions` or `/v1/completions`.

    Raises:
        Refused: it is no such call, names another model than the task, or asks for what a task
            cannot give.
    """
    fields = read_object(body)
    _check_model(fields, task)
    for name in _UNSUPPORTED:
        if fields.get(name):
            raise Refused(400, f"{name!r} is not supported here", param=name)
    for name in ("n", "best_of"):
        if fields.get(name) not in (None, 1):
            raise Refused(400, "one answer a call: leave out 'n'", param=name)
    if form == "chat":
        text, left_out = _last_user_message(fields.get("messages"))
    else:
        text, left_out = _only_prompt(fields.get("prompt")), 0
    options = fields.get("stream_options")
    return Asked(
        form=form,
        input=clean(text, "messages" if form == "chat" else "prompt"),
        user=_user(fields),
        stream=_flag(fields, "stream"),
        with_usage=isinstance(options, dict) and options.get("include_usage") is True,
        left_out=left_out,
    )


def read_object(body: bytes) -> dict[str, Any]:
    """Raises `Refused` for a body that is no JSON object."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not valid JSON: {str(error)[:100]}") from None
    if not isinstance(fields, dict):
        raise Refused(400, "the body must be a JSON object")
    return fields


def clean(text: str, param: str) -> str:
    """`text`, where it can be stored and sent on. Raises `Refused`."""
    if not text.strip():
        raise Refused(400, "the input is empty", param=param)
    try:
        check_encodable(text)
    except ValueError as error:
        raise Refused(400, f"the input holds {error}", param=param) from None
    return text


def answer_body(reply: Reply, form: Form) -> dict[str, JsonValue]:
    """The body of a whole answer."""
    if form == "chat":
        message: dict[str, JsonValue] = {"role": "assistant", "content": reply.text}
        choice: dict[str, JsonValue] = {"index": 0, "message": message}
    else:
        choice = {"index": 0, "text": reply.text}
    choice |= {"logprobs": None, "finish_reason": reply.finish}
    return _head(reply, form) | {"choices": [choice], "usage": _usage(reply)}


def answer_events(reply: Reply, asked: Asked) -> bytes:
    """The same as server-sent events, with the text in one of them."""
    events = Events(reply, asked)
    return events.opening() + events.piece(reply.text) + events.closing(reply)


class Events:
    """The server-sent events of one answer: an opening, pieces of its text, and a closing."""

    def __init__(self, origin: Origin, asked: Asked) -> None:
        self._form = asked.form
        self._with_usage = asked.with_usage
        self._head = _head(origin, asked.form, chunk=True)

    def opening(self) -> bytes:
        if self._form == "text":
            return b""
        return self._event({"delta": {"role": "assistant", "content": ""}})

    def piece(self, text: str) -> bytes:
        return self._event({"text": text} if self._form == "text" else {"delta": {"content": text}})

    def closing(self, reply: Reply, **told: JsonValue) -> bytes:
        """Why the answer ended, with what is `told` beside it, and its tokens."""
        part: dict[str, JsonValue] = {"text": ""} if self._form == "text" else {"delta": {}}
        events = self._event(part, reply.finish, **told)
        if self._with_usage:
            events += _line({**self._head, "choices": [], "usage": _usage(reply)})
        return events + b"data: [DONE]\n\n"

    def failure(self, refused: Refused) -> bytes:
        """The end of an answer that failed on its way; clients raise what it says."""
        return _line(refused.body)

    def _event(
        self, part: dict[str, JsonValue], finish: str | None = None, **told: JsonValue
    ) -> bytes:
        choice = {"index": 0, **part, "logprobs": None, "finish_reason": finish}
        return _line({**self._head, "choices": [choice], **told})


def _line(event: Mapping[str, JsonValue]) -> bytes:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def model_body(task: str) -> dict[str, JsonValue]:
    """A task as an entry of `/v1/models`."""
    return {"id": task, "object": "model", "created": 0, "owned_by": "trimtab"}


def _head(reply: Origin, form: Form, chunk: bool = False) -> dict[str, JsonValue]:
    prefix = "chatcmpl" if form == "chat" else "cmpl"
    kind = "text_completion" if form == "text" else "chat.completion"
    return {
        "id": f"{prefix}-{reply.id}",
        "object": f"{kind}.chunk" if chunk and form == "chat" else kind,
        "created": reply.created,
        "model": reply.task,
        "system_fingerprint": reply.variant,
    }


def _usage(reply: Reply) -> dict[str, JsonValue]:
    return {
        "prompt_tokens": reply.tokens_in,
        "completion_tokens": reply.tokens_out,
        "total_tokens": reply.tokens_in + reply.tokens_out,
        "prompt_tokens_details": {"cached_tokens": reply.tokens_cached},
    }


def _check_model(fields: Mapping[str, Any], task: str) -> None:
    model = fields.get("model")
    if not isinstance(model, str):
        raise Refused(400, f"'model' must be the task's name, {task!r}", param="model")
    if model != task:
        raise Refused(
            404,
            f"there is no model {model[:100]!r} here; this server answers {task!r}",
            code="model_not_found",
            param="model",
        )


def _last_user_message(messages: object) -> tuple[str, int]:
    """The content of the last message, which must be the user's, and how many came before it."""
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "'messages' must be a list with a user message", param="messages")
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        raise Refused(400, "the last of 'messages' must be the user's", param="messages")
    return _content(last.get("content")), len(messages) - 1


def _content(content: object) -> str:
    """Text, or the text of content parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise Refused(400, "the user's message must be text", param="messages")
    return "".join(map(str, texts))


def _only_prompt(prompt: object) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise Refused(400, "'prompt' must be one text", param="prompt")
    return prompt


def _user(fields: Mapping[str, Any]) -> str | None:
    for name in _USER_FIELDS:
        user = fields.get(name)
        if isinstance(user, str) and user:
            return user[:_LONGEST_USER].encode("utf-8", "replace").decode()
    return None


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(400, f"{name!r} must be true or false", param=name)
    return bool(value)
