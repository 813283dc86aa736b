"""The finalist is trained again from other seeds where that fits, and changes no choice."""

from __future__ import annotations

import pytest

from decisions import both_arms, write_task
from trimtab import pipeline, seeds
from trimtab.seeds import MORE_SEEDS, SEEDS, Replica, seed_spread
from trimtab.store.files import read_records
from trimtab.types import Completion, CurvePoint, Interval, Record, Scored

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
    point = CurvePoint(
        rows=1,
        seed=seed,
        learning_rate=1.0,
        epoch=1,
        epochs=1,
        train_tokens=1,
        seconds=1.0,
        dev_loss=1.0,
        dev_quality=UNKNOWN,
        variant="v",
    )
    return Replica((point,), tuple(record(row, score) for row, score in scores.items()))


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


def test_records_of_seeds_stay_in_the_run(reseeded) -> None:
    found = reseeded.folder / "records"
    assert all(read_records(path) for path in found.glob("*-dev.jsonl"))
    assert {path.name for path in reseeded.folder.glob("seed-*")} == {"seed-1", "seed-2"}
