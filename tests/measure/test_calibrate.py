"""Calibration measures rates, books what it used, and leaves the model as it was."""

from __future__ import annotations

import pytest
import torch

from trimtab.engine.fake import FakeEngine
from trimtab.measure.bench import call_price
from trimtab.measure.calibrate import calibrate, training_rate
from trimtab.measure.meter import Meter, Silent
from trimtab.store.run import open_run
from trimtab.task.spec import Budget, Models, ModelSpec
from trimtab.types import Completion

from .factories import GENEROUS, PRICES, examples, task


@pytest.fixture
def run(tmp_path):
    run, _ = open_run(tmp_path, {"task file": "t"}, {})
    yield run
    run.close()


def test_a_local_model_is_measured_in_all_three_ways(tiny_engine, run) -> None:
    before = {n: p.clone() for n, p in tiny_engine.loaded.model.state_dict().items()}
    meter = Meter(run, GENEROUS, Silent())
    with meter.stage("calibration"):
        rates = calibrate(task(), tiny_engine, ModelSpec(), examples(40), meter)
        trained = training_rate(task(), tiny_engine, examples(40), meter)
    assert rates.prefill > 0
    assert rates.decode > 0
    assert rates.train is None and trained > 0
    after = tiny_engine.loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    (spent,) = run.spent()
    assert spent.calls == 2 + 32 + 32
    assert spent.train_tokens > 0
    assert not (run.folder / "adapters").exists()


def test_fewer_rows_than_the_sample_are_enough(run) -> None:
    meter = Meter(run, GENEROUS, Silent())
    rates = calibrate(task(), FakeEngine(), ModelSpec(), examples(5), meter)
    assert rates.prefill > 0


def test_calibration_is_paid_for_and_no_budget_ends_it(run) -> None:
    """Without rates there would be no plan, and so no verdict that says what was too little."""
    answers: list[Completion] = []

    class Noting(FakeEngine):
        def generate(self, requests):
            for position, answer in super().generate(requests):
                answers.append(answer)
                yield position, answer

    spec = ModelSpec(engine="fake", prices=PRICES)
    asked = task(models=Models(prompt=spec, tune=None))
    meter = Meter(run, Budget(minutes=1e-9, calls=1, money=0), Silent())
    with meter.stage("calibration"):
        calibrate(asked, Noting(), spec, examples(40), meter)
    (spent,) = run.spent()
    assert spent.money == pytest.approx(sum(call_price(spec, answer) for answer in answers))
    assert spent.money > 0
    assert spent.calls == len(answers)
