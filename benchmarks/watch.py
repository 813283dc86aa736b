"""False alarms of the watch in quiet half-years, and how soon it finds a fall of quality.

    python benchmarks/watch.py [--part quiet|changes|falls|all] [--years 20] [--samples 400]

A half-year has 26 weeks of calls with a daily rhythm of volume and latency, and weekly reviews half
of which are drawn for a reason. Each is read by the code that reads production, at the end of each
week. Prints a line for each part, and as last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from trimtab.compare.intervals import wilson
from trimtab.store.reviews import ReviewedCall
from trimtab.store.traces import Trace
from trimtab.store.watching import Window
from trimtab.task.spec import Task
from trimtab.watch.bets import drop_bets, enough, restarted_path
from trimtab.watch.quality import ALPHA, DROPS, Floor, find_floor, quality
from trimtab.watch.rates import limits, rates
from trimtab.watch.settings import TrafficSettings
from trimtab.watch.windows import ChampionCalls, Cutter

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEKS = 26
CALLS_A_WEEK = 400
REVIEWS_A_WEEK = 25
ODD = 0.1
"""Share of the calls for which a reason speaks."""
ODD_CHANCE, PLAIN_CHANCE = 0.5, 0.05
"""Of being reviewed, for those with a reason and the others."""
LABELS = ("billing", "delivery", "quality", "other")
MIX = (0.4, 0.3, 0.2, 0.1)
TOLERANCE = 0.03
TEST_ROWS = 300
LOSS = 0.05
WITHIN = 200
WORDS = 3000
TASK = Task.model_validate(
    {
        "name": "simulated",
        "instructions": "Decide.",
        "data": {"path": "rows.jsonl"},
        "output": {"kind": "label", "labels": LABELS},
        "metric": "accuracy",
        "goals": {"quality": 0.9, "validity": 0.98},
    }
)


@dataclass(frozen=True)
class World:
    """What production does. `new_words`: share of the inputs that are of another kind."""

    quality: float = 0.93
    new_words: float = 0.0
    mix: tuple[float, ...] = MIX
    broken: float = 0.015
    slower: float = 1.0
    dearer: float = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["quiet", "changes", "falls", "all"], default="all")
    parser.add_argument("--years", type=int, default=20, help="half-years")
    parser.add_argument("--first", type=int, default=0, help="seed of the first half-year")
    parser.add_argument("--samples", type=int, default=400)
    asked = parser.parse_args()
    figures: dict[str, object] = {}
    if asked.part in ("quiet", "all"):
        figures["quiet"] = quiet_half_years(asked.first, asked.years)
    if asked.part in ("changes", "all"):
        figures["weeks_until_alarm"] = {name: changed(name) for name in CHANGES}
    if asked.part in ("falls", "all"):
        figures["at_the_floor"] = at_the_floor(asked.samples)
        figures["falls"] = falls(asked.samples)
    for name, found in figures.items():
        print(f"{name}: {found}", flush=True)
    settings = {
        "weeks": WEEKS,
        "calls_a_week": CALLS_A_WEEK,
        "reviews_a_week": REVIEWS_A_WEEK,
        "samples": asked.samples,
    }
    print(json.dumps({"benchmark": "watch", **settings, **figures}))


ALL_ALIKE, FOR_REASONS = "all alike", "half for reasons"
DRAWS = (ALL_ALIKE, FOR_REASONS)
"""How calls come to be reviewed; production draws half of them for reasons."""
FLOORS = (
    (0.98, False),
    (0.97, False),
    (0.95, False),
    (0.93, False),
    (0.9, False),
    (0.85, False),
    (0.9, True),
)
"""Each with whether answers are graded."""

CHANGES = {
    "a fifth of the inputs of another kind": World(new_words=0.2),
    "half of the inputs of another kind": World(new_words=0.5),
    "a label from 10 to 25 %": World(mix=(0.3, 0.25, 0.2, 0.25)),
    "broken answers from 1.5 to 5 %": World(broken=0.05),
    "twice as slow": World(slower=2.0),
    "half as dear again": World(dearer=1.5),
    "quality from 0.93 to 0.80": World(quality=0.80),
}
CHANGE_AFTER = 6
WEEKS_OF_CHANGE = 12
YEARS_OF_CHANGE = 6


def quiet_half_years(first: int, years: int) -> dict[str, object]:
    """Alarms in half-years in which nothing changes; the floor is taken from a sealed test that was
    drawn anew for each."""
    alarms: Counter[str] = Counter()
    disturbed = 0
    started = time.perf_counter()
    for year in range(first, first + years):
        rng = np.random.default_rng(1000 + year)
        kinds = set(watched(rng, [World()] * WEEKS))
        alarms.update(kinds)
        disturbed += bool(kinds)
    seconds = (time.perf_counter() - started) / years
    return {
        "half_years": years,
        "with_an_alarm": disturbed,
        "alarms": dict(alarms),
        "seconds_each": round(seconds, 2),
    }


def changed(name: str) -> dict[str, object]:
    """Weeks from a change to the first alarm of each kind, in a few half-years."""
    weeks = []
    for seed in range(YEARS_OF_CHANGE):
        rng = np.random.default_rng(seed)
        worlds = [World()] * CHANGE_AFTER + [CHANGES[name]] * WEEKS_OF_CHANGE
        found = watched(rng, worlds)
        weeks.append({kind: week - CHANGE_AFTER + 1 for kind, week in found.items()})
    kinds = sorted({kind for each in weeks for kind in each})
    by_kind: dict[str, object] = {
        kind: {
            "found_in": sum(kind in each for each in weeks),
            "of": YEARS_OF_CHANGE,
            "median_weeks": float(np.median([each[kind] for each in weeks if kind in each])),
        }
        for kind in kinds
    }
    print(f"{name}: {by_kind}", flush=True)
    return by_kind


def watched(rng: np.random.Generator, worlds: Sequence[World]) -> dict[str, int]:
    """The week (from 0) in which each kind of alarm was first raised."""
    traces: Sequence[Trace] = ()
    calls: list[ReviewedCall] = []
    windows: list[Window] = []
    least = sealed_floor(rng, worlds[0].quality)
    known = limits(TASK, TASK.models.prompt, None)

    def read(since: datetime, until: datetime) -> list[Trace]:
        return [trace for trace in traces if since <= trace.time < until]

    def inputs(ids: Sequence[str]) -> list[str]:
        return [trace.input for trace in traces if trace.id in set(ids)]

    calls_of = ChampionCalls(read, inputs, START)
    cutter = Cutter(
        TASK, TASK.models.prompt, TrafficSettings(), known, calls_of, lambda counted: None
    )
    first: dict[str, int] = {}
    kept: list[Trace] = []
    for week, world in enumerate(worlds):
        now_served = served(rng, world, week)
        kept = kept or now_served
        traces = now_served if week == 0 else [*kept, *now_served]  # others are not read again
        calls += reviewed(rng, world, week)
        now = START + timedelta(weeks=week + 1)
        counted = cutter.count(windows, None, (1, START), now, now)
        windows = counted.windows
        seen = [hour for window in windows for hour in window.hours]
        after = windows[0].until
        readings = [
            *(reading for window in windows for reading in window.readings),
            *rates(seen, counted.limits, {"latency": after, "cost": after}, START),
            quality(calls, START, least),
        ]
        for reading in readings:
            if reading.state == "alarm":
                first.setdefault(reading.kind, week)
    return first


def sealed_floor(rng: np.random.Generator, truth: float) -> Floor | None:
    return find_floor(wilson(int(rng.binomial(TEST_ROWS, truth)), TEST_ROWS), TOLERANCE, None)


def served(rng: np.random.Generator, world: World, week: int) -> list[Trace]:
    """A week's calls: more by day than by night, slower when there are more, alike hour by hour."""
    found: list[Trace] = []
    hour_of_week = rng.choice(168, CALLS_A_WEEK, p=RHYTHM)
    slow_hours = np.exp(0.2 * rng.standard_normal(168))
    for hour in np.sort(hour_of_week).tolist():
        moment = START + timedelta(weeks=week, hours=hour, seconds=float(rng.uniform(0, 3600)))
        busy = 1 + 0.5 * float(RHYTHM[hour] * 168)
        seconds = 0.3 * busy * slow_hours[hour] * float(rng.lognormal(0, 0.35)) * world.slower
        valid = bool(rng.random() >= world.broken)
        found.append(
            Trace.model_construct(
                id=_id(moment, len(found)),
                task="simulated",
                time=moment,
                role="champion",
                variant="v",
                run="r",
                deployment=1,
                of=None,
                input=text(rng, world),
                output=str(rng.choice(LABELS, p=world.mix)) if valid else "?",
                valid=valid,
                problem=None,
                tokens_in=int(rng.poisson(300) * world.dearer),
                tokens_cached=0,
                tokens_out=2,
                latency_s=seconds,
                weight=1.0,
                redacted=False,
            )
        )
    return sorted(found, key=lambda trace: trace.time)


def reviewed(rng: np.random.Generator, world: World, week: int) -> list[ReviewedCall]:
    """A week's reviews: half drawn at random, half for a reason that doubles the chance of a wrong
    answer, at ten times the probability."""
    found = []
    odd = is_odd(rng, REVIEWS_A_WEEK)
    wrong = wrong_by_draw(1 - world.quality, odd)
    for i in range(REVIEWS_A_WEEK):
        chance = ODD_CHANCE if odd[i] else PLAIN_CHANCE
        score = float(rng.random() >= wrong[i])
        moment = START + timedelta(weeks=week, hours=6 * i)
        found.append(
            ReviewedCall(
                trace=_id(moment, i),
                variant="v",
                score=score,
                probability=chance,
                batch=week,
                settled=moment,
            )
        )
    return found


def is_odd(rng: np.random.Generator, reviews: int) -> np.ndarray:
    """Which of the reviewed calls were drawn for a reason: half of them, about."""
    odd, plain = ODD * ODD_CHANCE, (1 - ODD) * PLAIN_CHANCE
    return rng.random(reviews) < odd / (odd + plain)


def wrong_by_draw(wrong: np.ndarray | float, odd: np.ndarray) -> np.ndarray:
    """The chance that a call is wrong, or its loss, where it is `wrong` over all calls and twice as
    high in the odd ones."""
    return np.asarray(wrong / (1 + ODD) * np.where(odd, 2.0, 1.0))


def text(rng: np.random.Generator, world: World) -> str:
    """Words by Zipf's law; those of another kind are other words."""
    ranks = np.minimum(rng.zipf(1.3, int(rng.integers(5, 13))), WORDS)
    prefix = "q" if rng.random() < world.new_words else "w"
    return " ".join(f"{prefix}{_WORDS[rank - 1]}" for rank in ranks.tolist())


def at_the_floor(samples: int) -> dict[str, float]:
    """Share of half-years with an alarm where quality is as low as it may be, looked at after each
    review: what the guarantee promises to keep below ALPHA."""
    rng = np.random.default_rng(5)
    alarms = {}
    rows = WEEKS * REVIEWS_A_WEEK
    for draw in DRAWS:
        for least in (0.9, 0.95):
            raised = 0
            for _ in range(samples):
                scores, parts = judged(rng, np.full(rows, least), draw, graded=False)
                days = np.arange(rows) * 7 / REVIEWS_A_WEEK
                raised += items_until(days, scores, parts, least) is not None
            alarms[f"{least}, {draw}"] = round(raised / samples, 4)
    return alarms


def falls(samples: int) -> dict[str, dict[str, object]]:
    """Reviewed calls until a fall of LOSS below the floor is found: from the first call on, and
    from a moment between the first and the 600th, before which quality was just at the floor."""
    rng = np.random.default_rng(6)
    found: dict[str, dict[str, object]] = {}
    for draw in DRAWS:
        for least, graded in FLOORS:
            name = f"{'graded' if graded else 'right or wrong'}, floor {least}, {draw}"
            found[f"{name}, from the first call"] = _told(
                [fall_found(rng, least, 0, draw, graded=graded) for _ in range(samples)]
            )
            found[f"{name}, later"] = _told(
                [
                    fall_found(rng, least, int(rng.integers(0, 600)), draw, graded=graded)
                    for _ in range(samples)
                ]
            )
    return found


def fall_found(
    rng: np.random.Generator, least: float, before: int, draw: str, *, graded: bool
) -> int | None:
    """Reviewed calls from the fall until the alarm; None beyond 600."""
    rows = before + 600
    truth = np.where(np.arange(rows) < before, least, least - LOSS)
    scores, parts = judged(rng, truth, draw, graded=graded)
    days = np.arange(rows) * 7 / REVIEWS_A_WEEK
    taken = items_until(days, scores, parts, least)
    return None if taken is None else max(0, taken - before)


def judged(
    rng: np.random.Generator, truth: np.ndarray, draw: str, *, graded: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of reviewed calls and what each counts; `truth` is the quality of all calls then."""
    rows = len(truth)
    odd = is_odd(rng, rows) if draw == FOR_REASONS else np.zeros(rows, dtype=bool)
    loss = wrong_by_draw(1 - truth, odd) if draw == FOR_REASONS else 1 - truth
    parts = np.where(odd, PLAIN_CHANCE / ODD_CHANCE, 1.0)
    if graded:  # field F1: half of the answers are perfect, the others lie around 0.8
        lost = np.clip(rng.beta(2, 2, rows) * 4 * loss, 0, 1)
        return np.where(rng.random(rows) < 0.5, 1.0, 1 - lost), parts
    return (rng.random(rows) >= loss).astype(float), parts


def items_until(
    days: np.ndarray, scores: np.ndarray, parts: np.ndarray, least: float
) -> int | None:
    """Reviews until the alarm, looked at after each."""
    stakes = restarted_path(days, scores, parts, least, "below", drop_bets(least, DROPS))
    raised = np.flatnonzero(stakes >= enough(ALPHA))
    return int(raised[0]) + 1 if len(raised) else None


def _told(taken: Sequence[int | None]) -> dict[str, object]:
    found = [each for each in taken if each is not None]
    within = sum(each <= WITHIN for each in found) / len(taken)
    median = float(np.median([601 if each is None else each for each in taken]))
    return {"found_within_200": round(within, 3), "median": None if median > 600 else median}


def _id(moment: datetime, number: int) -> str:
    return f"{int(moment.timestamp() * 1000):012x}{number:016x}"


_BY_HOUR = 1 + 0.8 * np.sin((np.arange(168) % 24 - 8) / 24 * 2 * np.pi)
RHYTHM = _BY_HOUR / _BY_HOUR.sum()
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORDS = [
    "".join(_LETTERS[int(d)] for d in np.random.default_rng(i).integers(0, 26, 6))
    for i in range(WORDS)
]

if __name__ == "__main__":
    main()
