"""Loads a model and its tokenizer: safetensors only, no remote code, in the fastest precision."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trimtab.engine.default_model import resolve_model
from trimtab.engine.local import llama
from trimtab.engine.local.attention import ATTENTION, register_attention
from trimtab.engine.local.linears import packing_pays
from trimtab.errors import ModelError

_SAMPLE_BYTES = 1 << 20
_FILES = ("*.safetensors", "tokenizer*", "*.jinja")
_CLEARLY_FASTER = 1.2
"""A close race must not give one precision today and the other tomorrow."""


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model in memory. `model_id` names weights and precision exactly."""

    model: Any
    tokenizer: Any
    model_id: str
    device: torch.device
    max_context: int
    stop_tokens: frozenset[int]
    packed: bool
    """Whether answers are computed with weights packed in half precision."""


def load(name: str, progress: Callable[[str], None]) -> LoadedModel:
    """Load `name` (the default model, a local folder, or a hub id).

    Raises `ModelError` for a model that does not exist, has no safetensors weights, or whose
    attention the local engine does not implement.
    """
    import transformers
    from safetensors import SafetensorError

    _quieten()
    source = resolve_model(name, progress)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = fastest_dtype(device)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        register_attention()
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=ATTENTION,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model {name!r} cannot be loaded: {first_line}\n"
            "Give the folder of a Hugging Face causal language model with safetensors weights, "
            "or leave `model` out to use the default."
        ) from error
    _refuse_unsupported(name, model.config, tokenizer)
    model = _frozen(model, device)
    packed = llama.fits(model) and packing_pays(model)
    numerics = str(dtype).removeprefix("torch.") + ("-packed" if packed else "")
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        model_id=f"{Path(name).name}@{fingerprint(source)}/{numerics}",
        device=device,
        max_context=int(model.config.max_position_embeddings),
        stop_tokens=_stop_tokens(model, tokenizer),
        packed=packed,
    )


def _frozen(model: Any, device: torch.device) -> Any:
    """The model on its device, for use and as the frozen base of adapters."""
    return model.requires_grad_(False).eval().to(device)


def _quieten() -> None:
    """Progress and warnings of the libraries would tear Trimtab's own progress bar."""
    import transformers

    logging: Any = transformers.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    warnings.filterwarnings("ignore", message="Could not find a config file", module="peft")


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where this processor multiplies it faster than float32, else float32.

    Measured, because it goes both ways: processors with AVX-512-BF16 or AMX gain, others emulate
    bfloat16 and lose up to eight times.
    """
    if device.type == "cuda":
        return torch.bfloat16
    faster = _matmul_seconds(torch.float32) / _matmul_seconds(torch.bfloat16)
    return torch.bfloat16 if faster > _CLEARLY_FASTER else torch.float32


def _matmul_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(256, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        torch.matmul(left, right)
        times.append(time.perf_counter() - started)
    return min(times)


def fingerprint(source: Path | str) -> str:
    """Eight hex digits over weights, tokenizer and template: the size and both ends of each file.

    For a hub id, over the id alone.
    """
    digest = hashlib.sha256()
    if isinstance(source, str):
        digest.update(source.encode())
        return digest.hexdigest()[:8]
    for file in sorted(
        [*source.glob("*.safetensors"), *source.glob("*token*"), *source.glob("*.jinja")]
    ):
        with file.open("rb") as handle:
            digest.update(handle.read(_SAMPLE_BYTES))
            size = handle.seek(0, 2)
            handle.seek(max(0, size - _SAMPLE_BYTES))
            digest.update(handle.read())
        digest.update(str(size).encode())
    return digest.hexdigest()[:8]


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(int(i) for i in [*ids, tokenizer.eos_token_id] if i is not None)


def _refuse_unsupported(name: str, config: Any, tokenizer: Any) -> None:
    window = getattr(config, "sliding_window", None)
    everywhere = "full_attention" if window is None else "sliding_attention"
    kinds = set(getattr(config, "layer_types", None) or [everywhere])
    if kinds != {"full_attention"}:
        raise ModelError(
            f"model {name!r} uses {', '.join(sorted(kinds - {'full_attention'}))}, which the local "
            "engine does not implement. Serve it with an OpenAI-compatible server and set "
            "`engine: openai` with its `base_url`."
        )
    if not tokenizer.chat_template:
        raise ModelError(
            f"model {name!r} has no chat template, so its turns cannot be rendered. Use an "
            "instruction-tuned model."
        )
