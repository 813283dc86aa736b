"""Constrained decoding: an output contract as a grammar over the model's tokens (llguidance)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from trimtab.errors import TaskError
from trimtab.types import OutputContract

COMPACT_JSON: Any = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
"""The same form as canonical targets: demonstrations and constraint must not pull apart."""


class Grammar:
    """A compiled contract. `start` begins one answer, which any of `stop_tokens` may end."""

    def __init__(
        self,
        contract: OutputContract,
        tokenizer: Any,
        vocabulary: int,
        stop_tokens: frozenset[int],
    ) -> None:
        import llguidance.hf

        self._tokenizer = llguidance.hf.from_tokenizer(
            tokenizer, n_vocab=vocabulary, eos_token=sorted(stop_tokens)
        )
        self._grammar = _grammar_text(contract)
        self.vocabulary = vocabulary
        problem = self.start().problem
        if problem:
            raise TaskError(f"the output contract cannot constrain decoding: {problem}")

    def start(self) -> GrammarState:
        from llguidance import LLMatcher

        return GrammarState(LLMatcher(self._tokenizer, self._grammar), self.vocabulary)

    def accepts(self, text: str) -> bool:
        """Whether `text` as a whole is in the language."""
        return self.start().accepts(self._tokenizer.tokenize_str(text))


class GrammarState:
    """Where one answer stands in the grammar."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._words = (vocabulary + 31) // 32
        self._vocabulary = vocabulary

    @property
    def problem(self) -> str:
        return str(self._matcher.get_error())

    def allows(self, token: int) -> bool:
        return bool(self._matcher.validate_tokens([token]) == 1)

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """A copy of `logits` [vocabulary] with forbidden tokens at minus infinity."""
        bits = np.zeros(self._words, dtype=np.uint32)
        self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        allowed = np.unpackbits(bits.view(np.uint8), bitorder="little")[: self._vocabulary]
        forbidden = torch.from_numpy(allowed == 0).to(logits.device)
        return logits.masked_fill(forbidden, float("-inf"))

    def advance(self, token: int) -> bool:
        """Take `token`; True when the answer is complete and can only end."""
        self._matcher.consume_token(token)
        return bool(self._matcher.is_stopped())

    def accepts(self, tokens: list[int]) -> bool:
        valid = self._matcher.try_consume_tokens(tokens) == len(tokens)
        return valid and bool(self._matcher.is_accepting())


def _grammar_text(contract: OutputContract) -> str:
    from llguidance import LLMatcher

    if contract.kind == "label":
        choices = " | ".join(json.dumps(label, ensure_ascii=False) for label in contract.labels)
        return str(LLMatcher.grammar_from_lark(f"start: {choices}"))
    if contract.kind == "json":
        # Key order in the schema is the order that the grammar imposes, as in canonical targets.
        return str(LLMatcher.grammar_from_json_schema(contract.json_schema, COMPACT_JSON))
    raise TaskError("free text has no grammar; only label and JSON outputs can be constrained")
