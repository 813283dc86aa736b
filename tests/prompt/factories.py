"""Small values that the tests of this folder share."""

from trimtab.task.spec import Task
from trimtab.types import Adapter, Example, OutputContract, content_hash

LABELS = OutputContract(kind="label", labels=("person", "company"))
TEXT = OutputContract(kind="text")


def row(text, target="person"):
    return Example(id=content_hash(text, target), input=text, target=target)


def json_contract(properties, **rest):
    return OutputContract(kind="json", schema={"type": "object", "properties": properties, **rest})


def task(output=LABELS, instructions="Classify the name. Answer briefly.", **rest):
    metric = {"label": "accuracy", "json": "field_f1", "text": "exact"}[output.kind]
    return Task(
        name="names",
        instructions=instructions,
        data={"path": "rows.jsonl"},
        output=output,
        metric=metric,
        goals={"quality": 0.9},
        **rest,
    )


ADAPTER = Adapter(path="adapters/a", sha256="f" * 64, rows=400, epoch=2, learning_rate=1e-3, seed=0)
