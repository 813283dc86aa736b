"""A sitting follows the plan that its run began with, on the models that it began with."""

from __future__ import annotations

import pytest

from decisions import both_arms, write_task
from trimtab.errors import RunError, TaskError
from trimtab.measure.meter import Silent
from trimtab.measure.plan import CALIBRATION, Plan
from trimtab.measure.session import environment, open_session
from trimtab.store.run import open_run
from trimtab.task.open import open_task


@pytest.fixture
def sitting(tmp_path):
    def open_sitting(**settings):
        opened = open_task(write_task(tmp_path / "task", **settings))
        run, _ = open_run(opened.folder, {"task file": "t"}, {})
        return opened, run

    return open_sitting


def test_the_first_sitting_plans_and_the_next_follows(sitting) -> None:
    opened, run = sitting()
    with run, open_session(opened, run, Silent()) as first:
        assert Plan.model_validate_json(run.plan_path.read_bytes()) == first.plan
    opened, run = sitting()
    with run, open_session(opened, run, Silent()) as second:
        assert second.plan == first.plan
        assert second.search.kitchen == first.search.kitchen
    (calibration,) = [s for s in run.spent() if s.stage == CALIBRATION]
    assert calibration.calls == 66 + 32, "the second sitting calibrated again"


def test_prompts_alone_need_no_second_bench(sitting) -> None:
    opened, run = sitting()
    with run, open_session(opened, run, Silent()) as session:
        assert set(session.benches) == {"prompt"}
        assert session.tuner is None
        assert session.plan.train_sizes == ()


def test_the_same_model_is_loaded_once(sitting, tiny_model) -> None:
    opened, run = sitting(**both_arms(tiny_model))
    with run, open_session(opened, run, Silent()) as session:
        assert session.tuner is session.benches["prompt"].engine
        assert session.benches["fine-tune"].engine is session.tuner
        assert session.plan.train_sizes == (16, 32)
        found = environment(session)
        assert found["models"] == [session.tuner.model_id] * 2
        assert found["packages"]["torch"]


def test_a_tuned_model_of_its_own_is_measured_on_its_own(sitting, tiny_model) -> None:
    models = both_arms(tiny_model)["models"] | {"prompt": {"engine": "fake", "model": "m"}}
    opened, run = sitting(**both_arms(tiny_model) | {"models": models})
    with run, open_session(opened, run, Silent()) as session:
        rates = session.plan.rates
        assert set(rates) == {"prompt", "fine-tune"}
        assert rates["prompt"].train is None and rates["fine-tune"].train > 0
        assert rates["prompt"].decode != rates["fine-tune"].decode
    (calibration,) = [s for s in run.spent() if s.stage == CALIBRATION]
    assert calibration.calls == 2 * 66 + 32
    assert session.plan.arm_seconds < opened.task.budget.minutes * 30


def test_a_run_does_not_go_on_with_another_model(sitting) -> None:
    opened, run = sitting()
    with run, open_session(opened, run, Silent()):
        pass
    opened, run = sitting(models={"prompt": {"engine": "fake", "model": "other"}, "tune": None})
    refused = pytest.raises(RunError, match=r"fake:m.*fake:other.*--fresh")
    with run, refused, open_session(opened, run, Silent()):
        pass


def test_only_local_models_can_be_tuned(sitting) -> None:
    spec = {"engine": "fake", "model": "m"}
    opened, run = sitting(models={"prompt": spec, "tune": spec})
    refused = pytest.raises(TaskError, match=r"models\.tune")
    with run, refused, open_session(opened, run, Silent()):
        pass


def test_the_plan_asks_for_progress_once(sitting) -> None:
    heard = []

    class Listener(Silent):
        def plan(self, planned, spent) -> None:
            heard.append((planned, spent))

    opened, run = sitting()
    with run, open_session(opened, run, Listener()) as session:
        assert heard == [(session.plan.stages, run.spent())]
