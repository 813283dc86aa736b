"""How far forecasts of learning curves miss, and how often their intervals hold the truth.

    python benchmarks/forecast.py [CURVES.csv]      (or TRIMTAB_CURVES=CURVES.csv)

By default the file is ../shared/data/sft_curves.csv beside the repository. It is no part of the
repository, and where it is absent nothing is done. It has the columns task, model, rows, loss:
final test losses of models tuned on more and more rows, such as the tables of Lin et al. 2024,
Selecting Large Language Model to Fine-tune via Rectified Scaling Law. Each curve is fitted on its
sizes up to 1,600 rows, and what it says of 2, 4 and 8 times as many is compared with what was
measured. The same is done in every window of 3, 4 and 6 sizes. Nominal intervals are 90 %. Prints a
line for each task, and as last line one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trimtab.tune.curve_fit import Curve, error_draws

Array = NDArray[np.float64]

CURVES = Path(__file__).parents[2] / "shared" / "data" / "sft_curves.csv"
FITTED_UP_TO = 1_600
REACHES = (2, 4, 8)
TAILS = (0.05, 0.95)


@dataclass(frozen=True)
class Missed:
    """One forecast at REACHES: errors relative to the truth, in units of the interval's half-width
    on that side as well, and whether the interval held it."""

    relative: Array
    halves: Array


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "curves", nargs="?", type=Path, default=os.environ.get("TRIMTAB_CURVES", CURVES)
    )
    path: Path = parser.parse_args().curves
    if not path.exists():
        sys.exit(f"no learning curves at {path}: give the path of the CSV file")
    curves = read(path)
    begun = time.perf_counter()
    bar = {task: [missed(each, FITTED_UP_TO) for each in of] for task, of in curves.items()}
    seconds = (time.perf_counter() - begun) / sum(map(len, bar.values()))
    windows = {
        f"{task}, {sizes} sizes": [
            missed(window, window.rows[sizes - 1])
            for each in of
            for window in windows_of(each, sizes + len(REACHES))
        ]
        for task, of in curves.items()
        for sizes in (3, 4, 6)
    }
    both = [each for of in bar.values() for each in of]
    figures = {name: summary(found) for name, found in {**bar, "all": both, **windows}.items()}
    for name, found in figures.items():
        print(f"{name}: {found}", flush=True)
    print(
        json.dumps(
            {
                "benchmark": "forecast",
                "fitted_up_to": FITTED_UP_TO,
                "seconds_a_curve": round(seconds, 3),
                "figures": figures,
                "scaled_by_the_other_task": left_out(bar),
            }
        )
    )


def read(path: Path) -> dict[str, list[Curve]]:
    """Curves by task; the loss without fine-tuning (0 rows) is no point of a law."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if int(row["rows"]) > 0:
                points[row["task"], row["model"]].append((float(row["rows"]), float(row["loss"])))
    curves: dict[str, list[Curve]] = defaultdict(list)
    for (task, _), of in points.items():
        rows, losses = np.array(sorted(of)).T
        curves[task].append(Curve(rows, losses, np.zeros(len(rows))))
    return dict(curves)


def windows_of(curve: Curve, length: int) -> Iterable[Curve]:
    for start in range(len(curve.rows) - length + 1):
        part = slice(start, start + length)
        yield Curve(curve.rows[part], curve.errors[part], curve.sds[part])


def missed(curve: Curve, up_to: float) -> Missed:
    sizes = int(np.searchsorted(curve.rows, up_to, "right"))
    at = curve.rows[sizes - 1] * np.array(REACHES)
    truth = curve.errors[np.searchsorted(curve.rows, at)]
    draws = error_draws(curve.first(sizes), at, seed=0)
    low, middle, high = np.quantile(draws, (TAILS[0], 0.5, TAILS[1]), axis=0)
    half = np.where(truth > middle, high - middle, middle - low)
    return Missed((middle - truth) / truth, np.abs(middle - truth) / half)


def summary(found: list[Missed]) -> dict[str, float]:
    """Mean absolute and mean signed errors in percent by reach, and coverage in percent."""
    relative = 100 * np.array([each.relative for each in found])
    covered = 100 * (np.array([each.halves for each in found]) <= 1)
    told = {"curves": float(len(found)), "coverage": float(covered.mean())}
    for position, reach in enumerate(REACHES):
        told[f"error_{reach}x"] = float(np.abs(relative[:, position]).mean())
        told[f"bias_{reach}x"] = float(relative[:, position].mean())
        told[f"coverage_{reach}x"] = float(covered[:, position].mean())
    return {name: round(value, 2) for name, value in told.items()}


def left_out(bar: dict[str, list[Missed]]) -> dict[str, float]:
    """Coverage of each task when intervals are scaled so that they hold 90 % of all other tasks."""
    coverage = {}
    halves = {task: np.concatenate([m.halves for m in of]) for task, of in bar.items()}
    for task, own in halves.items():
        others = np.concatenate([of for name, of in halves.items() if name != task])
        scale = np.quantile(others, TAILS[1] - TAILS[0])
        coverage[f"{task}, intervals x {scale:.2f}"] = round(100 * float((own <= scale).mean()), 1)
    return coverage


if __name__ == "__main__":
    main()
