"""Waiting calls go as batches, in order, and none is forgotten."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from trimtab.serve.calls import Busy
from trimtab.serve.dispatch import Dispatcher

from .servers import wait_until


class Engine:
    """Doubles numbers, once it may; remembers its batches."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[int]] = []

    def answer(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        assert self.go.wait(20)
        if -1 in numbers:
            raise ZeroDivisionError
        return [2 * number for number in numbers]


@pytest.fixture
def engine():
    made = Engine()
    yield made
    made.go.set()


def dispatcher(engine: Engine, batch: int = 4, most: int = 100):
    return Dispatcher(engine.answer, batch=batch, most_waiting=most)


def finish(calls: Dispatcher) -> None:
    asyncio.run(calls.finish())


def results(futures: Sequence[Future[int]]) -> list[int]:
    return [future.result(timeout=20) for future in futures]


def test_what_arrives_during_a_batch_is_the_next_one(engine) -> None:
    calls = dispatcher(engine)
    futures = [calls.submit(0)]
    wait_until(lambda: engine.batches == [[0]])
    futures += [calls.submit(i) for i in range(1, 8)]
    assert calls.waiting == 7
    engine.go.set()
    assert results(futures) == [2 * i for i in range(8)]
    assert engine.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
    finish(calls)


def test_background_calls_come_last(engine) -> None:
    calls = dispatcher(engine)
    first = calls.submit(0)
    wait_until(lambda: engine.batches == [[0]])
    behind = [calls.submit(i, background=True) for i in (10, 11)]
    front = [calls.submit(i) for i in (1, 2)]
    engine.go.set()
    results([first, *front, *behind])
    assert engine.batches == [[0], [1, 2], [10, 11]]
    finish(calls)


def test_a_batch_that_raises_ends_its_calls_and_no_others(engine) -> None:
    calls = dispatcher(engine)
    first = calls.submit(-1)
    wait_until(lambda: engine.batches == [[-1]])
    second = calls.submit(1)
    engine.go.set()
    with pytest.raises(ZeroDivisionError):
        first.result(timeout=20)
    assert second.result(timeout=20) == 2
    finish(calls)


def test_a_cancelled_call_is_passed_over(engine) -> None:
    calls = dispatcher(engine)
    first = calls.submit(0)
    wait_until(lambda: engine.batches == [[0]])
    gone, kept = calls.submit(1), calls.submit(2)
    assert gone.cancel()
    engine.go.set()
    assert results([first, kept]) == [0, 4]
    assert engine.batches == [[0], [2]]
    finish(calls)


def test_each_queue_has_its_limit(engine) -> None:
    calls = dispatcher(engine, most=2)
    futures = [calls.submit(0)]
    wait_until(lambda: engine.batches == [[0]])
    futures += [calls.submit(i) for i in (1, 2)]
    futures += [calls.submit(i, background=True) for i in (3, 4)]
    for background in (False, True):
        with pytest.raises(Busy):
            calls.submit(9, background=background)
    engine.go.set()
    assert results(futures) == [0, 2, 4, 6, 8]
    finish(calls)


def test_closing_answers_what_waits(engine) -> None:
    calls = dispatcher(engine, batch=2)
    futures = [calls.submit(i) for i in range(5)]
    futures.append(calls.submit(5, background=True))
    closing = threading.Thread(target=finish, args=(calls,))
    closing.start()
    wait_until(lambda: calls._closed)
    with pytest.raises(RuntimeError):
        calls.submit(6)
    engine.go.set()
    closing.join()
    assert results(futures) == [2 * i for i in range(6)]
