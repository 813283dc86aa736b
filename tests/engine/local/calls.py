"""Requests, and what came back, in the shapes that the tests of this folder compare."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.types import Completion, Decoding, Message, OutputContract, Request

LABELS = OutputContract(kind="label", labels=("person", "company", "person or company"))
JSON = OutputContract(
    kind="json",
    schema={
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "number": {"type": "integer", "minimum": 0, "maximum": 99},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
)
DEMONSTRATIONS = (
    ("Mary Jones", "person"),
    ("Jones and Sons Ltd", "company"),
    ("The quick brown fox Incorporated", "company"),
    ("John Smith", "person"),
)
TEXTS = (
    "a",
    "John Smith",
    "Smith and Jones Incorporated of Springfield",
    "Größe\n\n\n—日本語 🙂",
    "12 Main St",
    "the quick brown fox " * 6,
)


def request(text: str, max_tokens: int = 12, *, shots: int = 0, shared: bool = True, **more):
    """One request; with `shots`, behind that many demonstrations, offered as shared or not."""
    decoding = {k: more.pop(k) for k in ("temperature", "seed", "contract") if k in more}
    messages = [Message(role="system", content="Decide whose name it is.")]
    for question, answer in DEMONSTRATIONS[:shots]:
        messages.append(Message(role="user", content=question))
        messages.append(Message(role="assistant", content=answer))
    return Request(
        messages=(*messages, Message(role="user", content=text)),
        decoding=Decoding(max_tokens=max_tokens, **decoding),
        shared_messages=len(messages) if shared else 0,
        **more,
    )


def answers(engine, requests: Sequence[Request]) -> list[Completion]:
    """Completions in the order of the requests."""
    found = dict(engine.generate(requests))
    return [found[position] for position in range(len(requests))]


def told(completions: Sequence[Completion]) -> list[tuple[str, str, int]]:
    """What must not depend on how requests were batched."""
    return [(c.text, c.finish, c.tokens_out) for c in completions]
