"""Brings a variant into service in stages, and takes a canary back that does badly."""

from __future__ import annotations

from datetime import datetime

from trimtab.errors import InputError
from trimtab.store import deployments as registry
from trimtab.store.deployments import Change, Deployed, Role, current
from trimtab.store.reviews import reviewed_calls
from trimtab.store.rollouts import Rollout, Stage, keep_rollout, under_way
from trimtab.store.traces import Trace, read_traces
from trimtab.watch.check import WHO, Watched
from trimtab.watch.guard import Bound, Margins, Side, against, slow_limit
from trimtab.watch.quality import time_of


def begin(watched: Watched, deployed: Deployed, who: str, why: str) -> Rollout:
    """Make the variant a shadow; `advance` does the rest. With no champion it becomes that at once.

    Raises:
        InputError: another staged promotion is under way.
    """
    refuse_second(watched)
    database, name = watched.database, watched.task.name
    now = current(database, name)
    has_champion = now is not None and now.state.champion is not None
    role: Role = "shadow" if has_champion else "champion"
    change = registry.promote(database, name, deployed, role, 0.0, who, why)
    stage: Stage = "shadow" if has_champion else "done"
    rollout = Rollout(
        task=name,
        number=change.number,
        deployed=deployed,
        who=who,
        why=why,
        stage=stage,
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
    serving, rollout = current(database, name), under_way(database, name)
    if serving is None:
        return None
    if rollout is not None and _role(serving, rollout.deployed) != rollout.stage:
        _end(watched, rollout, now, "stopped", "someone changed what serves")
        rollout = None
    role: Role = "canary" if serving.state.canary is not None else "shadow"
    deployed = serving.state.canary or serving.state.shadow
    if deployed is None or (role == "shadow" and rollout is None):
        return None  # a shadow that a person began harms no one, and ends when they say so
    since = rollout.since if rollout is not None else _since(watched, deployed, role)
    champion, challenger, bounds = _compared(watched, serving, deployed, role, since)
    bad = [bound for bound in bounds if bound.state == "bad"]
    if bad:
        why = f"taken back by itself: {'; '.join(bound.message for bound in bad)}"
        assert role != "champion"
        registry.retire(database, name, role, WHO, why)
        if rollout is not None:
            _end(watched, rollout, now, "stopped", why)
        return f"the {role} {deployed.name} was {why}"
    if rollout is None or any(bound.state == "behind" for bound in bounds):
        return None
    settings = watched.settings.retrain
    needed = settings.shadow_calls if role == "shadow" else settings.canary_calls
    if len(challenger) < needed or not champion:
        return None
    return _next_stage(watched, rollout, bounds, len(challenger), now)


def _next_stage(
    watched: Watched, rollout: Rollout, bounds: list[Bound], calls: int, now: datetime
) -> str:
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


def _compared(
    watched: Watched, serving: Change, deployed: Deployed, role: Role, since: datetime
) -> tuple[list[Trace], list[Trace], list[Bound]]:
    task = watched.task
    assert serving.state.champion is not None
    traces = list(read_traces(watched.database, task.name, since))
    champion = [
        t for t in traces if t.role == "champion" and t.variant == serving.state.champion.variant
    ]
    challenger = [t for t in traces if t.role == role and t.variant == deployed.variant]
    calls = [c for c in reviewed_calls(watched.database, task.name) if time_of(c) >= since]
    sides = [
        Side(side, [c for c in calls if c.variant == variant.variant])
        for side, variant in ((champion, serving.state.champion), (challenger, deployed))
    ]
    tolerance = watched.settings.quality.tolerance
    limit = task.constraints.p95_latency_seconds
    factor = watched.settings.retrain.latency_factor
    margins = Margins(
        validity=watched.settings.retrain.validity_margin,
        quality=task.goals.smallest_difference if tolerance is None else tolerance,
        # A shadow waits until no one else does: its seconds say nothing.
        slow_s=slow_limit(champion, factor, limit) if role == "canary" else None,
    )
    return champion, challenger, against(sides[0], sides[1], margins)


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
