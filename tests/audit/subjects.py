"""Small data sets under audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.audit.audit import audit
from trimtab.audit.open import places_of
from trimtab.audit.subject import TRAIN, Subject, Table, walk
from trimtab.task.near import near_duplicate_clusters
from trimtab.task.split import Split
from trimtab.types import Example, Finding, OutputContract, content_hash

LABEL = OutputContract(kind="label", labels=("a", "b"))
TEXT = OutputContract(kind="text")
JSON = OutputContract(
    kind="json",
    json_schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {"x": {"type": "integer"}, "y": {"type": "string"}},
    },
)
LONG = "the parcel arrived broken and nobody answers the telephone since monday morning"


def example(text: str, target: str = "a", **more: Any) -> Example:
    return Example(id=content_hash(text, target), input=text, target=target, **more)


def balanced(n: int) -> list[Example]:
    return [example(f"input number {i}", "ab"[i % 2], approved_by="team") for i in range(n)]


def subject(
    rows: Sequence[Example],
    contract: OutputContract = LABEL,
    split: Split | None = None,
    **more: Any,
) -> Subject:
    """All rows train where no split is given."""
    clusters = near_duplicate_clusters([row.input for row in rows])
    places = places_of(rows, split) if split else [TRAIN] * len(rows)
    return Subject(rows, clusters, places, contract, **more)


def table(data: Subject) -> Table:
    return walk(data, [])


def run(rows: Sequence[Example], *args: Any, **more: Any) -> dict[str, Finding]:
    return {found.check: found for found in audit(subject(rows, *args, **more))}
