"""Puts a LoRA adapter into a loaded model and takes it out again, without touching the base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from trimtab.errors import ModelError

_KEY = "base_model.model.{module}.lora_{side}.weight"


class AdapterSlot:
    """Holds which adapter the model runs with; merged, so that it costs nothing per token."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._active: str | None = None
        self._base: dict[str, torch.Tensor] = {}

    def use(self, folder: str | None) -> None:
        """Run with the adapter in `folder`, or with the bare base (None).

        Raises `ModelError` for a folder that holds no plain LoRA adapter for this model.
        """
        if folder == self._active:
            return
        for module, weight in self._base.items():
            self._model.get_submodule(module).weight.data = weight
        self._base.clear()
        self._active = None
        if folder is not None:
            self._merge(Path(folder))
            self._active = folder

    def _merge(self, folder: Path) -> None:
        config, tensors = _read(folder)
        scale = config["lora_alpha"] / config["r"]
        modules = {key.split(".lora_")[0].removeprefix("base_model.model.") for key in tensors}
        for module in sorted(modules):
            try:
                linear = self._model.get_submodule(module)
                down = tensors[_KEY.format(module=module, side="A")]
                up = tensors[_KEY.format(module=module, side="B")]
            except (AttributeError, KeyError) as error:
                raise ModelError(f"the adapter in {folder} was made for another model") from error
            base = linear.weight.data
            self._base[module] = base
            delta = (up.float() @ down.float()).to(base.device) * scale
            linear.weight.data = (base.float() + delta).to(base.dtype)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError) as error:
        raise ModelError(f"no readable LoRA adapter in {folder}: {error}") from error
    if config.get("use_dora") or config.get("use_rslora") or config.get("bias", "none") != "none":
        raise ModelError(f"the adapter in {folder} is not a plain LoRA adapter")
    return config, tensors
