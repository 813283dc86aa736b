"""The later chapters: decided again, brought in by stages, and back again while calls come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from serve.servers import wait_until
from story import letters
from story.callers import Callers
from story.first_weeks import REVIEWED
from story.pages import Person
from story.team import Team
from trimtab.predictor import read_decision
from trimtab.retrain.retrain import list_retrains
from trimtab.store.deployments import Deployed
from trimtab.store.rollouts import Stage, list_rollouts
from trimtab.store.traces import read_traces
from trimtab.types import Decision

LATER = letters.family_firms(400, 120)
"""Calls once the change is known."""
MOST_ROUNDS = 8


def decide_again(team: Team, first: Decision) -> Deployed:
    """The challenger: the retraining's own choice; or, where it keeps the champion, the best other
    variant of its run, which a person tries as a canary."""
    before = team.serving
    told = team.here("retrain", team.folder, "--by", "admin-1")
    (found,) = list_retrains(team.folder)
    assert found.concluded.statement[1:] in told
    assert found.who == "admin-1"
    assert any(why.startswith("alarm: quality") for why in found.why)
    assert found.champion == before.state.champion
    again = read_decision(team.folder / "runs" / found.run)
    assert again.run != first.run
    assert sum(again.rows.values()) == sum(first.rows.values()) + REVIEWED
    assert found.data in team.trimtab("versions", team.folder)
    after = team.serving
    if found.concluded.conclusion == "stay":
        assert after == before
        return _tried_by_a_person(team, again, found.champion)
    assert found.challenger is not None
    assert found.rollout == after.number == before.number + 1
    assert after.state == before.state.model_copy(update={"shadow": found.challenger})
    assert "alarm: quality" in after.why
    return found.challenger


def bring_in(team: Team, callers: Callers, challenger: Deployed) -> None:
    """Calls come until the watch has made the shadow a canary and the canary the champion. What it
    does not bring in, a person does."""
    stages = [_stage(team)]
    for _ in range(MOST_ROUNDS):
        _take_up(team, callers)
        callers.ask_all(LATER[:30])
        if team.serving.state.canary is not None:
            _same_users_meet_the_same_variant(callers)
        team.look()
        stages.append(_stage(team))
        if stages[-1] not in ("shadow", "canary"):
            break
    assert stages[-1] not in ("shadow", "canary"), "the stages come to an end"
    if stages[-1] == "done":
        assert list(dict.fromkeys(stages)) == ["shadow", "canary", "done"]
        change = team.serving
        assert change.state.champion == challenger
        assert "calls as canary" in change.why, "what was measured stands beside the change"
        assert team.look()["alarms"] == [], "alarms about the old champion have no object"
    else:
        why = "tried as a canary, and good enough for us"
        team.trimtab("promote", challenger.variant, "--task", team.folder, "--reason", why)


def go_back_while_calls_come(team: Team, callers: Callers, admin: Person) -> None:
    """On the page, and by the command: each in one step, and no call is lost."""
    new = team.serving
    assert new.state.champion is not None
    (old,) = {c.state.champion for c in team.changes if c.number == 1}
    with callers.calling(LATER) as told:
        admin.go("/")
        admin.fill_in("Undo the last change", "more complaints than before", "Roll back")
        _take_up(team, callers)
        _is_met(callers, old)
        team.trimtab("rollback", team.folder, "--to", 1, "--reason", "no canary either")
        _take_up(team, callers)
        _is_met(callers, old)
        admin.go("/")
        admin.fill_in("Promote", "the complaints were about something else", "Let it serve")
        _take_up(team, callers)
        again = team.serving
        _is_met(callers, again.state.champion)
    undone, bare = team.changes[2:0:-1]
    assert (undone.who, undone.why) == ("admin-1", "more complaints than before")
    assert undone.state.champion == bare.state.champion == old
    assert (bare.origin, bare.state.canary) == (1, None)
    assert (again.who, again.number) == ("admin-1", new.number + 3)
    assert {old.variant, again.state.champion.variant} <= {each.variant for each in told}


def a_bad_canary_is_taken_back(team: Team, callers: Callers, decision: Decision) -> None:
    """The variant whose answers kept the contract least often on dev."""
    worst = min(decision.dev_scores, key=lambda score: score.validity.estimate or 0.0)
    champion = team.serving.state.champion
    team.trimtab(
        "promote", worst.variant, "--task", team.folder, "--as", "canary", "--share", 0.5,
        "--reason", "worth a try",
    )  # fmt: skip
    _take_up(team, callers)
    for _ in range(MOST_ROUNDS):
        callers.ask_all(LATER[:60])
        if moved := team.look()["moved"]:
            break
    assert moved and "taken back by itself" in moved
    change = team.serving
    assert (change.who, change.state.champion, change.state.canary) == (
        "trimtab watch",
        champion,
        None,
    )
    assert "valid" in change.why


def all_adds_up(team: Team, callers: Callers) -> None:
    """Each acknowledged call has one trace, of the variant that the change in force had in that
    role; and each change says who and why."""
    changes = {change.number: change for change in team.changes}
    assert sorted(changes) == list(range(1, len(changes) + 1))
    for change in changes.values():
        assert change.who and change.why
        assert change.state.champion is not None
    since = datetime.now(UTC) - timedelta(days=1)
    with team.database() as database:
        traces = list(read_traces(database, "names", since))
    answered = {trace.id: trace for trace in traces if trace.role != "shadow"}
    assert sorted(answered) == sorted(each.trace for each in callers.told)
    for each in callers.told:
        trace = answered[each.trace]
        assert (trace.variant, trace.role) == (each.variant, each.role)
        assert (trace.output == each.answer) or trace.redacted
    for trace in traces:
        assert trace.variant == getattr(changes[trace.deployment].state, trace.role).variant
    assert {trace.of for trace in traces if trace.role == "shadow"} <= set(answered)


def _tried_by_a_person(team: Team, again: Decision, champion: Deployed) -> Deployed:
    others = [score for score in again.dev_scores if score.variant != champion.variant]
    best = max(others, key=lambda score: score.rank)
    team.trimtab(
        "promote", best.variant, "--task", team.folder, "--as", "canary", "--share", 0.5,
        "--reason", "the decision keeps the champion; let us see this one",
    )  # fmt: skip
    canary = team.serving.state.canary
    assert canary is not None
    return canary


def _take_up(team: Team, callers: Callers) -> None:
    """Wait until the server answers by the newest change."""
    number = team.serving.number
    wait_until(lambda: callers.health()["deployment"] == number, 60)


def _is_met(callers: Callers, deployed: Deployed | None) -> None:
    """Wait for an answer of this variant."""
    assert deployed is not None
    before = len(callers.told)
    wait_until(lambda: deployed.variant in {t.variant for t in callers.told[before:]}, 120)


def _stage(team: Team) -> Stage | None:
    with team.database() as database:
        return next((each.stage for each in list_rollouts(database, "names")), None)


def _same_users_meet_the_same_variant(callers: Callers) -> None:
    users = "abcdefghij"
    roles = {user: {callers.ask(text, user).role for text in LATER[:2]} for user in users}
    assert all(len(met) == 1 for met in roles.values())
    assert len(set().union(*roles.values())) == 2, "with half of the calls, both are met"
