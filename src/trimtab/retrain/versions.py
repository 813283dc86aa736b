"""Names, lists and compares the versions of a task: its data, prompts, adapters and verdicts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import InputError, RunError
from trimtab.predictor import read_decision
from trimtab.store.data_versions import compare_data, read_version
from trimtab.store.run import RunInfo, changed_settings, read_info
from trimtab.task.spec import Task
from trimtab.types import Decision, Prompt, Variant, VariantScore

_LINES = 40
"""Of a difference between two prompts that are shown."""


@dataclass(frozen=True)
class RunVersion:
    """A finished run. It is restored by promoting it."""

    folder: Path
    info: RunInfo
    decision: Decision

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def data(self) -> str:
        """Hash of the dataset version that it rests on."""
        return self.info.identity["data"]

    @property
    def winner(self) -> Variant | None:
        return self.decision.winner

    @property
    def score(self) -> VariantScore | None:
        """What the sealed test measured of its winner."""
        return self.decision.score_of(self.decision.verdict.winner)


def list_runs(folder: Path) -> list[RunVersion]:
    """Finished runs, the newest first; one that cannot be read is left out."""
    found = []
    for verdict in sorted((folder / "runs").glob("*-*/verdict.json"), reverse=True):
        run = verdict.parent
        if run.is_symlink():
            continue
        try:
            found.append(RunVersion(run, read_info(run), read_decision(run)))
        except RunError:
            continue
    return found


def find_run(folder: Path, name: str) -> RunVersion:
    """By the name of its folder, or a part of it that no other has.

    Raises:
        InputError: there is none, or more than one.
    """
    found = [each for each in list_runs(folder) if name in each.name]
    if len(found) != 1:
        raise InputError(
            f"{len(found)} finished runs of {folder} have {name!r} in their name; "
            "`trimtab versions` lists them"
        )
    return found[0]


def compare_runs(folder: Path, before: RunVersion, after: RunVersion) -> Iterator[str]:
    """What differs between two runs, line by line: data, settings, verdict, prompt, adapter."""
    yield from _data(folder, before, after)
    changed = changed_settings(before.info.settings, after.info.settings)
    yield f"settings: {', '.join(changed) or 'the same'}"
    words = before.decision.verdict.word, after.decision.verdict.word
    yield f"verdict: {words[0]} -> {words[1]}"
    yield f"quality on the sealed test: {_quality(before)} -> {_quality(after)}"
    old, new = before.winner, after.winner
    if old is None or new is None:
        yield f"winner: {old.name if old else 'none'} -> {new.name if new else 'none'}"
        return
    same = "the same variant" if old.id == new.id else f"{old.id} -> {new.id}"
    yield f"winner: {old.name} -> {new.name} ({same})"
    adapters = [each.adapter.sha256[:12] if each.adapter else "none" for each in (old, new)]
    yield f"adapter: {adapters[0]} -> {adapters[1]}"
    yield from _prompts(old.prompt, new.prompt)


def compare_versions(folder: Path, before: str, after: str, task: Task) -> Iterator[str]:
    """What differs between two dataset versions, by their hashes. Raises `InputError`."""
    rows = [read_version(folder, name, task.output) for name in (before, after)]
    found = compare_data(*rows)
    yield (
        f"{len(rows[0]):,} -> {len(rows[1]):,} rows: {len(found.added):,} added, "
        f"{len(found.removed):,} removed, {len(found.changed):,} with another target"
    )
    for sign, ids in (("+", found.added), ("-", found.removed), ("~", found.changed)):
        for identity in ids[:_LINES]:
            yield f"{sign} {identity}"
        if len(ids) > _LINES:
            yield f"{sign} and {len(ids) - _LINES:,} more"


def _data(folder: Path, before: RunVersion, after: RunVersion) -> Iterator[str]:
    if before.data == after.data:
        yield f"data: the same ({before.data})"
        return
    yield f"data: {before.data} -> {after.data}"
    contract = Task.model_validate(after.decision.settings).output
    try:
        rows = [read_version(folder, run.data, contract) for run in (before, after)]
    except InputError:
        yield "  the rows of one of them were not kept"
        return
    found = compare_data(*rows)
    yield (
        f"  {len(found.added):,} rows added, {len(found.removed):,} removed, "
        f"{len(found.changed):,} with another target"
    )


def _quality(run: RunVersion) -> str:
    found = run.score.quality if run.score else None
    if found is None or found.estimate is None:
        return "not measured"
    if found.low is None or found.high is None:
        return f"{found.estimate:.3f}"
    return f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _prompts(old: Prompt, new: Prompt) -> Iterator[str]:
    if old == new:
        yield "prompt: the same"
        return
    counts = [f"{len(each.demonstrations)} fixed, {each.nearest} nearest" for each in (old, new)]
    yield f"demonstrations: {counts[0]} -> {counts[1]}"
    texts = [each.system.splitlines() for each in (old, new)]
    lines = list(difflib.unified_diff(texts[0], texts[1], lineterm="", n=1))[2:]
    yield "instructions: the same" if not lines else "instructions:"
    yield from lines[:_LINES]
