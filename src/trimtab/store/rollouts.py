"""Staged promotions: a variant on its way from shadow over canary to champion."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from trimtab.store.database import Database
from trimtab.store.deployments import Deployed
from trimtab.types import Noun

Stage = Literal["shadow", "canary", "done", "stopped"]


class Rollout(Noun):
    """One staged promotion, with what became of it."""

    task: str
    number: int
    """Of the change that made the variant a shadow."""
    deployed: Deployed
    who: str
    why: str
    stage: Stage
    since: datetime
    """When this stage began."""
    notes: tuple[str, ...] = ()
    """One for each stage that ended: what was measured, and what was done."""


def keep_rollout(database: Database, rollout: Rollout) -> None:
    """Keep it, in the place of its earlier stage."""
    with database.transaction(lock="rollouts"):
        values = (rollout.task, rollout.number)
        database.query("DELETE FROM rollouts WHERE task = ? AND number = ?", values)
        database.query(
            "INSERT INTO rollouts (task, number, content) VALUES (?, ?, ?)",
            (*values, rollout.model_dump_json()),
        )


def list_rollouts(database: Database, task: str) -> list[Rollout]:
    """The newest first."""
    rows = database.query(
        "SELECT content FROM rollouts WHERE task = ? ORDER BY number DESC", (task,)
    )
    return [Rollout.model_validate_json(content) for (content,) in rows]


def under_way(database: Database, task: str) -> Rollout | None:
    """The staged promotion that is not over; None where there is none."""
    found = list_rollouts(database, task)
    return next((each for each in found if each.stage in ("shadow", "canary")), None)
