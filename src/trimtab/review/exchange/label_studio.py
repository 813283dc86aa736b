"""Label Studio's JSON: a list of tasks with `data`, `predictions` and `annotations`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import JsonValue

from trimtab.errors import DataError
from trimtab.review.exchange.entries import Entry, Exported, Said, read_time
from trimtab.review.exchange.json_list import as_text, objects
from trimtab.types import OutputContract

INPUT, ANSWER, COMMENT = "input", "answer", "comment"
"""Names of the object and of the controls in the labelling configuration."""


def to_label_studio(items: Iterable[Exported], contract: OutputContract) -> str:
    tasks = [_task(each, contract) for each in items]
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def from_label_studio(path: Path) -> Iterator[Entry]:
    """Entries of an export as JSON; cancelled annotations are passed over.

    Raises:
        DataError: naming the task that cannot be read.
    """
    for task, where in objects(path):
        data = task.get("data")
        text = as_text(data.get(INPUT)) if isinstance(data, dict) else None
        if not isinstance(data, dict) or not text:
            raise DataError(f"{where}: `data` has no `{INPUT}`")
        predicted = [_value(each, ANSWER) for each in _list(task.get("predictions"))]
        said = tuple(
            Said(
                _user(each.get("completed_by")),
                "correct",
                target,
                _value(each, COMMENT) or "",
                read_time(each.get("created_at")),
            )
            for each in _list(task.get("annotations"))
            if not each.get("was_cancelled") and (target := _value(each, ANSWER))
        )
        answer = next((value for value in predicted if value), None)
        yield Entry(where, as_text(data.get("id")), text, answer, said)


def labelling_config(contract: OutputContract) -> str:
    """The configuration that makes these tasks show in Label Studio."""
    from markupsafe import escape

    if contract.kind == "label":
        choices = "".join(f'    <Choice value="{escape(label)}"/>\n' for label in contract.labels)
        control = f'  <Choices name="{ANSWER}" toName="{INPUT}">\n{choices}  </Choices>\n'
    else:
        control = (
            f'  <TextArea name="{ANSWER}" toName="{INPUT}" editable="true" maxSubmissions="1"/>\n'
        )
    comment = f'  <TextArea name="{COMMENT}" toName="{INPUT}"/>\n'
    return f'<View>\n  <Text name="{INPUT}" value="${INPUT}"/>\n{control}{comment}</View>\n'


def _task(each: Exported, contract: OutputContract) -> dict[str, JsonValue]:
    item = each.item
    annotations: list[JsonValue] = [
        {
            "completed_by": {"email": review.reviewer},
            "created_at": review.time.isoformat(),
            "was_cancelled": False,
            "result": [
                _result(contract, ANSWER, review.target),
                *([_note(review.comment)] if review.comment else []),
            ],
        }
        for review in each.judged
        if review.target is not None
    ]
    return {
        "data": {
            "id": item.id,
            INPUT: item.input,
            "reason": item.reason,
            "probability": item.probability,
        },
        "predictions": [
            {
                "model_version": item.variant or item.source,
                "result": [_result(contract, ANSWER, item.answer)],
            }
        ],
        "annotations": annotations,
    }


def _result(contract: OutputContract, name: str, text: str) -> dict[str, JsonValue]:
    if contract.kind == "label":
        value: dict[str, JsonValue] = {"choices": [text]}
        return {"from_name": name, "to_name": INPUT, "type": "choices", "value": value}
    return {"from_name": name, "to_name": INPUT, "type": "textarea", "value": {"text": [text]}}


def _note(text: str) -> dict[str, JsonValue]:
    return {"from_name": COMMENT, "to_name": INPUT, "type": "textarea", "value": {"text": [text]}}


def _value(annotation: dict[str, JsonValue], name: str) -> str | None:
    """The first choice or text of the control with this name."""
    for result in _list(annotation.get("result")):
        value = result.get("value")
        if result.get("from_name") == name and isinstance(value, dict):
            given = value.get("choices") or value.get("text")
            return as_text(given[0] if isinstance(given, list) and given else given or None)
    return None


def _user(value: JsonValue) -> str | None:
    if isinstance(value, dict):
        return as_text(value.get("email") or value.get("id"))
    return as_text(value)


def _list(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
