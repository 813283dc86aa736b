"""Turns a task into the words of its prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from trimtab.task.contract import compact_json
from trimtab.task.spec import Task
from trimtab.types import Example, OutputContract

FORMATS = ("words", "schema", "example", "both")
"""Ways to say the output contract: in words; as the labels or the JSON schema themselves; in words
with one worked example; as the schema with one."""

THINK = (
    "Before you answer, think about this input in a few short sentences: what matters in it, and "
    "what follows. Do not give the answer yet; you will be asked for it next."
)
"""Follows the input where a variant thinks first."""
ANSWER_NOW = "Now give the answer alone, in the form that was asked for."
"""Follows its thoughts."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])|(?<=[。！？])|\n\s*\n")
"""A mark before a capital (so that `e.g. this` goes on), a full-width mark, or a blank line."""


def system_text(task: Task, format: str = "words", example: Example | None = None) -> str:
    """The instructions as written, and what the output contract asks, as a paragraph after them.

    `format` is one of `formats_of` the contract; those with a worked example need `example`, a
    training row. Raises `ValueError` for another format, or where the example is missing.
    """
    return f"{task.instructions.strip()}\n\n{_contract_text(task.output, format, example)}"


def formats_of(contract: OutputContract) -> tuple[str, ...]:
    """The formats that differ for this contract: free text has no schema."""
    return ("words", "example") if contract.kind == "text" else FORMATS


def short_text(task: Task) -> str:
    """The prompt of a tuned model: the short instructions, else the first sentence of the full."""
    if task.short_instructions is not None:
        return task.short_instructions.strip()
    first = _SENTENCE_END.split(task.instructions.strip(), maxsplit=1)[0]
    return " ".join(first.split())


def correction_text(problem: str) -> str:
    """What an answer that breaks the contract is met with; `problem` says how it does."""
    return (
        f"This answer cannot be used: {problem}. "
        "Give the corrected answer alone, in the form that was asked for."
    )


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


def _contract_text(contract: OutputContract, format: str, example: Example | None) -> str:
    if format not in formats_of(contract):
        known = ", ".join(formats_of(contract))
        raise ValueError(f"no format {format!r} for {contract.kind} outputs; there are: {known}")
    text = format_text(contract) if format in ("words", "example") else _schema_text(contract)
    if format in ("words", "schema"):
        return text
    if example is None:
        raise ValueError(f"the format {format!r} shows a worked example; give one")
    return f"{text}\n\nFor example, to this input:\n{example.input}\nanswer:\n{example.target}"


def _schema_text(contract: OutputContract) -> str:
    """The output format as the contract has it."""
    if contract.kind == "label":
        labels = " | ".join(contract.labels)
        return f"Allowed answers, of which you write one and nothing else: {labels}"
    schema = compact_json(contract.json_schema)
    return f"Answer with JSON only, in one line, valid under this JSON schema:\n{schema}"


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
