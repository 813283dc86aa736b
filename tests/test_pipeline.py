"""The whole of loop one: a verdict at the end, whatever cut the way there."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from decisions import both_arms, rows, write_rows, write_task
from trimtab import pipeline
from trimtab.errors import DataError, RunError
from trimtab.measure.consistency import CONSISTENCY
from trimtab.measure.meter import Silent
from trimtab.measure.plan import CONFIRMATION, LATENCY, LAYOUTS, PROMPTS, TRAINING
from trimtab.store.files import read_records
from trimtab.types import Decision, Spent


@dataclass
class Watch(Silent):
    """Counts what a run reports, and kills it at the `kill_at`th report."""

    kill_at: int | None = None
    kind: type[BaseException] = KeyboardInterrupt
    events: int = 0
    calls: int = 0
    stages: set[str] | None = None

    def note(self, text: str) -> None:
        self._happened()

    def advance(self, spent: Spent) -> None:
        self.calls += spent.calls
        self.stages = (self.stages or set()) | {spent.stage}
        self._happened()

    def _happened(self) -> None:
        self.events += 1
        if self.events == self.kill_at:
            raise self.kind


def saved(folder: Path) -> Decision:
    return Decision.model_validate_json((folder / "verdict.json").read_bytes())


def records(folder: Path) -> dict[str, list]:
    """Per file, what each record says besides how long it took, in a fixed order."""
    found = {}
    for path in sorted((folder / "records").iterdir()):
        each = read_records(path)
        keys = Counter((r.example, r.repeat) for r in each)
        assert max(keys.values()) == 1, f"{path.name} holds a record twice"
        if not path.name.endswith("-latency.jsonl"):
            lines = [(r.example, r.repeat, r.completion, r.outcome, r.reused) for r in each]
            found[path.name] = sorted(lines, key=str)
    return found


def epochs(folder: Path) -> list[str]:
    lines = (folder / "adapters" / "epochs.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


# --- prompts only, with the fake engine --------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A decision of prompts only, with all that it reported."""
    root, watch = tmp_path_factory.mktemp("plain"), Watch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        return pipeline.decide(write_task(root / "task"), watch), watch


def test_a_decision_is_whole(plain) -> None:
    decided, _ = plain
    decision = decided.decision
    assert decision == saved(decided.folder)
    assert decided.why == "no earlier run of this task"
    assert decision.run == decided.folder.name
    assert decision.verdict.word == "prompt"
    assert decision.rows == {"train": 40, "dev": 20, "test": 30}
    assert decision.prompt.n == 30
    assert decision.prompt.latency.n > 0
    assert decision.fine_tune is None and decision.comparison is None
    assert 8 < len(decision.dev_scores) <= len(decision.variants) == len(decision.search.trials)
    assert decision.verdict.winner in {v.id for v in decision.variants}
    assert decision.stopped_by is None
    page = (decided.folder / "report.html").read_text()
    assert decision.verdict.word in page
    assert (decided.folder.parent / "latest").resolve() == decided.folder.resolve()


def test_what_was_spent_is_what_was_reported(plain) -> None:
    decided, watch = plain
    decision = decided.decision
    assert sum(s.calls for s in decision.spent) == watch.calls
    assert {s.stage for s in decision.spent} == watch.stages
    planned = {(s.stage, s.arm): s.calls for s in decision.planned}
    used = {(s.stage, s.arm): s.calls for s in decision.spent}
    # The fake engine's free answers settle constrained ones, so fewer calls than answers. The plan
    # is no bound: a slow moment of the calibration makes it small.
    assert decision.search is not None
    assert 0 < used[PROMPTS, "prompt"] <= decision.search.calls
    assert used[CONFIRMATION, "prompt"] == planned[CONFIRMATION, "prompt"] == 30


def test_the_opening_of_the_test_is_logged(plain) -> None:
    decided, _ = plain
    (opening,) = [json.loads(line) for line in decided.decision.test_openings]
    assert opening["rows"] == 30
    assert opening["reason"] == f"confirm {decided.decision.prompt.name}"


def test_openings_of_the_same_test_are_counted_over_runs(tmp_path) -> None:
    first = pipeline.decide(write_task(tmp_path / "task"))
    second = pipeline.decide(tmp_path / "task", fresh=True)
    assert (first.decision.test_uses, second.decision.test_uses) == (1, 2)
    assert len(second.decision.test_openings) == 1
    write_rows(tmp_path / "task" / "rows.jsonl", rows(120))
    assert pipeline.decide(tmp_path / "task").decision.test_uses == 1


def test_why_nothing_was_tuned_is_told(plain) -> None:
    decided, _ = plain
    why = decided.decision.no_tuning
    assert "names no model that can be tuned" in why
    assert why in decided.decision.verdict.headline
    assert why in (decided.folder / "report.html").read_text()


def test_a_budget_that_ends_while_timing_keeps_what_was_timed(plain, tmp_path) -> None:
    decided, _ = plain
    after = (LATENCY, LAYOUTS, CONSISTENCY)
    before = sum(s.calls for s in decided.decision.spent if s.stage not in after)
    budget = {"minutes": 30, "calls": before + 4}
    cut = pipeline.decide(write_task(tmp_path / "task", budget=budget)).decision
    assert cut.stopped_by == f"{before + 4} calls"
    assert cut.prompt.latency.n == 4
    assert cut.prompt.latency.p95_interval.high is None


def test_search_never_sees_the_test(plain) -> None:
    decided, _ = plain
    (on_test,) = (decided.folder / "records").glob("*-test.jsonl")
    assert on_test.name == f"{decided.decision.verdict.winner}-test.jsonl"
    assert {record.repeat for record in read_records(on_test)} == {0}


def test_a_finished_decision_is_read_without_a_call(tmp_path) -> None:
    first = pipeline.decide(write_task(tmp_path / "task"))
    watch = Watch()
    again = pipeline.decide(tmp_path / "task", watch)
    assert again.decision == first.decision
    assert again.folder == first.folder
    assert again.why.endswith("is finished")
    assert watch.calls == 0


def test_the_task_may_be_named_by_its_file(tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    first = pipeline.decide(folder)
    assert pipeline.decide(folder / "task.yaml").folder == first.folder


def test_a_changed_goal_starts_a_new_run_that_names_it(tmp_path) -> None:
    first = pipeline.decide(write_task(tmp_path / "task"))
    second = pipeline.decide(write_task(tmp_path / "task", goals={"quality": 0.999}))
    assert second.folder != first.folder
    assert "goals.quality" in second.why
    assert second.decision.goals["quality"] == 0.999
    assert (tmp_path / "task" / "runs" / "latest").resolve() == second.folder.resolve()
    # The answers of the first run serve the second: only what must be measured anew is called.
    called = {s.stage for s in second.decision.spent if s.calls}
    assert PROMPTS not in called and CONFIRMATION not in called
    assert LATENCY in called


def test_changed_data_starts_a_new_run(tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    pipeline.decide(folder)
    write_rows(folder / "rows.jsonl", rows(92))
    assert "data" in pipeline.decide(folder).why


def test_rows_in_another_order_are_the_same_data(tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    first = pipeline.decide(folder)
    write_rows(folder / "rows.jsonl", rows()[::-1])
    assert pipeline.decide(folder).folder == first.folder


def test_fresh_starts_anew(tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    first = pipeline.decide(folder)
    second = pipeline.decide(folder, fresh=True)
    assert second.folder != first.folder
    assert second.why == "a fresh run was asked for"
    assert second.decision.prompt.quality == first.decision.prompt.quality


def test_decide_follows_the_plan_that_was_shown(tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    _, planned = pipeline.plan(folder)
    assert pipeline.plan(folder)[1] == planned
    decided = pipeline.decide(folder)
    assert decided.decision.planned == planned.stages
    assert pipeline.plan(folder)[1] == planned, "a finished run still tells its plan"


@pytest.mark.parametrize(
    "budget",
    [
        {"minutes": 1e-6},
        {"minutes": 30, "calls": 1},
        {"minutes": 30, "calls": 70},
        {"minutes": 30, "calls": 130},
    ],
    ids=["no time", "one call", "within the search", "within the search, later"],
)
def test_a_budget_that_is_too_small_still_ends_in_a_verdict(tmp_path, budget) -> None:
    decided = pipeline.decide(write_task(tmp_path / "task", budget=budget))
    decision = decided.decision
    assert decision.verdict.word == "inconclusive"
    assert decision.stopped_by is not None
    assert decision.stopped_by in decision.verdict.headline
    assert decision.prompt is None
    assert decision.verdict.winner is None
    assert (decided.folder / "report.html").exists()
    assert pipeline.decide(tmp_path / "task").folder == decided.folder


def test_without_a_finalist_the_test_stays_sealed(tmp_path) -> None:
    decided = pipeline.decide(write_task(tmp_path / "task", budget={"minutes": 1e-6}))
    assert decided.decision.test_openings == ()


def test_two_processes_do_not_share_a_run(tmp_path) -> None:
    folder = write_task(tmp_path / "task")

    class Intruder(Silent):
        def plan(self, planned, spent) -> None:
            with pytest.raises(RunError, match="another process"):
                pipeline.decide(folder)

    pipeline.decide(folder, Intruder())


def test_bad_data_costs_nothing(tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    write_rows(folder / "rows.jsonl", rows(30))
    with pytest.raises(DataError, match="too few"):
        pipeline.decide(folder)
    assert not (folder / "runs").exists()


# --- both arms, with the tiny model ------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory):
    """A decision of both arms that nothing interrupted."""
    import torch

    from trimtab.engine.local import weights

    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        patch.setattr(weights, "fastest_dtype", lambda device: torch.float32)
        return pipeline.decide(write_task(root / "task", **both_arms(tiny_model)))


def test_both_arms_are_measured_and_compared(whole) -> None:
    decision = whole.decision
    assert decision == saved(whole.folder)
    assert decision.prompt.arm == "prompt" and decision.fine_tune.arm == "fine-tune"
    assert decision.comparison.n == decision.prompt.n == decision.fine_tune.n == 30
    assert (decision.comparison.a, decision.comparison.b) == (
        decision.prompt.variant,
        decision.fine_tune.variant,
    )
    difference = decision.fine_tune.quality.estimate - decision.prompt.quality.estimate
    assert decision.comparison.difference.estimate == pytest.approx(difference)
    first = [(p.rows, p.sweep) for p in decision.curve if p.seed == 0]
    assert first == [(16, True), (16, False), (32, False)]
    for score in (decision.prompt, decision.fine_tune):
        assert score.latency.n > 0
        assert score.agreement is not None
        assert score.money_per_1000 > 0
    used = {(s.stage, s.arm) for s in decision.spent}
    for arm, search in (("prompt", PROMPTS), ("fine-tune", TRAINING)):
        assert {(search, arm), (CONFIRMATION, arm), (CONSISTENCY, arm)} <= used
    assert set(decision.language.tokens_per_word) == {"general", "inputs", "targets"}


def test_the_best_of_each_arm_on_dev_is_confirmed(whole) -> None:
    decision = whole.decision
    for finalist in (decision.prompt, decision.fine_tune):
        on_dev = {
            s.variant: s.quality.estimate for s in decision.dev_scores if s.arm == finalist.arm
        }
        assert on_dev[finalist.variant] == max(on_dev.values())


def test_every_row_is_in_one_split_only(whole) -> None:
    by_split: dict[str, set[str]] = {}
    for path in (whole.folder / "records").glob("*-*.jsonl"):
        split = path.stem.partition("-")[2]
        if split != "latency":
            by_split.setdefault(split, set()).update(r.example for r in read_records(path))
    assert set(by_split) == {"dev", "test"}
    assert not by_split["dev"] & by_split["test"]


def test_only_kept_adapters_stay_on_disk(whole) -> None:
    kept = {v.adapter.path for v in whole.decision.variants if v.adapter}
    on_disk = {
        str(path.parent.relative_to(whole.folder))
        for path in (whole.folder / "adapters").rglob("*.safetensors")
    }
    assert on_disk == kept


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_that_is_killed_again_and_again_ends_the_same(
    whole, tiny_model, in_float32, tmp_path, seed
) -> None:
    folder = write_task(tmp_path / "task", **both_arms(tiny_model))
    chance = random.Random(seed)
    kills, touched, watch = 0, set(), Watch()
    for sitting in range(30):
        kind = (KeyboardInterrupt, SystemExit)[sitting % 2]
        watch = Watch(chance.randrange(2, 110), kind)
        try:
            decided = pipeline.decide(folder, watch)
        except kind:
            kills += 1
            touched |= watch.stages or set()
            assert not (folder / "runs" / "latest" / "verdict.json").exists()
        else:
            break
    assert kills >= 4
    assert {PROMPTS, TRAINING} <= touched
    assert len(list((folder / "runs").glob("2*"))) == 1
    assert_same(decided, whole)


def assert_same(resumed, uninterrupted) -> None:
    """Equal in everything that is not a measured time."""
    a, b = resumed.decision, uninterrupted.decision
    assert records(resumed.folder) == records(uninterrupted.folder)
    assert epochs(resumed.folder) == epochs(uninterrupted.folder)
    assert a.verdict.word == b.verdict.word
    assert a.variants == b.variants
    assert a.dev_scores == b.dev_scores
    assert a.comparison == b.comparison
    assert (a.consistency, a.language) == (b.consistency, b.language)
    for ours, theirs in ((a.prompt, b.prompt), (a.fine_tune, b.fine_tune)):
        timed = {"latency": None, "money_per_1000": None, "money_interval": None}
        assert ours.model_copy(update=timed) == theirs.model_copy(update=timed)
        assert ours.latency.n == theirs.latency.n
    assert [(p.variant, p.dev_loss) for p in a.curve] == [(p.variant, p.dev_loss) for p in b.curve]
    assert a.cases == b.cases
    calls = [
        {(s.stage, s.arm): s.calls for s in each.spent if s.stage == CONFIRMATION}
        for each in (a, b)
    ]
    assert calls[0] == calls[1]


def test_a_kill_while_the_verdict_is_written_loses_nothing(
    whole, tiny_model, in_float32, tmp_path, monkeypatch
) -> None:
    """All was measured: the next sitting only writes, without a single call."""
    root = tmp_path / "task"
    shutil.copytree(whole.folder.parents[1], root, symlinks=True)
    (root / "runs" / "latest" / "verdict.json").unlink()
    watch = Watch()
    decided = pipeline.decide(root, watch)
    assert watch.calls == 0
    assert_same(decided, whole)
    assert len(decided.decision.test_openings) == 2, "each opening of the seal is logged"


def test_an_arm_without_time_leaves_the_other_and_says_so(tiny_model, in_float32, tmp_path) -> None:
    """The share of the fine-tune ends; the prompt is confirmed, and the verdict is open."""
    changes = both_arms(tiny_model) | {"budget": {"minutes": 30}}
    folder = write_task(tmp_path / "task", **changes)

    class Slow(Silent):
        """Makes each training step use up the arm's share."""

        def advance(self, spent: Spent) -> None:
            if spent.stage == TRAINING:
                clock["offset"] += 10_000

    import time

    from trimtab.measure import meter

    clock = {"offset": 0.0}

    class Time:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + clock["offset"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "time", Time)
        decision = pipeline.decide(folder, Slow()).decision
    assert decision.fine_tune is None
    assert decision.stopped_by is not None
    assert decision.verdict.word == "inconclusive"
