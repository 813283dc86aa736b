"""What a model folder must be, and what `load` says where it is not."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from trimtab.engine.local.weights import load
from trimtab.errors import ModelError


def quiet(line: str) -> None: ...


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def edit(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(name) -> str:
    with pytest.raises(ModelError) as caught:
        load(str(name), quiet)
    assert str(name) in str(caught.value)
    return str(caught.value)


def test_the_id_names_folder_weights_and_precision(folder, in_float32) -> None:
    first = load(str(folder), quiet)
    assert first.model_id.startswith("model@")
    assert first.model_id.endswith("/float32")
    assert load(str(folder), quiet).model_id == first.model_id
    tensors = load_file(folder / "model.safetensors")
    name = next(iter(tensors))
    tensors[name][0, 0] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(str(folder), quiet).model_id != first.model_id


def test_the_base_is_frozen(folder) -> None:
    model = load(str(folder), quiet).model
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_all_end_tokens_of_the_model_count(folder) -> None:
    edit(folder / "generation_config.json", eos_token_id=[0, 5])
    loaded = load(str(folder), quiet)
    assert loaded.stop_tokens == {0, 5, loaded.tokenizer.eos_token_id}


def test_pickled_weights_are_never_read(folder) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "pickle" in refusal(folder)


def test_a_model_without_a_chat_template_is_refused(folder) -> None:
    (folder / "chat_template.jinja").unlink()
    assert "no chat template" in refusal(folder)


def test_sliding_windows_are_refused(folder) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit(
        folder / "config.json",
        architectures=["Qwen2ForCausalLM"],
        model_type="qwen2",
        use_sliding_window=True,
        sliding_window=16,
        max_window_layers=1,
        layer_types=["full_attention", "sliding_attention"],
        num_hidden_layers=config["num_hidden_layers"],
    )
    assert "sliding_attention" in refusal(folder)


def test_a_mistral_with_a_window_is_refused(folder) -> None:
    edit(
        folder / "config.json",
        architectures=["MistralForCausalLM"],
        model_type="mistral",
        sliding_window=16,
    )
    assert "sliding" in refusal(folder)


@pytest.mark.parametrize("content", ["{", '{"model_type": "no-such-kind"}'])
def test_a_config_that_says_nothing_is_refused(folder, content) -> None:
    (folder / "config.json").write_text(content)
    refusal(folder)


def test_a_folder_without_a_tokenizer_is_refused(folder) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    refusal(folder)


def test_weights_that_are_cut_off_are_refused(folder) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refusal(folder)


def test_a_model_that_the_hub_does_not_give_is_refused() -> None:
    assert "cannot be loaded" in refusal("nobody/no-such-model")
