"""Turns a task into the words of its prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from trimtab.task.spec import Task
from trimtab.types import OutputContract

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])|(?<=[。！？])|\n\s*\n")
"""A mark before a capital (so that `e.g. this` goes on), a full-width mark, or a blank line."""


def system_text(task: Task) -> str:
    """The instructions as written, and what the output contract asks, as a paragraph after them."""
    return f"{task.instructions.strip()}\n\n{format_text(task.output)}"


def short_text(task: Task) -> str:
    """The prompt of a tuned model: the short instructions, else the first sentence of the full."""
    if task.short_instructions is not None:
        return task.short_instructions.strip()
    first = _SENTENCE_END.split(task.instructions.strip(), maxsplit=1)[0]
    return " ".join(first.split())


def format_text(contract: OutputContract) -> str:
    """The output format in words."""
    match contract.kind:
        case "label":
            labels = "\n".join(contract.labels)
            return f"Answer with exactly one of these labels and nothing else:\n{labels}"
        case "json":
            return f"Answer with JSON only: one {_object_words(contract.json_schema)}."
        case "text":
            return "Answer with the result only, without any explanation."


def _object_words(schema: Mapping[str, Any]) -> str:
    properties: Mapping[str, Any] = schema.get("properties", {})
    if not properties:
        return "object"
    required = set(schema.get("required", ())) & set(properties)
    mixed = 0 < len(required) < len(properties)
    fields = ", ".join(
        _field_words(name, field, required=mixed and name in required)
        for name, field in properties.items()
    )
    if len(required) == len(properties):
        return f"object with all of the fields {fields}"
    rest = "others" if mixed else "fields"
    return f"object with the fields {fields}; leave out {rest} that the input does not give"


def _field_words(name: str, schema: object, *, required: bool) -> str:
    kind = _type_words(schema)
    # Most fields are plain text; saying so for each would only make every call longer.
    notes = [*([kind] if kind not in ("", "string") else []), *(["required"] if required else [])]
    return f"{name} ({'; '.join(notes)})" if notes else name


def _type_words(schema: object) -> str:
    """What a field holds; empty where the schema does not say."""
    if not isinstance(schema, Mapping):
        return ""
    if "const" in schema:
        return f"always {_literal(schema['const'])}"
    if "enum" in schema:
        return "one of " + ", ".join(_literal(value) for value in schema["enum"])
    match schema.get("type", ""):
        case "object":
            return _object_words(schema)
        case "array":
            inner = _type_words(schema.get("items"))
            return f"list of {inner}" if inner else "list"
        case stated:
            return " or ".join(stated) if isinstance(stated, list) else str(stated)


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
