"""Calls enter as there is room, in order, and none is forgotten."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future

import pytest

from trimtab.prompt.ask import conversation
from trimtab.serve.calls import Answer, Busy, Call, Served
from trimtab.serve.dispatch import Dispatcher
from trimtab.serve.whole import WholeBatches
from trimtab.store.deployments import Deployed
from trimtab.types import (
    Completion,
    Decoding,
    Example,
    Message,
    OutputContract,
    Prompt,
    Request,
    Variant,
)

from .servers import wait_until
from .stepping import ANSWER, WordByWord

TEXT = OutputContract(kind="text")


class Predictor:
    """Rows as they are."""

    def __init__(self, retries: int = 0, reason: bool = False) -> None:
        self.variant = Variant(
            name="v",
            arm="prompt",
            model="m",
            prompt=Prompt(system="s"),
            max_tokens=50,
            retries=retries,
            reason=reason,
        )

    def conversation(self, row: Example) -> Generator[Request, Answer, Answer]:
        messages = (Message(role="user", content=row.input),)
        asked = Request(messages=messages, decoding=Decoding(max_tokens=50))
        return conversation(self.variant, TEXT, asked)


def call(text: str, on_text=None, **variant: object) -> Call:
    deployed = Deployed(run="r", variant="v", name="v")
    served = Served(deployed, Predictor(**variant), None)  # type: ignore[arg-type]
    return Call(text, text, served, on_text)


class Whole:
    """Doubles words, once it may; remembers its batches."""

    chunk_size = 4

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[str]] = []

    def generate(self, requests: Sequence[Request]):
        texts = [request.messages[-1].content for request in requests]
        self.batches.append(texts)
        assert self.go.wait(20)
        if "raise" in texts:
            raise ZeroDivisionError
        for position, text in reversed(list(enumerate(texts))):
            yield position, Completion(text=text * 2, finish="stop", tokens_in=1, tokens_out=1)


@pytest.fixture
def whole():
    made = Whole()
    yield made
    made.go.set()


def of_whole(engine: Whole, most: int = 100) -> Dispatcher:
    return Dispatcher(WholeBatches(engine), at_once=engine.chunk_size, most_waiting=most)  # type: ignore[arg-type]


def of_writer(engine: WordByWord) -> Dispatcher:
    return Dispatcher(engine, at_once=engine.chunk_size, most_waiting=100, streams=True)


def finish(calls: Dispatcher) -> None:
    asyncio.run(calls.finish())


def texts(futures: Sequence[Future[Answer]]) -> list[str]:
    return [future.result(timeout=20).text for future in futures]


def test_what_arrives_during_a_whole_batch_is_the_next_one(whole) -> None:
    calls = of_whole(whole)
    futures = [calls.submit(call("0"))]
    wait_until(lambda: whole.batches == [["0"]])
    futures += [calls.submit(call(str(i))) for i in range(1, 8)]
    assert calls.waiting == 7
    whole.go.set()
    assert texts(futures) == [str(i) * 2 for i in range(8)]
    assert whole.batches == [["0"], ["1", "2", "3", "4"], ["5", "6", "7"]]
    finish(calls)


def test_background_calls_come_last(whole) -> None:
    calls = of_whole(whole)
    first = calls.submit(call("0"))
    wait_until(lambda: whole.batches == [["0"]])
    behind = [calls.submit(call(text), background=True) for text in ("10", "11")]
    front = [calls.submit(call(text)) for text in ("1", "2")]
    whole.go.set()
    texts([first, *front, *behind])
    assert whole.batches == [["0"], ["1", "2"], ["10", "11"]]
    finish(calls)


def test_a_whole_batch_that_raises_ends_its_calls_and_no_others(whole) -> None:
    calls = of_whole(whole)
    first = calls.submit(call("raise"))
    wait_until(lambda: whole.batches == [["raise"]])
    second = calls.submit(call("1"))
    whole.go.set()
    with pytest.raises(ZeroDivisionError):
        first.result(timeout=20)
    assert texts([second]) == ["11"]
    finish(calls)


def test_a_cancelled_call_is_passed_over(whole) -> None:
    calls = of_whole(whole)
    first = calls.submit(call("0"))
    wait_until(lambda: whole.batches == [["0"]])
    gone, kept = calls.submit(call("1")), calls.submit(call("2"))
    assert gone.cancel()
    whole.go.set()
    assert texts([first, kept]) == ["00", "22"]
    assert whole.batches == [["0"], ["2"]]
    finish(calls)


def test_each_queue_has_its_limit(whole) -> None:
    calls = of_whole(whole, most=2)
    futures = [calls.submit(call("0"))]
    wait_until(lambda: whole.batches == [["0"]])
    futures += [calls.submit(call(text)) for text in ("1", "2")]
    futures += [calls.submit(call(text), background=True) for text in ("3", "4")]
    for background in (False, True):
        with pytest.raises(Busy):
            calls.submit(call("9"), background=background)
    whole.go.set()
    assert texts(futures) == ["00", "11", "22", "33", "44"]
    finish(calls)


def test_closing_answers_what_waits(whole) -> None:
    calls = of_whole(whole)
    futures = [calls.submit(call(str(i))) for i in range(5)]
    futures.append(calls.submit(call("5"), background=True))
    closing = threading.Thread(target=finish, args=(calls,))
    closing.start()
    wait_until(lambda: calls._closed)
    with pytest.raises(RuntimeError):
        calls.submit(call("6"))
    whole.go.set()
    closing.join()
    assert texts(futures) == [str(i) * 2 for i in range(6)]


def test_a_call_enters_between_steps_up_to_what_the_engine_holds(writer) -> None:
    calls = of_writer(writer)
    futures = [calls.submit(call("0"))]
    wait_until(lambda: writer.begun == ["0"])
    writer.let(1)
    futures += [calls.submit(call(str(i))) for i in range(1, 6)]
    wait_until(lambda: writer.begun == ["0", "1", "2", "3"])
    assert calls.waiting == 2
    writer.free.set()
    assert texts(futures) == [ANSWER] * 6
    assert writer.begun == [str(i) for i in range(6)]
    finish(calls)


def test_a_cancelled_call_leaves_the_engine(writer) -> None:
    calls = of_writer(writer)
    gone, kept = calls.submit(call("0")), calls.submit(call("1"))
    wait_until(lambda: len(writer.under_way) == 2)
    writer.let(1)
    assert gone.cancel()
    wait_until(lambda: len(writer.left) == 1)
    writer.free.set()
    assert texts([kept]) == [ANSWER]
    finish(calls)


def test_a_call_that_cannot_begin_or_breaks_harms_no_other(writer) -> None:
    calls = of_writer(writer)

    def refuse(piece: str) -> None:
        raise RuntimeError("closed")

    bad = [calls.submit(call("raise")), calls.submit(call("deaf", refuse))]
    good = calls.submit(call("0"))
    writer.free.set()
    for future, error in zip(bad, (ZeroDivisionError, RuntimeError), strict=True):
        with pytest.raises(error):
            future.result(timeout=20)
    assert texts([good]) == [ANSWER]
    finish(calls)


def test_a_stepper_that_breaks_ends_what_it_has_and_goes_on(writer, monkeypatch) -> None:
    calls = of_writer(writer)
    step = writer.step
    broken = threading.Event()

    def breaks_once():
        if not broken.is_set():
            broken.set()
            raise MemoryError
        return step()

    monkeypatch.setattr(writer, "step", breaks_once)
    with pytest.raises(MemoryError):
        calls.submit(call("0")).result(timeout=20)
    writer.free.set()
    assert texts([calls.submit(call("1"))]) == [ANSWER]
    finish(calls)


@pytest.mark.parametrize("reason", [False, True])
def test_pieces_are_those_of_the_last_answer(writer, reason) -> None:
    """What a variant thinks first is nobody's answer."""
    pieces: list[str] = []
    calls = of_writer(writer)
    writer.free.set()
    answer = calls.submit(call("0", pieces.append, reason=reason)).result(timeout=20)
    assert answer.rounds == 1 + reason
    assert "".join(pieces) == answer.text == ANSWER
    assert len(pieces) == len(ANSWER.split(" "))
    finish(calls)
