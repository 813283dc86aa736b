"""The first chapters: from a promotion to the alarm that calls for deciding again."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import openai
import pytest

from engine.endpoint import Endpoint
from story import letters
from story.callers import Callers
from story.pages import Person
from story.team import Team
from trimtab.predictor import read_decision
from trimtab.review.fill import Filler
from trimtab.review.settings import load_settings as load_review_settings
from trimtab.serve.settings import load_settings as load_serve_settings
from trimtab.store.reviews import count_states, items_in
from trimtab.store.traces import add_traces, get_trace, new_id
from trimtab.task.open import open_task
from trimtab.task.reviewed import read_reviewed
from trimtab.types import Decision

PAST, QUIET, DRIFTED = 50, 20, 100
"""Calls of the week before, and of this one before and after the change."""
REVIEWED = PAST + QUIET + DRIFTED
"""Rows that reviews add: one call more is reviewed, in which something was masked."""
WEEK = timedelta(days=7)


def people(team: Team) -> dict[str, str]:
    """Their passwords."""
    found = {}
    for name, role in (("reviewer-1", "reviewer"), ("admin-1", "admin")):
        made = team.trimtab("reviewer", "add", team.folder, "--name", name, "--role", role)
        found[name] = made.strip()
    return found


def promote_the_winner(team: Team) -> Decision:
    run = (team.folder / "runs" / "latest").resolve()
    decision = read_decision(run)
    assert decision.verdict.winner is not None, decision.verdict.headline
    team.trimtab("promote", run, "--reason", "won the first decision", "--by", "admin-1")
    change = team.serving
    assert (change.number, change.who, change.why) == (1, "admin-1", "won the first decision")
    assert change.state.champion.variant == decision.verdict.winner
    return decision


def key_of(team: Team) -> str:
    return team.trimtab("key", "add", team.folder, "--name", "shop").strip()


def calls_are_captured(team: Team, callers: Callers) -> None:
    champion = team.serving.state.champion
    with pytest.raises(openai.AuthenticationError):
        Callers(callers.base, "none").ask("Anna A. Brown")
    lines = letters.plain(220, QUIET)
    told = callers.ask_all([line for line, _ in lines])
    right = sum(each.answer == label for each, (_, label) in zip(told, lines, strict=True))
    assert right >= 0.7 * QUIET, "the champion answers as it was measured"
    masked = callers.ask("Anna Brown anna@example.org")
    assert callers.feedback(masked, "person") == 201
    with team.database() as database:
        for each in told:
            trace = get_trace(database, "names", each.trace)
            assert trace is not None, "an acknowledged trace is there"
            assert (trace.input, trace.output) == (each.input, each.answer)
            assert (trace.variant, trace.role) == (champion.variant, "champion")
        kept = get_trace(database, "names", masked.trace)
    assert kept.redacted and "anna@" not in kept.input


def the_calls_change(team: Team, callers: Callers) -> None:
    """Family firms come in. Then two weeks have passed since the promotion: the first one holds
    calls like those before the change, the second one those that were answered here."""
    callers.ask_all(letters.family_firms(300, DRIFTED))
    begun = datetime.now(UTC) - 2 * WEEK
    with team.database() as database:
        like = get_trace(database, "names", callers.told[0].trace)
        assert like is not None
        past = []
        for i, (line, label) in enumerate(letters.plain(100, PAST)):
            moment = begun + WEEK * (i + 0.5) / PAST
            written = {"id": new_id(moment.timestamp()), "time": moment}
            past.append(like.model_copy(update={**written, "input": line, "output": label}))
        add_traces(database, past)
        database.query("UPDATE deployments SET time = ? WHERE number = 1", (begun.timestamp(),))


def drift_asks_for_labels(team: Team, webhook: Endpoint) -> None:
    alarms = {alarm["kind"]: alarm for alarm in team.look()["alarms"]}
    assert "input-drift" in alarms
    assert alarms["input-drift"]["labels_wanted"] == 200
    assert not any(alarm["retrain"] for alarm in alarms.values()), "drift alone retrains nothing"
    assert {body["kind"] for body in webhook.bodies} == set(alarms)
    assert "Brown" not in json.dumps(webhook.bodies), "no text of a call leaves the house"
    assert "Nothing calls for it" in team.trimtab("retrain", team.folder, "--check")


def draw_all(team: Team) -> None:
    """The draw that the pages make some time after the calls. The alarm asks for more calls than
    there are, so all of them come."""
    settings, serving = load_review_settings(team.folder), load_serve_settings(team.folder)
    filler = Filler(open_task(team.folder), settings, serving)
    with team.database() as database:
        drawn = filler.fill(database, datetime.now(UTC) + timedelta(minutes=10))
        assert drawn == PAST + QUIET + 1 + DRIFTED
        probabilities = {item.probability for item, _ in items_in(database, "names")}
    assert probabilities == {1.0}


def some_are_reviewed_by_keyboard(team: Team, person: Person, shots: Path) -> None:
    """Approve, correct, undo and skip, each at least once, without a mouse."""
    person.shots("home-for-a-reviewer", shots)
    person.go("/review")
    person.shots("review", shots)
    first = person.item()
    person.say("s", "Skipped")
    assert person.item().id != first.id
    said: dict[str, str] = {}
    actions: Counter[str] = Counter()
    while len(said) < 6 or len(actions) < 2:
        item = person.item()
        label = letters.label_of(item.input)
        if label == item.answer:
            person.say("a", "Approved.")
            action = "approve"
        else:
            person.say("1" if label == "person" else "2", "correction is saved")
            action = "correct"
        if "*" not in item.input:  # what was masked is no row
            said[item.id] = label
            actions[action] += 1
        assert len(said) < 60, "wrong answers are among them"
    last = person.item()
    person.say("r", "Rejected.")
    person.say("u", "Taken back")
    assert person.item().id == last.id
    person.leave()
    lines = {line.id: line for line, _ in read_reviewed(team.folder)}
    assert {identity: line.output for identity, line in lines.items()} == said
    assert {line.approved_by for line in lines.values()} == {"reviewer-1"}
    assert Counter(line.action for line in lines.values()) == actions


def the_others_are_imported(team: Team, tmp_path: Path) -> None:
    """Reviewed elsewhere, and taken back in."""
    file = tmp_path / "items.json"
    team.trimtab("review", team.folder, "--export", file, "--format", "argilla")
    records = json.loads(file.read_text("utf-8"))
    waiting = [each for each in records if each["metadata"]["state"] == "open"]
    for each in waiting:
        label = letters.label_of(each["fields"]["input"])
        each["responses"] = {"answer": [{"value": label, "user_id": "reviewer-2"}]}
    file.write_text(json.dumps(waiting), "utf-8")
    told = team.trimtab("review", team.folder, "--import", file, "--format", "argilla")
    assert told == f"0 new items, {len(waiting)} reviews; 0 that said nothing new.\n"
    with team.database() as database:
        assert set(count_states(database, "names")) == {("trace", "done")}


def quality_calls_for_retraining(team: Team, webhook: Endpoint) -> None:
    looked = team.look()
    (alarm,) = [each for each in looked["alarms"] if each["kind"] == "quality"]
    assert alarm["retrain"]
    assert looked["check"]["quality"]["high"] < looked["check"]["reference"]["estimate"]
    assert webhook.bodies[-1]["kind"] == "quality"
    assert "quality" in (team.folder / "alarms.jsonl").read_text("utf-8")
    assert "Called for: alarm: quality" in team.trimtab("retrain", team.folder, "--check")
