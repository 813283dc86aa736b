"""Is the verdict right? Many simulated teams decide real tasks whose outcomes are all recorded.

    python -m benchmarks.truth [--teams 1000] [--first 0] [--tasks names dates] [--minutes 60]

From the repository's folder. First records what is not recorded yet: what every prompt and every
fine-tune of the default model answers to 256 rows of each task. That takes hours on two cores; it
may be cut off, or be given `--minutes` (a chunk of rows that was begun is ended first), and goes on
at the next call. Then replays the teams, numbered from `--first` on, and prints tables, and as last
line one JSON object. `--no-record` replays what there is, `--no-trainjudge` leaves the peer out,
whose environment is otherwise made on first use. `--ceilings` replays teams that know one thing
after the other, which shows what their luck costs. `--confirm 2` makes so many full runs of
`trimtab decide` for teams of the first task. What replay simplifies: docs/truth.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from benchmarks.truth.confirm import Confirmed, confirm
from benchmarks.truth.pools import TASKS, Pool, pool
from benchmarks.truth.record import record
from benchmarks.truth.rivals import TrainJudge
from benchmarks.truth.scoreboard import (
    Case,
    Figures,
    coverage,
    figures,
    reasons,
    replay,
    words,
)
from benchmarks.truth.teams import AS_IT_IS, ROWS, Luck
from benchmarks.truth.world import World, worlds

from trimtab.measure.meter import Silent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first team")
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    parser.add_argument("--minutes", type=float, default=1e6, help="for recording")
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--no-trainjudge", action="store_true")
    parser.add_argument("--ceilings", action="store_true")
    parser.add_argument("--confirm", type=int, default=0)
    parser.add_argument("--run-minutes", type=float, default=20, help="budget of a full run")
    options = parser.parse_args()
    pools = {name: pool(name) for name in options.tasks}
    if not options.no_record and not _record(pools, options.minutes):
        sys.exit("not all is recorded yet: run it again, or with --no-record on what there is")
    found = {name: worlds(each) for name, each in pools.items()}
    found = {name: each for name, each in found.items() if each}
    if not found:
        sys.exit("nothing is recorded yet: run it without --no-record")
    numbers = range(options.first, options.first + options.teams)
    if options.ceilings:
        _show_ceilings(found, numbers)
        return
    if options.confirm:
        name, of = next(iter(found.items()))
        _show_confirmed(confirm(pools[name], of[0], options.confirm, options.run_minutes, Noted()))
        return
    begun = time.perf_counter()
    judges = {} if options.no_trainjudge else {n: TrainJudge(pools[n]) for n in found}
    rivals = {name: {"trainjudge": each.word} for name, each in judges.items()}
    cases = replay(found, rivals, numbers)
    seconds = time.perf_counter() - begun
    _show(cases, {name: len(each) for name, each in found.items()}, seconds)


def _record(pools: Mapping[str, Pool], minutes: float) -> bool:
    until = time.monotonic() + 60 * minutes
    note = partial(print, file=sys.stderr, flush=True)
    return all(record(each, (until - time.monotonic()) / 60, note) for each in pools.values())


def _show(cases: Sequence[Case], trainings: Mapping[str, int], seconds: float) -> None:
    ways = {way: figures(cases, way) for way in cases[0].judged}
    tasks = {name: figures([case for case in cases if case.task == name]) for name in trainings}
    sizes = {rows: figures([case for case in cases if case.team.rows == rows]) for rows in ROWS}
    for title, table in (("way", ways), ("Trimtab by task", tasks), ("Trimtab by rows", sizes)):
        _table(title, {str(name): row for name, row in table.items()})
    held, said = coverage(cases), words(cases)
    for name, kept in held.items():
        print(f"{name}: {kept}")
    for name, counts in said.items():
        print(f"right is {name}: {counts}")
    wrong = reasons(cases)
    for row in wrong:
        print(" | ".join(map(str, row)))
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
                "wrong": wrong,
                "right_by_task": _right_by_task(cases),
            }
        )
    )


class Noted(Silent):
    """Says what begins."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _show_confirmed(runs: Iterable[Confirmed]) -> None:
    told = []
    for each in runs:
        print(*each.lines(), sep="\n", flush=True)
        told.append(
            {
                "team": each.team.number,
                "rows": each.team.rows,
                "right": sorted(each.right.words),
                "replay": each.replayed,
                "run": each.decision.verdict.word,
                "held": each.held,
            }
        )
    print(json.dumps({"benchmark": "truth, full runs", "runs": told}))


def _show_ceilings(found: Mapping[str, Sequence[World]], numbers: Sequence[int]) -> None:
    """The same teams, from those with all their luck to those that know everything."""
    cases = {name: replay(found, {}, numbers, luck) for name, luck in LADDER.items()}
    rows = {name: figures(of) for name, of in cases.items()}
    _table("the teams know", rows)
    for row in reasons([*cases.values()][-1]):
        print(" | ".join(map(str, row)))
    print(json.dumps({"benchmark": "truth, ceilings", "known": rows}))


def _right_by_task(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """How often each verdict, or pair that cannot be told apart, is right in each task."""
    return {
        name: {word: sum(counts.values()) for word, counts in words(of).items()}
        for name in dict.fromkeys(case.task for case in cases)
        for of in [[case for case in cases if case.task == name]]
    }


LADDER = {
    "what a sample tells": AS_IT_IS,
    "and the test's truth": Luck(test=False),
    "and dev's": Luck(test=False, dev=False),
    "and volume and prices": Luck(test=False, dev=False, money=False),
    "and what more rows bring": Luck(test=False, dev=False, money=False, curve=False),
}
SHOWN = {
    "teams": "teams",
    "right": "right %",
    "right_of_concluded": "of concluded %",
    "right_of_clear": "of clear %",
    "right_of_net": "of net gaps %",
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
