"""Answers depend on the request alone: not on sharing, not on the batch, not on what ran before."""

from __future__ import annotations

import dataclasses
import random
from contextlib import contextmanager

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiny import LEARNT, load_in_float32
from trimtab.engine.local import decode
from trimtab.engine.local.engine import LocalEngine
from trimtab.task.contract import violation
from trimtab.types import Completion, Failed

from .calls import JSON, LABELS, TEXTS, answers, request, told

SHARED_FIXTURE = settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@contextmanager
def recorded_logits(engine):
    """The logits [rows, new, vocabulary] that the engine computed in the block, pass by pass."""
    passes: list[torch.Tensor] = []
    forward = engine._decoder._forward

    def recording(*call, **options):
        passes.append(forward(*call, **options))
        return passes[-1]

    engine._decoder._forward = recording
    try:
        yield passes
    finally:
        del engine._decoder._forward


@pytest.fixture
def short_answers(tiny_engine) -> LocalEngine:
    """The tiny model with every seventh token as an end, so that answers end at many lengths."""
    stops = frozenset(range(2, len(tiny_engine.loaded.tokenizer), 7))
    return LocalEngine(dataclasses.replace(tiny_engine.loaded, stop_tokens=stops))


def test_a_shared_prefix_changes_nothing(tiny_engine) -> None:
    shared = [request(text, shots=4) for text in TEXTS]
    alone = [request(text, shots=4, shared=False) for text in TEXTS]
    with_prefix, without = answers(tiny_engine, shared), answers(tiny_engine, alone)
    assert told(with_prefix) == told(without)
    assert [c.tokens_in for c in with_prefix] == [c.tokens_in for c in without]
    assert all(c.tokens_cached > 0 for c in with_prefix)
    assert all(c.tokens_cached == 0 for c in without)


@pytest.fixture
def no_guessing(monkeypatch) -> None:
    """One token at a time, so that a pass is a token."""
    monkeypatch.setattr(decode, "_TOKENS_AT_ONCE", 1)


@pytest.mark.usefixtures("no_guessing")
def test_logits_behind_a_shared_prefix_are_those_without(tiny_engine) -> None:
    tokens = 8
    answers(tiny_engine, [request("Mary Smith", 1, shots=4)])  # the prefix is a pass of its own
    with recorded_logits(tiny_engine) as shared:
        answers(tiny_engine, [request("Mary Smith", tokens, shots=4)])
    with recorded_logits(tiny_engine) as alone:
        answers(tiny_engine, [request("Mary Smith", tokens, shots=4, shared=False)])
    assert len(shared) == len(alone) == tokens
    assert torch.allclose(torch.cat(shared), torch.cat(alone), atol=1e-4)


@pytest.mark.parametrize("shots", [0, 4])
def test_a_batch_of_mixed_lengths_answers_as_one_by_one(tiny_engine, shots) -> None:
    requests = [request(text, shots=shots) for text in TEXTS]
    batch = answers(tiny_engine, requests)
    single = [answers(tiny_engine, [each])[0] for each in requests]
    assert told(batch) == told(single)


@SHARED_FIXTURE
@given(data=st.data())
def test_rows_that_end_leave_the_others_unchanged(short_answers, data) -> None:
    texts = data.draw(st.lists(st.text(max_size=30), min_size=2, max_size=8))
    limits = data.draw(
        st.lists(st.integers(1, 20), min_size=len(texts), max_size=len(texts)), label="limits"
    )
    requests = [request(t, n, shots=4) for t, n in zip(texts, limits, strict=True)]
    batch = answers(short_answers, requests)
    assert told(batch) == told([answers(short_answers, [each])[0] for each in requests])
    for completion, limit in zip(batch, limits, strict=True):
        assert completion.tokens_out <= limit
        assert completion.finish == "stop" or completion.tokens_out == limit


@SHARED_FIXTURE
@given(data=st.data())
def test_guesses_change_no_answer(short_answers, data) -> None:
    """Whatever text the guesses come from, and however the answer is decoded."""
    seen = data.draw(st.lists(st.integers(0, 40), max_size=200), label="seen")
    asked = request(
        data.draw(st.sampled_from(TEXTS)),
        40,
        shots=data.draw(st.sampled_from([0, 4])),
        contract=data.draw(st.sampled_from([None, LABELS, JSON])),
        temperature=data.draw(st.sampled_from([0.0, 1.0])),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "_TOKENS_AT_ONCE", 1)
        (plain,) = answers(short_answers, [asked])
    prefix = short_answers._prefix(None, short_answers._prepare(0, asked)[0])
    prefix.seen.extend(seen)
    timed = short_answers.time_call(asked)
    assert told([timed]) == told([plain])


def test_repeated_text_is_written_in_fewer_passes(tiny_engine) -> None:
    """The tiny model repeats itself, and a second answer repeats the first."""
    asked = request("the quick brown fox " * 6, 40, shots=4)
    for _ in range(2):
        with recorded_logits(tiny_engine) as passes:
            timed = tiny_engine.time_call(asked)
    assert timed.tokens_out > 10
    assert len(passes) < timed.tokens_out / 2


def test_a_timed_call_knows_nothing_of_the_answers_of_batches(tiny_engine) -> None:
    """Its own answer is among them where the row was asked before, and would be guessed whole."""
    asked = request("the quick brown fox " * 6, 40, shots=4)
    prefix = tiny_engine._prefix(None, tiny_engine._prepare(0, asked)[0])
    before = len(prefix.seen)
    answers(tiny_engine, [asked])
    assert len(prefix.seen) == before
    timed = tiny_engine.time_call(asked)
    assert len(prefix.seen) == before + timed.tokens_out


def test_rows_that_wait_for_a_place_answer_as_at_once(short_answers, monkeypatch) -> None:
    requests = [request(f"{text} {n}", 1 + n % 9, shots=4) for n in range(7) for text in TEXTS]
    at_once = answers(short_answers, requests)
    monkeypatch.setattr(decode, "_MOST_ROWS", 5)
    with recorded_logits(short_answers) as passes:
        assert told(answers(short_answers, requests)) == told(at_once)
    assert max(len(logits) for logits in passes) == 5


def test_memory_bounds_the_rows_of_a_batch(tiny_engine, monkeypatch) -> None:
    requests = [request(text, 5) for text in TEXTS]
    monkeypatch.setattr(decode, "_KEY_VALUE_BYTES", 1)
    with recorded_logits(tiny_engine) as passes:
        answers(tiny_engine, requests)
    assert {len(logits) for logits in passes} == {1}


@pytest.mark.parametrize("shots", [0, 4])
def test_other_shapes_of_models_run_through_their_own_modules(tiny_engine, shots) -> None:
    requests = [request(text, shots=shots) for text in TEXTS]
    own_path = LocalEngine(tiny_engine.loaded)
    own_path._decoder._is_llama = False
    assert told(answers(own_path, requests)) == told(answers(tiny_engine, requests))


def test_both_ways_to_end_occur(short_answers) -> None:
    ended = answers(short_answers, [request(text, 5) for text in TEXTS])
    assert {c.finish for c in ended} == {"stop", "length"}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_greedy_answers_are_those_of_transformers(short_answers, tiny_model, attention) -> None:
    requests = [request(text, 16, shots=shots) for text in TEXTS for shots in (0, 4)]
    ours = answers(short_answers, requests)
    theirs = reference(short_answers, tiny_model, requests, attention)
    for completion, (ids, _) in zip(ours, theirs, strict=True):
        assert completion.text == short_answers.template.text(ids)
        assert completion.tokens_out == len(ids)


@pytest.mark.usefixtures("no_guessing")
def test_logits_are_those_of_transformers(tiny_engine, tiny_model) -> None:
    asked = request("Springfield", 8, shots=4)
    with recorded_logits(tiny_engine) as ours:
        list(tiny_engine.generate([asked.model_copy(update={"shared_messages": 0})]))
    ((_, theirs),) = reference(tiny_engine, tiny_model, [asked], "eager")
    assert torch.allclose(torch.cat(ours)[:, 0], theirs, atol=1e-4)


@pytest.mark.model
def test_the_real_model_answers_as_in_transformers(real_model) -> None:
    engine = load_in_float32(real_model)
    requests = [request(text, 10, shots=4) for text in TEXTS]
    ours = answers(engine, requests)
    theirs = reference(engine, real_model, requests, "sdpa")
    assert [c.text for c in ours] == [engine.template.text(ids) for ids, _ in theirs]


def reference(engine, folder, requests, attention):
    """Greedy decoding by transformers itself: per request the new ids and the logits."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention
    )
    found = []
    for each in requests:
        ids = torch.tensor([engine.template.prompt(each.messages)])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=each.decoding.max_tokens,
            eos_token_id=sorted(engine.loaded.stop_tokens),
            output_logits=True,
            return_dict_in_generate=True,
        )
        found.append((out.sequences[0, ids.shape[1] :].tolist(), torch.cat(out.logits)))
    return found


@pytest.mark.parametrize("contract", [LABELS, JSON], ids=["label", "json"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_constrained_answer_keeps_the_contract(tiny_engine, contract, temperature) -> None:
    requests = [
        request(text, 90, contract=contract, temperature=temperature, seed=seed)
        for seed, text in enumerate(TEXTS)
    ]
    for completion in answers(tiny_engine, requests):
        assert completion.finish == "stop"
        assert violation(contract, completion.text) is None


def test_a_constrained_answer_that_is_cut_is_marked(tiny_engine) -> None:
    (completion,) = answers(tiny_engine, [request("John", 2, contract=JSON)])
    assert (completion.finish, completion.tokens_out) == ("length", 2)


def test_constrained_and_free_rows_share_a_batch(tiny_engine) -> None:
    requests = [request(t, 20, contract=c) for t in TEXTS[:3] for c in (None, LABELS, JSON)]
    random.Random(0).shuffle(requests)
    mixed = answers(tiny_engine, requests)
    assert told(mixed) == told([answers(tiny_engine, [each])[0] for each in requests])


def test_sampling_depends_on_the_seed_alone(tiny_engine) -> None:
    warm = [request(t, 10, temperature=1.0, seed=i) for i, t in enumerate(TEXTS)]
    batch = answers(tiny_engine, warm)
    assert told(batch) == told(answers(tiny_engine, warm[::-1]))[::-1]
    assert told(batch) == told([answers(tiny_engine, [each])[0] for each in warm])
    torch.manual_seed(1)  # the global generator has no say
    assert told(batch) == told(answers(tiny_engine, warm))


def test_equal_prompts_are_computed_once(tiny_engine) -> None:
    asked = [
        request(text, 10, temperature=1.0, seed=seed, contract=contract)
        for seed in range(3)
        for text in TEXTS[:2]
        for contract in (None, JSON)
    ]
    with recorded_logits(tiny_engine) as passes:
        together = answers(tiny_engine, asked)
    assert [len(one) for one in passes[:3]] == [1, 2, len(asked)]  # the prefix, prompts, tokens
    assert told(together) == told([answers(tiny_engine, [each])[0] for each in asked])


def test_another_seed_draws_another_answer(tiny_engine) -> None:
    texts = {
        c.text
        for c in answers(
            tiny_engine, [request("John", 10, temperature=1.0, seed=s) for s in range(8)]
        )
    }
    assert len(texts) > 1


def test_a_prompt_beyond_the_context_fails_and_the_others_do_not(tiny_engine) -> None:
    limit = tiny_engine.loaded.max_context
    found = dict(tiny_engine.generate([request("x " * limit), request("John")]))
    assert isinstance(found[0], Failed)
    assert found[0].boundary == "context"
    assert str(limit) in found[0].message
    assert isinstance(found[1], Completion)


def test_the_context_is_usable_to_its_last_token(tiny_engine) -> None:
    room = tiny_engine.loaded.max_context - tiny_engine.count_tokens(request("John").messages)
    too_long, fits = tiny_engine.generate([request("John", room + 1), request("John", room)])
    assert isinstance(too_long[1], Failed)
    assert isinstance(fits[1], Completion)


def test_a_timed_call_gives_the_same_answer_with_its_seconds(tiny_engine) -> None:
    asked = request("Jones and Sons", shots=4)
    timed = tiny_engine.time_call(asked)
    (untimed,) = answers(tiny_engine, [asked])
    assert untimed.latency_s is None
    assert timed.latency_s > 0
    assert timed.model_copy(update={"latency_s": None}) == untimed
    failed = tiny_engine.time_call(request("x " * tiny_engine.loaded.max_context))
    assert isinstance(failed, Failed)


def test_tokens_are_counted_as_the_engine_sees_them(tiny_engine) -> None:
    for shots in (0, 4):
        asked = request("Mary Jones\n\n", shots=shots)
        (completion,) = answers(tiny_engine, [asked])
        assert tiny_engine.count_tokens(asked.messages) == completion.tokens_in


def stopped(text: str, tokens_out: int) -> Completion:
    return Completion(text=text, finish="stop", tokens_in=1, tokens_out=tokens_out)


def test_satisfies_is_exact(tiny_engine, tiny_adapter) -> None:
    """Where a free answer satisfies the contract, the constrained answer is the same."""
    asked = [(text, adapter) for adapter in (None, str(tiny_adapter)) for text in (*LEARNT, *TEXTS)]
    free, bound = (
        answers(tiny_engine, [request(t, adapter=a, contract=c) for t, a in asked])
        for c in (None, LABELS)
    )
    satisfied = [tiny_engine.satisfies(LABELS, answer) for answer in free]
    assert any(satisfied) and not all(satisfied), "the test needs answers of both kinds"
    for sure, without, under in zip(satisfied, free, bound, strict=True):
        assert sure == (without.text in LABELS.labels)
        if sure:
            assert without.text == under.text


@pytest.mark.parametrize("text", ["person ", " person", "Person", "person\n", "perso", ""])
def test_nearly_a_label_does_not_satisfy(tiny_engine, text) -> None:
    count = len(tiny_engine.loaded.tokenizer(text)["input_ids"])
    assert not tiny_engine.satisfies(LABELS, stopped(text, count + 1))


def test_a_cut_answer_does_not_satisfy(tiny_engine) -> None:
    cut = Completion(text="person", finish="length", tokens_in=1, tokens_out=2)
    assert not tiny_engine.satisfies(LABELS, cut)


def test_what_the_text_hides_does_not_satisfy(tiny_engine) -> None:
    """Control tokens inside an answer, and bytes that are no text, do not show in its text."""
    count = len(tiny_engine.loaded.tokenizer("person")["input_ids"])
    assert tiny_engine.satisfies(LABELS, stopped("person", count + 1))
    assert not tiny_engine.satisfies(LABELS, stopped("person", count + 2))
    broken = '{"name":"\ufffd"}'
    count = len(tiny_engine.loaded.tokenizer(broken)["input_ids"])
    assert not tiny_engine.satisfies(JSON, stopped(broken, count + 1))


def test_every_stop_token_ends_a_constrained_answer(tiny_engine) -> None:
    """A model may have several; where one is the greedy choice, no other token is written."""
    tokenizer = tiny_engine.loaded.tokenizer
    other = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    stops = tiny_engine.loaded.stop_tokens | {other}
    engine = LocalEngine(dataclasses.replace(tiny_engine.loaded, stop_tokens=stops))
    state = engine._grammar(LABELS).start()
    for token in tokenizer("person")["input_ids"]:  # "person or company" could still follow
        assert not state.advance(token)
    assert state.allows(other)
    assert state.allows(tokenizer.eos_token_id)
