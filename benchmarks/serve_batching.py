"""Continuous batching in the server beside whole batches, on the default model.

    python benchmarks/serve_batching.py [--rounds 2] [--tries 3] [--calls 12 24 32]

Both sides are the server's own dispatcher with the same engine and the same calls, in turn, without
HTTP. With whole batches, what arrives during a batch is the next one; with continuous batching a
call enters between two passes. Measured are the seconds of a short call that arrives half a second
after a long one, behind the same prompt and behind another, and calls a second of 1, 4 and 16
callers who each wait for their answer (addresses, 8 demonstrations). No address is asked twice on a
side, because continuous batching would guess from the answer before; the long call is asked again,
so its own seconds compare on the first try only. Prints one JSON line, with the share of calls that
both sides answered with the same text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from _pairs import summary
from evaluate import requests

from trimtab.engine.base import Stepper
from trimtab.engine.local import from_spec
from trimtab.engine.local.engine import LocalEngine
from trimtab.predictor import Predictor
from trimtab.serve.calls import Answer, Call, Served
from trimtab.serve.dispatch import Dispatcher
from trimtab.serve.whole import WholeBatches
from trimtab.store.deployments import Deployed
from trimtab.task.spec import ModelSpec
from trimtab.types import Completion, Decoding, Example, Message, Prompt, Request, Variant

CALLERS = (1, 4, 16)
LONG_TOKENS, SHORT_TOKENS = 256, 8
LATER_S = 0.5
STORYTELLER = "You tell long stories."
OTHER = "You answer questions in one word."


class GivenRequests:
    """Stands for a predictor: a row's input is the place of its one request."""

    variant = Variant(name="v", arm="prompt", model="m", prompt=Prompt(system=""), max_tokens=1)

    def __init__(self, asked: Sequence[Request]) -> None:
        self._asked = asked

    def conversation(self, row: Example) -> Generator[Request, Answer, Answer]:
        answer = yield self._asked[int(row.input)]
        return answer


class Side:
    """One way to bring calls to the engine."""

    def __init__(self, stepper: Stepper, engine: LocalEngine, asked: Sequence[Request]) -> None:
        at_once = engine.chunk_size
        self.calls = Dispatcher(stepper, at_once=at_once, most_waiting=10_000)
        predictor = cast(Predictor, GivenRequests(asked))
        self._served = Served(Deployed(run="r", variant="v", name="v"), predictor, self.calls)
        self.texts: dict[int, str] = {}

    def ask(self, place: int) -> float:
        """Seconds of one call."""
        started = time.perf_counter()
        found = self.calls.submit(Call(str(place), str(place), self._served)).result()
        assert isinstance(found, Completion), found
        self.texts[place] = found.text
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tries", type=int, default=3, help="of each short call")
    parser.add_argument("--calls", type=int, nargs=3, default=(12, 24, 32))
    options = parser.parse_args()
    engine = from_spec(ModelSpec(), lambda line: None)
    begun = short_and_long()
    asked = [*begun, *requests(1 + options.rounds * sum(options.calls))]
    warm = len(begun)
    sides = {
        "continuous": Side(engine.stepper(), engine, asked),
        "whole batches": Side(WholeBatches(engine), engine, asked),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for side in sides.values():
        for place in (1, 2, warm):
            side.ask(place)  # prefixes are computed
    for number in range(1, options.rounds + 1):
        for name, side in sides.items():
            first = warm + 1 + (number - 1) * sum(options.calls)
            figures = short_call(side, 1, "same_prompt", options.tries)
            figures |= short_call(side, 2, "other_prompt", options.tries)
            for callers, count in zip(CALLERS, options.calls, strict=True):
                figures |= closed_loop(side, range(first, first + count), callers)
                first += count
            print(f"round {number}, {name}: {figures}", file=sys.stderr)
            found[name].append(figures)
    for side in sides.values():
        asyncio.run(side.calls.finish())
    print(json.dumps(report(found, [side.texts for side in sides.values()], options)))


def short_and_long() -> list[Request]:
    """A long call, a short one behind the same prompt, and one behind another."""
    wanted = (
        (STORYTELLER, "Tell the story of a keeper of a lighthouse.", LONG_TOKENS),
        (STORYTELLER, "What is the capital of France?", SHORT_TOKENS),
        (OTHER, "What is the capital of France?", SHORT_TOKENS),
    )
    return [
        Request(
            messages=(Message(role="system", content=system), Message(role="user", content=text)),
            decoding=Decoding(max_tokens=tokens),
            shared_messages=1,
        )
        for system, text, tokens in wanted
    ]


def short_call(side: Side, place: int, name: str, tries: int) -> dict[str, float]:
    """Median seconds of a short call that comes after a long one, and of the long one."""
    short, long = [], []
    for _ in range(tries):
        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(side.ask, 0)
            time.sleep(LATER_S)
            short.append(side.ask(place))
            long.append(under_way.result())
    return {
        f"short_s_{name}": statistics.median(short),
        f"long_s_{name}": statistics.median(long),
    }


def closed_loop(side: Side, places: Sequence[int], callers: int) -> dict[str, float]:
    """Calls a second and the median seconds of a call."""
    started = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        seconds = list(pool.map(side.ask, places))
    return {
        f"calls_per_s_{callers}": len(seconds) / (time.perf_counter() - started),
        f"median_s_{callers}": statistics.median(seconds),
    }


def report(
    found: dict[str, list[dict[str, float]]],
    texts: Sequence[dict[int, str]],
    options: argparse.Namespace,
) -> dict[str, object]:
    names = list(found["continuous"][0])
    ours, theirs = texts
    return {
        "benchmark": "serve_batching",
        "rounds": options.rounds,
        "tries": options.tries,
        "calls": dict(zip(CALLERS, options.calls, strict=True)),
        "same_answers": sum(ours[place] == theirs[place] for place in ours) / len(ours),
        **{side: {name: summary(runs, name) for name in names} for side, runs in found.items()},
    }


if __name__ == "__main__":
    main()
