"""Finds what is to be promoted, and checks that it can serve."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import InputError, RunError
from trimtab.parity import Prove, require_parity
from trimtab.predictor import find_variant, read_decision
from trimtab.store.deployments import Deployed


@dataclass(frozen=True)
class Candidate:
    """A variant of a finished run, with the task it belongs to."""

    task_folder: Path
    task: str
    deployed: Deployed


def find_candidate(target: str, task_folder: Path, prove: Prove = require_parity) -> Candidate:
    """The winner of a run directory, or else the variant with this id in the newest finished run of
    the task that has it.

    A fine-tune is served as the adapter that the run trained, so `prove` first holds what that
    answers, read from the disk, against what was measured.

    Raises:
        RunError: the run is not finished, something that the variant needs is missing, or it does
            not answer as it was measured.
        InputError: there is no such run or variant.
    """
    folder = Path(target)
    if folder.is_dir():
        return _candidate(folder.resolve(), None, prove)
    for run in _finished_runs(task_folder):
        try:
            decision = read_decision(run)
        except RunError:
            continue  # an older run that is damaged does not stand in the way
        if target in {variant.id for variant in decision.variants}:
            return _candidate(run, target, prove)
    raise InputError(
        f"{target!r} is no run directory, and no finished run in {task_folder / 'runs'} has a "
        "variant with this id; name the task folder with --task"
    )


def this_user() -> str:
    """Who runs the command, as the system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _candidate(run: Path, variant_id: str | None, prove: Prove) -> Candidate:
    decision, variant = find_variant(run, variant_id)
    prove(run, variant)
    deployed = Deployed(run=run.name, variant=variant.id, name=variant.name)
    return Candidate(run.parent.parent, decision.task, deployed)


def _finished_runs(task_folder: Path) -> Iterator[Path]:
    """The newest first."""
    verdicts = (task_folder / "runs").glob("*-*/verdict.json")
    for verdict in sorted(verdicts, reverse=True):
        yield verdict.parent.resolve()
