"""Adapters go in and out of a loaded model, and the base comes back bit by bit."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny import LEARNT, load_in_float32
from trimtab.errors import ModelError

from .calls import answers, request, told


def weights(engine) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in engine.loaded.model.state_dict().items()}


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def asked(adapter, shots=0):
    return [request(text, shots=shots, adapter=adapter and str(adapter)) for text in LEARNT]


def copy_of(adapter, folder, **config):
    shutil.copytree(adapter, folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def negated(adapter, folder):
    """An adapter that taught the opposite: its answers are long and hang on every detail."""
    copy_of(adapter, folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    opposite = {key: -value if "lora_A" in key else value for key, value in tensors.items()}
    save_file(opposite, folder / "adapter_model.safetensors")
    return folder


def test_the_adapter_answers_what_it_was_taught(tiny_engine, tiny_adapter) -> None:
    assert [c.text for c in answers(tiny_engine, asked(tiny_adapter))] == list(LEARNT.values())


@pytest.mark.parametrize("shots", [0, 4])
def test_switching_adapters_changes_no_answer(tiny_engine, tiny_adapter, tmp_path, shots) -> None:
    """Also behind a shared prefix, whose keys and values belong to one adapter."""
    other = copy_of(tiny_adapter, tmp_path / "other")
    tensors = load_file(other / "adapter_model.safetensors")
    save_file(
        {k: -v if "lora_A" in k else v for k, v in tensors.items()},
        other / "adapter_model.safetensors",
    )
    half = copy_of(tiny_adapter, tmp_path / "half", lora_alpha=16)
    before = weights(tiny_engine)
    bare = told(answers(tiny_engine, asked(None, shots)))
    first = told(answers(tiny_engine, asked(tiny_adapter, shots)))
    for between in (None, other, half):
        answers(tiny_engine, asked(between, shots))
        assert told(answers(tiny_engine, asked(tiny_adapter, shots))) == first
    assert told(answers(tiny_engine, asked(None, shots))) == bare
    assert same(weights(tiny_engine), before)
    assert first != bare


def test_an_adapter_does_not_see_the_prefix_of_the_base(tiny_engine, tiny_adapter, tmp_path):
    requests = asked(negated(tiny_adapter, tmp_path / "other"), shots=4)
    answers(tiny_engine, asked(None, shots=4))  # leaves keys and values of the same tokens
    shared = answers(tiny_engine, requests)
    alone = [each.model_copy(update={"shared_messages": 0}) for each in requests]
    assert all(completion.tokens_cached for completion in shared)
    assert told(shared) == told(answers(tiny_engine, alone))


def test_one_batch_may_mix_adapters(tiny_engine, tiny_adapter) -> None:
    mixed = [each for pair in zip(asked(None), asked(tiny_adapter), strict=True) for each in pair]
    found = told(answers(tiny_engine, mixed))
    assert found[::2] == told(answers(tiny_engine, asked(None)))
    assert found[1::2] == told(answers(tiny_engine, asked(tiny_adapter)))


def test_merged_weights_give_the_logits_of_peft(tiny_model, tiny_adapter) -> None:
    from peft import PeftModel

    engine, other = load_in_float32(tiny_model), load_in_float32(tiny_model)
    ids = torch.tensor([engine.template.prompt(request("Mary Jones", shots=2).messages)])
    bare = engine.loaded.model(input_ids=ids).logits
    engine.adapters.use(str(tiny_adapter))
    merged = engine.loaded.model(input_ids=ids).logits
    unmerged = PeftModel.from_pretrained(other.loaded.model, tiny_adapter)(input_ids=ids).logits
    assert torch.allclose(merged, unmerged, atol=1e-4)
    assert not torch.allclose(merged, bare, atol=0.1)


def refusal(engine, folder) -> str:
    before = weights(engine)
    with pytest.raises(ModelError) as caught:
        engine.adapters.use(str(folder))
    engine.adapters.use(None)
    assert same(weights(engine), before)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_a_folder_without_an_adapter_is_refused(tiny_engine, tmp_path) -> None:
    assert "no readable LoRA adapter" in refusal(tiny_engine, tmp_path)


def test_broken_weights_are_refused(tiny_engine, tiny_adapter, tmp_path) -> None:
    broken = copy_of(tiny_adapter, tmp_path / "broken")
    (broken / "adapter_model.safetensors").write_bytes(b"{}")
    assert "no readable LoRA adapter" in refusal(tiny_engine, broken)


@pytest.mark.parametrize("change", [{"use_dora": True}, {"use_rslora": True}, {"bias": "all"}])
def test_other_kinds_of_adapter_are_refused(tiny_engine, tiny_adapter, tmp_path, change) -> None:
    folder = copy_of(tiny_adapter, tmp_path / "other", **change)
    assert "not a plain LoRA adapter" in refusal(tiny_engine, folder)


def test_an_adapter_of_another_model_is_refused(tiny_engine, tiny_adapter, tmp_path) -> None:
    deeper = copy_of(tiny_adapter, tmp_path / "deeper")
    tensors = load_file(deeper / "adapter_model.safetensors")
    renamed = {key.replace("layers.1.", "layers.7."): value for key, value in tensors.items()}
    save_file(renamed, deeper / "adapter_model.safetensors")
    assert "another model" in refusal(tiny_engine, deeper)


def test_an_adapter_of_other_sizes_is_refused(tiny_engine, tiny_adapter, tmp_path) -> None:
    wider = copy_of(tiny_adapter, tmp_path / "wider")
    tensors = load_file(wider / "adapter_model.safetensors")
    padded = {
        k: torch.nn.functional.pad(v, (0, 8)) if "lora_A" in k else v for k, v in tensors.items()
    }
    save_file(padded, wider / "adapter_model.safetensors")
    assert "another model" in refusal(tiny_engine, wider)
