"""The output contract at work: is this answer allowed, what does it say, how is a target written.

Answers are untrusted text: whatever a model writes ends as a value or as a reason, never a crash.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn, cast

from pydantic import JsonValue

from trimtab.types import OutputContract

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

MAX_DEPTH = 64
"""Deepest nesting that counts as readable; far below where recursive readers give up."""

_SHOWN = 200


def canonical_target(contract: OutputContract, raw: JsonValue) -> str:
    """The one way in which this target is written, for training and as a demonstration.

    Labels are stripped. JSON becomes compact, with keys in the order of the schema's properties
    (unknown keys last, as they came); JSON given as text is read first, and kept as it is where
    it cannot be read, so that the audit can list it. Free text stays as it is.
    """
    if contract.kind == "text":
        return raw if isinstance(raw, str) else compact_json(raw)
    if contract.kind == "label":
        return raw.strip() if isinstance(raw, str) else compact_json(raw)
    if isinstance(raw, str):
        try:
            raw = strict_json(raw)
        except ValueError:
            return cast(str, raw).strip()
    return compact_json(_in_schema_order(raw, contract.json_schema, contract.json_schema))


def violation(contract: OutputContract, text: str) -> str | None:
    """Why `text` breaks the contract, for a person; None where it is valid."""
    try:
        parse(contract, text)
    except ValueError as reason:
        return str(reason)
    return None


def parse(contract: OutputContract, text: str) -> JsonValue:
    """The value of a valid answer: a label, a JSON value, or the text itself.

    Raises:
        ValueError: the answer breaks the contract; the message says how.
    """
    if contract.kind == "json":
        value = strict_json(text)
        _check_schema(contract.json_schema, value)
        return value
    answer = text.strip()
    if not answer:
        raise ValueError("the answer is empty")
    if contract.kind == "text":
        return text
    if answer not in contract.labels:
        raise ValueError(f"{short(answer, 60)} is not one of: {', '.join(contract.labels)}")
    return answer


def strict_json(text: str) -> JsonValue:
    """Read JSON as RFC 8259 has it: no NaN, no infinity, no key twice, no broken characters.

    Raises:
        ValueError: with the reason and, where the text does not parse, the first bad character.
    """
    if not text.strip():
        raise ValueError("not JSON: the text is empty")
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        found = f"found {short(text[error.pos :], 20)}" if error.pos < len(text) else "text ends"
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}, {found}") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if "\\u" in text:
        check_encodable(compact_json(value))
    return value


def compact_json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def check_encodable(text: str) -> None:
    """Refuse half of a surrogate pair, which no file or endpoint could carry.

    Raises:
        ValueError: naming the character's place.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"half of a surrogate pair (\\u{ord(text[error.start]):04x}) at character "
            f"{error.start + 1} is not a character"
        ) from None


def short(value: object, length: int = _SHOWN) -> str:
    """`repr` of `value`, cut to about `length` characters."""
    shown = repr(value[: length + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= length + 2 else f"{shown[:length]}…"


def _check_schema(schema: dict[str, JsonValue], value: JsonValue) -> None:
    from jsonschema.exceptions import best_match

    try:
        error = best_match(_validator(json.dumps(schema)).iter_errors(value))
    except RecursionError:
        raise ValueError("the schema refers to itself without end on this answer") from None
    if error is not None:
        message = error.message
        cut = message if len(message) <= _SHOWN else f"{message[:_SHOWN]}…"
        raise ValueError(f"{error.json_path}: {cut}")


@lru_cache(maxsize=64)
def _validator(schema: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # The empty registry keeps a `$ref` from being fetched over the network.
    return Draft202012Validator(json.loads(schema), registry=Registry())


def _in_schema_order(
    value: JsonValue, schema: JsonValue, root: Mapping[str, JsonValue]
) -> JsonValue:
    known = local_reference(schema, root)
    if isinstance(value, list):
        items = known.get("items")
        return [_in_schema_order(item, items, root) for item in value]
    if not isinstance(value, dict):
        return value
    declared = known.get("properties")
    properties = declared if isinstance(declared, dict) else {}
    keys = [key for key in properties if key in value]
    keys += [key for key in value if key not in properties]
    return {key: _in_schema_order(value[key], properties.get(key), root) for key in keys}


def local_reference(schema: JsonValue, root: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """`schema`, or what its `$ref` points at inside `root`; empty where neither is an object."""
    if isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
        target: JsonValue = dict(root)
        for part in reference.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        schema = target
    return schema if isinstance(schema, dict) else {}


def _unique_keys(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {short(twice, 60)} stands twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {short(text, 30)} is too large")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite
)


def _depth(value: JsonValue) -> int:
    """Levels of nesting, counted level by level so that no depth can overflow the stack."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
