from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from trimtab.task.spec import ModelSpec
from trimtab.tune.hosted.client import FineTuningClient

from .host import BASE, KEY, Engines, Host, Running, running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.engine.endpoint._FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("trimtab.tune.hosted.jobs._SETTLING_S", 0.0)
    monkeypatch.setattr("trimtab.tune.hosted.arm._SHORTEST_WAIT_S", 0.05)
    monkeypatch.setenv("HOST_KEY", KEY)


@pytest.fixture(scope="session")
def engines(tiny_model) -> Engines:
    return Engines(tiny_model)


@pytest.fixture
def server(engines, tmp_path) -> Iterator[Running]:
    with running(engines, tmp_path / "host") as started:
        yield started


@pytest.fixture
def host(server) -> Host:
    return server.host


def spec_of(server: Running, **settings: object) -> ModelSpec:
    settings = {"prices": {"input": 1, "output": 2, "training": 10}} | settings
    return ModelSpec(
        engine="openai",
        model=BASE,
        base_url=server.url,
        api_key_env="HOST_KEY",
        **settings,  # type: ignore[arg-type]
    )


@pytest.fixture
def client(server) -> FineTuningClient:
    return FineTuningClient(spec_of(server), sleep=lambda seconds: time.sleep(min(seconds, 0.02)))
