"""The arm at a host: no job twice, no job forgotten, and an end that keeps what is."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter

import pytest

from scores import dev_score
from trimtab.engine.openai import OpenAIEngine
from trimtab.errors import BudgetSpent, EngineUnavailable, RunError
from trimtab.prompt.variants import tuned_prompt
from trimtab.store import files
from trimtab.task.spec import Task
from trimtab.tune.hosted import jobs as jobs_module
from trimtab.tune.hosted.arm import HostedArm
from trimtab.tune.hosted.client import FineTuningClient
from trimtab.tune.hosted.jobs import read_book
from trimtab.tune.hosted.wire import training_file
from trimtab.types import (
    Completion,
    Decoding,
    Example,
    HostedModel,
    Message,
    OutputContract,
    Request,
    VariantScore,
)

from .conftest import spec_of
from .host import KEY, Fault

SIZES = (12, 20)
NAMES = ("John Smith", "Springfield Ltd", "Mary Jones", "Fox Incorporated")
EXAMPLES = [
    Example(id=str(i), input=f"{NAMES[i % 4]} {i}", target=("person", "company")[i % 2])
    for i in range(26)
]
TRAIN, DEV = EXAMPLES[:22], EXAMPLES[22:]


class Killed(BaseException):
    """A kill, as far as the code under test can tell."""


class Lab:
    """An arm at a host. `quality` scores a variant; all that happens is noted."""

    def __init__(self, server, folder, **search) -> None:
        self.server, self.host = server, server.host
        self.folder = folder / "run" / "adapters"
        spec = spec_of(server)
        self.task = Task(
            name="names_of_all",
            instructions="Decide whose name it is. Then answer.",
            data={"path": "rows.jsonl"},
            output=OutputContract(kind="label", labels=("person", "company")),
            metric="accuracy",
            goals={"quality": 0.9},
            models={"prompt": spec, "tune": spec},
            search={"epochs": 2} | search,
            seed=5,
        )
        self.engine = OpenAIEngine(spec)
        self.quality = lambda variant: 0.5
        self.on_wait = lambda: None
        self.money = 1e9
        self.scored: list[str] = []
        self.told: list[int] = []
        self.notes: list[str] = []

    def evaluate(self, variant) -> VariantScore:
        score = dev_score(variant, self.quality(variant))
        self.scored.append(variant.adapter.path)
        return score

    def run(self, sizes=SIZES):
        client = FineTuningClient(spec_of(self.server), sleep=_nap)
        arm = HostedArm(
            client=client,
            engine=self.engine,
            task=self.task,
            folder=self.folder,
            max_tokens=8,
            evaluate=self.evaluate,
            on_wait=self.on_wait,
            on_trained=self.told.append,
            money_left=lambda: self.money,
            note=self.notes.append,
            sleep=_nap,
        )
        return arm.run(TRAIN, DEV, sizes)

    def hosted(self, trained) -> HostedModel:
        path = self.folder.parent / trained.variant.adapter.path / "hosted.json"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == trained.variant.adapter.sha256
        return HostedModel.model_validate_json(path.read_bytes())


def _nap(seconds: float) -> None:
    time.sleep(min(seconds, 0.02))


@pytest.fixture
def lab(server, tmp_path) -> Lab:
    return Lab(server, tmp_path)


def test_each_size_is_a_job_from_the_base_on_a_prefix_of_the_rows(lab) -> None:
    trained, jobs = lab.run()
    assert [each.point.rows for each in trained] == [job.rows for job in jobs] == list(SIZES)
    assert len(lab.host.jobs) == 2
    for wish, size in zip(lab.host.wishes, SIZES, strict=True):
        assert wish["model"] == "base-model"
        assert wish["method"]["supervised"]["hyperparameters"] == {"n_epochs": 2}
        assert (wish["seed"], wish["suffix"]) == (5, "names-of-all")
        prompt = tuned_prompt(lab.task)
        assert lab.host.contents[wish["training_file"]] == training_file(prompt, TRAIN[:size])
        assert lab.host.contents[wish["validation_file"]] == training_file(prompt, DEV)
    assert len(lab.host.files) == 3, "the dev rows are put up once"
    assert {job.status for job in jobs} == {"succeeded"}


def test_a_point_holds_what_the_host_tells_and_nothing_else(lab) -> None:
    (trained, _), jobs = lab.run()
    point, told = trained.point, lab.host.jobs[jobs[0].job]
    assert point.train_tokens == told["trained_tokens"] > 0
    assert point.seconds == told["finished_at"] - told["created_at"]
    assert (point.learning_rate, point.peak_memory) == (None, None)
    assert point.epochs == 2
    losses = {
        each["step_number"]: each["metrics"]["full_valid_loss"]
        for each in lab.host.checkpoints[jobs[0].job]
    }
    assert point.dev_loss == losses[3 * point.epoch]
    hosted = lab.hosted(trained)
    assert hosted.job == jobs[0].job
    assert hosted.trained_tokens == point.train_tokens
    assert hosted.money == pytest.approx(point.train_tokens * 10 / 1e6)
    assert lab.told[-1] == sum(each["trained_tokens"] for each in lab.host.jobs.values())


def test_the_best_model_of_a_job_is_kept_and_served_by_its_name(lab) -> None:
    lab.quality = lambda variant: {1: 0.8, 2: 0.6}[variant.adapter.epoch]
    (trained, _), _ = lab.run()
    assert [each.adapter.epoch for each in trained.tried] == [1, 2]
    assert trained.point.epoch == trained.variant.adapter.epoch == 1
    assert trained.point.dev_quality.estimate == 0.8
    hosted = lab.hosted(trained)
    assert hosted.step == 3 and hosted.model.endswith(":ckpt-step-3")
    request = Request(
        messages=(Message(role="user", content="John Smith"),),
        decoding=Decoding(max_tokens=4),
        adapter=str(lab.folder.parent / trained.variant.adapter.path),
    )
    ((_, answer),) = lab.engine.generate([request])
    assert isinstance(answer, Completion)
    assert lab.host.chats == [hosted.model]
    lab.engine.time_call(request.model_copy(update={"adapter": None}))
    assert lab.host.chats[-1] == "base-model"


def test_a_host_without_checkpoints_tokens_and_times_leaves_them_unknown(lab) -> None:
    lab.host.keeps_checkpoints = lab.host.tells_tokens = False
    lab.host.change = lambda job: {**job, "created_at": None, "finished_at": None}
    (trained, _), jobs = lab.run()
    assert trained.point.dev_loss is None
    assert len(trained.tried) == 1
    assert jobs[0].trained_tokens is None
    assert trained.point.train_tokens == jobs[0].estimated_tokens > 0
    assert trained.point.seconds > 0
    assert lab.told[-1] == sum(job.estimated_tokens for job in jobs)


def test_a_finished_arm_is_read_and_the_host_is_not_asked(lab) -> None:
    first = lab.run()
    asked, scored = list(lab.host.asked), list(lab.scored)
    assert lab.run() == first
    assert lab.host.asked == asked
    assert sorted(lab.scored) == sorted(2 * scored), "each sitting hears of every variant"


def test_a_kill_at_any_write_makes_no_second_job(lab, monkeypatch) -> None:
    """The process dies right before a write: the first one, then the second one, and so on."""
    real, writes, kill_at = files.write_atomic, 0, 0

    def write(path, text):
        nonlocal writes
        writes += 1
        if writes == kill_at:
            raise Killed
        real(path, text)

    monkeypatch.setattr(jobs_module, "write_atomic", write)
    while True:
        writes, kill_at = 0, kill_at + 1
        try:
            trained, jobs = lab.run()
        except Killed:
            continue
        break
    assert kill_at > 5
    assert len(lab.host.jobs) == len(SIZES)
    assert len(lab.host.files) == 3
    assert [each.point.rows for each in trained] == list(SIZES)
    assert {job.status for job in jobs} == {"succeeded"}
    assert lab.told[-1] == sum(each["trained_tokens"] for each in lab.host.jobs.values())


@pytest.mark.parametrize("done_first", [True, False], ids=["made", "not made"])
@pytest.mark.parametrize("keeps_metadata", [True, False])
def test_an_answer_that_is_lost_makes_no_second_job(lab, done_first, keeps_metadata) -> None:
    lab.host.keeps_metadata = keeps_metadata
    lab.host.faults = [Fault("POST", "jobs$", 502, done_first=done_first)]
    trained, _ = lab.run()
    assert len(lab.host.jobs) == len(trained) == 2


def test_a_host_that_never_tells_whether_it_made_a_job_ends_the_sitting(lab) -> None:
    lab.host.faults = [Fault("POST", "jobs$", 502, times=3)]
    with pytest.raises(EngineUnavailable, match="on 12 rows could not be made"):
        lab.run()
    trained, _ = lab.run()
    assert len(lab.host.jobs) == len(trained) == 2


def test_a_spent_share_stops_what_is_under_way_and_keeps_what_is_finished(lab) -> None:
    lab.host.held = lambda job: job["id"] == "ftjob-0002"

    def on_wait() -> None:
        if lab.scored:
            raise BudgetSpent("a test's share")

    lab.on_wait = on_wait
    trained, jobs = lab.run()
    assert [each.point.rows for each in trained] == [12]
    assert lab.host.jobs["ftjob-0002"]["status"] == "cancelled"
    assert [job.status for job in jobs] == ["succeeded", "cancelled"]
    assert jobs[1].problem == "the budget was spent first (a test's share)"
    assert lab.run() == (trained, jobs), "what was stopped is not begun again"
    assert len(lab.host.jobs) == 2


def test_a_share_that_was_spent_before_makes_no_job(lab) -> None:
    def on_wait() -> None:
        raise BudgetSpent("all of it")

    lab.on_wait = on_wait
    trained, jobs = lab.run()
    assert trained == []
    assert [(job.status, job.job) for job in jobs] == [("not made", None)] * 2
    assert lab.host.asked == []


@pytest.mark.parametrize("made", [True, False])
def test_a_job_in_doubt_is_stopped_or_not_made_when_the_share_is_spent(lab, made) -> None:
    lab.host.faults = [Fault("POST", "jobs$", 502, times=99, done_first=made)]
    lab.host.faults += [Fault("GET", "jobs$", 401, times=1)]
    lab.host.held = lambda job: True
    with pytest.raises(EngineUnavailable):
        lab.run()
    assert read_book(lab.folder / "jobs.json").jobs[0].status == "asked for"

    def on_wait() -> None:
        raise BudgetSpent("all of it")

    lab.on_wait = on_wait
    _, jobs = lab.run()
    assert [job.status for job in jobs] == ["cancelled" if made else "not made", "not made"]
    assert all(job["status"] == "cancelled" for job in lab.host.jobs.values())
    assert len(lab.host.jobs) == made


def test_a_budget_that_ends_while_scoring_keeps_the_models_that_were_scored(lab) -> None:
    def quality(variant):
        if variant.adapter.epoch == 2:
            raise BudgetSpent("a test's calls")
        return 0.5

    lab.quality = quality
    trained, _ = lab.run()
    assert [each.point.epoch for each in trained] == [1, 1]


def test_a_job_that_fails_gives_its_reason_and_the_others_go_on(lab) -> None:
    trained, jobs = lab.run((4, 12))
    assert [each.point.rows for each in trained] == [12]
    assert jobs[0].status == "failed"
    assert jobs[0].problem == "it failed: 4 rows; 10 are needed (training_file)"


def test_a_job_that_is_refused_gives_the_hosts_words(lab) -> None:
    lab.host.faults = [Fault("POST", "jobs$", 400, "this model cannot be tuned")]
    trained, jobs = lab.run()
    assert [each.point.rows for each in trained] == [20]
    assert "this model cannot be tuned" in jobs[0].problem


def test_a_job_that_someone_stopped_is_told(lab) -> None:
    lab.host.held = lambda job: True

    def on_wait() -> None:
        for job in lab.host.jobs.values():
            job.update(status="cancelled", finished_at=job["created_at"])

    lab.on_wait = on_wait
    trained, jobs = lab.run()
    assert trained == []
    assert {job.problem for job in jobs} == {"it was cancelled at the endpoint"}


def test_a_job_without_a_model_is_a_failure(lab) -> None:
    lab.host.change = lambda job: {**job, "fine_tuned_model": None}
    trained, jobs = lab.run()
    assert trained == []
    assert {(job.status, job.problem) for job in jobs} == {
        ("failed", "the endpoint names no model that came of it")
    }
    assert lab.told[-1] > 0, "it is paid all the same"


def test_a_state_that_nobody_knows_is_waited_for(lab) -> None:
    states = iter(["paused", "pending", "warming up"])
    lab.host.change = lambda job: {**job, "status": next(states, job["status"])}
    trained, _ = lab.run()
    assert len(trained) == 2


def test_no_job_is_asked_for_that_the_budget_cannot_bear(lab) -> None:
    _, jobs = lab.run()
    prices = [job.estimated_tokens * 10 / 1e6 for job in jobs]
    poor = Lab(lab.server, lab.folder / "poor")
    poor.money = prices[0] * 1.01
    made = len(lab.host.jobs)
    trained, jobs = poor.run()
    assert [each.point.rows for each in trained] == [12]
    assert jobs[1].status == "not made"
    assert "would cost about" in jobs[1].problem and "budget.money" in jobs[1].problem
    assert len(lab.host.jobs) == made + 1


def test_jobs_under_way_are_paid_before_more_are_asked_for(lab) -> None:
    """What is left bears either job alone, and not both."""
    lab.host.held = lambda job: False
    _, jobs = lab.run()
    both = sum(job.estimated_tokens for job in jobs) * 10 / 1e6
    poor = Lab(lab.server, lab.folder / "poor")
    poor.money = 0.99 * both
    assert [each.point.rows for each in poor.run()[0]] == [12]


def test_a_host_that_takes_one_job_at_a_time_gets_them_one_by_one(lab, monkeypatch) -> None:
    monkeypatch.setattr("trimtab.tune.hosted.client._TRIES", 2)
    lab.host.most_jobs = 1
    trained, _ = lab.run()
    assert len(trained) == len(lab.host.jobs) == 2


def test_a_host_that_is_down_is_gone_back_to(lab) -> None:
    lab.host.held = lambda job: True
    lab.host.faults = [Fault("GET", "jobs/ftjob", 503, times=7)]
    with pytest.raises(EngineUnavailable, match="same command goes on"):
        lab.run()
    lab.host.go.set()
    trained, _ = lab.run()
    assert len(trained) == len(lab.host.jobs) == 2


def test_a_damaged_book_of_jobs_is_refused(lab) -> None:
    lab.run()
    path = lab.folder / "jobs.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RunError, match=r"jobs\.json is damaged"):
        lab.run()


def test_the_key_is_in_no_file(lab) -> None:
    lab.run()
    kept = [path for path in lab.folder.parent.rglob("*") if path.is_file()]
    assert len(kept) >= 6
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]


def test_each_run_has_keys_of_its_own(lab) -> None:
    lab.run()
    Lab(lab.server, lab.folder / "other").run()
    keys = Counter(wish["metadata"]["trimtab"] for wish in lab.host.wishes)
    assert len(keys) == 4
    names = {each["filename"] for each in lab.host.files.values()}
    assert len(names) == len(lab.host.files) == 6
    assert json.loads((lab.folder / "jobs.json").read_text())["key"] in next(iter(keys))
