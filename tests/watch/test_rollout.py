"""Staged promotions: a good variant goes through, a bad one is taken back by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from decisions import write_task
from trimtab.errors import InputError
from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed, current, history
from trimtab.store.rollouts import list_rollouts, under_way
from trimtab.store.traces import add_traces
from trimtab.store.watching import SideCounts, StageCounts, read_counts
from trimtab.watch import rollout as module
from trimtab.watch.guard import Margins, Side, against, slow_limit
from trimtab.watch.rollout import advance, begin

from .traffic import call, counts, review, trace, watched

CHAMPION = Deployed(run="r", variant="v", name="old")
CHALLENGER = Deployed(run="s", variant="w", name="new")
MARGINS = Margins(validity=0.02, quality=0.03, slow_s=1.0)


@pytest.fixture
def rollout(tmp_path, database_url):
    """A task whose champion serves, with small stages."""
    database = Database(database_url)
    deployments.promote(database, "names", CHAMPION, "champion", 0, "a test", "to test")
    stages = {"shadow_calls": 30, "canary_calls": 50, "canary_share": 0.2}
    yield watched(write_task(tmp_path / "task"), database, retrain=stages)
    database.close()


def serve(rollout, role: str, calls: int, *, champion: int = 100, **changes: object) -> list:
    now = datetime.now(UTC)
    old = [trace(now + timedelta(milliseconds=i)) for i in range(champion)]
    new = [
        trace(now + timedelta(milliseconds=i), role=role, variant="w", run="s", **changes)
        for i in range(calls)
    ]
    add_traces(rollout.database, [*old, *new])
    return new


def state(rollout):
    return current(rollout.database, "names").state


def test_a_good_variant_goes_from_shadow_over_canary_to_champion(rollout) -> None:
    begin(rollout, CHALLENGER, "reviewer-1", "it is better")
    assert state(rollout).shadow == CHALLENGER
    assert advance(rollout, datetime.now(UTC)) is None, "no calls yet"
    serve(rollout, "shadow", 30)
    assert "canary" in advance(rollout, datetime.now(UTC))
    assert (state(rollout).canary, state(rollout).share) == (CHALLENGER, 0.2)
    assert state(rollout).shadow is None
    serve(rollout, "canary", 40)
    assert advance(rollout, datetime.now(UTC)) is None, "50 are asked for"
    serve(rollout, "canary", 20)
    advance(rollout, datetime.now(UTC))
    assert state(rollout) == deployments.Deployment(champion=CHALLENGER)
    (done,) = list_rollouts(rollout.database, "names")
    assert (done.stage, len(done.notes)) == ("done", 2)
    last = history(rollout.database, "names")[0]
    assert last.who == "reviewer-1"
    assert "it is better" in last.why
    assert "calls as canary" in last.why


def test_a_shadow_that_breaks_the_contract_is_taken_back(rollout) -> None:
    begin(rollout, CHALLENGER, "reviewer-1", "it is better")
    serve(rollout, "shadow", 20, valid=False)
    assert "taken back" in advance(rollout, datetime.now(UTC))
    assert state(rollout) == deployments.Deployment(champion=CHAMPION)
    assert list_rollouts(rollout.database, "names")[0].stage == "stopped"


@pytest.mark.parametrize("changes", [{"valid": False}, {"latency_s": 5.0}])
def test_a_canary_that_a_person_promoted_is_guarded_too(rollout, changes) -> None:
    database = rollout.database
    deployments.promote(database, "names", CHALLENGER, "canary", 0.1, "reviewer-1", "try it")
    serve(rollout, "canary", 40)
    assert advance(rollout, datetime.now(UTC)) is None, "it is fine, and nobody asked for more"
    serve(rollout, "canary", 60, **changes)
    assert "taken back" in advance(rollout, datetime.now(UTC))
    assert state(rollout) == deployments.Deployment(champion=CHAMPION)
    assert history(database, "names")[0].who == "trimtab watch"


def test_a_canary_whose_reviewed_answers_are_worse_is_taken_back(rollout) -> None:
    deployments.promote(
        rollout.database, "names", CHALLENGER, "canary", 0.1, "reviewer-1", "try it"
    )
    now = datetime.now(UTC)
    both = [trace(now + timedelta(milliseconds=i)) for i in range(60)]
    both += [trace(now + timedelta(milliseconds=i), role="canary", variant="w") for i in range(60)]
    add_traces(rollout.database, both)
    review(rollout.database, both, [1.0] * 60 + [0.5] * 60)
    assert "quality" in advance(rollout, datetime.now(UTC))


def test_one_staged_promotion_at_a_time(rollout) -> None:
    begin(rollout, CHALLENGER, "reviewer-1", "it is better")
    with pytest.raises(InputError, match="under way"):
        begin(rollout, CHALLENGER, "reviewer-1", "again")


def test_what_a_person_changes_ends_the_staged_promotion(rollout) -> None:
    begin(rollout, CHALLENGER, "reviewer-1", "it is better")
    deployments.retire(rollout.database, "names", "shadow", "reviewer-2", "no")
    assert advance(rollout, datetime.now(UTC)) is None
    assert under_way(rollout.database, "names") is None
    assert list_rollouts(rollout.database, "names")[0].stage == "stopped"


def test_without_a_champion_it_becomes_that_at_once(tmp_path) -> None:
    database = Database(str(tmp_path / "empty.sqlite"))
    fresh = watched(write_task(tmp_path / "task"), database)
    assert begin(fresh, CHALLENGER, "reviewer-1", "the first").stage == "done"
    assert state(fresh).champion == CHALLENGER
    database.close()


def test_equal_variants_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(0)
    now = datetime.now(UTC)
    bad = 0
    for _ in range(100):
        sides = [
            Side(
                counts(
                    trace(now, valid=bool(v), latency_s=float(s))
                    for v, s in zip(rng.random(80) < 0.97, rng.exponential(0.4, 80), strict=True)
                ),
                [call(i, float(rng.random() < 0.9)) for i in range(40)],
            )
            for _ in range(2)
        ]
        bad += any(bound.state == "bad" for bound in against(*sides, MARGINS))
    assert bad <= 6


def test_kept_calls_stand_for_those_left_out() -> None:
    now = datetime.now(UTC)
    # One in ten of the good answers was kept, and all of the broken ones.
    sampled = [trace(now, weight=10.0)] * 97 + [trace(now, valid=False)] * 30
    whole = [trace(now)] * 970 + [trace(now, valid=False)] * 30
    (bound,) = against(Side(counts(whole), []), Side(counts(sampled), []), Margins(0.02, 0.03))
    assert bound.state == "fine"
    assert bound.message.startswith("valid 0.970")


def test_the_limit_of_seconds_is_the_tasks_or_the_champions() -> None:
    served = counts(trace(datetime.now(UTC), latency_s=i / 100) for i in range(1, 101))
    assert slow_limit(served, 1.5, 3.0) == 3.0
    assert slow_limit(served, 1.5, None) == pytest.approx(1.5 * 0.95, rel=0.011)
    assert slow_limit(SideCounts(), 1.5, None) is None


def test_sides_without_calls_are_not_compared() -> None:
    new = Side(counts([trace(datetime.now(UTC))]), [call(0, 1)])
    assert against(Side(SideCounts(), []), new, MARGINS) == []


def test_calls_are_read_once_and_late_ones_are_not_missed(rollout) -> None:
    begin(rollout, CHALLENGER, "reviewer-1", "it is better")
    serve(rollout, "shadow", 10)
    later = datetime.now(UTC) + timedelta(minutes=5)
    assert advance(rollout, later) is None, "30 are asked for"
    kept = read_counts(rollout.database, "names", "shadow", StageCounts)
    assert sum(n for _, _, n in kept.challenger.valid) == 10
    rollout.database.query("DELETE FROM traces")
    moment = later - timedelta(minutes=1)  # not settled at that look
    late = [
        trace(moment + timedelta(milliseconds=i), role="shadow", variant="w") for i in range(20)
    ]
    add_traces(rollout.database, late)
    assert "canary" in advance(rollout, later + timedelta(minutes=5))


def test_a_kill_in_a_change_of_stage_ends_nothing(rollout, monkeypatch) -> None:
    begin(rollout, CHALLENGER, "reviewer-1", "it is better")
    serve(rollout, "shadow", 30)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "keep_rollout", killed)
        with pytest.raises(KeyboardInterrupt):
            advance(rollout, datetime.now(UTC))
    assert state(rollout).shadow == CHALLENGER
    assert "canary" in advance(rollout, datetime.now(UTC))
    assert under_way(rollout.database, "names").stage == "canary"


def test_a_persons_canary_is_not_taken_for_the_staged_one(rollout) -> None:
    other = Deployed(run="t", variant="x", name="another")
    begin(rollout, CHALLENGER, "reviewer-1", "it is better")
    deployments.promote(rollout.database, "names", other, "canary", 0.1, "reviewer-2", "try it")
    now = datetime.now(UTC)
    tried = [trace(now + timedelta(milliseconds=i), role="canary", variant="x") for i in range(90)]
    serve(rollout, "shadow", 30)
    add_traces(rollout.database, tried)
    assert advance(rollout, datetime.now(UTC)) is None
    assert (state(rollout).canary, state(rollout).shadow) == (other, CHALLENGER)
    deployments.retire(rollout.database, "names", "canary", "reviewer-2", "tried")
    assert "canary" in advance(rollout, datetime.now(UTC))


def test_what_was_held_against_another_champion_does_not_begin(rollout) -> None:
    with pytest.raises(InputError, match="another champion than new"):
        begin(rollout, CHALLENGER, "reviewer-1", "it is better", instead_of=CHALLENGER)
    assert state(rollout).shadow is None
