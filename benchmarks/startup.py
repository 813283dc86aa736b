"""How long a person waits: for `--help`, and for the first line of `trimtab decide`.

    python benchmarks/startup.py [--rounds 7]

Runs `python -c pass`, `trimtab --help` and `trimtab decide` on the names example in turn, so that
all meet the same neighbours, and prints as last line one JSON object with median, least and most
seconds of each. `decide` is stopped at its first line; the model is in the cache. Exits with 1
where a median is above its bar.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from trimtab.engine.default_model import default_model_folder

REPOSITORY = Path(__file__).resolve().parent.parent
BARS = {"help": 0.3, "decide_first_line": 5.0}
TRIMTAB = [sys.executable, "-m", "trimtab.cli"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    default_model_folder(print)
    prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), "names"]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    seconds: dict[str, list[float]] = {"python": [], "help": [], "decide_first_line": []}
    for _ in range(rounds):
        seconds["python"].append(ended([sys.executable, "-c", "pass"]))
        seconds["help"].append(ended([*TRIMTAB, "--help"]))
        with tempfile.TemporaryDirectory() as temporary:
            for name in ("task.yaml", "rows.jsonl"):
                shutil.copy(REPOSITORY / "examples/names" / name, temporary)
            seconds["decide_first_line"].append(first_line([*TRIMTAB, "decide", temporary]))
    figures = {
        name: {
            "median": round(median(each), 3),
            "least": round(min(each), 3),
            "most": round(max(each), 3),
        }
        for name, each in seconds.items()
    }
    print(json.dumps({"benchmark": "startup", "rounds": rounds, "seconds": figures, "bars": BARS}))
    sys.exit(any(figures[name]["median"] > bar for name, bar in BARS.items()))


def ended(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def first_line(command: list[str]) -> float:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    line = process.stdout.readline()
    waited = time.perf_counter() - started
    process.kill()
    process.wait()
    process.stdout.close()
    if not line:
        raise RuntimeError("trimtab decide ended without a word")
    return waited


if __name__ == "__main__":
    main()
