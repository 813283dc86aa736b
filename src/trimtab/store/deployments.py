"""Which variants serve a task: every change with its time, who made it and why.

A row holds the whole state after its change, so a change is one insert and the newest row is what
runs. Rows are never changed.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from trimtab.errors import InputError
from trimtab.store.database import Database
from trimtab.types import Noun

Role = Literal["champion", "canary", "shadow"]


class Deployed(Noun):
    """One variant in production: the run that made it, by the name of its folder in `runs/`."""

    run: str
    variant: str
    """The variant's id."""
    name: str

    @field_validator("run")
    @classmethod
    def _is_in_runs(cls, run: str) -> str:
        """A name with a path in it would load what serves from anywhere on the machine."""
        if not run or Path(run).name != run or run == ".." or "\0" in run:
            raise ValueError(f"{run[:100]!r} is no name of a folder")
        return run


class Deployment(Noun):
    """All that serves a task. The canary takes `share` of the calls, the champion the others; the
    shadow answers all of them too, and its answers are kept and never given out."""

    champion: Deployed | None = None
    canary: Deployed | None = None
    share: float = Field(default=0.0, ge=0, lt=1)
    shadow: Deployed | None = None


class Change(Noun):
    """One step of a task's history."""

    task: str
    number: int
    """From 1, without gaps."""
    time: datetime
    who: str
    why: str
    origin: int
    """The change whose state this is: its own number, or an earlier one after a rollback."""
    state: Deployment


def newest_number(database: Database, task: str) -> int:
    """The number of the task's last change; 0 where nothing was ever promoted. One index look-up,
    so that a server may ask for it often."""
    ((number,),) = database.query(
        "SELECT COALESCE(MAX(number), 0) FROM deployments WHERE task = ?", (task,)
    )
    return int(number)


def history(database: Database, task: str, last: int = 50) -> list[Change]:
    """The last changes of the task, the newest first."""
    return _read(database, "WHERE task = ? ORDER BY number DESC LIMIT ?", (task, last))


def current(database: Database, task: str) -> Change | None:
    """The newest change, whose state is what runs; None where nothing was ever promoted."""
    return next(iter(history(database, task, last=1)), None)


def champion_since(database: Database, task: str) -> Change | None:
    """The change with which the time of today's champion began; None where there is none.

    What else changed since then, a canary's share for example, does not end that time.
    """
    now = current(database, task)
    if now is None or now.state.champion is None:
        return None
    begun = now
    for change in history(database, task, last=now.number):
        if change.state.champion != now.state.champion:
            break
        begun = change
    return begun


def promote(
    database: Database, task: str, deployed: Deployed, role: Role, share: float, who: str, why: str
) -> Change:
    """Put a variant in a role; `share` counts for a canary only.

    A canary or shadow that becomes the champion leaves its old role.

    Raises:
        InputError: a canary or shadow is promoted where no champion serves.
    """
    with database.transaction(lock="deployments"):
        before = current(database, task)
        state = before.state if before else Deployment()
        if role != "champion" and state.champion is None:
            raise InputError(f"task {task} has no champion yet; promote one first")
        changed = state.model_copy(update={role: deployed})
        if role == "champion":
            changed = _without(changed, deployed)
        if role == "canary":
            changed = changed.model_copy(update={"share": share})
        return _append(database, task, changed, who, why, before)


def retire(
    database: Database, task: str, role: Literal["canary", "shadow"], who: str, why: str
) -> Change:
    """Take the canary or the shadow away.

    Raises:
        InputError: there is none.
    """
    with database.transaction(lock="deployments"):
        before = current(database, task)
        if before is None or getattr(before.state, role) is None:
            raise InputError(f"task {task} has no {role}")
        changed = before.state.model_copy(update={role: None})
        if role == "canary":
            changed = changed.model_copy(update={"share": 0.0})
        return _append(database, task, changed, who, why, before)


def roll_back(database: Database, task: str, to: int | None, who: str, why: str) -> Change:
    """Undo the last change, or bring back the state after change number `to`.

    A second rollback goes one change further back, as an editor's undo does.

    Raises:
        InputError: there is nothing to go back to.
    """
    with database.transaction(lock="deployments"):
        now = current(database, task)
        if now is None:
            raise InputError(f"nothing was ever promoted for task {task}")
        wanted = now.origin - 1 if to is None else to
        target = _at(database, task, wanted)
        if target is None:
            what = "earlier state" if to is None else f"change number {to}"
            raise InputError(f"task {task} has no {what}; `trimtab deployments` lists the changes")
        return _append(database, task, target.state, who, why, now, origin=target.origin)


def _without(state: Deployment, champion: Deployed) -> Deployment:
    if state.canary is not None and state.canary.variant == champion.variant:
        state = state.model_copy(update={"canary": None, "share": 0.0})
    if state.shadow is not None and state.shadow.variant == champion.variant:
        state = state.model_copy(update={"shadow": None})
    return state


def _append(
    database: Database,
    task: str,
    state: Deployment,
    who: str,
    why: str,
    before: Change | None,
    origin: int | None = None,
) -> Change:
    number = before.number + 1 if before else 1
    change = Change(
        task=task,
        number=number,
        time=datetime.fromtimestamp(time.time(), UTC),
        who=who,
        why=why,
        origin=origin or number,
        state=state,
    )
    database.query(
        "INSERT INTO deployments (task, number, time, who, why, origin, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            task,
            number,
            change.time.timestamp(),
            who,
            why,
            change.origin,
            state.model_dump_json(),
        ),
    )
    return change


def _at(database: Database, task: str, number: int) -> Change | None:
    found = _read(database, "WHERE task = ? AND number = ?", (task, number))
    return found[0] if found else None


def _read(database: Database, where: str, values: tuple[str | int, ...]) -> list[Change]:
    rows = database.query(
        f"SELECT task, number, time, who, why, origin, state FROM deployments {where}",  # noqa: S608 - the clauses above
        values,
    )
    return [
        Change(
            task=task,
            number=number,
            time=datetime.fromtimestamp(moment, UTC),
            who=who,
            why=why,
            origin=origin,
            state=_state(task, number, state),
        )
        for task, number, moment, who, why, origin, state in rows
    ]


def _state(task: str, number: int, text: str) -> Deployment:
    try:
        return Deployment.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise InputError(
            f"change {number} of task {task} cannot be read from the database: {problem}"
        ) from error
