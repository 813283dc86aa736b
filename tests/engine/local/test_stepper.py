"""Calls that come and go between passes are answered as one by one; none harms another."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiny import LEARNT, load_in_float32
from trimtab.engine.base import Stepping
from trimtab.engine.local import batch, decode
from trimtab.engine.local.attention import KeyValues
from trimtab.engine.local.engine import LocalEngine
from trimtab.engine.local.template import GrowingText
from trimtab.errors import ModelError
from trimtab.types import Completion, Failed, OutputContract

from .calls import JSON, LABELS, TEXTS, answers, request, told

needs_fbgemm = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines,
    reason="this build of torch has no FBGEMM",
)
NO_GRAMMAR = OutputContract(kind="text")
"""Cannot constrain: a call under it fails before its first pass."""


@pytest.fixture
def short_answers(tiny_engine) -> LocalEngine:
    """The tiny model with every seventh token as an end, so that answers end at many lengths."""
    stops = frozenset(range(2, len(tiny_engine.loaded.tokenizer), 7))
    return LocalEngine(dataclasses.replace(tiny_engine.loaded, stop_tokens=stops))


def stepped(engine, arrivals, *, leaving=(), stream=False, background=()):
    """The end of each call by its key, and its pieces. `arrivals` are lists of requests, one list
    before each step; keys count them all. `leaving` are (step, key)."""
    stepper = engine.stepper()
    ends: dict[int, object] = {}
    pieces: dict[int, list[str]] = {}
    coming = [list(each) for each in arrivals]
    key, count = 0, 0
    expected = sum(map(len, coming)) - len({key for _, key in leaving})
    while len(ends) < expected or coming:
        for each in coming.pop(0) if coming else []:
            stepper.begin(key, each, stream=stream, background=key in background)
            key += 1
        for when, who in leaving:
            if when == count:
                stepper.leave(who)
                expected += who in ends
        for who, event in stepper.step():
            assert who not in ends, "nothing follows an end"
            if isinstance(event, str):
                pieces.setdefault(who, []).append(event)
            else:
                ends[who] = event
        count += 1
        assert count < 5000
    assert stepper.step() == []
    assert not stepper._groups
    return ends, pieces


def in_order(ends):
    return [ends[key] for key in sorted(ends)]


def test_the_local_engine_steps(tiny_engine) -> None:
    assert isinstance(tiny_engine, Stepping)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_staggered_calls_answer_as_one_by_one(short_answers, data) -> None:
    asked = st.builds(
        request,
        st.sampled_from(TEXTS) | st.text(max_size=30),
        st.integers(1, 25),
        shots=st.sampled_from([0, 4]),
        contract=st.sampled_from([None, LABELS, JSON]),
        temperature=st.sampled_from([0.0, 1.0]),
        seed=st.integers(0, 3),
    )
    arrivals = data.draw(st.lists(st.lists(asked, max_size=4), min_size=1, max_size=8))
    ends, pieces = stepped(short_answers, arrivals, stream=True)
    requests = [each for moment in arrivals for each in moment]
    alone = [answers(short_answers, [each])[0] for each in requests]
    assert in_order(ends) == alone
    for key, completion in ends.items():
        assert "".join(pieces.get(key, [])) == completion.text


def test_variants_side_by_side_answer_as_alone(tiny_engine, tiny_adapter) -> None:
    asked = [
        request(text, 20, shots=shots, adapter=adapter)
        for text in LEARNT
        for shots in (0, 4)
        for adapter in (None, str(tiny_adapter))
    ]
    ends, _ = stepped(tiny_engine, [asked[i : i + 3] for i in range(0, len(asked), 3)])
    assert in_order(ends) == [answers(tiny_engine, [each])[0] for each in asked]


def test_a_call_enters_while_another_is_under_way(tiny_engine) -> None:
    """And the one that came later, but is shorter, ends first."""
    stepper = tiny_engine.stepper()
    stepper.begin(0, request(TEXTS[5], 200, shots=4))
    stepper.step()
    stepper.begin(1, request("John Smith", 1, shots=4))
    ((key, answer),) = stepper.step()
    assert (key, answer.tokens_out) == (1, 1)


def test_who_leaves_is_not_heard_of_again_and_disturbs_nobody(tiny_engine) -> None:
    asked = [request(text, 30, shots=4) for text in TEXTS]
    leaving = [(0, 1), (3, 2), (5, 0)]
    ends, _ = stepped(tiny_engine, [asked[:3], asked[3:]], leaving=leaving)
    left = {key for _, key in leaving}
    assert left.isdisjoint(ends)
    kept = [key for key in range(len(asked)) if key not in left]
    assert in_order(ends) == [answers(tiny_engine, [asked[key]])[0] for key in kept]


def test_a_row_that_leaves_makes_room(tiny_engine, monkeypatch) -> None:
    monkeypatch.setattr(decode, "_MOST_ROWS", 1)
    stepper = tiny_engine.stepper()
    stepper.begin(0, request(TEXTS[5], 500, shots=4))
    stepper.step()
    stepper.begin(1, request("John", 1, shots=4))
    assert stepper.step() == []
    stepper.leave(0)
    assert [key for key, _ in stepper.step()] == [1]


def test_calls_that_fail_alone_fail_alone(tiny_engine, tmp_path, monkeypatch) -> None:
    """A prompt too long, a contract without a grammar, an adapter that is not there, and a grammar
    that breaks in the middle of an answer."""
    good = [request(text, 20, shots=4) for text in TEXTS[:3]]
    broken = request("broken", 20, shots=4, contract=JSON)
    prepare = tiny_engine._prepare

    class Breaks:
        def allows(self, token: int) -> bool:
            raise ZeroDivisionError

    def preparing(key, asked):
        prepared = prepare(key, asked)
        if asked is broken:
            prepared[1].grammar = Breaks()
        return prepared

    monkeypatch.setattr(tiny_engine, "_prepare", preparing)
    bad = [
        request("x " * tiny_engine.loaded.max_context),
        request("John", contract=NO_GRAMMAR),
        request("John", adapter=str(tmp_path)),
        broken,
    ]
    ends, _ = stepped(tiny_engine, [[good[0], *bad], good[1:]])
    assert isinstance(ends[1], Failed)
    assert isinstance(ends[3], ModelError)
    assert isinstance(ends[4], ZeroDivisionError)
    assert not isinstance(ends[2], Completion)
    assert [ends[key] for key in (0, 5, 6)] == answers(tiny_engine, good)


def test_places_grow_and_shrink_and_hold_what_memory_allows(short_answers, monkeypatch) -> None:
    monkeypatch.setattr(batch, "_CAPACITY_STEP", 4)
    monkeypatch.setattr(decode, "_KEY_VALUE_BYTES", 2 * 2 * 32 * 4 * 400)  # 400 tokens
    asked = [
        request(text * (1 + i % 3), 1 + 17 * i % 60, shots=4)
        for i, text in enumerate(["John Smith ", "a", "12 Main St "] * 8)
    ]
    sizes = set()
    key_values, resize = short_answers._decoder.key_values, KeyValues.resize

    def made(prefix, rows, capacity):
        sizes.add((rows, capacity))
        return key_values(prefix, rows, capacity)

    def resized(kv, rows, capacity):
        sizes.add((rows, capacity))
        resize(kv, rows, capacity)

    monkeypatch.setattr(short_answers._decoder, "key_values", made)
    monkeypatch.setattr(KeyValues, "resize", resized)
    ends, _ = stepped(short_answers, [asked[i : i + 2] for i in range(0, len(asked), 2)])
    assert len({rows for rows, _ in sizes}) > 2
    assert len({capacity for _, capacity in sizes}) > 2
    assert all(rows * capacity <= 400 or rows == 1 for rows, capacity in sizes)
    assert in_order(ends) == [answers(short_answers, [each])[0] for each in asked]


def test_prompts_that_enter_are_limited_in_each_pass(tiny_engine, monkeypatch) -> None:
    monkeypatch.setattr(batch, "_ENTERING_TOKENS", 30)
    entered = []
    admit = tiny_engine._decoder.admit

    def recorded(waiting, *rest):
        entered.append(len(waiting))
        admit(waiting, *rest)

    monkeypatch.setattr(tiny_engine._decoder, "admit", recorded)
    asked = [request(f"John {i}", 5, shots=4) for i in range(6)]
    ends, _ = stepped(tiny_engine, [asked])
    assert len(entered) > 1
    assert told(in_order(ends)) == told(answers(tiny_engine, asked))


def test_the_background_answers_the_same(tiny_engine) -> None:
    asked = [request(text, 12, shots=4) for text in TEXTS]
    ends, _ = stepped(tiny_engine, [asked], background={1, 4})
    assert in_order(ends) == [answers(tiny_engine, [each])[0] for each in asked]


@needs_fbgemm
def test_packed_weights_of_several_adapters_are_kept(tiny_engine, tiny_adapter) -> None:
    packed = dataclasses.replace(tiny_engine.loaded, packed=True)
    engine, other = LocalEngine(packed), LocalEngine(packed)
    adapters = (None, str(tiny_adapter))
    asked = [request(text, 12, shots=4, adapter=a) for text in TEXTS for a in adapters]
    alone = [answers(engine, [each])[0] for each in asked]
    engine.adapters.use(None)
    for _ in range(2):
        ends, _ = stepped(other, [asked[:3], asked[3:]])
        assert in_order(ends) == alone
    assert set(other._linears._sets) == set(adapters)


@given(st.binary(max_size=40))
def test_pieces_of_any_bytes_are_the_text(data: bytes) -> None:
    """A token a byte, as a byte-level tokenizer may write anything."""

    class Bytes:
        def text(self, ids) -> str:
            return bytes(ids).decode("utf-8", "replace")

    growing = GrowingText(Bytes())  # type: ignore[arg-type]
    pieces = [growing.more(list(data[: i + 1])) for i in range(len(data))]
    whole = Bytes().text(data)
    assert "".join(pieces) + growing.rest(whole) == whole
    if whole.isascii():
        assert "".join(pieces) == whole


@pytest.mark.model
def test_staggered_calls_of_the_real_model_answer_as_one_by_one(real_model) -> None:
    engine = load_in_float32(real_model)
    asked = [request(text, 24, shots=4) for text in TEXTS]
    ends, pieces = stepped(engine, [[], *([each] for each in asked)], stream=True)
    alone = [answers(engine, [each])[0] for each in asked]
    assert told(in_order(ends)) == told(alone)
    assert ["".join(pieces[key]) for key in sorted(ends)] == [c.text for c in alone]
