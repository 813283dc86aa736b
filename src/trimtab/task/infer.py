"""Writes a first `task.yaml` for a data file: what the rows tell, and questions for the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import cast

import yaml
from pydantic import JsonValue

from trimtab.task.contract import strict_json
from trimtab.task.data import read_examples, system_message
from trimtab.task.spec import METRICS, NEEDS
from trimtab.types import OutputContract

MAX_LABELS = 30
MAX_LABEL_CHARACTERS = 60
ROWS_PER_LABEL = 5
"""Mean repeats from which a set of short answers counts as labels, not as free text."""

_JSON_TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    type(None): "null",
}


def infer_task(path: Path, name: str, data_path: str) -> str:
    """Commented text of a task file for the rows in `path`, which `load_task` accepts as it is.

    Args:
        name: the task's name; letters, digits, `-` and `_`.
        data_path: how the task file shall name the data, relative to itself.

    Raises:
        DataError: the rows cannot be read.
    """
    rows = read_examples(path, OutputContract(kind="text"))
    contract = infer_contract([row.target for row in rows])
    instructions = system_message(path) or fill(_instructions(contract), width=96)
    return _TEMPLATE.format(
        name=_scalar(name),
        instructions=_block(instructions.strip()),
        data_path=_scalar(data_path),
        rows=len(rows),
        output=_output(contract),
        output_comment=_OUTPUT_COMMENTS[contract.kind],
        metrics=" or ".join(metric for metric in METRICS[contract.kind] if metric not in NEEDS),
        metric=_METRIC[contract.kind],
    )


def infer_contract(targets: Sequence[str]) -> OutputContract:
    """The narrowest contract that these targets (as text) keep.

    JSON where every target is an object with some key in all; labels where at most 30 short lines
    are repeated, 5 rows each on average; free text otherwise.
    """
    objects = _objects(targets)
    if objects is not None and any(objects):
        return OutputContract(kind="json", json_schema=_object_schema(objects))
    counts = Counter(target.strip() for target in targets)
    short = all(len(t) <= MAX_LABEL_CHARACTERS and len(t.splitlines()) == 1 for t in counts)
    if 2 <= len(counts) <= MAX_LABELS and short and len(targets) >= ROWS_PER_LABEL * len(counts):
        return OutputContract(kind="label", labels=tuple(sorted(counts)))
    return OutputContract(kind="text")


def _objects(targets: Sequence[str]) -> list[dict[str, JsonValue]] | None:
    """The targets as JSON objects; None as soon as one is not."""
    objects = []
    for target in targets:
        try:
            value = strict_json(target)
        except ValueError:
            return None
        if not isinstance(value, dict):
            return None
        objects.append(value)
    return objects


def _object_schema(objects: Sequence[dict[str, JsonValue]]) -> dict[str, JsonValue]:
    """Properties in first-seen order, each with the types seen; required where always present."""
    values: dict[str, list[JsonValue]] = {}
    for item in objects:
        for key, value in item.items():
            values.setdefault(key, []).append(value)
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {key: _schema(seen) for key, seen in values.items()},
    }
    required: list[JsonValue] = [key for key, seen in values.items() if len(seen) == len(objects)]
    if required:
        schema["required"] = required
    return schema | {"additionalProperties": False}


def _schema(values: Sequence[JsonValue]) -> dict[str, JsonValue]:
    kinds = dict.fromkeys(_JSON_TYPES[type(value)] for value in values)
    if "number" in kinds:
        kinds.pop("integer", None)
    names: list[JsonValue] = list(kinds)
    schema: dict[str, JsonValue] = {"type": names[0] if len(names) == 1 else names}
    objects = [value for value in values if isinstance(value, dict)]
    if objects:
        schema |= {k: v for k, v in _object_schema(objects).items() if k != "type"}
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        schema["items"] = _schema(items)
    return schema


def _instructions(contract: OutputContract) -> str:
    if contract.kind == "label":
        return "Decide which label fits the input."
    if contract.kind == "json":
        properties = cast(dict[str, JsonValue], contract.json_schema["properties"])
        return (
            f"Extract these fields from the input: {', '.join(properties)}. "
            "Leave out what the input does not say."
        )
    return "Answer the input. Give the answer only, without any explanation."


def _block(text: str) -> str:
    """`instructions:` with `text` as a YAML block, or quoted where a block cannot hold it."""
    key = yaml.ScalarNode("tag:yaml.org,2002:str", "instructions")
    value = yaml.ScalarNode("tag:yaml.org,2002:str", text, style="|")
    mapping = yaml.MappingNode("tag:yaml.org,2002:map", [(key, value)])
    dumped: str = yaml.serialize(
        mapping, Dumper=yaml.SafeDumper, allow_unicode=_keeps_its_lines(text), width=_NO_WRAPPING
    )
    return dumped.rstrip("\n")


def _scalar(value: str) -> str:
    dumped: str = yaml.safe_dump(value, allow_unicode=_keeps_its_lines(value), width=_NO_WRAPPING)
    return dumped.removesuffix("...\n").strip()


def _output(contract: OutputContract) -> str:
    fields = contract.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    dumped: str = yaml.safe_dump(
        {"output": fields},
        allow_unicode=_keeps_its_lines(contract.model_dump_json(by_alias=True)),
        sort_keys=False,
        default_flow_style=None,  # innermost collections on one line, as a person would write them
        width=100,
    )
    return dumped.rstrip("\n")


def _keeps_its_lines(text: str) -> bool:
    """Whether YAML reads `text` back unescaped: it takes these characters for line breaks."""
    return not any(character in text for character in "\x85\u2028\u2029")


_NO_WRAPPING = 10**9

_METRIC = {"label": "accuracy", "json": "field_f1", "text": "normalized_exact"}

_OUTPUT_COMMENTS = {
    "label": "Read off the rows: one of these labels, nothing else.",
    "json": "Read off the rows: JSON of this schema. Check types and required keys.",
    "text": "The rows are neither labels nor JSON, so any text that is not empty.",
}

_TEMPLATE = """\
name: {name}

# What the model is told. Write it as for a careful new colleague; prompting is tried with this.
{instructions}

data:
  path: {data_path}  # {rows} rows
  # Who approved the targets as right? Rows that nobody approved cannot carry a fine-tune.
  # approved_by: claims team
  # Real inputs without labels show whether the rows above look like what will come.
  # traffic_sample: traffic.jsonl

# What every answer must be. {output_comment}
{output}

metric: {metric}  # possible here: {metrics}, or others with a section `scoring`

# What good enough means. Set it before you see any result, or it will bend to the result.
goals:
  quality: 0.9              # the metric to reach, 0 to 1
  validity: 0.99            # share of answers that keep the output contract
  smallest_difference: 0.03 # a gain smaller than this is not worth a change

# Each line below is a fact that only you know. What stays out counts as unknown, never as fine;
# without volume, stability and upkeep the verdict cannot be `fine-tune`.

# constraints:
#   p95_latency_seconds: 2
#   money_per_1000_calls: 0.5
#   general_ability: not-needed    # or needed: must the tuned model still do other work?

# traffic:                         # a fine-tune pays by volume, while the task stands still
#   calls_per_month: 100000
#   stable_since: 2026-01-01       # since when instructions, output and metric are unchanged

# models:                          # by default both arms use the small local model
#   prompt:
#     machine_per_hour: 0.20       # or, for an endpoint that charges by token, per million:
#     # prices: {{input: 0.15, output: 0.60}}
#   tune:
#     machine_per_hour: 0.20

# labelling:
#   cost_per_example: 0.50         # what one more correct row costs

# upkeep:                          # who keeps a fine-tune true as the task moves
#   owner: data platform team
#   review_every_days: 30
#   retrain_every_months: 6
#   cost_per_month: 700            # people's time for all that, beyond what a prompt takes
#   rollback: true                 # can you switch back to the prompt at once?

budget:
  minutes: 60                      # hard limits of one decision
  money: 10
"""
