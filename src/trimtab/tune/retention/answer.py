"""Answers items of the suite with the base model, or with an adapter."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.engine.local.engine import LocalEngine
from trimtab.tune.retention.checks import share_met
from trimtab.tune.retention.likelihood import answer_states, log_likelihoods, mean_divergence
from trimtab.tune.retention.suite import Ask, Choice, Item, Passage
from trimtab.tune.rows import TrainingRow
from trimtab.types import Completion, Decoding, Failed, Message, Noun, Request


class ItemScore(Noun):
    """What came of one item. `score` lies in 0 to 1, more is better; None where the call failed."""

    item: str
    section: str
    score: float | None
    answer: str = ""
    """What the model wrote, or the end that it found likeliest."""
    bits_per_byte: float | None = None
    """Of a passage."""
    tokens_in: int = 0
    tokens_out: int = 0


def answer(engine: LocalEngine, items: Sequence[Item], adapter: str | None) -> list[ItemScore]:
    """Score `items`, in their order, with the adapter in the folder `adapter` or without one."""
    asks = [item for item in items if isinstance(item, Ask)]
    texts = [item for item in items if not isinstance(item, Ask)]
    found = [*_answer_asks(engine, asks, adapter), *_read_texts(engine, texts, adapter)]
    scores = dict(zip((item.id for item in [*asks, *texts]), found, strict=True))
    return [scores[item.id] for item in items]


def divergence(engine: LocalEngine, rows: Sequence[TrainingRow], adapter: str) -> float:
    """Mean KL divergence (base || tuned, nats per token) over the answers of `rows`."""
    engine.adapters.use(None)
    base = answer_states(engine.loaded.model, rows)
    engine.adapters.use(adapter)
    tuned = answer_states(engine.loaded.model, rows)
    return mean_divergence(engine.loaded.model, base, tuned)


def passage_rows(engine: LocalEngine, items: Sequence[Item]) -> list[TrainingRow]:
    """The passages among `items`, every token but the first to be predicted."""
    tokens = [_tokens(engine, item.text) for item in items if isinstance(item, Passage)]
    return [TrainingRow(ids[:1], ids[1:]) for ids in tokens]


def answered_rows(
    engine: LocalEngine, asks: Sequence[Ask], answers: Sequence[str]
) -> list[TrainingRow]:
    """The messages as the model is sent them, each with an answer, of which every token counts."""
    return [
        TrainingRow(
            *engine.template.training(
                (
                    Message(role="user", content=ask.prompt),
                    Message(role="assistant", content=answer),
                )
            )
        )
        for ask, answer in zip(asks, answers, strict=True)
    ]


def prompt_tokens(engine: LocalEngine, item: Item) -> int:
    """Tokens that one item makes the model read."""
    if isinstance(item, Ask):
        return engine.count_tokens([Message(role="user", content=item.prompt)])
    repeats = len(item.options) if isinstance(item, Choice) else 1
    return repeats * len(_tokens(engine, item.text))


def _answer_asks(engine: LocalEngine, asks: Sequence[Ask], adapter: str | None) -> list[ItemScore]:
    requests = [
        Request(
            messages=(Message(role="user", content=ask.prompt),),
            decoding=Decoding(max_tokens=ask.max_tokens),
            adapter=adapter,
        )
        for ask in asks
    ]
    answers: dict[int, Completion | Failed] = dict(engine.generate(requests))
    return [_judged(ask, answers[i]) for i, ask in enumerate(asks)]


def _judged(ask: Ask, answer: Completion | Failed) -> ItemScore:
    if isinstance(answer, Failed):
        return ItemScore(item=ask.id, section=ask.section, score=None, answer=answer.message)
    return ItemScore(
        item=ask.id,
        section=ask.section,
        score=share_met(answer.text, ask.checks),
        answer=answer.text,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
    )


def _read_texts(
    engine: LocalEngine, items: Sequence[Choice | Passage], adapter: str | None
) -> list[ItemScore]:
    """Choices and passages, by likelihood, all in one go."""
    if not items:
        return []
    engine.adapters.use(adapter)
    groups = [
        _choice_rows(engine, item) if isinstance(item, Choice) else passage_rows(engine, [item])
        for item in items
    ]
    rows = [row for group in groups for row in group]
    model = engine.loaded.model
    likelihoods = iter(log_likelihoods(model, rows, answer_states(model, rows)))
    return [
        _scored(engine, item, group, [next(likelihoods) for _ in group])
        for item, group in zip(items, groups, strict=True)
    ]


def _choice_rows(engine: LocalEngine, choice: Choice) -> list[TrainingRow]:
    """One row for each end, all cut where the first of them departs from the text's own tokens."""
    wholes = [_tokens(engine, f"{choice.text} {option}") for option in choice.options]
    alone = _tokens(engine, choice.text)
    shared = min(_common(alone, whole) for whole in wholes)
    return [TrainingRow(whole[:shared], whole[shared:]) for whole in wholes]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with; at least one, which nothing predicts."""
    pairs = enumerate(zip(one, other, strict=False))
    different = (place for place, (a, b) in pairs if a != b)
    return max(1, next(different, min(len(one), len(other))))


def _scored(
    engine: LocalEngine,
    item: Choice | Passage,
    rows: Sequence[TrainingRow],
    likelihoods: Sequence[float],
) -> ItemScore:
    tokens = sum(map(len, rows))
    if isinstance(item, Choice):
        lengths = [len(option.encode()) for option in item.options]
        per_byte = [value / size for value, size in zip(likelihoods, lengths, strict=True)]
        best = per_byte.index(max(per_byte))
        return ItemScore(
            item=item.id,
            section=item.section,
            score=float(best == 0),
            answer=item.options[best],
            tokens_in=tokens,
        )
    size = len(engine.template.text(rows[0].answer).encode())
    if size == 0:
        short = "a single token, which nothing predicts"
        return ItemScore(item=item.id, section=item.section, score=None, answer=short)
    bits = -likelihoods[0] / math.log(2) / size
    return ItemScore(
        item=item.id,
        section=item.section,
        score=2**-bits,
        bits_per_byte=bits,
        tokens_in=tokens,
    )


def _tokens(engine: LocalEngine, text: str) -> list[int]:
    """Plain text: control tokens in it stay text, and the model's own beginning is added."""
    ids: list[int] = engine.loaded.tokenizer(text, split_special_tokens=True)["input_ids"]
    return ids
