"""Error rates, power and rows saved of the test that is looked at on the way, by simulation.

    python benchmarks/sequential.py [--samples 200]

Rows are drawn at a true gain of 0, of the smallest difference that matters, and of twice that.
"Fixed" are the rows that show the smallest difference with 80 % power when they are looked at once,
at the 5 % level; the test with looks may take twice as many. Prints a line for each kind of rows,
and as last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trimtab.compare.bounds import z_value
from trimtab.compare.intervals import difference_interval
from trimtab.compare.sequential import PairedBet, sequential_comparison

Array = NDArray[np.float64]
Draw = Callable[[int, float, np.random.Generator], Array]

LEAST = 0.03
ALPHAS = (0.05, 0.025)
"""Of each claim. A decision takes the second, with which the interval has the level 95 %."""
BLOCK = 25
CAP = 2


def right_or_wrong(discordant: float, rows: int, gain: float, rng: np.random.Generator) -> Array:
    """0/1 scores of which the share `discordant` differs between the two sides."""
    win, loss = (discordant + gain) / 2, (discordant - gain) / 2
    part = rng.random(rows)
    return np.where(part < win, 1.0, np.where(part < win + loss, -1.0, 0.0))


def field_f1(tied: float, rows: int, gain: float, rng: np.random.Generator) -> Array:
    """Differences of any size: the share `tied` is 0, the sizes of the others are Beta(1.5, 2.5).

    With 40 % ties their standard deviation is 0.34; 0.36 was measured on the addresses example.
    """
    size = rng.beta(1.5, 2.5, rows) * (rng.random(rows) >= tied)
    up = (1 + gain / ((1 - tied) * 1.5 / 4)) / 2
    return np.where(rng.random(rows) < up, size, -size)


KINDS: dict[str, Draw] = {
    "right or wrong, 8 % differ": partial(right_or_wrong, 0.08),
    "right or wrong, 15 % differ": partial(right_or_wrong, 0.15),
    "right or wrong, 25 % differ": partial(right_or_wrong, 0.25),
    "field F1, 40 % ties": partial(field_f1, 0.4),
    "field F1, 75 % ties": partial(field_f1, 0.75),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    samples = parser.parse_args().samples
    figures = {}
    for name, draw in KINDS.items():
        figures[name] = {**looked_at(draw, samples), **decided(draw, samples // 3)}
        print(f"{name}: {figures[name]}", flush=True)
    settings = {"least": LEAST, "block": BLOCK, "cap": CAP, "samples": samples}
    print(json.dumps({"benchmark": "sequential", **settings, "figures": figures}))


def fixed_rows(draw: Draw) -> int:
    """For 80 % power at LEAST, from the spread of many rows."""
    spread = float(draw(1_000_000, LEAST, np.random.default_rng(0)).std())
    return math.ceil(((z_value(0.95) + z_value(0.6)) * spread / LEAST) ** 2)


def looked_at(draw: Draw, samples: int) -> dict[str, float]:
    """After every row: claims of a gain at each true gain, and rows until one at twice LEAST."""
    rng = np.random.default_rng(1)
    fixed = fixed_rows(draw)
    rows = {
        gain: np.array([rows_until(draw(CAP * fixed, gain, rng)) for _ in range(samples)])
        for gain in (0.0, LEAST, 2 * LEAST)
    }
    found: dict[str, float] = {"fixed_rows": fixed}
    for position, alpha in enumerate(ALPHAS):
        claimed = {
            gain: float(np.isfinite(each[:, position]).mean()) for gain, each in rows.items()
        }
        taken = np.minimum(rows[2 * LEAST][:, position], CAP * fixed)
        found[f"false_better_{alpha}"] = round(claimed[0.0], 3)
        found[f"power_at_least_{alpha}"] = round(claimed[LEAST], 3)
        found[f"share_of_rows_at_twice_{alpha}"] = round(float(taken.mean()) / fixed, 3)
    return found


def rows_until(differences: Array) -> list[float]:
    """Rows until a gain is claimed at each of ALPHAS; infinite where it never is."""
    bet = PairedBet(LEAST, min(ALPHAS))
    taken = [math.inf] * len(ALPHAS)
    for rows, difference in enumerate(differences.tolist(), start=1):
        bet.add(difference)
        evidence = bet.e_superior
        for position, alpha in enumerate(ALPHAS):
            if math.isinf(taken[position]) and evidence >= 1 / alpha:
                taken[position] = rows
        if bet.superior:
            break
    return taken


def decided(draw: Draw, samples: int) -> dict[str, float]:
    """As a decision reports it, with the fixed rows at hand: the interval of the looks where they
    saved rows, else that of a fixed number of rows. How often it holds the truth, rows saved, and
    how often a loss of LEAST is called futile."""
    rng = np.random.default_rng(2)
    fixed = fixed_rows(draw)
    found = {}
    for name, gain in (("loss", -LEAST), ("none", 0.0), ("least", LEAST), ("twice", 2 * LEAST)):
        held, used, futile = [], [], []
        for _ in range(samples):
            differences = draw(fixed, gain, rng).tolist()
            looked = sequential_comparison(differences, LEAST, min(ALPHAS), BLOCK, first_look=100)
            saved = looked.rows_saved > 0
            interval = looked.interval if saved else difference_interval(differences)
            assert interval.low is not None and interval.high is not None
            held.append(interval.low <= gain <= interval.high)
            used.append(looked.rows_used / fixed)
            futile.append(looked.outcome == "futile")
        found[f"coverage_at_{name}"] = round(float(np.mean(held)), 3)
        found[f"share_of_rows_at_{name}_capped"] = round(float(np.mean(used)), 3)
        found[f"futile_at_{name}"] = round(float(np.mean(futile)), 3)
    return found


if __name__ == "__main__":
    main()
