"""Brings a variant into service in stages, and takes a canary back that does badly."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from trimtab.errors import InputError
from trimtab.serve.settings import load_settings as load_serve_settings
from trimtab.store import deployments as registry
from trimtab.store.deployments import Change, Deployed, Role, current
from trimtab.store.reviews import reviewed_calls
from trimtab.store.rollouts import Rollout, Stage, keep_rollout, under_way
from trimtab.store.traces import read_traces
from trimtab.store.watching import SideCounts, StageCounts, keep_counts, read_counts
from trimtab.watch.check import WHO, Watched
from trimtab.watch.counts import SideCount
from trimtab.watch.guard import Bound, Margins, Side, against, slow_limit
from trimtab.watch.quality import time_of

Challenging = Literal["canary", "shadow"]


def begin(
    watched: Watched, deployed: Deployed, who: str, why: str, instead_of: Deployed | None = None
) -> Rollout:
    """Make the variant a shadow; `advance` does the rest. With no champion it becomes that at once.

    Args:
        instead_of: the champion that it was held against.

    Raises:
        InputError: another staged promotion is under way, or another champion serves.
    """
    database, name = watched.database, watched.task.name
    with database.transaction(lock="deployments"):
        refuse_second(watched)
        now = current(database, name)
        champion = now.state.champion if now is not None else None
        if instead_of is not None and champion != instead_of:
            raise InputError(f"another champion than {instead_of.name} serves {name} now")
        role: Role = "champion" if champion is None else "shadow"
        change = registry.promote(database, name, deployed, role, 0.0, who, why)
        rollout = Rollout(
            task=name,
            number=change.number,
            deployed=deployed,
            who=who,
            why=why,
            stage="done" if champion is None else "shadow",
            since=change.time,
        )
        keep_rollout(database, rollout)
    return rollout


def refuse_second(watched: Watched) -> None:
    """Raises `InputError` where a staged promotion is under way already."""
    name = watched.task.name
    if under_way(watched.database, name) is not None:
        raise InputError(
            f"a staged promotion of {name} is under way; let it end, or retire its shadow or canary"
        )


def advance(watched: Watched, now: datetime) -> str | None:
    """Take a bad canary or shadow back, or move a staged promotion on; what was done, in words."""
    database, name = watched.database, watched.task.name
    with database.transaction(lock="deployments"):  # both at one moment
        serving, rollout = current(database, name), under_way(database, name)
        if serving is None:
            return None
        if rollout is not None and _role(serving, rollout.deployed) != rollout.stage:
            _end(watched, rollout, now, "stopped", "someone changed what serves")
            rollout = None
    roles: tuple[Challenging, ...] = ("canary", "shadow")
    done = []
    for role in roles:
        own = rollout if rollout is not None and rollout.stage == role else None
        deployed = getattr(serving.state, role)
        # A shadow that a person began harms no one, and ends when they say so.
        if deployed is not None and (role == "canary" or own is not None):
            done.append(_judge(watched, serving, deployed, role, own, now))
    return "; ".join(told for told in done if told is not None) or None


def _judge(
    watched: Watched,
    serving: Change,
    deployed: Deployed,
    role: Challenging,
    rollout: Rollout | None,
    now: datetime,
) -> str | None:
    """Look at one challenger. `rollout`: its staged promotion; None where a person promoted it."""
    database, name = watched.database, watched.task.name
    since = rollout.since if rollout is not None else _since(watched, deployed, role)
    counted = _counted(watched, serving, deployed, role, since, now)
    bounds = _compared(watched, serving, deployed, role, since, counted)
    with database.transaction(lock="deployments"):
        if current(database, name) != serving:
            return None  # changed while this was counted; the next look sees what serves now
        if any(bound.state == "bad" for bound in bounds):
            return _take_back(watched, deployed, role, rollout, bounds, now)
        calls = sum(n for _, _, n in counted.challenger.valid)
        if rollout is None or not counted.champion.valid or calls < _needed(watched, role):
            return None
        others = role == "shadow" and serving.state.canary is not None  # a person tries another one
        if others or any(bound.state == "behind" for bound in bounds):
            return None
        return _next_stage(watched, rollout, bounds, calls, now)


def _take_back(
    watched: Watched,
    deployed: Deployed,
    role: Challenging,
    rollout: Rollout | None,
    bounds: list[Bound],
    now: datetime,
) -> str:
    bad = [bound.message for bound in bounds if bound.state == "bad"]
    why = f"taken back by itself: {'; '.join(bad)}"
    registry.retire(watched.database, watched.task.name, role, WHO, why)
    if rollout is not None:
        _end(watched, rollout, now, "stopped", why)
    return f"the {role} {deployed.name} was {why}"


def _next_stage(
    watched: Watched, rollout: Rollout, bounds: list[Bound], calls: int, now: datetime
) -> str:
    """The change and what is kept of the promotion are one step, so that a kill between them does
    not look as if someone had changed what serves."""
    measured = f"{calls} calls as {rollout.stage}: " + "; ".join(b.message for b in bounds)
    why = f"{rollout.why}; {measured}"
    stage: Stage = "canary" if rollout.stage == "shadow" else "done"
    role: Role = "canary" if stage == "canary" else "champion"
    share = watched.settings.retrain.canary_share
    database, name = watched.database, watched.task.name
    registry.promote(database, name, rollout.deployed, role, share, rollout.who, why)
    if role == "canary" and (state := current(database, name)) and state.state.shadow:
        registry.retire(database, name, "shadow", WHO, "it is the canary now")
    _end(watched, rollout, now, stage, measured)
    return f"{rollout.deployed.name} is the {role} now, after {measured}"


def _end(watched: Watched, rollout: Rollout, now: datetime, stage: Stage, note: str) -> None:
    """Close the stage with a note, and begin the next."""
    changed = {"stage": stage, "since": now, "notes": (*rollout.notes, note)}
    keep_rollout(watched.database, rollout.model_copy(update=changed))


def _counted(
    watched: Watched,
    serving: Change,
    deployed: Deployed,
    role: Challenging,
    since: datetime,
    now: datetime,
) -> StageCounts:
    """Both variants' calls since then. What is settled is kept, so that each call is read once."""
    database, name, champion = watched.database, watched.task.name, serving.state.champion
    assert champion is not None
    stage = f"{champion.variant} {role} {deployed.variant} {since.isoformat()}"

    def go_on(known: StageCounts, until: datetime | None) -> StageCounts:
        def count(side: SideCounts, part: Role, variant: str) -> SideCounts:
            counted = SideCount(side)
            counted.add(read_traces(database, name, known.until, until, role=part, variant=variant))
            return counted.known

        return StageCounts(
            stage=stage,
            until=until or known.until,
            champion=count(known.champion, "champion", champion.variant),
            challenger=count(known.challenger, role, deployed.variant),
        )

    known = read_counts(database, name, role, StageCounts)
    if known is None or known.stage != stage:
        known = StageCounts(stage=stage, until=since)
    settled = now - load_serve_settings(watched.folder).settled_after
    if settled > known.until:
        known = go_on(known, settled)
        keep_counts(database, name, role, known)
    return go_on(known, None)


def _compared(
    watched: Watched,
    serving: Change,
    deployed: Deployed,
    role: Challenging,
    since: datetime,
    counted: StageCounts,
) -> list[Bound]:
    task = watched.task
    assert serving.state.champion is not None
    calls = [c for c in reviewed_calls(watched.database, task.name) if time_of(c) >= since]
    sides = [
        Side(side, [c for c in calls if c.variant == variant.variant])
        for side, variant in (
            (counted.champion, serving.state.champion),
            (counted.challenger, deployed),
        )
    ]
    tolerance = watched.settings.quality.tolerance
    limit = task.constraints.p95_latency_seconds
    factor = watched.settings.retrain.latency_factor
    margins = Margins(
        validity=watched.settings.retrain.validity_margin,
        quality=task.goals.smallest_difference if tolerance is None else tolerance,
        # A shadow waits until no one else does: its seconds say nothing.
        slow_s=slow_limit(counted.champion, factor, limit) if role == "canary" else None,
    )
    return against(sides[0], sides[1], margins)


def _needed(watched: Watched, role: Challenging) -> int:
    settings = watched.settings.retrain
    return settings.shadow_calls if role == "shadow" else settings.canary_calls


def _role(serving: Change, deployed: Deployed) -> Role | None:
    roles: tuple[Role, ...] = ("champion", "canary", "shadow")
    return next((role for role in roles if getattr(serving.state, role) == deployed), None)


def _since(watched: Watched, deployed: Deployed, role: Role) -> datetime:
    """When a variant that a person promoted came into its role."""
    begun = None
    for change in registry.history(watched.database, watched.task.name, last=1000):
        if getattr(change.state, role) != deployed:
            break
        begun = change.time
    assert begun is not None
    return begun
