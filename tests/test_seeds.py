"""The finalist is trained again from other seeds where that fits, and changes no choice."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from decisions import both_arms, write_task
from scores import curve_point, dev_score
from trimtab import pipeline, seeds, tuning
from trimtab.measure.meter import JUDGING, Silent
from trimtab.measure.plan import CONFIRMATION, TRAINING
from trimtab.measure.session import open_session
from trimtab.seeds import MORE_SEEDS, SEEDS, Replica, seed_spread, seeds_need, train_again
from trimtab.store.files import read_nouns, read_records
from trimtab.store.run import open_run, read_info
from trimtab.task.open import open_task
from trimtab.task.spec import Budget
from trimtab.tune.trained import Trained
from trimtab.types import (
    Adapter,
    Completion,
    Interval,
    Prompt,
    Record,
    Scored,
    Spent,
    Variant,
)

UPKEEP = {"retrain_every_months": 6, "cost_per_month": 0}
UNKNOWN = Interval(estimate=None, low=None, high=None, n=0, method="none")


@pytest.fixture(scope="module")
def reseeded(tiny_model, tmp_path_factory):
    import torch

    from trimtab.engine.local import weights

    root = tmp_path_factory.mktemp("reseeded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        patch.setattr(weights, "fastest_dtype", lambda device: torch.float32)
        return pipeline.decide(write_task(root / "task", **both_arms(tiny_model), upkeep=UPKEEP))


def test_all_sizes_of_the_finalist_are_trained_again_from_each_seed(reseeded) -> None:
    decision = reseeded.decision
    first = decision.settings["seed"]
    finalist = next(v for v in decision.variants if v.id == decision.fine_tune.variant)
    sizes = [p.rows for p in decision.curve if not p.sweep and p.seed == first]
    sizes = [rows for rows in sizes if rows <= finalist.adapter.rows]
    for seed in range(first + 1, first + 1 + MORE_SEEDS):
        assert [p.rows for p in decision.curve if p.seed == seed] == sizes
    rates = {p.learning_rate for p in decision.curve if not p.sweep}
    assert rates == {finalist.adapter.learning_rate}
    used = {stage.stage for stage in decision.spent if stage.train_tokens}
    assert SEEDS in used


def test_a_finalist_under_searched_instructions_is_trained_so_again(
    reseeded, in_float32, tmp_path, monkeypatch
) -> None:
    root = tmp_path / "task"
    shutil.copytree(reseeded.folder.parents[1], root, symlinks=True)
    opened = open_task(root)
    run, _ = open_run(root, read_info(reseeded.folder).identity, {})
    for folder in run.folder.glob("seed-*"):
        shutil.rmtree(folder)
    with run, open_session(opened, run, Silent()) as session:
        arm = tuning._arm(session, lambda variant: dev_score(variant, 0.5))
        before, last = read_nouns(run.adapters_path / "trained.jsonl", Trained)
        split, other = opened.split, Prompt(system="Whose name is this?")
        searched = arm.under(other, last, before, split.train, split.dev)
        curve = [before.point, last.point]
        found = train_again(session, [searched.variant], curve, searched.point)
        monkeypatch.setattr(seeds, "_LAST", 1.0)  # the whole budget is kept for the end
        assert train_again(session, [searched.variant], curve, searched.point) == found
        (run.folder / "seed-2" / "finished").unlink()
        assert train_again(session, [searched.variant], curve, searched.point) == found[:1]
        longer = seeds_need(session, [searched.variant], curve, searched.point).seconds
        assert longer > seeds_need(session, [last.variant], curve, searched.point).seconds
    assert [replica.name for replica in found] == ["seed 1", "seed 2"]
    for replica in found:
        assert [point.rows for point in replica.points] == [16, 32]
        (again,) = read_nouns(
            run.folder / f"{replica.name.replace(' ', '-')}/searched.jsonl", Trained
        )
        assert again.variant.prompt == other
        assert {record.variant for record in replica.records} == {again.variant.id}
        assert len(replica.records) == len(split.dev)


def test_seeds_choose_nothing_and_see_no_test_row(reseeded) -> None:
    decision = reseeded.decision
    assert not any("seed" in variant.name for variant in decision.variants)
    on_test = {path.stem for path in (reseeded.folder / "records").glob("*-test.jsonl")}
    assert on_test == {f"{s.variant}-test" for s in (decision.prompt, decision.fine_tune)}
    assert decision.money.fixed == pytest.approx(
        sum(p.seconds for p in decision.curve if p.seed == 0 and not p.sweep) * 0.2 / 3600
    )


def test_each_seed_is_another_training(reseeded) -> None:
    losses = [p.dev_loss for p in reseeded.decision.curve if p.rows == 16 and not p.sweep]
    assert len(set(losses)) == len(losses) == 1 + MORE_SEEDS


def test_the_difference_allows_for_seeds_and_layouts(reseeded) -> None:
    comparison = reseeded.decision.comparison
    assert set(comparison.widened_by) == {"training seed", "prompt layout"}
    assert comparison.not_in_interval == ()
    assert comparison.difference.low <= comparison.rows_alone.low
    assert comparison.difference.high >= comparison.rows_alone.high


def test_the_answers_of_seeds_are_a_source_of_their_own(reseeded) -> None:
    (tuned,) = [a for a in reseeded.decision.consistency.arms if a.arm == "fine-tune"]
    (source,) = [each for each in tuned.sources if each.source == "seed"]
    assert [v.name for v in source.variations] == ["seed 1", "seed 2"]
    assert "seed" not in reseeded.decision.consistency.compared


def test_seeds_that_do_not_fit_are_named_as_missing(
    tiny_model, in_float32, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(seeds, "SEED_SHARE", 0.0)
    folder = write_task(tmp_path / "task", **both_arms(tiny_model))
    decision = pipeline.decide(folder).decision
    assert {p.seed for p in decision.curve} == {0}
    assert "training seed" in decision.comparison.not_in_interval
    assert decision.stopped_by is None
    (gate,) = [g for g in decision.verdict.gates if g.name == "gain-quality"]
    assert "not in it: training seed" in gate.evidence


def record(row: str, score: float) -> Record:
    return Record(
        variant="v",
        example=row,
        completion=Completion(text=str(score), finish="stop", tokens_in=1, tokens_out=1),
        outcome=Scored(metrics={"m": score}, valid=True, parsed=score),
    )


def replica(seed: int, scores: dict[str, float]) -> Replica:
    return Replica(
        (curve_point(seed, UNKNOWN),), tuple(record(row, score) for row, score in scores.items())
    )


def test_the_spread_of_seeds_that_shift_all_rows_alike_is_that_of_their_means() -> None:
    rows = {"a": 0.2, "b": 0.5, "c": 0.9}
    first = [record(row, score) for row, score in rows.items()]
    others = [
        replica(s, {row: score + shift for row, score in rows.items()})
        for s, shift in ((1, 0.1), (2, -0.1))
    ]
    spread = seed_spread(first, others, "m")
    assert (spread.draws, spread.deviation) == (3, pytest.approx(0.1))
    assert seed_spread(first, [], "m").deviation is None


def test_what_more_seeds_take_by_hand(tmp_path, monkeypatch) -> None:
    points = [
        replica(0, {})
        .points[0]
        .model_copy(update={"rows": rows, "seconds": took, "epochs": epochs})
        for rows, took, epochs in ((10, 20.0, 2), (40, 60.0, 1), (90, 500.0, 1))
    ]
    adapter = Adapter(
        path="adapters/40-rows-0.001/epoch-1",
        sha256="a",
        rows=40,
        epoch=1,
        learning_rate=1e-3,
        seed=0,
    )
    tuned = Variant(
        name="t",
        arm="fine-tune",
        model="m",
        prompt=Prompt(system=""),
        max_tokens=1,
        adapter=adapter,
    )
    used = (
        Spent(stage=CONFIRMATION, arm="fine-tune", calls=100, seconds=50, money=1),
        Spent(stage=TRAINING, arm="fine-tune", calls=100, seconds=900),
        Spent(stage=JUDGING, arm="fine-tune", calls=400, seconds=100, money=4),
        Spent(stage=CONFIRMATION, arm="prompt", calls=100, seconds=9000),
    )
    task = SimpleNamespace(budget=Budget(minutes=60))
    session = SimpleNamespace(
        tuner=object(),
        opened=SimpleNamespace(task=task, split=SimpleNamespace(dev=[None] * 10)),
        run=SimpleNamespace(spent=lambda: used),
    )
    found = seeds_need(session, [tuned], points)
    answers = 10 * (2 + 1)
    assert found.calls == 2 * answers * (1 + 2)
    assert found.seconds == pytest.approx(1.1 * 2 * (80 + answers * (0.5 + 0.5)))
    assert found.money == pytest.approx(1.1 * 2 * answers * (0.01 + 0.02))
    task.budget = Budget(minutes=found.seconds * 2.9 / 60)
    assert seeds_need(session, [tuned], points) is None, "more than a third of the budget"
    remedy = adapter.model_copy(update={"made": "remedy"})
    assert seeds_need(session, [tuned.model_copy(update={"adapter": remedy})], points) is None


def test_records_of_seeds_stay_in_the_run(reseeded) -> None:
    found = reseeded.folder / "records"
    assert all(read_records(path) for path in found.glob("*-dev.jsonl"))
    assert {path.name for path in reseeded.folder.glob("seed-*")} == {"seed-1", "seed-2"}
