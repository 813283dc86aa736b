"""A whole decision against a straight script that does the same work with the field's usual parts.

    python benchmarks/decide.py [--rounds 1] [--dev 40] [--test 120] [--sizes 48 120 300]
                                [--minutes 25]

Trimtab decides the addresses example from nothing but the model (no cached answers), the whole
command timed. The peer then repeats what that run did: the same calls with `generate` of
transformers in float32, in batches sorted by length, timed and sampled calls too, and the same
trainings with TRL's `SFTTrainer`, in one process that loads the model once. What favours the peer:
it decodes constrained calls freely and makes one call where Trimtab may make several, takes no dev
loss, calibrates nothing, does not look at what the fine-tune loses elsewhere, reads no likelihoods,
computes no statistics and writes no report; the seconds of the stages that it lacks are told apart.
Smaller numbers of rows make the comparison shorter, with Trimtab's fixed costs in full. Prints one
JSON object as its last line; `ratio` is the peer's time over ours; reach: at least 3.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _pairs import in_turn, peer_python, summary

from trimtab.engine.default_model import default_model_folder
from trimtab.measure.language import LANGUAGE
from trimtab.measure.plan import CALIBRATION
from trimtab.measure.retain import RETENTION
from trimtab.parity import STAGE as PARITY
from trimtab.store.files import cache_folder
from trimtab.task.open import OpenTask
from trimtab.task.spec import Task
from trimtab.types import CurvePoint, Decision, Example, Record, Spent, Variant

REPOSITORY = Path(__file__).resolve().parent.parent
TRL = "trl==1.16.0"
SHARED = ("torch", "transformers", "peft")
"""Both sides use the same versions of these."""
OURS_ALONE = (CALIBRATION, RETENTION, LANGUAGE, PARITY)
"""Stages that the peer does not repeat."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dev", type=int, default=40)
    parser.add_argument("--test", type=int, default=120)
    parser.add_argument("--sizes", type=int, nargs="+", default=[48, 120, 300])
    parser.add_argument("--minutes", type=float, default=25, help="budget of the decision")
    parser.add_argument("--batch", type=int, default=16, help="of generate")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        decide_ours(options.child, options)
        return
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in SHARED]
    python = peer_python("trl", [*(version.split("+")[0] for version in versions), TRL])
    prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), "addresses"]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    default_model_folder(print)
    with tempfile.TemporaryDirectory() as temporary:
        sizes = [str(size) for size in options.sizes]
        ours = [sys.executable, __file__, "--child", temporary, "--sizes", *sizes]
        ours += ["--dev", str(options.dev), "--test", str(options.test)]
        ours += ["--minutes", str(options.minutes)]
        straight = str(REPOSITORY / "benchmarks/decide_straight.py")
        commands = {
            "trimtab": ours,
            "straight": [python, straight, temporary, str(options.batch)],
        }
        runs = in_turn(commands, options.rounds)
    seconds = {side: summary(runs[side], "seconds") for side in commands}
    alone = summary(runs["trimtab"], "ours_alone")["median"]
    print(
        json.dumps(
            {
                "benchmark": "decide",
                "rows": {"dev": options.dev, "test": options.test, "train": options.sizes},
                "minutes": options.minutes,
                "threads": os.environ.get("OMP_NUM_THREADS"),
                "rounds": options.rounds,
                "versions": [*versions, TRL],
                "calls": runs["trimtab"][-1]["calls"],
                "seconds": seconds,
                "parts_of_trimtab": runs["trimtab"][-1]["stages"],
                "parts_of_straight": runs["straight"][-1],
                "ours_alone": alone,
                "ratio": round(seconds["straight"]["median"] / seconds["trimtab"]["median"], 3),
                "ratio_without_ours_alone": round(
                    seconds["straight"]["median"] / (seconds["trimtab"]["median"] - alone), 3
                ),
            }
        )
    )


def decide_ours(folder: Path, options: argparse.Namespace) -> None:
    """One decision in a process of its own, and the list of its work for the peer."""
    import yaml

    task = folder / "addresses"
    shutil.rmtree(task, ignore_errors=True)
    task.mkdir()
    shutil.copy(REPOSITORY / "examples/addresses/rows.jsonl", task)
    text = (REPOSITORY / "examples/addresses/task.yaml").read_text("utf-8")
    settings = yaml.safe_load(text)
    settings["data"].update(dev=options.dev, test=options.test)
    settings["search"]["train_sizes"] = options.sizes
    settings["budget"]["minutes"] = options.minutes  # the peer repeats what was done within it
    (task / "task.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    (cache / "models").symlink_to(cache_folder() / "models")
    command = [sys.executable, "-m", "trimtab.cli", "decide", str(task)]
    started = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TRIMTAB_CACHE": str(cache)},
    )
    seconds = time.perf_counter() - started
    decision = Decision.model_validate_json((task / "runs/latest/verdict.json").read_bytes())
    job = work_of(task, decision)
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    calls = sum(len(step["asked"]) for step in job["steps"])
    used = Spent.by_stage(decision.spent).values()
    stages = {" ".join(filter(None, each.key)): each.seconds for each in used}
    alone = sum(each.seconds for each in used if each.stage in OURS_ALONE)
    print(json.dumps({"seconds": seconds, "ours_alone": alone, "calls": calls, "stages": stages}))


def work_of(task: Path, decision: Decision) -> dict[str, Any]:
    """The calls and trainings of the task's latest run, as the peer needs them."""
    from trimtab.prompt.ask import to_requests
    from trimtab.prompt.nearest import NearestPool
    from trimtab.task.open import open_task

    opened = open_task(task)
    run = task / "runs" / "latest"
    pool = NearestPool(opened.split.train)
    rows = all_rows(opened)
    variants = all_variants(decision)
    steps = []
    for path in sorted((run / "records").glob("*.jsonl")):
        variant = variants[path.stem.split("-")[0]]
        examples = [rows[Record.model_validate(each).example] for each in read_lines(path)]
        asked = to_requests(variant, examples, pool, opened.task.output, run)
        trained = variant.adapter
        steps.append(
            {
                "asked": [[m.model_dump() for m in request.messages] for request in asked],
                "max_tokens": variant.max_tokens,
                "temperature": variant.temperature,
                "alone": path.stem.endswith("-latency"),
                "adapter": [trained.rows, trained.learning_rate] if trained else None,
            }
        )
    return {
        "model": str(default_model_folder(lambda line: None)),
        "rank": opened.task.search.rank,
        "batch": opened.task.search.batch_size,
        "steps": steps,
        "trainings": trainings(decision.curve),
        "rows": encoded_rows(
            opened.task, opened.split.train[: max(opened.task.search.train_sizes)]
        ),
    }


def all_rows(opened: OpenTask) -> dict[str, Example]:
    """The task's rows, and its dev rows in every form in which finalists are asked again."""
    from trimtab.measure.consistency import FORMS, reformed

    forms = [
        changed
        for row in opened.split.dev
        for form in FORMS
        if (changed := reformed(row, form, opened.task.seed)) is not None
    ]
    return {row.id: row for row in (*opened.examples, *forms)}


def all_variants(decision: Decision) -> dict[str, Variant]:
    """Every variant that was asked: as it is, in its other layouts, and sampled."""
    from trimtab.measure.bench import SAMPLING_TEMPERATURE
    from trimtab.prompt.styles import styled, styles_of

    found: dict[str, Variant] = {}
    for variant in decision.variants:
        for each in (variant, *(styled(variant, style) for style in styles_of(variant))):
            warm = each.model_copy(update={"temperature": SAMPLING_TEMPERATURE})
            found |= {each.id: each, warm.id: warm}
    return found


def read_lines(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


Adapted = tuple[int, float | None]
"""Rows and learning rate of an adapter, which name it."""


def trainings(points: tuple[CurvePoint, ...]) -> list[dict[str, object]]:
    """Each training of the first seed once: rows, learning rate, the epochs that it took, and the
    training whose adapter it goes on from."""
    first = min(point.seed for point in points)
    points = tuple(point for point in points if point.seed == first)
    curve = sorted((p for p in points if not p.sweep), key=lambda p: p.rows)
    epochs = {(p.rows, p.learning_rate): p.epochs for p in points}
    found: dict[Adapted, Adapted | None] = {
        (p.rows, p.learning_rate): None for p in points if p.sweep
    }
    before: Adapted | None = None
    for point in curve:
        found[point.rows, point.learning_rate] = before
        before = (point.rows, point.learning_rate)
    return [
        {"rows": n, "rate": rate, "epochs": epochs[n, rate], "start": start}
        for (n, rate), start in found.items()
    ]


def encoded_rows(task: Task, examples: Sequence[Example]) -> list[tuple[list[int], list[int]]]:
    from transformers import AutoTokenizer

    from trimtab.engine.local.template import ChatTemplate
    from trimtab.prompt.variants import tuned_prompt
    from trimtab.tune.rows import encode

    template = ChatTemplate(AutoTokenizer.from_pretrained(default_model_folder(lambda line: None)))
    rows = encode(template, tuned_prompt(task), examples)
    return [(list(row.prompt), list(row.answer)) for row in rows]


if __name__ == "__main__":
    main()
