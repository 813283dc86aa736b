"""A JSON answer as a form, and the form as a JSON answer again.

Only fields whose text changed are read back: all others keep the very value that they had.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import JsonValue

from trimtab.task.contract import compact_json, local_reference, strict_json
from trimtab.types import OutputContract

Kind = Literal["text", "long", "integer", "number", "boolean", "choice", "lines", "json"]
Path = tuple[str, ...]

PREFIX = "field:"
RAW = "raw"
"""Name of the one field of an answer whose schema names no fields."""

_LONG = 80
_DEEPEST = 4
"""Objects nested deeper are edited as JSON."""

_DECLARED: Mapping[str, Kind] = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "array": "lines",
}
"""By the `type` of a schema; other types are edited as JSON."""


@dataclass(frozen=True)
class Choice:
    value: str
    label: str


@dataclass(frozen=True)
class FormField:
    """One part of the answer. `value` is its text as shown; empty where it is absent."""

    path: Path
    kind: Kind
    value: str
    present: bool
    required: bool
    choices: tuple[Choice, ...] = ()
    hint: str = ""

    @property
    def name(self) -> str:
        steps = (key.replace("~", "~0").replace("/", "~1") for key in self.path)
        return PREFIX + "/".join(steps)

    @property
    def label(self) -> str:
        return " › ".join(key.replace("_", " ") for key in self.path)


_YES_OR_NO = (Choice("true", "yes"), Choice("false", "no"))


class FieldProblem(ValueError):
    """A field cannot be read; `name` is that of its form field."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def form_fields(contract: OutputContract, answer: str) -> list[FormField]:
    """The fields of an answer, first those of the schema; none where it names no fields."""
    value = _object(answer)
    if not isinstance(local_reference(contract.json_schema, contract.json_schema), Mapping):
        return []
    found = list(_fields(contract.json_schema, contract.json_schema, value, ()))
    if not found and value is None:
        return []
    known = {field.path[0] for field in found}
    for key, each in (value or {}).items():
        if key not in known:
            found.append(_field((key,), {}, contract.json_schema, each, True, False))
    return found


def read_form(contract: OutputContract, answer: str, form: Mapping[str, str]) -> str:
    """The answer with what the form says, as JSON.

    Raises:
        FieldProblem: a field's text is no value of its kind.
    """
    fields = form_fields(contract, answer)
    if not fields:
        text = _unix(form.get(RAW, answer))
        try:
            return compact_json(strict_json(text))
        except ValueError as error:
            raise FieldProblem(RAW, str(error)) from None
    value = copy.deepcopy(_object(answer) or {})
    for field in fields:
        text = _unix(form.get(field.name, field.value))
        if text != field.value:
            _change(value, field, text)
    return compact_json(cast(JsonValue, value))


def _fields(
    schema: JsonValue, root: Mapping[str, JsonValue], value: JsonValue, above: Path
) -> Iterator[FormField]:
    here = local_reference(schema, root)
    properties = here.get("properties")
    required = here.get("required")
    for key, part in (properties if isinstance(properties, dict) else {}).items():
        path = (*above, key)
        present = isinstance(value, dict) and key in value
        each = value[key] if isinstance(value, dict) and present else None
        inner = dict(local_reference(part, root))
        if inner.get("properties") and len(path) < _DEEPEST and isinstance(each, dict | None):
            yield from _fields(inner, root, each, path)
        else:
            needed = isinstance(required, list) and key in required
            yield _field(path, inner, root, each, present, needed)


def _field(
    path: Path,
    schema: Mapping[str, JsonValue],
    root: Mapping[str, JsonValue],
    value: JsonValue,
    present: bool,
    required: bool,
) -> FormField:
    kind, choices = _kind(schema, root, value, present)
    description = schema.get("description")
    return FormField(
        path=path,
        kind=kind,
        value=_shown(kind, value) if present else "",
        present=present,
        required=required,
        choices=choices,
        hint=description if isinstance(description, str) else "",
    )


def _kind(
    schema: Mapping[str, JsonValue], root: Mapping[str, JsonValue], value: JsonValue, present: bool
) -> tuple[Kind, tuple[Choice, ...]]:
    """How a value is edited: as its schema has it, where the value is of that kind too."""
    options, declared = schema.get("enum"), schema.get("type")
    if isinstance(options, list) and (not present or value in options):
        return "choice", tuple(Choice(compact_json(each), _plain(each)) for each in options)
    kind: Kind = "json"
    if not present:
        kind = _DECLARED.get(str(declared), "json") if declared is not None else "text"
        if kind == "lines" and not _holds_texts(schema, root):
            kind = "json"
    elif isinstance(value, str):
        kind = "long" if len(value) > _LONG or "\n" in value else "text"
    elif isinstance(value, bool):
        kind = "boolean" if declared == "boolean" else "json"
    elif isinstance(value, int | float):
        kind = _DECLARED[str(declared)] if declared in ("integer", "number") else "json"
    elif isinstance(value, list) and _holds_texts(schema, root):
        kind = "lines" if all(_is_line(each) for each in value) else "json"
    return kind, _YES_OR_NO if kind == "boolean" else ()


def _holds_texts(schema: Mapping[str, JsonValue], root: Mapping[str, JsonValue]) -> bool:
    return local_reference(schema.get("items"), root).get("type") == "string"


def _is_line(value: JsonValue) -> bool:
    return isinstance(value, str) and value == value.strip() != "" and len(value.splitlines()) == 1


def _shown(kind: Kind, value: JsonValue) -> str:
    if kind in ("text", "long"):
        return _unix(cast(str, value))
    if kind == "lines":
        return "\n".join(cast(list[str], value))
    return compact_json(value)


def _change(value: dict[str, JsonValue], field: FormField, text: str) -> None:
    *above, last = field.path
    if not text.strip():
        _remove(value, field.path)
        if field.required and field.kind in ("text", "long"):
            _inside(value, above)[last] = ""
        return
    _inside(value, above)[last] = _read(field, text)


def _read(field: FormField, text: str) -> JsonValue:
    if field.kind in ("text", "long"):
        return text
    if field.kind == "lines":
        return [line.strip() for line in text.split("\n") if line.strip()]
    try:
        found = strict_json(text.strip())
    except ValueError as error:
        raise FieldProblem(field.name, _what_is_wrong(field, text, str(error))) from None
    number = isinstance(found, (int, float)) and not isinstance(found, bool)
    whole = isinstance(found, int) and number
    if (field.kind == "number" and not number) or (field.kind == "integer" and not whole):
        raise FieldProblem(field.name, _what_is_wrong(field, text, "no number"))
    return found


def _what_is_wrong(field: FormField, text: str, why: str) -> str:
    wanted = {"integer": "a whole number", "number": "a number such as 12.5"}.get(field.kind)
    return f"{text.strip()[:40]!r} is not {wanted}" if wanted else why


def _inside(value: dict[str, JsonValue], path: list[str]) -> dict[str, JsonValue]:
    """The object at this path, made where it is missing."""
    for key in path:
        inner = value.get(key)
        if not isinstance(inner, dict):
            inner = {}
            value[key] = inner
        value = inner
    return value


def _remove(value: dict[str, JsonValue], path: Path) -> None:
    """Take the value away, and the objects around it that this leaves empty."""
    key, *rest = path
    inner = value.get(key)
    if rest and isinstance(inner, dict):
        _remove(inner, tuple(rest))
        if inner:
            return
    value.pop(key, None)


def _object(answer: str) -> dict[str, JsonValue] | None:
    try:
        value = strict_json(answer)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else compact_json(value)


def _unix(text: str) -> str:
    """Browsers send other line ends than they were given."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
