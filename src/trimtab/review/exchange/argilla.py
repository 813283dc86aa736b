"""The JSON that Argilla's `records.to_json` writes and `records.from_json` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import JsonValue

from trimtab.errors import DataError
from trimtab.review.exchange.entries import Entry, Exported, Said, read_time
from trimtab.review.exchange.json_list import as_text, objects

INPUT, ANSWER, COMMENT = "input", "answer", "comment"
"""Names of the field and of the questions, to be made so in Argilla."""


def to_argilla(items: Iterable[Exported]) -> str:
    return json.dumps([_record(each) for each in items], ensure_ascii=False, indent=1) + "\n"


def from_argilla(path: Path) -> Iterator[Entry]:
    """Entries of a file of records; responses that are not submitted are passed over.

    Raises:
        DataError: naming the record that cannot be read.
    """
    for record, where in objects(path):
        fields, suggestions, responses = (
            part if isinstance(part := record.get(name) or {}, dict) else {}
            for name in ("fields", "suggestions", "responses")
        )
        text = as_text(fields.get(INPUT))
        if not text:
            raise DataError(f"{where}: `fields` has no `{INPUT}`")
        suggestion = suggestions.get(ANSWER)
        answer = as_text(suggestion.get("value")) if isinstance(suggestion, dict) else None
        comments = dict(_responses(responses.get(COMMENT)))
        time = read_time(record.get("updated_at"))
        said = tuple(
            Said(user, "correct", value, comments.get(user, ""), time)
            for user, value in _responses(responses.get(ANSWER))
        )
        yield Entry(where, as_text(record.get("id")), text, answer, said)


def _record(each: Exported) -> dict[str, JsonValue]:
    item = each.item
    answers: list[JsonValue] = [
        {"value": review.target, "user_id": review.reviewer}
        for review in each.judged
        if review.target is not None
    ]
    comments: list[JsonValue] = [
        {"value": review.comment, "user_id": review.reviewer}
        for review in each.judged
        if review.comment
    ]
    responses: dict[str, JsonValue] = {}
    if answers:
        responses[ANSWER] = answers
    if comments:
        responses[COMMENT] = comments
    return {
        "id": item.id,
        "fields": {INPUT: item.input},
        "metadata": {
            "source": item.source,
            "reason": item.reason,
            "probability": item.probability,
            "state": each.state,
        },
        "suggestions": {
            ANSWER: {"value": item.answer, "score": None, "agent": item.variant},
        },
        "responses": responses,
        "vectors": {},
    }


def _responses(value: JsonValue) -> Iterator[tuple[str | None, str]]:
    """User and value of each submitted response."""
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict) and each.get("status", "submitted") == "submitted":
            text = as_text(each.get("value"))
            if text:
                yield as_text(each.get("user_id")), text
