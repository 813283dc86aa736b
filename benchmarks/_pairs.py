"""Runs Trimtab and a peer in turn, each time in a process of its own, and sums up what they print.

A machine with neighbours is faster at one moment than at another; runs in turn meet both, and the
ratio is that of the medians.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence

from trimtab.store.files import cache_folder

Figures = dict[str, float]
"""What one process measured, by name."""


def peer_python(name: str, requirements: Sequence[str]) -> str:
    """The interpreter of an environment that holds exactly these requirements, made when missing.

    A peer's pins must not meet those of Trimtab.
    """
    folder = cache_folder() / "benchmarks" / name
    wanted = "\n".join(requirements)
    stamp = folder / "requirements.txt"
    python = str(folder / "bin" / "python")
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        print(f"installing {', '.join(requirements)} into {folder}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        stamp.write_text(wanted, "utf-8")
    return python


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Figures]]:
    """Run each command once a round. The last line that each prints is a JSON object of figures."""
    found: dict[str, list[Figures]] = {name: [] for name in commands}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    for number in range(1, rounds + 1):
        for name, command in commands.items():
            run = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=environment
            )
            figures = json.loads(run.stdout.splitlines()[-1])
            print(f"round {number}, {name}: {figures}", file=sys.stderr)
            found[name].append(figures)
    return found


def summary(runs: Sequence[Figures], name: str) -> dict[str, float]:
    """Median and spread of one figure over the rounds."""
    values = [run[name] for run in runs]
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
