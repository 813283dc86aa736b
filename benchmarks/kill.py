"""kill -9 at random moments of a decision on the real model, then compare with an untouched run.

    python benchmarks/kill.py [--kills 10] [--seed 0]

Decides a small task made of the names example several times, each with a request cache of its own:
once undisturbed, then killed at random moments and started again, until there were enough kills; a
decision that ends before is compared, and the next one begins. Prints one JSON line: whether
verdicts and scores are the same, and how many finished calls and training epochs were done twice.
Exits with 1 unless all agree and nothing was done twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from trimtab.engine.default_model import default_model_folder
from trimtab.store.files import cache_folder

REPOSITORY = Path(__file__).resolve().parent.parent
ROWS = 200
TASK = """\
name: names
instructions: Decide whether the name belongs to a person or to a company.
data: {path: rows.jsonl, approved_by: probablepeople contributors, dev: 12, test: 24}
output: {kind: label, labels: [person, company]}
metric: accuracy
goals: {quality: 0.9, smallest_difference: 0.02}
constraints: {general_ability: not-needed}
traffic: {calls_per_month: 100000, stable_since: 2026-01-01}
models: {prompt: {machine_per_hour: 0.2}, tune: {machine_per_hour: 0.2}}
upkeep:
  {owner: us, review_every_days: 30, retrain_every_months: 6, cost_per_month: 0, rollback: true}
search: {demonstrations: [2], learning_rates: [0.001, 0.003], train_sizes: [16, 32, 64], epochs: 2}
budget: {minutes: 60}
seed: 7
"""
TIMED = {"latency", "money_per_1000", "money_interval", "seconds", "peak_memory"}
"""What is timed or weighed differs from run to run; all else must not."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    default_model_folder(print)
    prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), "names"]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as temporary:
        calm = Path(temporary) / "calm"
        started = time.monotonic()
        finish(calm, make(calm))
        calm_seconds = time.monotonic() - started
        draw = random.Random(options.seed)  # noqa: S311 - reproducible, not secret
        killed: dict[Path, list[float]] = {}
        while sum(map(len, killed.values())) < options.kills:
            left = options.kills - sum(map(len, killed.values()))
            folder = Path(temporary) / f"killed-{len(killed) + 1}"
            killed[folder] = kill_often(folder, make(folder), left, calm_seconds, draw)
            finish(folder, environment(folder))
        report(calm, killed, calm_seconds)


def make(folder: Path) -> dict[str, str]:
    """A task folder with the first rows of the example, and its environment."""
    rows = (REPOSITORY / "examples/names/rows.jsonl").read_text("utf-8").splitlines()
    picked = random.Random(1).sample(rows, ROWS)  # noqa: S311 - reproducible, not secret
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "models").symlink_to(cache_folder() / "models")
    (folder / "rows.jsonl").write_text("\n".join(picked) + "\n", "utf-8")
    (folder / "task.yaml").write_text(TASK, "utf-8")
    return environment(folder)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TRIMTAB_CACHE": str(folder / "cache")}


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "trimtab.cli", "decide", str(folder)]


def finish(folder: Path, env: dict[str, str]) -> None:
    subprocess.run(command(folder), check=True, env=env, stdout=subprocess.DEVNULL)


def kill_often(
    folder: Path, env: dict[str, str], kills: int, calm_seconds: float, draw: random.Random
) -> list[float]:
    """Start and kill until the decision ends or was killed often enough; the moments in seconds."""
    moments: list[float] = []
    while len(moments) < kills:
        moment = draw.uniform(0, 0.5) * calm_seconds
        process = subprocess.Popen(command(folder), env=env, stdout=subprocess.DEVNULL)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            moments.append(round(moment, 1))
        else:
            break
    return moments


def outcome(folder: Path) -> dict[str, object]:
    """Everything of a verdict that must not depend on when its run was killed."""
    decision = json.loads((folder / "runs/latest/verdict.json").read_text("utf-8"))

    def untimed(score: dict[str, object] | None) -> dict[str, object] | None:
        return score and {key: value for key, value in score.items() if key not in TIMED}

    return {
        "word": decision["verdict"]["word"],
        "winner": decision["verdict"]["winner"],
        "prompt": untimed(decision["prompt"]),
        "fine_tune": untimed(decision["fine_tune"]),
        "comparison": decision["comparison"],
        "dev": [untimed(score) for score in decision["dev_scores"]],
        "curve": [untimed(point) for point in decision["curve"]],
    }


def twice(folder: Path) -> tuple[int, int, int, int]:
    """(calls, calls done twice, epochs, epochs done twice) of the newest run."""
    run = folder / "runs/latest"
    calls: Counter[tuple[str, str, int]] = Counter()
    for path in (run / "records").glob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            record = json.loads(line)
            calls[(path.name, record["example"], record["repeat"])] += 1
    epochs = Counter((run / "adapters/epochs.jsonl").read_text("utf-8").splitlines())
    return (
        calls.total(),
        calls.total() - len(calls),
        epochs.total(),
        epochs.total() - len(epochs),
    )


def differing(expected: object, found: object, name: str = "") -> list[str]:
    """Dotted names of the values that differ."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return [
            each
            for key in expected
            for each in differing(expected[key], found[key], f"{name}.{key}")
        ]
    return [name[1:]] if expected != found else []


def report(calm: Path, killed: dict[Path, list[float]], calm_seconds: float) -> None:
    expected = outcome(calm)
    found = [outcome(folder) for folder in killed]
    different = sorted({key for each in found for key in differing(expected, each)})
    counts = [twice(folder) for folder in killed]
    calls, calls_twice, epochs, epochs_twice = (sum(column) for column in zip(*counts, strict=True))
    print(
        json.dumps(
            {
                "benchmark": "kill",
                "kills": sum(map(len, killed.values())),
                "moments_s": list(killed.values()),
                "undisturbed_s": round(calm_seconds, 1),
                "verdict": expected["word"],
                "different": different,
                "calls": calls,
                "calls_twice": calls_twice,
                "epochs": epochs,
                "epochs_twice": epochs_twice,
            }
        )
    )
    sys.exit(1 if different or calls_twice or epochs_twice else 0)


if __name__ == "__main__":
    main()
