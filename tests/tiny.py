"""A tiny model, made on the spot: the default one's shape with random weights.

Llama layers, tied embeddings, grouped heads, a byte-level BPE tokenizer and the ChatML template, so
that tests of the local engine and of training take seconds and no download.
"""

from __future__ import annotations

from pathlib import Path

import pytest

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LEARNT = {
    "John Smith": "person",
    "Mary Jones": "person",
    "John Jones": "person",
    "Mary Smith": "person",
    "Smith and Sons Ltd": "company",
    "Jones Incorporated": "company",
    "Springfield Ltd": "company",
    "The quick fox Incorporated": "company",
}
"""What the tiny adapter is trained on."""
_CORPUS = (
    "system user assistant person company John Smith Mary Jones and Sons Ltd Incorporated",
    "Decide whether the name belongs to a person or to a company.\n\n\nAnswer with one label.\n\n",
    '{"street":"12 Main St","city":"Springfield","number":12} <|im_end|> the quick brown fox',
)


def save_tiny_model(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        # Wide enough that greedy answers vary with the prompt and no two logits nearly tie.
        initializer_range=0.15,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)


def _tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_CORPUS * 20, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",  # not the end of turn: the embedding of padding is zero
        unk_token="<|endoftext|>",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def load_in_float32(folder: Path):
    """A local engine of the model in `folder`, in float32: sums taken two ways agree closely."""
    import torch

    from trimtab.engine.local import from_spec, weights
    from trimtab.task.spec import ModelSpec

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "fastest_dtype", lambda device: torch.float32)
        return from_spec(ModelSpec(model=str(folder)), lambda line: None)


def train_tiny_adapter(model: Path, folder: Path) -> Path:
    """Teach the tiny model person from company, on a few names only."""
    from trimtab.tune.lora import TrainSettings, train
    from trimtab.tune.rows import encode
    from trimtab.types import Example, Prompt

    engine = load_in_float32(model)
    examples = [Example(id=text, input=text, target=label) for text, label in LEARNT.items()]
    rows = encode(engine.template, Prompt(system="Decide whose name it is."), examples)
    settings = TrainSettings(learning_rate=1e-2, epochs=12, batch_size=2)
    *_, last = train(engine, rows, rows[:2], settings, folder / "training", lambda tokens: None)
    return last.adapter
