"""The adapter as peft loads it, and the merged model as transformers loads it."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from trimtab.engine.local.engine import LocalEngine
from trimtab.store.files import translate_disk_full
from trimtab.types import ADAPTER_FILE

WEIGHTS = "model.safetensors"
_CONFIG = "adapter_config.json"


def write_peft(adapter: Path, base: str, out: Path) -> None:
    """Copy the adapter; `base` is what its card calls the model that it belongs to."""
    with translate_disk_full(out):
        config = json.loads((adapter / _CONFIG).read_text("utf-8"))
        config["base_model_name_or_path"] = base
        (out / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        shutil.copy(adapter / ADAPTER_FILE, out / ADAPTER_FILE)


def write_merged(engine: LocalEngine, adapter: Path, out: Path) -> None:
    """Write weights, config, tokenizer and chat template of the base with `adapter` merged in.

    The weights have the precision that answered when the fine-tune was measured: float16 where the
    engine packs them so, else the model's own.
    """
    loaded = engine.loaded
    engine.adapters.use(str(adapter))
    dtype = torch.float16 if loaded.packed else loaded.model.dtype
    with translate_disk_full(out):
        save_file(_weights(loaded.model, dtype), out / WEIGHTS, metadata={"format": "pt"})
        config = copy.deepcopy(loaded.model.config)
        config.dtype = dtype
        config.save_pretrained(out)
        loaded.model.generation_config.save_pretrained(out)
        loaded.tokenizer.save_pretrained(out)


def _weights(model: torch.nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All weights once: of those that the config ties together, the first."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            found[name] = tensor.to("cpu", dtype).contiguous()
    return found
