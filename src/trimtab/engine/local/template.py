"""From messages to tokens: the one place where prompts become token ids, for training and use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from trimtab.errors import ModelError
from trimtab.types import Message


class ChatTemplate:
    """Renders messages with the model's own chat template.

    Text inside messages is never read as control tokens: a row that contains `<|im_end|>` cannot
    end its turn.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        specials = sorted(map(str, tokenizer.get_added_vocab()), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, specials)) or r"(?!)")

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids up to where the model's answer begins."""
        return self._encode(self._render(messages, add_generation_prompt=True), messages)

    def rendered(self, messages: Sequence[Message]) -> str:
        """The text up to where the model's answer begins, contents as they are."""
        return _filled(self._render(messages, add_generation_prompt=True), messages)

    def shared(self, messages: Sequence[Message], count: int) -> list[int]:
        """Leading token ids of every conversation that starts with the first `count` messages."""
        if count == 0:
            return []
        full = self.prompt(messages)
        head = self._encode(self._render(messages[:count], add_generation_prompt=False), messages)
        same = 0
        # The last prompt token is never shared: its logits give the first token of the answer.
        for ours, theirs in zip(head, full[:-1], strict=False):
            if ours != theirs:
                break
            same += 1
        return full[:same]

    def training(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        """(prompt ids, answer ids) of a conversation that ends in the wanted answer.

        The prompt ids equal `prompt(messages[:-1])` exactly; the answer ids end with the token
        that closes the turn. Raises `ModelError` for a template that renders these differently.
        """
        opened = self._render(messages[:-1], add_generation_prompt=True)
        closed = self._render(messages, add_generation_prompt=False)
        if not closed.startswith(opened):
            raise ModelError(
                "the model's chat template renders the start of an answer differently in training "
                "and in use, so a fine-tune would learn a prompt that it never sees"
            )
        prompt = self._encode(opened, messages)
        whole = self._encode(closed, messages)
        answer = whole[len(prompt) :]
        if whole[: len(prompt)] != prompt:
            # A line break that begins the answer would be merged with the one that ends the
            # prompt. In use, the prompt has its own tokens before the answer has any.
            answer = self._encode(closed[len(opened) :], messages)
        stop = self._tokenizer.eos_token_id
        if stop not in answer:
            raise ModelError(
                "the model's chat template does not close an answer with its end token"
            )
        return prompt, answer[: answer.index(stop) + 1]

    def text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    @property
    def grows(self) -> bool:
        """Whether the text of some tokens stays as it is when more follow them."""
        return not getattr(self._tokenizer, "clean_up_tokenization_spaces", False)

    def shows_all(self, text: str, tokens: int) -> bool:
        """Whether `text` surely is all that an answer of `tokens` tokens, its end token included,
        says: control tokens are left out of a text, and broken characters replaced in it."""
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return "\ufffd" not in text and len(encoded["input_ids"]) + 1 == tokens

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """The template's text, with a mark in place of each message's content."""
        return str(
            self._tokenizer.apply_chat_template(
                [
                    {"role": message.role, "content": f"\ue000{index}\ue001"}
                    for index, message in enumerate(messages)
                ],
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        )

    def _encode(self, rendered: str, messages: Sequence[Message]) -> list[int]:
        """Token ids of rendered text, with the contents of `messages` put in for the marks."""
        ids: list[int] = []
        position = 0
        for special in self._special.finditer(rendered):
            ids += self._plain(rendered[position : special.start()], messages)
            ids.append(self._tokenizer.convert_tokens_to_ids(special.group()))
            position = special.end()
        return ids + self._plain(rendered[position:], messages)

    def _plain(self, piece: str, messages: Sequence[Message]) -> list[int]:
        if not piece:
            return []
        text = _filled(piece, messages)
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(encoded["input_ids"])


class GrowingText:
    """The text of an answer in the making, in pieces that stay as they are."""

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self._start = self._read = self._given = 0

    def more(self, tokens: Sequence[int]) -> str:
        """What `tokens` say beyond what was given; "" while their last character is not whole.

        A few tokens that were read before are read again, because some tokenizers write a first
        token in another way. Linear in the new tokens.
        """
        now = self._template.text(tokens[self._start :])
        if now.endswith("\ufffd"):
            return ""
        before = self._template.text(tokens[self._start : self._read])
        self._start, self._read = self._read, len(tokens)
        return self._counted(now[len(before) :])

    def rest(self, text: str) -> str:
        """What the whole `text` says beyond what was given."""
        return self._counted(text[self._given :])

    def _counted(self, piece: str) -> str:
        self._given += len(piece)
        return piece


def _filled(text: str, messages: Sequence[Message]) -> str:
    """`text` with the contents of `messages` in place of their marks."""
    return re.sub("\ue000(\\d+)\ue001", lambda m: messages[int(m.group(1))].content, text)
