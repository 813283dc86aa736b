"""From a variant and inputs to final answers, in one call each or in rounds.

A variant that thinks first has its thoughts in one call and its answer in the next, which sees
them. One that tries again shows the model an answer that breaks the contract, with the problem in
words. Measuring, timing and predicting all answer by `answer_all`; only how a call is made differs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.render import render, render_bare, shared_messages
from trimtab.prompt.wording import ANSWER_NOW, THINK, correction_text
from trimtab.task.contract import violation
from trimtab.types import (
    Completion,
    Decoding,
    Example,
    Failed,
    Message,
    OutputContract,
    Request,
    Variant,
    content_hash,
)

REASONING_TOKENS = 160
"""Limit of the thoughts of a variant that thinks first. Trimtab's choice: a few sentences, with
room; thoughts that run into it are used as far as they came."""

_NOTHING = "(nothing)"
"""Stands for an empty answer in a conversation: some endpoints refuse an empty message."""

Ask = Callable[[Mapping[int, Request]], Iterator[tuple[int, Completion | Failed]]]
"""Makes calls: from requests by key to (key, answer) as they are final. It may answer only some of
them, but at least one; the others are asked again in the next round."""


def to_requests(
    variant: Variant,
    examples: Sequence[Example],
    pool: NearestPool | None,
    contract: OutputContract,
    run_folder: Path,
    seed: int = 0,
) -> list[Request]:
    """The first request for each example, in their order; repeats of sampled answers vary `seed`.

    `run_folder` is where the variant's adapter path starts.

    A sampled answer draws from a seed of its own, made from `seed` and the example: one seed for
    all would tie the luck of all examples together, and their interval would be too narrow.
    Greedy requests all have seed 0, so that a repeat is the same request.
    """
    adapter = str(run_folder / variant.adapter.path) if variant.adapter else None
    shared = shared_messages(variant.prompt)
    return [
        Request(
            messages=_opening(variant, render(variant.prompt, example.input, pool)),
            decoding=_first_decoding(
                variant, contract, _seed(seed, example) if variant.temperature > 0 else 0
            ),
            adapter=adapter,
            shared_messages=shared,
        )
        for example in examples
    ]


def bare_prompt(variant: Variant, text: str, pool: NearestPool | None) -> tuple[Message, ...]:
    """The messages of the first request for `text`, without `text` itself."""
    return _opening(variant, render_bare(variant.prompt, text, pool))


def answer_all(
    variant: Variant, contract: OutputContract, requests: Mapping[int, Request], ask: Ask
) -> Iterator[tuple[int, Completion | Failed]]:
    """Answer each of `requests`, which are first requests, yielding (key, final answer).

    Calls are made round by round: all rows that still need one are asked together. The answer has
    the last round's text, and the sums of tokens, seconds and attempts over its rounds. A round
    that fails fails the whole. What `ask` raises ends it; rows not yielded by then have no answer.
    """
    talks = {key: conversation(variant, contract, each) for key, each in requests.items()}
    waiting = {key: next(talk) for key, talk in talks.items()}
    while waiting:
        for key, answer in ask(dict(waiting)):
            try:
                waiting[key] = talks[key].send(answer)
            except StopIteration as over:
                del waiting[key]
                yield key, over.value


def conversation(
    variant: Variant, contract: OutputContract, asked: Request
) -> Generator[Request, Completion | Failed, Completion | Failed]:
    """Yields each request of one row, beginning with `asked`, and is sent its answer; returns the
    final answer."""
    heard: list[Completion] = []
    while True:
        answer = yield asked
        if isinstance(answer, Failed):
            attempts = answer.attempts + sum(each.attempts for each in heard)
            return answer.model_copy(update={"attempts": attempts})
        heard.append(answer)
        following = follow_up(variant, contract, asked, heard)
        if following is None:
            return _together(heard)
        asked = following


def follow_up(
    variant: Variant, contract: OutputContract, asked: Request, heard: Sequence[Completion]
) -> Request | None:
    """The next request of a conversation whose last one was `asked`; None where it is over.

    `heard` are all answers so far, the last of them to `asked`.
    """
    said = heard[-1].text
    if variant.reason and len(heard) == 1:
        decoding = _decoding(variant, contract, asked.decoding.seed)
        return _go_on(asked, said.strip(), ANSWER_NOW, decoding)
    problem = None if is_last(variant, len(heard) - 1) else violation(contract, said)
    if problem is None:
        return None
    return _go_on(asked, said, correction_text(problem), asked.decoding)


def is_last(variant: Variant, heard: int) -> bool:
    """Whether the answer after `heard` others ends the conversation, whatever it says."""
    return heard - variant.reason >= variant.retries


def _go_on(asked: Request, said: str, text: str, decoding: Decoding) -> Request:
    turns = (
        Message(role="assistant", content=said or _NOTHING),
        Message(role="user", content=text),
    )
    return asked.model_copy(update={"messages": (*asked.messages, *turns), "decoding": decoding})


def _opening(variant: Variant, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages of the first round: the prompt, with the request to think where it asks so.

    The request stands after the input, so that the part that all calls share stays the same.
    """
    if not variant.reason:
        return messages
    asked = messages[-1].model_copy(update={"content": f"{messages[-1].content}\n\n{THINK}"})
    return (*messages[:-1], asked)


def _first_decoding(variant: Variant, contract: OutputContract, seed: int) -> Decoding:
    if not variant.reason:
        return _decoding(variant, contract, seed)
    return Decoding(max_tokens=REASONING_TOKENS, temperature=variant.temperature, seed=seed)


def _decoding(variant: Variant, contract: OutputContract, seed: int) -> Decoding:
    """How the answer itself is decoded."""
    return Decoding(
        max_tokens=variant.max_tokens,
        temperature=variant.temperature,
        seed=seed,
        contract=contract if variant.constrained else None,
    )


def _together(heard: Sequence[Completion]) -> Completion:
    """The last answer, with what all of them took."""
    seconds = [each.latency_s for each in heard]
    return heard[-1].model_copy(
        update={
            "tokens_in": sum(each.tokens_in for each in heard),
            "tokens_cached": sum(each.tokens_cached for each in heard),
            "tokens_out": sum(each.tokens_out for each in heard),
            "latency_s": None if None in seconds else sum(s for s in seconds if s is not None),
            "attempts": sum(each.attempts for each in heard),
            "rounds": len(heard),
        }
    )


def _seed(seed: int, example: Example) -> int:
    """31 bits: what every engine's generator takes."""
    return int(content_hash(str(seed), example.id, length=8), 16) >> 1
