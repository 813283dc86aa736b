"""The searched prompt against every prompt of a fixed grid, on the sealed test rows of an example.

    python benchmarks/search.py addresses [--rows 120]

Takes the example's decision, or makes it: its search kept to the share of the time that a prompt
has beside a fine-tune. Then the prompts of the grid answer the same test rows: no demonstrations,
fixed ones chosen in each way, and the nearest ones, each free and constrained. Prints one JSON
object as its last line: the searched prompt's score, its paired difference to each prompt of the
grid with its interval, the difference to the one that the grid would have chosen on dev, and the
calls that the search took against those of the grid. The test rows are read openly here, for
comparing methods.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from trimtab import pipeline
from trimtab.compare.paired import compare
from trimtab.compare.summary import summarise
from trimtab.measure.meter import Silent
from trimtab.measure.plan import PROMPTS
from trimtab.measure.session import Session, open_session
from trimtab.prompt.demonstrations import STRATEGIES
from trimtab.prompt.recipe import Recipe
from trimtab.store.run import open_run
from trimtab.task.open import open_task
from trimtab.types import Decision, Example, Interval, Record, SplitName, Variant

REPOSITORY = Path(__file__).resolve().parent.parent
GENEROUS = {"minutes": 600, "calls": 10**6, "money": 5}


class Notes(Silent):
    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("example", choices=("addresses", "names"))
    parser.add_argument("--rows", type=int, help="test rows; by default all")
    options = parser.parse_args()
    prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), options.example]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    example = REPOSITORY / "examples" / options.example
    decided = pipeline.decide(example, Notes())
    with tempfile.TemporaryDirectory() as temporary:
        figures = against_grid(example, Path(temporary), decided.decision, options.rows)
    searched, used = decided.decision.search, decided.decision.spent
    assert searched is not None
    figures |= {
        "benchmark": "search",
        "example": options.example,
        "plateau": searched.plateau.statement if searched.plateau else None,
        "candidates": len(searched.trials),
        "stopped": sum(trial.ended == "behind" for trial in searched.trials),
        "calls": searched.calls,
        "calls_without_race": searched.calls_of_grid,
        "search_seconds": round(sum(s.seconds for s in used if s.stage == PROMPTS), 1),
        "notes": searched.notes,
    }
    print(json.dumps(figures))


def against_grid(
    example: Path, temporary: Path, decision: Decision, most: int | None
) -> dict[str, object]:
    """Paired differences of the searched prompt to the grid's, on the same rows of the test."""
    best = decision.prompt
    assert best is not None, "no prompt was measured"
    folder = temporary / "grid"
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("runs"))
    path = folder / "task.yaml"
    settings = yaml.safe_load(path.read_text("utf-8")) | {"budget": GENEROUS}
    settings["models"]["tune"] = None
    path.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), "utf-8")
    opened = open_task(folder)
    run, _ = open_run(folder, {"benchmark": "search"}, None)
    winner = next(variant for variant in decision.variants if variant.id == best.variant)
    with run, open_session(opened, run, Notes()) as session:
        test = opened.split.test.open(run.test_openings_path, "benchmark")[:most]
        dev = opened.split.dev
        winners = answers(session, winner, "test", test)
        grid = grid_of(session)
        on_test = {v.id: answers(session, v, "test", test) for v in grid}
        on_dev = {v.id: quality(session, v, answers(session, v, "dev", dev)) for v in grid}
        chosen = max(grid, key=lambda v: on_dev[v.id].estimate or 0.0)
        return {
            "rows": len(test),
            "metric": opened.task.metric,
            "searched": {"name": winner.name} | told(quality(session, winner, winners)),
            "grid": {
                v.name: told(quality(session, v, on_test[v.id]))
                | {"searched_minus_it": difference(session, on_test[v.id], winners)}
                for v in grid
            },
            "chosen_of_grid": chosen.name,
            "searched_minus_chosen": difference(session, on_test[chosen.id], winners),
            "calls_of_the_grid": len(grid) * len(dev),
        }


def grid_of(session: Session) -> list[Variant]:
    """The prompts that Trimtab measured before it searched, each free and constrained."""
    kitchen = session.search.kitchen
    recipes = [Recipe()]
    for k in sorted(kitchen.task.search.demonstrations):
        sets = zip(STRATEGIES, kitchen.sets(k), strict=True)
        recipes += [Recipe(demonstrations=rows, chosen=how) for how, rows in sets]
        recipes.append(Recipe(nearest=k))
    ways = (False, True) if kitchen.can_constrain else (False,)
    return [kitchen.cook(r.but(constrained=way)) for r in recipes for way in ways]


def answers(
    session: Session, variant: Variant, split: SplitName, rows: Sequence[Example]
) -> list[Record]:
    with session.meter.stage("benchmark", "prompt"):
        return session.benches["prompt"].records(variant, split, rows)


def quality(session: Session, variant: Variant, records: Sequence[Record]) -> Interval:
    task = session.opened.task
    return summarise(variant, "test", records, task.metric, task.seed).quality


def difference(
    session: Session, grid: Sequence[Record], searched: Sequence[Record]
) -> dict[str, float | None]:
    opened = session.opened
    found = compare(grid, searched, opened.task.metric, opened.clusters, opened.task.seed)
    return told(found.difference) | {"p": found.p_value}


def told(interval: Interval) -> dict[str, float | None]:
    bounds = {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
    return {name: None if b is None else round(b, 4) for name, b in bounds.items()}


if __name__ == "__main__":
    main()
