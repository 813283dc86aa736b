"""A merged Llama model as GGUF, which llama.cpp and what is built on it load."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from trimtab.errors import ModelError
from trimtab.store.files import translate_disk_full
from trimtab.tune.export.weights import WEIGHTS

Precision = Literal["f32", "f16", "q8_0"]
GGUF = "model.gguf"

_TENSORS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_ELSEWHERE = (
    "export it with --to merged, and convert that folder with llama.cpp's own convert_hf_to_gguf.py"
)


def write_gguf(merged: Path, out: Path, precision: Precision, name: str) -> None:
    """Write the model in the folder `merged` to the file `out`; norms stay in float32.

    Raises `ModelError` for a model that is no Llama, or whose tokenizer GGUF has no name for.
    """
    from gguf import GGUFWriter, LlamaFileType

    config = json.loads((merged / "config.json").read_text("utf-8"))
    check_llama(config)
    file_type = {
        "f32": LlamaFileType.ALL_F32,
        "f16": LlamaFileType.MOSTLY_F16,
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
    }[precision]
    with translate_disk_full(out):
        writer = GGUFWriter(out, "llama")
        writer.add_name(name)
        writer.add_file_type(file_type)
        _add_shape(writer, config)
        _add_tokenizer(writer, merged, config)
        for tensor_name, tensor in _tensors(merged, config):
            _add_tensor(writer, tensor_name, tensor, precision)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def check_llama(config: dict[str, Any]) -> None:
    """Raises `ModelError` unless llama.cpp's `llama` computes what this config says."""
    rope = config.get("rope_parameters") or {}
    if config.get("model_type") != "llama":
        raise ModelError(
            f"GGUF of {config.get('model_type')!r} models is not written; {_ELSEWHERE}"
        )
    if rope.get("rope_type", "default") != "default":
        raise ModelError(f"rotary positions of type {rope['rope_type']!r}: {_ELSEWHERE}")
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise ModelError(f"this model's layers have biases; {_ELSEWHERE}")


def _add_shape(writer: Any, config: dict[str, Any]) -> None:
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    size = config.get("head_dim") or hidden // heads
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(config["rope_parameters"]["rope_theta"]))


def _add_tokenizer(writer: Any, merged: Path, config: dict[str, Any]) -> None:
    from gguf import TokenType

    saved = json.loads((merged / "tokenizer.json").read_text("utf-8"))
    settings = json.loads((merged / "tokenizer_config.json").read_text("utf-8"))
    model = saved["model"]
    if model.get("type") != "BPE":
        raise ModelError(f"a tokenizer of type {model.get('type')!r}: {_ELSEWHERE}")
    added = {each["id"]: each for each in saved["added_tokens"]}
    by_id = {index: token for token, index in model["vocab"].items()}
    by_id |= {index: each["content"] for index, each in added.items()}
    tokens, kinds = [], []
    for index in range(config["vocab_size"]):
        tokens.append(by_id.get(index, f"[unused {index}]"))
        if index in added:
            special = added[index]["special"]
            kinds.append(TokenType.CONTROL if special else TokenType.USER_DEFINED)
        else:
            kinds.append(TokenType.NORMAL if index in by_id else TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(saved["pre_tokenizer"]))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = model["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    ids = {token: index for index, token in by_id.items()}
    for role in ("bos", "eos", "unk", "pad"):
        token = settings.get(f"{role}_token")
        if token in ids:
            getattr(writer, f"add_{role}_token_id")(ids[token])
    # The chat template writes every control token that there is to be.
    writer.add_add_bos_token(False)
    template = merged / "chat_template.jinja"
    writer.add_chat_template(
        template.read_text("utf-8") if template.exists() else settings["chat_template"]
    )


def _splitting(pre_tokenizer: dict[str, Any] | None) -> str:
    """llama.cpp's name for how text is split before merging."""
    steps = (pre_tokenizer or {}).get("pretokenizers") or [pre_tokenizer or {}]
    byte_level = steps[-1].get("type") == "ByteLevel" and not steps[-1].get("add_prefix_space")
    if byte_level and steps[-1].get("use_regex", True):
        if len(steps) == 1:
            return "gpt-2"
        if len(steps) == 2 and steps[0] == {"type": "Digits", "individual_digits": True}:
            return "smollm"
    raise ModelError(f"the tokenizer splits text in a way that has no name in GGUF; {_ELSEWHERE}")


def _tensors(merged: Path, config: dict[str, Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    heads = {
        "attn_q": config["num_attention_heads"],
        "attn_k": config["num_key_value_heads"],
    }
    with safe_open(merged / WEIGHTS, framework="pt") as saved:
        for name in saved.keys():  # noqa: SIM118 - it is no mapping
            tensor = saved.get_tensor(name).float().numpy()
            if name in _TENSORS:
                yield _TENSORS[name], tensor
                continue
            _, _, number, rest = name.split(".", 3)
            part = _LAYER[rest.removesuffix(".weight")]
            if part in heads:
                tensor = _interleaved(tensor, heads[part])
            yield f"blk.{number}.{part}.weight", tensor


def _interleaved(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head as llama.cpp rotates them: pairs side by side, not half a head apart."""
    apart = weight.reshape(heads, 2, -1, weight.shape[1])
    return apart.swapaxes(1, 2).reshape(weight.shape)


def _add_tensor(writer: Any, name: str, tensor: NDArray[np.float32], precision: Precision) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    if tensor.ndim == 1 or precision == "f32":
        writer.add_tensor(name, tensor)
    elif precision == "f16":
        writer.add_tensor(name, tensor.astype(np.float16))
    else:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quantize(tensor, kind), raw_dtype=kind)
