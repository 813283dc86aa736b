"""Chooses fixed demonstrations: a few candidate sets, their orders, and how many can be shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from trimtab.engine.base import Engine
from trimtab.errors import DataError
from trimtab.prompt.nearest import same_input_key
from trimtab.score.fields import leaves
from trimtab.task.contract import parse, violation
from trimtab.task.tfidf import TfIdf
from trimtab.types import Example, Message, OutputContract

STRATEGIES = ("random", "diverse", "balanced")
"""How each of the sets of `demonstration_sets` was chosen, in its order."""

ORDERS = ("chosen", "reversed", "easy-first")
"""Orders of fixed demonstrations: as chosen, from last to first, or from short to long,
which stands for easy to hard."""

MANY_SHOT = 64
"""Most demonstrations of a many-shot prompt. Trimtab's choice: every call reads them all."""

DIVERSE_SAMPLE = 512
LENGTH_QUANTILE = 0.95
_ASSUMED_CONTEXT = 8192
"""Tokens, where the engine does not know: what almost any model of today takes."""


def demonstration_sets(
    train: Sequence[Example], k: int, contract: OutputContract, seed: int
) -> tuple[tuple[Example, ...], ...]:
    """One set of `k` rows with distinct inputs for each of `STRATEGIES`.

    - random: drawn alike.
    - diverse: farthest-first over TF-IDF similarity of the inputs, from the most typical one.
    - balanced: labels in equal shares; for JSON, as many different fields as possible; for text,
      targets of short to long length.

    Rows whose target breaks the contract and inputs longer than 95 % of them are never used. The
    same rows and seed give the same sets, whatever the order of the rows; two strategies may
    choose the same rows where there are few. Cost is linear in the rows. Raises `DataError`
    when fewer than `k` rows can be used.
    """
    rows = _usable(train, contract)
    if len(rows) < k:
        raise DataError(
            f"{k} demonstrations were asked for, but only {len(rows)} of {len(train)} training "
            "rows have a valid target and an input of usual length; "
            "add rows or lower search.demonstrations"
        )
    generators = np.random.default_rng(seed).spawn(len(STRATEGIES))
    mixed = [[rows[i] for i in generator.permutation(len(rows))] for generator in generators]
    return (
        tuple(mixed[0][:k]),
        tuple(_diverse(mixed[1][:DIVERSE_SAMPLE], k)),
        tuple(_balanced(mixed[2], k, contract)),
    )


def ordered(demonstrations: Sequence[Example], order: str) -> tuple[Example, ...]:
    """The same demonstrations in one of `ORDERS`. Raises `ValueError` for another order."""
    match order:
        case "chosen":
            return tuple(demonstrations)
        case "reversed":
            return tuple(demonstrations[::-1])
        case "easy-first":
            return tuple(sorted(demonstrations, key=lambda each: len(each.input + each.target)))
    raise ValueError(f"no order {order!r}; the orders are: {', '.join(ORDERS)}")


def most_that_fit(
    engine: Engine,
    system: str,
    rows: Sequence[Example],
    max_tokens: int,
    most: int = MANY_SHOT,
) -> int:
    """How many of `rows`, whichever they are, fit the engine's context as plain demonstrations.

    They stand beside the `system` text, the longest input and an answer of `max_tokens`; at most
    `most`. Where the engine does not know its context, 8,192 tokens are assumed. It counts the
    tokens of every row once.
    """
    if not rows:
        return 0

    def count(*texts: str) -> int:
        roles = ("user", "assistant")
        return engine.count_tokens(
            [Message(role=roles[i % 2], content=text) for i, text in enumerate(texts)]
        )

    turns = count("", "", "") - count("")
    empty = count("", "")
    costs = [count(row.input, row.target) - empty + turns for row in rows]
    fixed = engine.count_tokens(
        [Message(role="system", content=system), Message(role="user", content="")]
    )
    longest = max(count(row.input) for row in rows) - count("")
    context = _ASSUMED_CONTEXT if engine.context is None else engine.context
    room = context - max_tokens - fixed - longest
    used = np.cumsum(sorted(costs, reverse=True)[:most])
    return int(np.searchsorted(used, room, side="right"))


def _usable(train: Sequence[Example], contract: OutputContract) -> list[Example]:
    """Rows fit to be shown, one for each distinct input, by id."""
    if not train:
        return []
    longest = np.quantile([len(example.input) for example in train], LENGTH_QUANTILE)
    distinct: dict[str, Example] = {}
    for example in sorted(train, key=lambda example: example.id):
        if len(example.input) <= longest and violation(contract, example.target) is None:
            distinct.setdefault(same_input_key(example.input), example)
    return list(distinct.values())


def _diverse(rows: Sequence[Example], k: int) -> list[Example]:
    """Farthest-first: each next row is the one least similar to all chosen before."""
    _, vectors = TfIdf.fit([example.input for example in rows])
    typical = vectors @ np.asarray(vectors.sum(axis=0))
    chosen: list[int] = []
    closeness = -typical
    while len(chosen) < k:
        closeness[chosen] = np.inf
        chosen.append(int(np.argmin(closeness)))
        similarity = (vectors @ vectors[[chosen[-1]]].T).toarray()[:, 0]
        closeness = similarity if len(chosen) == 1 else np.maximum(closeness, similarity)
    return [rows[i] for i in chosen]


def _balanced(rows: Sequence[Example], k: int, contract: OutputContract) -> list[Example]:
    match contract.kind:
        case "label":
            return _equal_shares(rows, k, contract)
        case "json":
            return _most_fields(rows, k, contract)
        case "text":
            return _spread_lengths(rows, k)


def _equal_shares(rows: Sequence[Example], k: int, contract: OutputContract) -> list[Example]:
    """Labels in turn, the most frequent first, so that a small `k` shows the usual ones."""
    by_label: defaultdict[str, list[Example]] = defaultdict(list)
    for example in rows:
        by_label[str(parse(contract, example.target))].append(example)
    queues = sorted(by_label.items(), key=lambda item: (-len(item[1]), item[0]))
    turns = sorted(
        (turn, place)
        for place, (_, examples) in enumerate(queues)
        for turn in range(min(k, len(examples)))
    )
    return [queues[place][1][turn] for turn, place in turns[:k]]


def _most_fields(rows: Sequence[Example], k: int, contract: OutputContract) -> list[Example]:
    """Greedy cover: each next row adds most fields not yet shown; once all are, it starts anew."""
    fields = [{path for path, _ in leaves(parse(contract, row.target))} for row in rows]
    every = set().union(*fields)
    left = dict.fromkeys(range(len(rows)))
    missing = set(every)
    chosen: list[Example] = []
    while len(chosen) < k:
        best = max(left, key=lambda i: len(fields[i] & missing))
        del left[best]
        chosen.append(rows[best])
        missing = (missing - fields[best]) or set(every)
    return chosen


def _spread_lengths(rows: Sequence[Example], k: int) -> list[Example]:
    """One row from each of `k` equal shares of the rows, ordered by target length."""
    order = np.argsort([len(example.target) for example in rows], kind="stable")
    # `rows` are in random order, and the middle of each share is as random as any other place.
    return [rows[int(share[len(share) // 2])] for share in np.array_split(order, k)]
