"""Loads a model and its tokenizer: safetensors only, no remote code, in the fastest precision."""

from __future__ import annotations

import hashlib
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
from trimtab.engine.local.precision import fastest_dtype
from trimtab.errors import ModelError

_SAMPLE_BYTES = 1 << 20
_FILES = ("*.safetensors", "tokenizer*", "*.jinja")


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
        model_id=f"{Path(name).name}@{fingerprint(source, _commit(model.config))}/{numerics}",
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


def fingerprint(source: Path | str, commit: str | None = None) -> str:
    """Eight hex digits over weights, tokenizer and template: the size and both ends of each file.

    For a hub id, over the id and the `commit` that it stands for now.
    """
    digest = hashlib.sha256()
    if isinstance(source, str):
        digest.update(f"{source}@{commit}".encode())
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


def _commit(config: Any) -> str | None:
    """Of the repository that a model from a hub was loaded from."""
    return getattr(config, "_commit_hash", None)


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
