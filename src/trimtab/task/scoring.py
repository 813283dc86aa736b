"""Whether the section `scoring` of a task file can judge the task's answers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from pydantic import JsonValue

from trimtab.task.contract import local_reference
from trimtab.task.spec import NEEDS, Costs, FieldScoring, Task
from trimtab.types import OutputContract

Place: TypeAlias = tuple[str | int, ...]

_KINDS = {"fields": "json", "costs": "label", "number": "text", "pattern": "text", "chrf": "text"}
"""Keys of `scoring` that judge one kind of output only."""


def scoring_problems(task: Task) -> Iterator[tuple[Place, str]]:
    """(place in the task file, what is wrong there) for everything that cannot be used."""
    scoring, output = task.scoring, task.output
    needed = NEEDS.get(task.metric)
    if needed is not None and not getattr(scoring, needed):
        yield ("metric",), f"the metric {task.metric!r} needs `scoring.{needed}`"
    for key, kind in _KINDS.items():
        if getattr(scoring, key) and output.kind != kind:
            yield ("scoring", key), f"judges outputs of `kind: {kind}`, not `kind: {output.kind}`"
            return
    yield from _field_problems(scoring.fields, output)
    if scoring.costs is not None:
        yield from _cost_problems(scoring.costs, output.labels)
    if scoring.pattern is not None:
        yield from _pattern_problems(scoring.pattern)
    if task.metric == "judge" and scoring.judge is not None and scoring.judge.reviews is None:
        yield (
            ("scoring", "judge"),
            "a judge that decides needs `reviews`, a file of people's grades that shows how far it "
            "agrees with them; or choose another metric, and see its score beside that",
        )


def _field_problems(
    fields: dict[str, FieldScoring], output: OutputContract
) -> Iterator[tuple[Place, str]]:
    for path, field in fields.items():
        place = ("scoring", "fields", path)
        schema, unknown = _schema_of(path, output.json_schema)
        if unknown is not None:
            yield place, unknown
        elif (field.absolute or field.relative) and not _holds_numbers(schema, output.json_schema):
            yield place, "a tolerance is for numbers, and the schema allows none here"
    properties = output.json_schema.get("properties")
    names = list(properties) if isinstance(properties, dict) else []
    if names and all(name in fields and fields[name].weight == 0 for name in names):
        yield ("scoring", "fields"), "every field has the weight 0, so nothing would be judged"


def _schema_of(
    path: str, root: dict[str, JsonValue]
) -> tuple[dict[str, JsonValue], None] | tuple[None, str]:
    """The schema of the field at `path`, or why there is none."""
    schema = dict(local_reference(root, root))
    for key in path.split("."):
        properties = schema.get("properties")
        if not isinstance(properties, dict) or key not in properties:
            named = list(properties) if isinstance(properties, dict) else []
            return None, _unknown(key, named)
        schema = dict(local_reference(properties[key], root))
    return schema, None


def _unknown(name: str, known: Iterable[str]) -> str:
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    if nearest:
        return f"there is no {name!r} in the output; did you mean {nearest[0]!r}?"
    return f"there is no {name!r} in the output; there are: {', '.join(known) or 'no named fields'}"


def _holds_numbers(schema: dict[str, JsonValue] | None, root: dict[str, JsonValue]) -> bool:
    """Whether the field may be a number or a list of numbers; True where the schema is silent."""
    if schema is None or "type" not in schema:
        return True
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "array" in kinds:
        return _holds_numbers(dict(local_reference(schema.get("items"), root)), root)
    return "number" in kinds or "integer" in kinds


def _cost_problems(costs: Costs, labels: tuple[str, ...]) -> Iterator[tuple[Place, str]]:
    table: Place = ("scoring", "costs", "table")
    for target, row in costs.table.items():
        if target not in labels:
            yield (*table, target), _unknown(target, labels)
        for answered, cost in row.items():
            if answered not in labels:
                yield (*table, target, answered), _unknown(answered, labels)
            elif answered == target and cost:
                yield (*table, target, answered), "the right label costs nothing; leave it out"
    if labels and not (costs.dearest_label(labels) or costs.invalid):
        yield ("scoring", "costs"), "no answer costs anything, so nothing would be judged"


def _pattern_problems(pattern: str) -> Iterator[tuple[Place, str]]:
    import regex

    try:
        groups = regex.compile(pattern).groups
    except regex.error as error:
        yield ("scoring", "pattern"), f"not a regular expression: {error}"
        return
    if groups > 1:
        yield (
            ("scoring", "pattern"),
            f"at most one group can be compared with the target, found {groups}; "
            "write the others as (?:...)",
        )
