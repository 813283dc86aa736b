"""Likelihoods are those of the model, and an adapter is measured against the bare base."""

from __future__ import annotations

import math

import pytest
import torch

from trimtab.tune.retention.answer import (
    answer,
    answered_rows,
    divergence,
    passage_rows,
    prompt_tokens,
)
from trimtab.tune.retention.checks import Checks
from trimtab.tune.retention.likelihood import answer_states, log_likelihoods, mean_divergence
from trimtab.tune.retention.suite import Ask, Choice, Passage
from trimtab.types import Decoding, Message, Request

from ..rows import row

ASK = Ask(section="a", prompt="John Smith", checks=Checks(words=(1, 100)), max_tokens=6)
CHOICE = Choice(section="b", text="the quick brown", options=("fox", "Incorporated", "Mary Jones"))
PASSAGE = Passage(section="c", text="Decide whether the name belongs to a person.")


def plain_log_likelihood(model, prompt, answer) -> float:
    """One row at a time, over whole logits."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0].float().log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return float(sum(logits[place, token] for place, token in zip(places, answer, strict=True)))


def test_likelihoods_are_those_of_one_row_at_a_time(tiny_engine) -> None:
    model = tiny_engine.loaded.model
    rows = [row(3 + number % 9, number) for number in range(20)]
    found = log_likelihoods(model, rows, answer_states(model, rows))
    expected = [plain_log_likelihood(model, each.prompt, each.answer) for each in rows]
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_choice_is_the_end_that_is_likeliest_per_byte(tiny_engine) -> None:
    (score,) = answer(tiny_engine, [CHOICE], None)
    model = tiny_engine.loaded.model
    encode = tiny_engine.loaded.tokenizer
    prompt = encode(CHOICE.text)["input_ids"]
    per_byte = {
        option: plain_log_likelihood(
            model, prompt, encode(f"{CHOICE.text} {option}")["input_ids"][len(prompt) :]
        )
        / len(option)
        for option in CHOICE.options
    }
    best = max(per_byte, key=per_byte.__getitem__)
    assert score.answer == best
    assert score.score == float(best == CHOICE.options[0])


def test_bits_per_byte_of_a_passage(tiny_engine) -> None:
    (score,) = answer(tiny_engine, [PASSAGE], None)
    ids = tiny_engine.loaded.tokenizer(PASSAGE.text)["input_ids"]
    nats = -plain_log_likelihood(tiny_engine.loaded.model, ids[:1], ids[1:])
    size = len(tiny_engine.loaded.tokenizer.decode(ids[1:]).encode())
    assert score.bits_per_byte == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    assert score.score == pytest.approx(2**-score.bits_per_byte)


def test_a_text_of_one_token_has_no_score(tiny_engine) -> None:
    (score,) = answer(tiny_engine, [Passage(section="c", text="J")], None)
    assert score.score is None


def test_scores_come_in_the_order_of_the_items(tiny_engine) -> None:
    items = [PASSAGE, ASK, CHOICE]
    found = answer(tiny_engine, items, None)
    assert [each.item for each in found] == [item.id for item in items]
    assert [each.section for each in found] == ["c", "a", "b"]


def test_an_ask_is_what_the_engine_answers(tiny_engine) -> None:
    (score,) = answer(tiny_engine, [ASK], None)
    request = Request(
        messages=(Message(role="user", content=ASK.prompt),), decoding=Decoding(max_tokens=6)
    )
    ((_, completion),) = tiny_engine.generate([request])
    assert score.answer == completion.text
    assert score.tokens_in == completion.tokens_in == prompt_tokens(tiny_engine, ASK)


def test_a_failed_call_has_no_score(tiny_engine) -> None:
    long = ASK.model_copy(update={"prompt": "John Smith " * 2000})
    (score,) = answer(tiny_engine, [long], None)
    assert score.score is None
    assert "context" in score.answer


def test_the_adapter_changes_scores_and_leaves_the_base_as_it_was(
    tiny_engine, tiny_adapter
) -> None:
    items = [ASK, CHOICE, PASSAGE]
    before = answer(tiny_engine, items, None)
    tuned = answer(tiny_engine, items, str(tiny_adapter))
    assert tuned != before
    assert answer(tiny_engine, items, None) == before


def test_divergence_is_that_of_the_definition_and_none_without_change(
    tiny_engine, tiny_adapter
) -> None:
    model = tiny_engine.loaded.model
    rows = [row(4, number) for number in range(6)]
    states = answer_states(model, rows)
    assert mean_divergence(model, states, states) == pytest.approx(0, abs=1e-9)
    found = divergence(tiny_engine, rows, str(tiny_adapter))
    head = model.get_output_embeddings().weight
    tiny_engine.adapters.use(str(tiny_adapter))
    tuned = torch.cat(answer_states(model, rows)) @ head.T
    base = torch.cat(states) @ head.T
    expected = torch.nn.functional.kl_div(
        tuned.log_softmax(-1), base.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    assert found == pytest.approx(float(expected), rel=1e-4)
    assert found > 0


def test_messages_are_read_as_they_are_asked_with_their_answers(tiny_engine) -> None:
    (found,) = answered_rows(tiny_engine, [ASK], ["John Smith"])
    asked = (Message(role="user", content=ASK.prompt),)
    text = tiny_engine.template.text(found.prompt + found.answer)
    assert len(found.prompt) == tiny_engine.count_tokens(asked)
    assert ASK.prompt in text
    assert tiny_engine.template.text(found.answer).startswith("John Smith")


def test_every_token_of_a_passage_but_the_first_is_predicted(tiny_engine) -> None:
    (found,) = passage_rows(tiny_engine, [ASK, PASSAGE])
    ids = tiny_engine.loaded.tokenizer(PASSAGE.text)["input_ids"]
    assert found.prompt + found.answer == ids
    assert len(found.prompt) == 1
