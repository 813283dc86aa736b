"""What tests of several folders share: a private cache, and models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import postgres
from decisions import both_arms, write_task
from tiny import load_in_float32, save_tiny_model, train_tiny_adapter

if TYPE_CHECKING:
    from trimtab.pipeline import Decided

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is first imported

# How long an example takes says more about a shared machine than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run the real model come first: they take minutes, and several processes end
    together so."""
    real = {item.path for item in items if item.get_closest_marker("model")}
    items.sort(key=lambda item: item.path not in real)


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's cache."""
    cache = tmp_path / "trimtab-cache"
    monkeypatch.setenv("TRIMTAB_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True, scope="session")
def asked_again_a_little() -> Iterator[None]:
    """Whole decisions ask their finalists again on the fewest rows only: they take seconds so."""
    from trimtab.measure import consistency

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consistency, "SIZES", consistency.SIZES[:1])
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model."""
    folder = tmp_path_factory.mktemp("tiny-model")
    save_tiny_model(folder)
    return folder


@pytest.fixture
def tiny_engine(tiny_model: Path):
    return load_in_float32(tiny_model)


@pytest.fixture(scope="session")
def tiny_adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a LoRA adapter of the tiny model, trained on `tiny.LEARNT`."""
    return train_tiny_adapter(tiny_model, tmp_path_factory.mktemp("tiny-adapter"))


@pytest.fixture(scope="session")
def tiny_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Decided:
    """A finished run of both arms on the tiny model, in float32. Only read."""
    import torch

    from trimtab import pipeline
    from trimtab.engine.local import weights

    root = tmp_path_factory.mktemp("tiny-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        patch.setattr(weights, "fastest_dtype", lambda device: torch.float32)
        return pipeline.decide(write_task(root / "task", **both_arms(tiny_model)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What meters take for the time: `clock.now`, in seconds, moved by the test."""
    from trimtab.measure import meter

    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(meter, "time", clock)
    return clock


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load models in float32 whatever this processor is fastest in."""
    import torch

    from trimtab.engine.local import weights

    monkeypatch.setattr(weights, "fastest_dtype", lambda device: torch.float32)


@pytest.fixture(scope="session")
def real_model() -> Path:
    """Folder of the real default model, in the user's own cache."""
    from trimtab.engine.default_model import default_model_folder

    return default_model_folder(print)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """Folder of the socket of a real server; tests that need it are skipped where none can run."""
    if reason := postgres.why_not():
        pytest.skip(reason)
    with postgres.server() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "production.sqlite")
    return postgres.new_database(request.getfixturevalue("postgres_server"))
