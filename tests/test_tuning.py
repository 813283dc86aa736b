"""The best fine-tune is trained once more under the searched instructions, where that is paid."""

from __future__ import annotations

import pytest

from decisions import both_arms, write_task
from trimtab import pipeline, tuning
from trimtab.export import export
from trimtab.measure.meter import Silent
from trimtab.measure.plan import TRAINING
from trimtab.measure.session import open_session
from trimtab.predictor import load
from trimtab.prompt.variants import worded, zero_shot
from trimtab.steps import Candidates, _score_on_dev
from trimtab.store.run import open_run
from trimtab.task.open import open_task
from trimtab.tuning import tune, tune_searched
from trimtab.types import Prompt

SEARCHED = Prompt(system="Say whose name it is. A title before a name means a person.")
NAME = "searched instructions"


class Noting(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def sit(tmp_path, tiny_model, in_float32):
    """Calls a function with a session, its candidates and what the sizes gave."""

    def run(do, progress=None, **changes):
        opened = open_task(write_task(tmp_path / "task", **both_arms(tiny_model) | changes))
        kept, _ = open_run(opened.folder, {"task file": "t"}, {})
        candidates = Candidates()
        with kept, open_session(opened, kept, progress or Silent()) as session:

            def evaluate(variant):
                return _score_on_dev(session, variant, candidates)

            with session.meter.stage(TRAINING, "fine-tune", session.plan.arm_seconds):
                return do(session, candidates, tune(session, evaluate), evaluate)

    return run


def best_prompt(session, format="schema"):
    task = session.opened.task
    return worded(zero_shot(task, session.tuner.model_id, 8), task, format)


def test_it_competes_on_dev_and_counts_its_own_tokens(sit) -> None:
    def do(session, candidates, found, evaluate):
        best, prompt = candidates.best("fine-tune"), best_prompt(session)
        made = tune_searched(session, best, prompt, found, evaluate)
        assert made.point.rows == best.adapter.rows
        assert made.point.variant not in {each.point.variant for each in found.trained}
        scores = {score.variant: score for score in candidates.scores}
        assert scores[made.variant.id].tokens_in > scores[best.id].tokens_in + 5
        assert made.variant.prompt.system == prompt.prompt.system
        again = tune_searched(session, best, prompt, found, evaluate)
        assert again == made, "a later sitting reads it"

    sit(do)


def test_the_tasks_own_instructions_are_not_trained_on(sit) -> None:
    def do(session, candidates, found, evaluate):
        own = best_prompt(session, "words")
        return tune_searched(session, candidates.best("fine-tune"), own, found, evaluate)

    assert sit(do) is None


def test_what_the_share_does_not_pay_for_is_left_out_and_what_began_is_finished(sit) -> None:
    def do(session, candidates, found, evaluate):
        best, prompt = candidates.best("fine-tune"), best_prompt(session)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tuning, "_SLACK", 1e9)
            assert tune_searched(session, best, prompt, found, evaluate) is None
            assert not list(session.run.adapters_path.glob("searched-*"))
            assert session.meter.stopped_by is None
            (session.run.adapters_path / "searched-32-rows-0.005").mkdir()
            assert tune_searched(session, best, prompt, found, evaluate) is not None

    progress = Noting()
    sit(do, progress)
    assert any("the arm's share is too small" in note for note in progress.notes)


def test_a_spent_share_ends_it_without_a_word_in_the_verdict(sit, monkeypatch) -> None:
    def do(session, candidates, found, evaluate):
        from trimtab.errors import BudgetSpent

        best, prompt = candidates.best("fine-tune"), best_prompt(session)

        def spent(*given):
            session.meter.stopped_by = "a test's share"
            raise BudgetSpent("a test's share")

        monkeypatch.setattr(session.meter, "check", spent)
        assert tune_searched(session, best, prompt, found, evaluate) is None
        assert session.meter.stopped_by is None

    sit(do)


def test_a_decision_with_it_is_whole(tiny_model, tmp_path, in_float32, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "searched_prompt", lambda task, best: SEARCHED)
    decided = pipeline.decide(write_task(tmp_path / "task", **both_arms(tiny_model)))
    decision = decided.decision
    (made,) = [v for v in decision.variants if NAME in v.name and not v.constrained]
    assert made.prompt == SEARCHED
    assert made.adapter.made == "searched"
    (score,) = [s for s in decision.dev_scores if s.variant == made.id]
    assert score.quality.estimate is not None
    assert {p.rows for p in decision.curve if not p.sweep} == {16, 32}
    first = decision.settings["seed"]
    assert len([p for p in decision.curve if p.seed == first and not p.sweep]) == 2
    records = decided.folder / "records"
    before = {path.name: path.read_bytes() for path in records.glob("*-dev.jsonl")}
    (decided.folder / "verdict.json").unlink()
    assert pipeline.decide(tmp_path / "task").decision.dev_scores == decision.dev_scores
    assert {p.name: p.read_bytes() for p in records.glob("*-dev.jsonl")} == before
    predictor = load(decided.folder, variant_id=made.id)
    assert predictor.predict("Mary 200 Fox").text is not None


def test_its_exported_rows_are_those_of_its_training(
    tiny_model, tmp_path, in_float32, monkeypatch
) -> None:
    monkeypatch.setattr(tuning, "searched_prompt", lambda task, best: SEARCHED)
    monkeypatch.setattr(
        Candidates,
        "best",
        lambda self, arm: next(
            v for v in reversed(self.variants) if v.arm == arm and not v.constrained
        ),
    )
    folder = pipeline.decide(write_task(tmp_path / "task", **both_arms(tiny_model))).folder
    found = export(folder, "openai-jsonl", tmp_path / "rows")
    assert found.parity.passed
    assert SEARCHED.system in (tmp_path / "rows" / "train.jsonl").read_text()
    assert export(folder, "merged", tmp_path / "merged").parity.passed
