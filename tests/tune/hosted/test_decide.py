"""A whole decision whose fine-tune is trained at a host, and what comes after it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from decisions import write_task
from trimtab import pipeline
from trimtab.cli import app
from trimtab.errors import InputError, ModelError, RunError, TaskError
from trimtab.export import export
from trimtab.measure.meter import Silent
from trimtab.measure.plan import TRAINING
from trimtab.predictor import load
from trimtab.types import Decision

from .host import BASE, KEY, Engines, Fault, running

PRICES = {"input": 1.0, "output": 2.0, "training": 25.0}


def settings(url: str, **changes) -> dict:
    spec = {
        "engine": "openai",
        "model": BASE,
        "base_url": url,
        "api_key_env": "HOST_KEY",
        "prices": PRICES,
    }
    return {
        "models": {"prompt": {"engine": "fake", "model": "m"}, "tune": spec},
        "search": {"demonstrations": [2], "train_sizes": [16, 32], "epochs": 2},
        "traffic": {"calls_per_month": 100000},
        "constraints": {"general_ability": "needed"},
    } | changes


class Watch(Silent):
    """Kills the run at the `kill_at`th report."""

    def __init__(self, kill_at: int) -> None:
        self.left = kill_at

    def note(self, text: str) -> None:
        self._happened()

    def advance(self, spent) -> None:
        self._happened()

    def _happened(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(engines, tmp_path_factory):
    """(decided, its host), from a decision that nothing interrupted."""
    root = tmp_path_factory.mktemp("hosted")
    with pytest.MonkeyPatch.context() as patch, running(engines, root / "host") as server:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        patch.setenv("HOST_KEY", KEY)
        patch.setattr("trimtab.tune.hosted.arm._SHORTEST_WAIT_S", 0.05)
        yield pipeline.decide(write_task(root / "task", **settings(server.url))), server


def test_the_fine_tune_is_measured_as_any_other(whole) -> None:
    decided, server = whole
    decision = decided.decision
    assert decision == Decision.model_validate_json((decided.folder / "verdict.json").read_bytes())
    assert decision.fine_tune.n == decision.comparison.n == 30
    assert [(p.rows, p.learning_rate, p.sweep) for p in decision.curve] == [
        (16, None, False),
        (32, None, False),
    ]
    assert [job.status for job in decision.jobs] == ["succeeded"] * 2
    assert {job.job for job in decision.jobs} == set(server.host.jobs)
    assert decision.no_tuning is None and decision.stopped_by is None
    tuned = [v for v in decision.variants if v.arm == "fine-tune"]
    assert len({v.id for v in tuned}) == len(tuned)
    assert any(v.constrained for v in tuned)
    assert set(server.host.chats) - {BASE} <= set(server.host.served)


def test_each_job_is_paid_once(whole) -> None:
    decided, server = whole
    (training,) = [s for s in decided.decision.spent if s.stage == TRAINING]
    tokens = sum(job["trained_tokens"] for job in server.host.jobs.values())
    assert training.train_tokens == tokens
    calls = (training.tokens_in * PRICES["input"] + training.tokens_out * PRICES["output"]) / 1e6
    assert training.money == pytest.approx(calls + tokens * PRICES["training"] / 1e6)


def test_the_plan_tells_tokens_and_money_and_no_time_of_training(whole) -> None:
    decided, _ = whole
    (planned,) = [s for s in decided.decision.planned if s.stage == TRAINING]
    assert planned.train_tokens > 0
    assert planned.money > planned.train_tokens * PRICES["training"] / 1e6
    assert planned.calls == 2 * 2 * decided.decision.rows["dev"]


def test_what_it_loses_elsewhere_is_unknown_with_its_reason(whole) -> None:
    decision = whole[0].decision
    assert decision.retention is None
    (gate,) = [g for g in decision.verdict.gates if g.name == "general-ability"]
    assert gate.status == "unknown" and gate.blocks
    assert "likelihoods" in gate.evidence
    assert "trained on this machine" in gate.settle


def test_the_report_names_the_jobs(whole) -> None:
    decided, _ = whole
    page = (decided.folder / "report.html").read_text()
    for job in decided.decision.jobs:
        assert f"<code>{job.job}</code>" in page


def test_no_key_is_kept(whole) -> None:
    decided, _ = whole
    kept = [path for path in decided.folder.parent.parent.rglob("*") if path.is_file()]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]


def test_predicting_calls_the_tuned_model(whole, monkeypatch) -> None:
    decided, server = whole
    monkeypatch.setenv("HOST_KEY", KEY)
    variant = decided.decision.fine_tune.variant
    before = len(server.host.chats)
    prediction = load(decided.folder, variant_id=variant).predict("Anna 004 Fox")
    assert prediction.error is None or prediction.text is not None
    assert server.host.chats[before:][0].startswith("ft:base-model:names:")


def test_a_name_that_was_changed_is_not_called(whole, monkeypatch, tmp_path) -> None:
    decided, _ = whole
    monkeypatch.setenv("HOST_KEY", KEY)
    task = shutil.copytree(decided.folder.parents[1], tmp_path / "task", symlinks=True)
    run = task / "runs" / decided.folder.name
    variant = next(
        v for v in decided.decision.variants if v.id == decided.decision.fine_tune.variant
    )
    path = run / variant.adapter.path / "hosted.json"
    path.write_text(path.read_text().replace("ft:base-model", "ft:another"))
    with pytest.raises(RunError, match=r"hosted\.json is missing or is not what was measured"):
        load(run, variant_id=variant.id)


@pytest.mark.parametrize("form", ["openai-jsonl", "trl-jsonl"])
def test_the_rows_that_were_put_up_can_be_exported(whole, monkeypatch, tmp_path, form) -> None:
    decided, _ = whole
    monkeypatch.setenv("HOST_KEY", KEY)
    found = export(decided.folder, form, tmp_path / form)
    assert found.parity.passed and found.parity.equal == found.parity.rows > 0
    monkeypatch.setattr("trimtab.export.tuned_prompt", lambda task: _other_prompt())
    changed = export(decided.folder, form, tmp_path / "changed")
    assert not changed.parity.passed
    assert (tmp_path / "changed" / "PARITY-FAILED.txt").exists()


def _other_prompt():
    from trimtab.types import Prompt

    return Prompt(system="Something else.")


def test_weights_that_are_not_here_cannot_be_exported(whole, monkeypatch, tmp_path) -> None:
    decided, _ = whole
    monkeypatch.setenv("HOST_KEY", KEY)
    with pytest.raises(InputError, match=r"kept by the endpoint.*openai-jsonl or trl-jsonl"):
        export(decided.folder, "gguf", tmp_path / "gguf")
    assert not (tmp_path / "gguf").exists()


def test_a_run_that_is_killed_again_and_again_makes_no_second_job(server, tmp_path) -> None:
    folder = write_task(tmp_path / "task", **settings(server.url))
    chance = random.Random(0)
    kills = 0
    for _ in range(60):
        try:
            decided = pipeline.decide(folder, Watch(chance.randrange(40, 160)))
        except KeyboardInterrupt:
            kills += 1
        else:
            break
    assert kills >= 4
    assert len(server.host.jobs) == 2
    assert len(server.host.files) == 3
    (training,) = [s for s in decided.decision.spent if s.stage == TRAINING]
    tokens = sum(job["trained_tokens"] for job in server.host.jobs.values())
    assert training.train_tokens == tokens
    assert decided.decision.fine_tune is not None


def test_jobs_that_all_fail_are_the_reason_why_nothing_was_tuned(server, host, tmp_path) -> None:
    host.faults = [Fault("POST", "jobs$", 400, "rows of this kind are not taken", times=9)]
    decision = pipeline.decide(write_task(tmp_path / "task", **settings(server.url))).decision
    assert decision.fine_tune is None
    assert "16 rows: it was refused" in decision.no_tuning
    assert "rows of this kind are not taken" in decision.no_tuning
    assert decision.no_tuning in decision.verdict.headline
    assert decision.curve == ()


def test_too_little_money_plans_no_fine_tune(server, host, tmp_path) -> None:
    search = {"demonstrations": [2], "epochs": 2}
    changes = {"search": search, "budget": {"minutes": 30, "money": 0.001}}
    _, planned = pipeline.plan(write_task(tmp_path / "task", **settings(server.url, **changes)))
    assert planned.train_sizes == ()
    assert "raise budget.money" in planned.no_tuning
    assert not host.jobs


def test_money_bounds_the_sizes_that_are_planned(server, tmp_path) -> None:
    def top(money: float) -> int:
        search = {"demonstrations": [2], "epochs": 2}
        changes = {"search": search, "budget": {"minutes": 30, "money": money}}
        folder = write_task(tmp_path / str(money), **settings(server.url, **changes))
        return max(pipeline.plan(folder)[1].train_sizes, default=0)

    tops = [top(money) for money in (0.3, 1.0, 100.0)]
    assert tops == sorted(tops)
    assert tops[-1] == 40, "with enough, all rows"


def test_a_training_without_a_price_is_refused_before_anything_is_asked(
    server, host, tmp_path
) -> None:
    changed = settings(server.url)
    changed["models"]["tune"] |= {"prices": {"input": 1.0, "output": 2.0}}
    with pytest.raises(TaskError, match=r"models\.tune\.prices\.training"):
        pipeline.decide(write_task(tmp_path / "task", **changed))
    assert host.asked == []


def test_an_endpoint_that_cannot_train_is_refused_before_anything_is_measured(
    server, host, tmp_path
) -> None:
    host.faults = [Fault("GET", "jobs$", 404, "nothing here")]
    with pytest.raises(ModelError, match="cannot train"):
        pipeline.decide(write_task(tmp_path / "task", **settings(server.url)))
    assert host.chats == []


def test_the_plan_says_that_the_endpoint_takes_its_own_time(server, tmp_path) -> None:
    from typer.testing import CliRunner

    folder = write_task(tmp_path / "task", **settings(server.url))
    found = CliRunner().invoke(app, ["plan", str(folder)])
    assert found.exit_code == 0, found.output
    assert "The endpoint trains, in its own time" in found.output


@pytest.mark.slow
def test_the_real_default_model_learns_at_the_host(real_model: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    with running(Engines(real_model), tmp_path / "host") as server:
        server.host.rate = 2e-3
        changes = {
            "search": {"demonstrations": [2], "train_sizes": [40], "epochs": 2},
            "budget": {"minutes": 8},
        }
        folder = write_task(tmp_path / "task", **settings(server.url, **changes))
        decision = pipeline.decide(folder).decision
    assert [job.status for job in decision.jobs] == ["succeeded"]
    (point,) = decision.curve
    assert point.dev_quality.estimate > 0.75, json.dumps(point.model_dump(mode="json"))
    assert decision.fine_tune.variant in {v.id for v in decision.variants if v.adapter}
