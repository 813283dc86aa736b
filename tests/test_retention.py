"""What a fine-tune loses elsewhere is measured where it counts, mended in order, and resumed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from decisions import both_arms, write_task
from scores import dev_score
from trimtab import pipeline
from trimtab import retention as retention_module
from trimtab.errors import BudgetSpent
from trimtab.measure import retain as retain_module
from trimtab.measure.meter import Meter, Silent
from trimtab.measure.retain import REMEDIES, RETENTION, SuiteBench
from trimtab.retention import _Study, look_elsewhere
from trimtab.steps import Candidates, retain
from trimtab.store.run import open_run
from trimtab.task.spec import Budget
from trimtab.tune.retention import answer as answer_module
from trimtab.tune.retention.suite import Suite, load_suite
from trimtab.types import Adapter, Interval, Prompt, Retained, Retention, Variant

ITEMS = load_suite().items[::9]


@pytest.fixture
def small_suite(monkeypatch) -> None:
    monkeypatch.setattr(
        retain_module, "load_suite", lambda own, quick: Suite(ITEMS, complete=not quick)
    )


def decide(folder, model, **constraints):
    task = write_task(folder, constraints=constraints, **both_arms(model))
    return pipeline.decide(task).decision


def gate(decision, name: str = "general-ability"):
    return next(gate for gate in decision.verdict.gates if gate.name == name)


def test_a_wide_margin_is_kept_and_the_best_fine_tune_goes_on(
    tiny_model, tmp_path, in_float32, small_suite
) -> None:
    found = decide(tmp_path / "t", tiny_model, general_ability="needed", retention_margin=0.99)
    kept = found.retention
    assert (kept.status, kept.complete, kept.trade_offs) == ("pass", True, ())
    assert (gate(found).status, gate(found).basis) == ("pass", "measured")
    assert found.fine_tune.variant == kept.variant
    assert {part.section for part in kept.sections} == {item.section for item in ITEMS}
    assert kept.divergence_task > 0
    assert {RETENTION, REMEDIES} <= {stage.stage for stage in found.planned}
    used = {stage.stage: stage for stage in found.spent}
    assert used[RETENTION].calls == 2 * len(ITEMS)
    assert REMEDIES not in used


def test_an_impossible_margin_has_every_remedy_tried_and_changes_nothing(
    tiny_model, tmp_path, in_float32, small_suite
) -> None:
    found = decide(tmp_path / "t", tiny_model, general_ability="needed", retention_margin=1e-9)
    kept = found.retention
    assert kept.status != "pass"
    assert gate(found).status == kept.status
    assert len(kept.trade_offs) == 1 + 3 + 4
    assert len({point.variant for point in kept.trade_offs}) == 8
    assert found.fine_tune.variant == kept.variant == kept.trade_offs[0].variant
    assert {point.variant for point in kept.trade_offs} <= {v.id for v in found.variants}


def test_where_it_is_not_needed_a_third_is_measured_after_the_test(
    tiny_model, tmp_path, in_float32, small_suite
) -> None:
    found = decide(tmp_path / "t", tiny_model, general_ability="not-needed")
    assert not found.retention.complete
    assert (gate(found).status, gate(found).basis) == ("pass", "asked")
    assert RETENTION not in {stage.stage for stage in found.planned}


def test_what_was_measured_is_told_though_the_next_sitting_has_no_time_for_it(
    tiny_model, tmp_path, in_float32, small_suite, monkeypatch
) -> None:
    found = decide(tmp_path / "t", tiny_model, general_ability="not-needed")
    (verdict,) = (tmp_path / "t" / "runs").glob("*-*/verdict.json")
    verdict.unlink()
    monkeypatch.setattr(retention_module, "_SLACK", 1e12)
    assert pipeline.decide(tmp_path / "t").decision.retention == found.retention


def test_what_nobody_asked_is_not_measured() -> None:
    constraints = SimpleNamespace(general_ability=None)
    task = SimpleNamespace(constraints=constraints)
    session = SimpleNamespace(opened=SimpleNamespace(task=task), tuner=None)
    candidates = Candidates(variants=[BEST], scores=[dev_score(BEST, 0.9)])
    assert retain(session, candidates) is None
    assert look_elsewhere(session, [BEST]) is None
    assert candidates.best("fine-tune") == BEST


def test_own_items_are_part_of_what_a_run_is(tiny_model, tmp_path, in_float32) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "own.jsonl").write_text(json.dumps({"text": "Our own text."}) + "\n")
    settings = {"general_ability": "not-needed", "retention_suite": "own.jsonl"}
    first = pipeline.decide(write_task(folder, constraints=settings))
    assert pipeline.decide(folder).folder == first.folder
    (folder / "own.jsonl").write_text(json.dumps({"text": "Another text."}) + "\n")
    assert "retention suite" in pipeline.decide(folder).why


# --- resuming -----------------------------------------------------------------------------------


class Stopping(Silent):
    """Ends the budget at the `last`th booking."""

    def __init__(self, last: int) -> None:
        self.left = last

    def advance(self, spent) -> None:
        self.left -= 1
        if self.left == 0:
            raise BudgetSpent("a test's budget")


def bench(folder, engine, progress=None) -> SuiteBench:
    run, _ = open_run(folder, {"task": "t"}, {})
    meter = Meter(run, Budget(), progress or Silent())
    return SuiteBench(run, engine, meter, Suite(ITEMS, complete=True))


@pytest.fixture
def counted(monkeypatch) -> list[tuple[int, bool]]:
    """(items, with an adapter) of each call that answers items."""
    calls: list[tuple[int, bool]] = []
    real = answer_module.answer

    def counting(engine, items, adapter):
        calls.append((len(items), adapter is not None))
        return real(engine, items, adapter)

    monkeypatch.setattr(answer_module, "answer", counting)
    return calls


def test_a_suite_that_was_cut_goes_on_where_it_stopped(
    tiny_engine, tmp_path, monkeypatch, counted
) -> None:
    tiny_engine.chunk_size = 10
    cut = bench(tmp_path / "cut", tiny_engine, Stopping(3))
    with pytest.raises(BudgetSpent):
        cut.scores(None)
    done = len(counted)
    assert done == 3
    cut.run.close()
    resumed = bench(tmp_path / "cut", tiny_engine).scores(None)
    assert len(counted) == -(-len(ITEMS) // 10)
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "another"))
    assert bench(tmp_path / "whole", tiny_engine).scores(None) == resumed


def test_the_base_is_answered_once_for_all_runs(tiny_engine, tiny_adapter, tmp_path, counted):
    first = bench(tmp_path / "one", tiny_engine)
    second = bench(tmp_path / "two", tiny_engine)
    (second.run.folder / "a").symlink_to(tiny_adapter)
    adapter = Adapter(path="a", sha256="f" * 64, rows=8, epoch=1, learning_rate=1e-3, seed=0)
    assert first.scores(None) == second.scores(None)
    assert counted == [(len(ITEMS), False)]
    assert second.scores(adapter) != second.scores(None)
    assert counted == [(len(ITEMS), False), (len(ITEMS), True)]


# --- which remedy ---------------------------------------------------------------------------------

BEST = Variant(
    name="fine-tune",
    arm="fine-tune",
    model="m",
    prompt=Prompt(system="s"),
    max_tokens=8,
    adapter=Adapter(path="a", sha256="0", rows=8, epoch=1, learning_rate=1e-3, seed=0),
)
NAMES = ("adapter at 75%", "adapter at 50%", "adapter at 25%", "replay", "slower", "smaller")


def retention(variant: Variant, status: str) -> Retention:
    none = Interval(estimate=None, low=None, high=None, n=0, method="test")
    return Retention(
        variant=variant.id,
        name=variant.name,
        margin=0.05,
        complete=True,
        status=status,
        overall=Retained(section="all", base=None, tuned=None, difference=none, status=status),
        sections=(),
        failures=0,
        bits_per_byte=None,
        divergence_task=None,
        divergence_general=None,
    )


class Clinic(_Study):
    """Remedies whose outcome is given: name -> (status, dev quality)."""

    def __init__(self, session, outcomes) -> None:
        self._session, self._engine = session, session.tuner
        self._task = session.opened.task
        self.outcomes = outcomes

    def retention(self, variant):
        remedy = variant.name.removeprefix("fine-tune, ")
        return retention(variant, self.outcomes.get(remedy, ("fail", 0.0))[0])

    def evaluate(self, variant):
        remedy = variant.name.removeprefix("fine-tune, ")
        return dev_score(variant, self.outcomes.get(remedy, ("fail", 0.8))[1])


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Only what choosing a remedy looks at; no adapter is made."""
    from trimtab.tune import remedies

    def made(name):
        return BEST.adapter.model_copy(update={"path": name, "sha256": name})

    def remedied(best, recipe):
        name = f"{best.name}, {recipe.name}"
        return best.model_copy(update={"adapter": made(recipe.name), "name": name})

    monkeypatch.setattr(remedies, "scaled", lambda adapter, folder, factor: made(f"x{factor}"))
    recipes = [remedies.Recipe(name=name) for name in NAMES[3:]]
    monkeypatch.setattr(remedies, "RECIPES", recipes)
    monkeypatch.setattr(remedies, "retrained", lambda *given: remedied(*given[4:6]))
    run, _ = open_run(tmp_path, {"task": "t"}, {})
    split = SimpleNamespace(train=[], dev=[])
    goals = SimpleNamespace(smallest_difference=0.03)
    return SimpleNamespace(
        opened=SimpleNamespace(task=SimpleNamespace(goals=goals), split=split),
        run=run,
        meter=Meter(run, Budget(), Silent()),
        plan=SimpleNamespace(stages=(), arm_seconds=100.0),
        tuner=None,
    )


@pytest.mark.parametrize(
    ("outcomes", "tried", "kept"),
    [
        ({"adapter at 75%": ("pass", 0.79)}, 1, "adapter at 75%"),
        # It passes at the cost of the gain, so the dearer remedies are tried too; no smaller scale.
        ({"adapter at 75%": ("pass", 0.7)}, 4, "adapter at 75%"),
        ({"adapter at 50%": ("pass", 0.7), "replay": ("pass", 0.79)}, 3, "replay"),
        ({"adapter at 50%": ("pass", 0.75), "slower": ("pass", 0.7)}, 5, "adapter at 50%"),
        ({"replay": ("unknown", 0.9), "smaller": ("pass", 0.5)}, 6, "smaller"),
        ({}, 6, None),
    ],
)
def test_the_cheapest_remedy_that_keeps_the_gain_is_used(session, outcomes, tried, kept) -> None:
    clinic = Clinic(session, {"fine-tune": ("fail", 0.8)} | outcomes)
    found = clinic.mend(BEST, retention(BEST, "fail"), clinic.evaluate)
    assert found.variant.name == (f"fine-tune, {kept}" if kept else "fine-tune")
    assert found.retention.variant == found.variant.id
    assert len(found.retention.trade_offs) == tried + 1
    assert found.retention.trade_offs[0].name == "fine-tune"


def test_a_budget_that_ends_keeps_what_was_tried(session) -> None:
    outcomes = {"fine-tune": ("fail", 0.8), "adapter at 50%": ("pass", 0.6)}
    clinic = Clinic(session, outcomes)

    def evaluate(variant):
        if "replay" in variant.name:
            raise BudgetSpent("a test's budget")
        return clinic.evaluate(variant)

    found = clinic.mend(BEST, retention(BEST, "fail"), evaluate)
    assert found.variant.name == "fine-tune, adapter at 50%"
    assert len(found.retention.trade_offs) == 3
