"""Is the verdict right? Many simulated teams decide real tasks whose outcomes are all recorded.

    python -m benchmarks.truth [--teams 1000] [--tasks names glosses dates] [--minutes 60]

From the repository's folder. First records what is not recorded yet: what every prompt and every
fine-tune of the default model answers to 256 rows of each task. That takes hours on two cores; it
may be cut off, or be given `--minutes` (a chunk of rows that was begun is ended first), and goes on
at the next call. Then replays the teams and prints tables, and as last line one JSON object.
`--no-record` replays what there is, `--no-trainjudge` leaves the peer out, whose environment is
otherwise made on first use. What replay simplifies: docs/truth.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.truth.pools import TASKS, Pool, pool
from benchmarks.truth.record import record
from benchmarks.truth.rivals import TrainJudge
from benchmarks.truth.scoreboard import OURS, Case, Figures, coverage, figures, replay, words
from benchmarks.truth.teams import ROWS
from benchmarks.truth.world import worlds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    parser.add_argument("--minutes", type=float, default=1e6, help="for recording")
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--no-trainjudge", action="store_true")
    options = parser.parse_args()
    pools = {name: pool(name) for name in options.tasks}
    if not options.no_record and not _record(pools, options.minutes):
        sys.exit("not all is recorded yet: run it again, or with --no-record on what there is")
    found = {name: worlds(each) for name, each in pools.items()}
    found = {name: each for name, each in found.items() if each}
    if not found:
        sys.exit("nothing is recorded yet: run it without --no-record")
    begun = time.perf_counter()
    judges = {} if options.no_trainjudge else {n: TrainJudge(pools[n]) for n in found}
    rivals = {name: {"trainjudge": each.word} for name, each in judges.items()}
    cases = replay(found, rivals, options.teams)
    seconds = time.perf_counter() - begun
    _show(cases, {name: len(each) for name, each in found.items()}, seconds)


def _record(pools: Mapping[str, Pool], minutes: float) -> bool:
    until = time.monotonic() + 60 * minutes
    note = partial(print, file=sys.stderr, flush=True)
    return all(record(each, (until - time.monotonic()) / 60, note) for each in pools.values())


def _show(cases: Sequence[Case], trainings: Mapping[str, int], seconds: float) -> None:
    ways = {way: figures(cases, way) for way in cases[0].judged}
    tasks = {name: _where(cases, lambda case, n=name: case.task == n) for name in trainings}
    sizes = {rows: _where(cases, lambda case, n=rows: case.team.rows == n) for rows in ROWS}
    for title, table in (("way", ways), ("Trimtab by task", tasks), ("Trimtab by rows", sizes)):
        _table(title, {str(name): row for name, row in table.items()})
    held, said = coverage(cases), words(cases)
    for name, row in held.items():
        print(f"{name}: {row}")
    for name, counts in said.items():
        print(f"right is {name}: {counts}")
    print(
        json.dumps(
            {
                "benchmark": "truth",
                "trainings": trainings,
                "seconds": round(seconds, 1),
                "ways": ways,
                "tasks": tasks,
                "rows": sizes,
                "coverage": held,
                "words": said,
                "right_by_task": _right_by_task(cases),
            }
        )
    )


def _right_by_task(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """How often each verdict, or pair that cannot be told apart, is right in each task."""
    return {
        name: {word: sum(counts.values()) for word, counts in words(of).items()}
        for name in dict.fromkeys(case.task for case in cases)
        for of in [[case for case in cases if case.task == name]]
    }


def _where(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> Figures:
    return figures([case for case in cases if wanted(case)], OURS)


SHOWN = {
    "teams": "teams",
    "right": "right %",
    "right_of_concluded": "of concluded %",
    "right_of_clear": "of clear %",
    "inconclusive": "inconclusive %",
    "fine_tune": "fine-tune %",
    "fine_tune_lost": "lost %",
    "quality_regret": "quality regret",
    "money_regret": "USD a month",
}


def _table(title: str, rows: Mapping[str, Figures]) -> None:
    print(" | ".join([title.ljust(24), *SHOWN.values()]))
    for name, row in rows.items():
        cells = []
        for key, head in SHOWN.items():
            value = row[key]
            if value is None:
                text = "-"
            elif "%" in head:
                text = f"{100 * value:.1f}"
            else:
                text = f"{value:,.4g}"
            cells.append(text.rjust(len(head)))
        print(" | ".join([name.ljust(24), *cells]))
    print()


if __name__ == "__main__":
    main()
