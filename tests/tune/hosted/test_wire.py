"""Nothing that an endpoint says is trusted."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trimtab.prompt.render import render_with_target
from trimtab.tune.hosted.arm import Candidate, candidates
from trimtab.tune.hosted.wire import Checkpoint, Job, training_file
from trimtab.types import Example, Prompt

JOB = {"id": "ftjob-1", "status": "running"}


@pytest.mark.parametrize(
    "id",
    ["", ".", "..", "../files", "a/b", "a b", "a?b", "a#b", "a%2fb", "a\n", "a\\b", "é", "a" * 129],
)
def test_an_id_that_would_lead_elsewhere_is_refused(id: str) -> None:
    with pytest.raises(ValidationError):
        Job.model_validate(JOB | {"id": id})


@given(st.text(max_size=12))
def test_an_id_that_is_taken_is_one_step_in_a_path(id: str) -> None:
    try:
        taken = Job.model_validate(JOB | {"id": id}).id
    except ValidationError:
        return
    assert PurePosixPath(f"/jobs/{taken}").parts == ("/", "jobs", taken)
    assert taken not in (".", "..")
    assert not set(taken) & set("/\\?#%\r\n ")


@pytest.mark.parametrize(
    "told",
    [
        {"error": {}},
        {"error": None, "metadata": None, "hyperparameters": None},
        {"hyperparameters": {"n_epochs": "auto", "batch_size": "auto"}},
        {"created_at": "2026-11-23T00:00:00Z", "finished_at": None},
        {"metadata": {"a": "b", "c": 3}, "something": "new"},
    ],
)
def test_what_hosts_say_differently_is_no_error(told: dict) -> None:
    job = Job.model_validate(JOB | told)
    assert not job.ended
    assert (job.problem, job.epochs, job.seconds) == (None, None, None)


@pytest.mark.parametrize(
    "told",
    [
        {"trained_tokens": -1},
        {"trained_tokens": "many"},
        {"fine_tuned_model": ""},
        {"fine_tuned_model": "a b\nc"},
        {"fine_tuned_model": ["x"]},
        {"status": None},
        {"error": "it failed"},
    ],
)
def test_what_no_host_can_mean_is_refused(told: dict) -> None:
    with pytest.raises(ValidationError):
        Job.model_validate(JOB | told)


def test_a_reason_is_short_and_on_one_line() -> None:
    error = {"message": "too\nfew  rows " * 100, "param": "training_file"}
    problem = Job.model_validate(JOB | {"error": error}).problem
    assert problem is not None
    assert problem.startswith("too few rows too few rows")
    assert len(problem) <= 200


def test_the_file_is_what_the_tuned_model_is_called_with() -> None:
    prompt = Prompt(system="Decide.")
    rows = [
        Example(id="1", input='say "é"\n', target="person"),
        Example(id="2", input="b", target="c"),
    ]
    lines = training_file(prompt, rows).decode().splitlines()
    for line, row in zip(lines, rows, strict=True):
        wanted = [each.model_dump() for each in render_with_target(prompt, row, None)]
        assert json.loads(line) == {"messages": wanted}


def checkpoint(step: int, name: str = "", loss: float | None = None) -> Checkpoint:
    return Checkpoint(
        fine_tuned_model_checkpoint=name or f"m:{step}",
        step_number=step,
        metrics={"full_valid_loss": loss, "valid_loss": 9.0},
    )


DONE = Job(id="j", status="succeeded", fine_tuned_model="m")


def test_a_job_without_checkpoints_left_its_final_model() -> None:
    assert candidates(DONE, [], 3) == [Candidate("m", None, 3, None)]


def test_checkpoints_are_epochs_on_the_way_and_the_last_is_the_final_model() -> None:
    told = [checkpoint(10, loss=0.5), checkpoint(20, loss=0.25), checkpoint(30, "m", 0.125)]
    assert candidates(DONE, told, 3) == [
        Candidate("m:10", 10, 1, 0.5),
        Candidate("m:20", 20, 2, 0.25),
        Candidate("m", None, 3, 0.125),
    ]


def test_a_last_checkpoint_of_another_name_is_not_scored_twice() -> None:
    found = candidates(DONE, [checkpoint(20), checkpoint(30, "m:30")], 3)
    assert [each.name for each in found] == ["m:20", "m"]
    assert found[-1].dev_loss == 9.0, "where the whole is not told, a part of it"
