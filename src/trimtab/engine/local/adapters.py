"""Puts a LoRA adapter into a loaded model and takes it out again, without touching the base."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from trimtab.errors import ModelError

_KEY = "base_model.model.{module}.lora_{side}.weight"


class AdapterSlot:
    """Holds which adapter the model runs with; merged, so that it costs nothing per token."""

    def __init__(self, model: Any, changed: Callable[[], None]) -> None:
        self._model = model
        self._changed = changed
        self._active: str | None = None
        self._base: dict[str, torch.Tensor] = {}

    def use(self, folder: str | None) -> None:
        """Run with the adapter in `folder`, or with the bare base (None).

        Raises `ModelError` for a folder that holds no plain LoRA adapter for this model.
        """
        if folder == self._active:
            return
        self._changed()
        self._put(self._base)
        self._base.clear()
        self._active = None
        if folder is not None:
            merged = self._merged(Path(folder))
            self._base.update({module: self._linear(module).weight.data for module in merged})
            self._put(merged)
            self._active = folder

    def _put(self, weights: Mapping[str, torch.Tensor]) -> None:
        for module, weight in weights.items():
            self._linear(module).weight.data = weight

    def _linear(self, module: str) -> Any:
        return self._model.get_submodule(module)

    def _merged(self, folder: Path) -> dict[str, torch.Tensor]:
        """Base plus adapter, by module. Nothing is changed where a part of it does not fit."""
        config, tensors = _read(folder)
        scale = config["lora_alpha"] / config["r"]
        modules = {key.split(".lora_")[0].removeprefix("base_model.model.") for key in tensors}
        merged = {}
        for module in sorted(modules):
            try:
                base = self._linear(module).weight.data
                down = tensors[_KEY.format(module=module, side="A")].to(base.device)
                up = tensors[_KEY.format(module=module, side="B")].to(base.device)
                if (up.shape[0], down.shape[1]) != base.shape:
                    raise KeyError(f"{module} of this size")
            except (AttributeError, KeyError) as error:
                raise ModelError(f"the adapter in {folder} was made for another model") from error
            merged[module] = (base.float() + up.float() @ down.float() * scale).to(base.dtype)
        return merged


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"no readable LoRA adapter in {folder}: {error}") from error
    if config.get("use_dora") or config.get("use_rslora") or config.get("bias", "none") != "none":
        raise ModelError(f"the adapter in {folder} is not a plain LoRA adapter")
    return config, tensors
