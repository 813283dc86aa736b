"""Loads an export back with the libraries that its users load it with."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from trimtab.engine.default_model import resolve_model
from trimtab.engine.local.attention import ATTENTION
from trimtab.engine.local.engine import LocalEngine
from trimtab.tune.export.gguf import GGUF


def load_merged(engine: LocalEngine, folder: Path) -> LocalEngine:
    """The folder as transformers loads it, in the precision in which `engine` computes."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return _engine_of(engine, _model(engine, folder), tokenizer)


def load_peft(engine: LocalEngine, folder: Path, base: str) -> LocalEngine:
    """The base model anew, with the adapter put in and merged by peft itself."""
    import peft

    model = _model(engine, resolve_model(base, lambda line: None))
    merged = peft.PeftModel.from_pretrained(model, folder).merge_and_unload()
    return _engine_of(engine, merged, engine.loaded.tokenizer)


def load_gguf(engine: LocalEngine, folder: Path) -> LocalEngine:
    """The GGUF file in `folder` as transformers reads it: weights, shape, tokenizer, template."""
    import transformers

    quantised = {"quantization_config": transformers.GgufConfig(dequantize=True)}
    # The bars that transformers draws on stderr would tear Trimtab's own lines.
    with contextlib.redirect_stderr(io.StringIO()):
        model = _model(engine, folder, gguf_file=GGUF, **quantised)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    return _engine_of(engine, model, tokenizer)


def _model(engine: LocalEngine, source: Path | str, **how: Any) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(
        source,
        dtype=engine.loaded.model.dtype,
        attn_implementation=ATTENTION,
        trust_remote_code=False,
        **how,
    )


def _engine_of(engine: LocalEngine, model: Any, tokenizer: Any) -> LocalEngine:
    """An engine that differs from `engine` in nothing but the model and its tokenizer."""
    ready = model.requires_grad_(False).eval().to(engine.loaded.device)
    return LocalEngine(
        replace(engine.loaded, model=ready, tokenizer=tokenizer, model_id="an export")
    )
