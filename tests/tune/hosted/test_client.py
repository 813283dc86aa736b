"""The wire format is OpenAI's: its own client and ours say and hear the same."""

from __future__ import annotations

import socket
import time

import openai
import pytest

from trimtab.errors import EngineUnavailable, ModelError
from trimtab.tune.hosted.client import Busy, FineTuningClient, Refused, Unsure
from trimtab.tune.hosted.wire import new_job, training_file
from trimtab.types import Example, Prompt

from .conftest import spec_of
from .host import BASE, KEY, Fault

ROWS = [
    Example(id=str(i), input=f"{('John Smith', 'Fox Ltd')[i % 2]} {i}", target="company")
    for i in range(12)
]
CONTENT = training_file(Prompt(system="Whose?"), ROWS)
JOBS = "fine_tuning/jobs$"


@pytest.fixture
def official(server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0)


def wish(client: FineTuningClient, epochs: int = 1, key: str = "k") -> dict:
    training, validation = (client.upload(name, CONTENT) for name in ("a.jsonl", "b.jsonl"))
    return new_job(BASE, training, validation, epochs=epochs, seed=7, suffix="names", key=key)


def wait_for(client: FineTuningClient, job: str):
    end = time.monotonic() + 60
    while not (found := client.retrieve(job)).ended:
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_both_clients_put_up_the_same_file(official, client, host) -> None:
    theirs = official.files.create(file=("rows.jsonl", CONTENT), purpose="fine-tune")
    ours = client.upload("rows.jsonl", CONTENT)
    assert host.contents[theirs.id] == host.contents[ours] == CONTENT
    same = ("filename", "purpose", "bytes")
    assert [host.files[theirs.id][k] for k in same] == [host.files[ours][k] for k in same]
    assert client.file_named("rows.jsonl") in (theirs.id, ours)
    assert client.file_named("other.jsonl") is None


def test_both_clients_ask_for_the_same_job_and_hear_the_same(official, client, host) -> None:
    wanted = wish(client)
    theirs = official.fine_tuning.jobs.create(**wanted)
    ours = client.create(wanted)
    assert host.wishes[0] == host.wishes[1] == wanted
    ended = wait_for(client, ours.id)
    told = official.fine_tuning.jobs.retrieve(ours.id)
    assert (told.status, told.fine_tuned_model) == ("succeeded", ended.fine_tuned_model)
    assert told.trained_tokens == ended.trained_tokens > 0
    assert told.metadata == ended.metadata == {"trimtab": "k"}
    assert told.hyperparameters.n_epochs == ended.epochs == 1
    assert {job.id for job in official.fine_tuning.jobs.list()} == {theirs.id, ours.id}
    (checkpoint,) = official.fine_tuning.jobs.checkpoints.list(ours.id)
    (heard,) = client.checkpoints(ours.id)
    assert heard.fine_tuned_model_checkpoint == checkpoint.fine_tuned_model_checkpoint
    assert heard.step_number == checkpoint.step_number
    assert heard.dev_loss == checkpoint.metrics.full_valid_loss
    answer = official.chat.completions.create(
        model=ended.fine_tuned_model,
        messages=[{"role": "user", "content": "John Smith"}],
        max_tokens=4,
    )
    assert answer.usage.completion_tokens > 0


def test_both_clients_cancel(official, client, host) -> None:
    host.held = lambda job: True
    first, second = client.create(wish(client)), client.create(wish(client, key="l"))
    assert client.cancel(first.id).status == "cancelled"
    assert official.fine_tuning.jobs.cancel(second.id).status == "cancelled"
    assert client.cancel(first.id).status == "cancelled", "one that has ended stays as it is"


def test_the_reason_of_a_failure_is_told(official, client, host) -> None:
    few = client.upload("few.jsonl", CONTENT[: CONTENT.index(b"\n") + 1])
    failed = wait_for(client, client.create(wish(client) | {"training_file": few}).id)
    assert failed.status == "failed"
    assert failed.problem == "1 rows; 10 are needed (training_file)"
    assert client.last_error(failed.id) == "failed"
    assert official.fine_tuning.jobs.retrieve(failed.id).error.message == "1 rows; 10 are needed"


def test_a_job_is_found_by_its_key_over_many_pages(client, host, monkeypatch) -> None:
    monkeypatch.setattr("trimtab.tune.hosted.client._PAGE", 2)
    host.held = lambda job: True
    made = [client.create(wish(client, key=f"k{i}")) for i in range(5)]
    assert client.find("k1", "file-other").id == made[1].id
    assert client.find("k9", made[1].training_file) is None, "another run's job on the same file"
    host.keeps_metadata = False
    bare = client.create(wish(client, key="k5"))
    assert client.find("k5", bare.training_file).id == bare.id


def test_a_job_that_cannot_be_read_hides_no_other(client, host) -> None:
    job = client.create(wish(client))
    host.jobs["odd"] = {"id": "odd/one", "error": "in words", "finished_at": 0}
    assert client.find("k", "file-other").id == job.id
    client.probe()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_can_be_asked_again_is(client, host, status) -> None:
    retry = {"retry-after": "0"}
    host.faults = [
        Fault(method, path, status, headers=retry, times=2)
        for method, path in (("GET", JOBS), ("POST", "files$"))
    ]
    client.probe()
    client.upload("a", CONTENT)
    assert len(host.files) == 1
    assert len(host.asked) == 6


def test_a_job_is_not_asked_for_again_where_it_may_have_been_made(client, host) -> None:
    wanted = wish(client)
    for done in (True, False):
        host.faults = [Fault("POST", JOBS, 500, done_first=done)]
        with pytest.raises(Unsure, match="500"):
            client.create(wanted)
        assert len(host.jobs) == 1
    host.faults = [Fault("POST", JOBS, 429, headers={"retry-after": "0"}, times=3)]
    client.create(wanted)
    assert len(host.jobs) == 2


def test_too_many_jobs_and_no_quota_are_told_apart(client, host) -> None:
    wanted = wish(client)
    host.most_jobs = 0
    with pytest.raises(Busy):
        client.create(wanted)
    host.faults = [Fault("POST", JOBS, 429, '{"error": {"code": "insufficient_quota"}}')]
    with pytest.raises(Refused, match="insufficient_quota"):
        client.create(wanted)


def test_what_the_host_does_not_take_is_refused_with_its_words(client) -> None:
    with pytest.raises(Refused, match="cannot be tuned"):
        client.create(wish(client) | {"model": "other"})
    with pytest.raises(Refused, match="status 404"):
        client.retrieve("ftjob-none")


def test_a_key_that_is_refused_is_never_shown(server, monkeypatch) -> None:
    monkeypatch.setenv("HOST_KEY", "wrong-key-1234")
    with pytest.raises(EngineUnavailable, match="api_key_env") as caught:
        FineTuningClient(spec_of(server)).probe()
    assert "wrong-key" not in str(caught.value)


def test_a_key_that_is_echoed_is_never_shown(client, host) -> None:
    host.faults = [Fault("GET", JOBS, 404, f"no page for {KEY}")]
    with pytest.raises(ModelError, match=r"\*\*\*") as caught:
        client.probe()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("status", [404, 405, 301])
def test_an_endpoint_that_cannot_train_says_so_at_once(client, host, status) -> None:
    host.faults = [Fault("GET", JOBS, status, "nothing here")]
    with pytest.raises(ModelError, match=r"cannot train.*models\.tune"):
        client.probe()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>welcome</html>",
        "[]",
        "null",
        "{}",
        '{"id": 5, "status": "running"}',
        '{"id": "../files", "status": "running"}',
        '{"id": "ftjob-1"}',
        '{"id": "ftjob-1", "status": "succeeded", "fine_tuned_model": {"a": 1}}',
        '{"id": "ftjob-1", "status": "running", "trained_tokens": -5}',
        "[" * 100_000,
        '{"id": "\\ud800", "status": "running"}',
    ],
)
def test_garbage_ends_with_a_clear_error(client, host, body) -> None:
    host.faults = [Fault("GET", "jobs/ftjob-1$", 200, body)]
    with pytest.raises(EngineUnavailable, match="no answer of OpenAI's fine-tuning"):
        client.retrieve("ftjob-1")


def test_nothing_that_listens_is_told(monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    class Gone:
        url = f"http://127.0.0.1:{port}/v1"

    waits: list[float] = []
    with pytest.raises(EngineUnavailable, match="goes on with them"):
        FineTuningClient(spec_of(Gone()), sleep=waits.append).probe()  # type: ignore[arg-type]
    assert len(waits) == 6


def test_an_answer_that_takes_too_long_is_given_up(server, host) -> None:
    host.change = lambda job: time.sleep(0.4) or job
    patient = FineTuningClient(spec_of(server))
    job = patient.create(wish(patient))
    hasty = FineTuningClient(spec_of(server, timeout_seconds=0.1), sleep=lambda seconds: None)
    with pytest.raises(EngineUnavailable, match="ReadTimeout"):
        hasty.retrieve(job.id)
    with pytest.raises(Unsure, match="ReadTimeout"):
        hasty.create(wish(patient, key="l"))
