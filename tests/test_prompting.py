"""The prompt search of a whole run: it ends with what it found, and goes on after any kill."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from decisions import write_task
from trimtab import pipeline, prompting
from trimtab.engine import fake
from trimtab.errors import BudgetSpent, TaskError
from trimtab.measure.calibrate import Rates
from trimtab.measure.meter import Silent
from trimtab.measure.plan import LAYOUTS, PROMPTS
from trimtab.measure.session import open_session
from trimtab.prompt.race import Race
from trimtab.prompt.search import AUTOMATIC
from trimtab.store.run import open_run
from trimtab.task.open import open_task
from trimtab.types import Decision

SLOW = {"budget": {"minutes": 30}, "data": {"path": "rows.jsonl", "approved_by": "us", "dev": 40}}
"""Forty dev rows in four blocks, so that the race has something to stop."""


class Kill(KeyboardInterrupt):
    pass


@dataclass
class Killer(Silent):
    """Kills a run at the `at`th booking of the prompt search."""

    at: int | None = None
    seen: int = 0

    def advance(self, spent) -> None:
        if spent.stage == PROMPTS:
            self.seen += 1
            if self.seen == self.at:
                raise Kill


def settled(folder: Path):
    """A run that may be searched, without the arms that follow."""
    opened = open_task(folder)
    run, _ = open_run(folder, {"test": "t"}, None)
    return opened, run


def search_once(folder: Path, progress=None) -> prompting.Found:
    opened, run = settled(folder)
    with run, open_session(opened, run, progress or Silent()) as session:
        return prompting.search(session)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing cut, and how often it booked."""
    root, killer = tmp_path_factory.mktemp("whole"), Killer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        return search_once(write_task(root / "task", **SLOW), killer), killer.seen


def outcome(found: prompting.Found):
    """All but the seconds, which follow from a calibration that a test cannot repeat."""
    trials = [trial.model_copy(update={"seconds": 0.0}) for trial in found.searched.trials]
    return trials, found.finished, found.stopped, found.searched.complete


def test_a_search_tries_every_stage_and_stops_what_cannot_win(whole) -> None:
    found, _ = whole
    stages = list(dict.fromkeys(trial.stage for trial in found.searched.trials))
    assert stages[:3] == ["instructions", "output format", "demonstrations"]
    assert "decoding" in stages
    assert found.searched.complete
    assert found.searched.calls <= found.searched.calls_of_grid
    assert len(found.finished) + len(found.stopped) == len(found.searched.trials)
    assert found.searched.plateau is not None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.5, 0.75, 0.95])
def test_a_search_that_is_killed_goes_on_to_the_same_end(whole, tmp_path, share) -> None:
    found, booked = whole
    folder = write_task(tmp_path / "task", **SLOW)
    # The same plan, so that the seconds of the same tokens are the same.
    with pytest.raises(Kill):
        search_once(folder, Killer(max(1, int(share * booked))))
    again = search_once(folder, resumed := Killer())
    assert outcome(again) == outcome(search_once(folder))
    ours, theirs = (
        [(t.name, t.rows, t.ended) for t in each.searched.trials if t.stage != AUTOMATIC]
        for each in (again, found)
    )
    assert ours == theirs
    assert resumed.seen > 0


def test_a_finished_search_is_read_without_a_call(whole, tmp_path) -> None:
    folder = write_task(tmp_path / "task", **SLOW)
    first = search_once(folder)
    engine_calls = []

    def counted(self, requests):
        engine_calls.append(len(requests))
        yield from ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake.FakeEngine, "generate", counted)
        assert search_once(folder).searched == first.searched
    assert sum(engine_calls) == 0


def test_answers_that_cannot_be_parsed_stop_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(fake, "nearest_demonstration", lambda messages, decoding: "\x00 {{ no")
    monkeypatch.setattr(fake, "_constrain", lambda text, contract: text)
    found = search_once(write_task(tmp_path / "task", **SLOW))
    assert found.searched.complete
    assert all(trial.quality == 0 for trial in found.searched.trials)
    assert found.searched.plateau.state == "exhausted"
    assert any("no automatic search" in note for note in found.searched.notes)


@pytest.mark.parametrize("calls", [90, 150, 300])
def test_a_spent_budget_ends_the_search_with_what_it_found(tmp_path, calls) -> None:
    budget = {"minutes": 30, "calls": calls}
    decided = pipeline.decide(write_task(tmp_path / "task", **SLOW | {"budget": budget}))
    found = decided.decision.search
    assert found is not None and not found.complete
    assert found.trials[-1].ended == "budget"
    assert decided.decision.stopped_by == f"{calls} calls"
    gates = {gate.name: gate.status for gate in decided.decision.verdict.gates}
    assert gates["prompt-search-complete"] == "unknown"


@pytest.mark.parametrize("again", [False, True], ids=["a share ends it", "the run ends it"])
def test_a_prompt_that_led_as_its_share_ended_sees_the_rest(tmp_path, monkeypatch, again) -> None:
    """At the last rows of the nearest demonstrations, which lead; or nothing is left for them."""
    ended: list[str] = []

    class Cut(Race):
        def __init__(self, rows, metric, measure, *rest) -> None:
            def cut(variant, rows):
                seen = next(e for e in self.entries if e.variant.id == variant.id).scores
                if variant.prompt.nearest and len(seen) > 20 and (again or not ended):
                    ended.append(variant.name)
                    raise BudgetSpent("its share")
                return measure(variant, rows)

            super().__init__(rows, metric, cut, *rest)

    monkeypatch.setattr(prompting, "Race", Cut)
    found = search_once(write_task(tmp_path / "task", **SLOW))
    (name, *_) = ended
    assert (name in [each.name for each in found.finished]) is not again
    assert (found.searched.plateau.state == "unclear") or not again
    assert any("led as the share ended" in note for note in found.searched.notes) is not again
    if again:
        assert f"{name} was ahead as the budget ended" in found.searched.plateau.statement


def test_the_decision_holds_the_search_and_all_its_variants(tmp_path, monkeypatch) -> None:
    # How many layouts and rows fit hangs on how the speeds of reading and writing compare.
    speeds = Rates(prefill=10_000, decode=1_000)
    monkeypatch.setattr("trimtab.measure.session.calibrate", lambda *_: speeds)
    decided = pipeline.decide(write_task(tmp_path / "task", **SLOW))
    decision = Decision.model_validate_json((decided.folder / "verdict.json").read_bytes())
    found = decision.search
    assert {trial.variant for trial in found.trials} == {each.id for each in decision.variants}
    scored = [score.variant for score in decision.dev_scores]
    assert scored == [each.id for each in decision.variants[: len(scored)]]
    assert set(scored) == {t.variant for t in found.trials if t.ended == "finished"}
    assert found.sensitivity is not None
    assert found.sensitivity.layouts[0].style == "plain"
    assert len(found.sensitivity.layouts) == found.sensitivity.planned == 10
    assert found.sensitivity.rows == 40
    assert LAYOUTS in {spent.stage for spent in decision.spent}
    assert "Was prompting exhausted?" in (decided.folder / "report.html").read_text()


def test_an_unknown_optimiser_is_refused_before_a_call(tmp_path) -> None:
    with pytest.raises(TaskError, match=r"search\.optimiser"):
        search_once(write_task(tmp_path / "task", search={"optimiser": "magic"}))


def test_a_reflection_model_is_asked_booked_and_cached(tmp_path, monkeypatch) -> None:
    pytest.importorskip("gepa")
    asked = []

    def answer(messages, decoding):
        if "new instruction" in messages[-1].content:
            asked.append(messages[-1].content)
            return f"```\nDecide, attempt {len(asked)}.\n```"
        return "dog" if "7" in messages[-1].content else default(messages, decoding)

    default = fake.nearest_demonstration
    monkeypatch.setattr(fake, "nearest_demonstration", answer)
    folder = write_task(
        tmp_path / "task",
        **SLOW,
        search={"demonstrations": [2], "reflection": {"engine": "fake", "model": "strong"}},
    )
    found = search_once(folder)
    automatic = [trial for trial in found.searched.trials if trial.stage == AUTOMATIC]
    assert automatic and "rewritten" in automatic[0].name
    assert any("gepa" in note for note in found.searched.notes)
    before = len(asked)
    assert search_once(folder).searched == found.searched
    assert len(asked) == before
    lines = (folder / "runs/latest/proposals.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["instructions"] == "Decide, attempt 1."
