"""Error rates, power and rows saved of the test that is looked at on the way, by simulation.

    python benchmarks/sequential.py [--samples 200] [--kinds 8% 15% 25% F1-40 F1-75]

Rows are drawn at a true gain of 0, of the smallest difference that matters, and of twice that.
"Fixed" are the rows that show the smallest difference with 80 % power when they are looked at once,
at the 5 % level; the test with looks may take twice as many.

A claim alone is looked at after every row, at each of ALPHAS. A decision is Trimtab's own: blocks
of rows, the prompt clear of its goal, the comparison, and the gate on quality after Holm's
correction, where no other gain is any (the strictest case: CLAIMS claims, declared error 5 % for
all of them together). Prints a line for each kind of rows, and as last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trimtab.compare.bounds import z_value
from trimtab.compare.looking import ALPHA, CLAIMS, Looking
from trimtab.compare.paired import compare
from trimtab.compare.sequential import PairedBet, deciding
from trimtab.decide.evidence import Evidence
from trimtab.decide.gains import QUALITY
from trimtab.decide.gates import gates
from trimtab.task.spec import Task
from trimtab.types import (
    Arm,
    Comparison,
    Consistency,
    Example,
    Interval,
    Language,
    Latency,
    Record,
    Scored,
    VariantScore,
)

Array = NDArray[np.float64]
Draw = Callable[[int, float, np.random.Generator], tuple[Array, Array]]
"""Scores of prompt and fine-tune on so many rows at this true gain."""

LEAST = 0.03
ALPHAS = (0.05, ALPHA, ALPHA / CLAIMS)
"""Of a claim alone; of one side of an interval of the level 95 %; and of one among all claims."""
CAP = 2
GAINS = {"none": 0.0, "least": LEAST, "twice": 2 * LEAST}
METRIC = "accuracy"
GOAL = 0.95


def right_or_wrong(
    discordant: float, rows: int, gain: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """0/1 scores of which the share `discordant` differs between the two sides."""
    win, loss = (discordant + gain) / 2, (discordant - gain) / 2
    part = rng.random(rows)
    both = (rng.random(rows) < 0.6).astype(np.float64)
    before = np.where(part < win, 0.0, np.where(part < win + loss, 1.0, both))
    return before, np.where(part < win, 1.0, np.where(part < win + loss, 0.0, both))


def field_f1(tied: float, rows: int, gain: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Differences of any size: the share `tied` is 0, the sizes of the others are Beta(1.5, 2.5).

    With 40 % ties their standard deviation is 0.34; 0.36 was measured on the addresses example.
    """
    size = rng.beta(1.5, 2.5, rows) * (rng.random(rows) >= tied)
    up = (1 + gain / ((1 - tied) * 1.5 / 4)) / 2
    lower = rng.random(rows) * (1 - size)
    better = rng.random(rows) < up
    higher = lower + size
    return np.where(better, lower, higher), np.where(better, higher, lower)


KINDS: dict[str, tuple[str, Draw]] = {
    "8%": ("right or wrong, 8 % differ", partial(right_or_wrong, 0.08)),
    "15%": ("right or wrong, 15 % differ", partial(right_or_wrong, 0.15)),
    "25%": ("right or wrong, 25 % differ", partial(right_or_wrong, 0.25)),
    "F1-40": ("field F1, 40 % ties", partial(field_f1, 0.4)),
    "F1-75": ("field F1, 75 % ties", partial(field_f1, 0.75)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS], default=[*KINDS])
    options = parser.parse_args()
    figures = {}
    for kind in options.kinds:
        name, draw = KINDS[kind]
        figures[name] = {**looked_at(draw, options.samples), **decided(draw, options.samples)}
        print(f"{name}: {figures[name]}", flush=True)
    settings = {"least": LEAST, "cap": CAP, "claims": CLAIMS, "samples": options.samples}
    print(json.dumps({"benchmark": "sequential", **settings, "figures": figures}))


def fixed_rows(draw: Draw) -> int:
    """For 80 % power at LEAST, from the spread of many rows."""
    before, after = draw(1_000_000, LEAST, np.random.default_rng(0))
    spread = float((after - before).std())
    return math.ceil(((z_value(0.95) + z_value(0.6)) * spread / LEAST) ** 2)


def looked_at(draw: Draw, samples: int) -> dict[str, float]:
    """A claim alone: how often a gain is claimed at each true one, and rows until then."""
    rng = np.random.default_rng(1)
    fixed = fixed_rows(draw)
    rows = {
        name: np.array([rows_until(*draw(CAP * fixed, gain, rng)) for _ in range(samples)])
        for name, gain in GAINS.items()
    }
    found: dict[str, float] = {"fixed_rows": fixed}
    for position, alpha in enumerate(ALPHAS):
        claimed = {name: np.isfinite(each[:, position]).mean() for name, each in rows.items()}
        taken = np.minimum(rows["twice"][:, position], CAP * fixed)
        found[f"alone_false_better_{alpha:g}"] = round(float(claimed["none"]), 3)
        found[f"alone_power_at_least_{alpha:g}"] = round(float(claimed["least"]), 3)
        found[f"alone_rows_at_twice_{alpha:g}"] = round(float(taken.mean()) / fixed, 3)
    return found


def rows_until(before: Array, after: Array) -> list[float]:
    """Rows until a gain is claimed at each of ALPHAS; infinite where it never is."""
    bet = PairedBet(LEAST, min(ALPHAS))
    taken = [math.inf] * len(ALPHAS)
    for rows, difference in enumerate((after - before).tolist(), start=1):
        bet.add(difference)
        evidence = bet.e_superior
        for position, alpha in enumerate(ALPHAS):
            if math.isinf(taken[position]) and evidence >= 1 / alpha:
                taken[position] = rows
        if bet.superior:
            break
    return taken


@dataclass(frozen=True)
class Decided:
    """What a decision made of its test rows."""

    better: bool
    """Whether the gate on quality passes."""
    rows: int
    held: bool
    """Whether the interval that decides holds the true gain."""


def decided(draw: Draw, samples: int) -> dict[str, float]:
    """Decisions with CAP times the fixed rows at hand."""
    rng = np.random.default_rng(2)
    fixed = fixed_rows(draw)
    found = {}
    for name, gain in GAINS.items():
        each = [decision(*draw(CAP * fixed, gain, rng), gain) for _ in range(samples)]
        found[f"better_at_{name}"] = round(float(np.mean([d.better for d in each])), 3)
        found[f"rows_at_{name}"] = round(float(np.mean([d.rows for d in each])) / fixed, 3)
        found[f"held_at_{name}"] = round(float(np.mean([d.held for d in each])), 3)
    return found


def decision(before: Array, after: Array, gain: float) -> Decided:
    rows = [Example(id=str(i), input="", target="") for i in range(len(before))]
    prompt, tuned = _records("prompt", before), _records("fine-tune", after)
    looking = Looking(rows, METRIC, GOAL, LEAST, {})
    asked = 0
    for block in looking.blocks():
        start, asked = asked, asked + len(block)
        looking.add(prompt[start:asked], tuned[start:asked])
    found = compare(prompt[:asked], tuned[:asked], METRIC)
    if looking.looked is not None:
        found = deciding(found, looking.looked)
    low, high = found.difference.low, found.difference.high
    assert low is not None and high is not None
    return Decided(_better(found), asked, low <= gain <= high)


def _records(variant: str, scores: Array) -> list[Record]:
    return [
        Record(
            variant=variant,
            example=str(i),
            completion=None,
            outcome=Scored(metrics={METRIC: score}, valid=True),
        )
        for i, score in enumerate(scores.tolist())
    ]


def _better(comparison: Comparison) -> bool:
    """Whether the gate on quality passes beside other gains that are none."""
    evidence = Evidence(
        task=TASK,
        today=date(2026, 6, 1),
        prompt=_alike("prompt"),
        fine_tune=_alike("fine-tune"),
        comparison=comparison,
        money=None,
        forecast=None,
        n_train=500,
        rows_approved=0,
        rows_total=500,
        prompt_search_complete=True,
        consistency=AS_STEADY,
        language=AS_FOREIGN,
    )
    return any(gate.name == QUALITY and gate.status == "pass" for gate in gates(evidence))


def _alike(arm: Arm) -> VariantScore:
    """What both arms have in common: validity, latency and cost."""
    same = Interval(estimate=0.9, low=0.88, high=0.92, n=500, method="simulated")
    return VariantScore(
        variant=arm,
        name=arm,
        arm=arm,
        split="test",
        n=500,
        failures=0,
        quality=same,
        metrics={},
        validity=same,
        tokens_in=100.0,
        tokens_cached=0.0,
        tokens_out=1.0,
        latency=Latency(p50=0.9, p95=0.9, mean=0.9, n=60, mean_interval=same),
        money_per_1000=0.9,
        money_interval=same,
    )


AS_STEADY = Consistency(
    rows=100,
    of=100,
    arms=(),
    compared=("sample",),
    difference=Interval(estimate=0.0, low=-0.02, high=0.02, n=100, method="simulated"),
    p_value=1.0,
)
_BITS = Interval(estimate=1.2, low=1.1, high=1.3, n=100, method="simulated")
AS_FOREIGN = Language(
    rows=100,
    general=_BITS,
    inputs=_BITS,
    tokens_per_word={},
    untuned=_BITS,
    prompted=_BITS,
    tuned=_BITS,
    saved=AS_STEADY.difference,
    p_value=1.0,
    closed=None,
)
TASK = Task.model_validate(
    {
        "name": "simulated",
        "instructions": "Answer.",
        "data": {"path": "rows.jsonl"},
        "output": {"kind": "label", "labels": ["a", "b"]},
        "metric": METRIC,
        "goals": {"quality": GOAL, "smallest_difference": LEAST},
    }
)


if __name__ == "__main__":
    main()
