"""Draws what is reviewed: all that may teach, at a known chance for each.

Poisson sampling: each call is drawn by itself, with a probability that is the sum of an equal part,
which all have, and a part for each reason that speaks for it. A reason's part is the same for all
that have it, so a rare reason weighs more. Divided by these probabilities, sums over the reviewed
calls are unbiased for all calls (Horvitz and Thompson 1952, JASA 47:663-685), and none has
probability 0.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RANDOM = "random"


@dataclass(frozen=True)
class Drawn:
    """One of the frame, by its place there. `reason` is the gravest one."""

    place: int
    probability: float
    reason: str
    order: float


def probabilities(
    reasons: Sequence[Mapping[str, str]], wanted: float, random_share: float
) -> list[float]:
    """The chance of each to be drawn; their sum is about `wanted`, and less where chances reach 1.

    Args:
        reasons: of each of the frame, what speaks for a look at it.
        wanted: how many are to be drawn.
        random_share: the part of `wanted` that all share alike.
    """
    counts = Counter(reason for each in reasons for reason in each)
    equal = wanted * (random_share if counts else 1.0) / max(len(reasons), 1)
    part = wanted * (1 - random_share) / max(len(counts), 1)
    return [min(1.0, equal + sum(part / counts[reason] for reason in each)) for each in reasons]


def draw(
    reasons: Sequence[Mapping[str, str]],
    wanted: float,
    random_share: float,
    rng: random.Random,
) -> list[Drawn]:
    """Those drawn, in an order that tells nothing of them: who stops early has a fair sample."""
    drawn = []
    chances = probabilities(reasons, wanted, random_share)
    for place, (probability, why) in enumerate(zip(chances, reasons, strict=True)):
        if rng.random() < probability:
            drawn.append(Drawn(place, probability, next(iter(why), RANDOM), rng.random()))
    return sorted(drawn, key=lambda each: each.order)
