"""Two windows of traffic: do their inputs differ, do their answers?

Permutation tests, exact at any size. A window is tested once, at its share of the chance of a false
alarm in half a year, so that all windows together keep to it however they depend on each other.
What is significant but small raises no alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.audit.coverage import WARN_AUC
from trimtab.audit.learn import auc, kernel, out_of_fold, vectors
from trimtab.compare.bounds import Array
from trimtab.store.watching import Reading
from trimtab.types import OutputContract
from trimtab.watch.bets import HALF_YEAR_DAYS

ALPHA_INPUTS = 0.003
ALPHA_MIX = 0.003
"""Chances of a false alarm in half a year. Calls are many, so little of it is enough."""

SAMPLE = 200
"""Distinct inputs of each window that the learner looks at: enough to tell an AUC of 0.6 from
0.5."""

MOVED = 0.1
"""Share of the answers that must have moved to another kind for an alarm (total variation)."""

_FIRST = 199
"""Relabellings after which a test ends where one of them reached what was seen: no alarm could
come of it."""
_AT_ONCE = 2_000
_LENGTH_WEIGHT = 0.1
_MOST_KINDS = 50
OTHER = "(other)"


@dataclass(frozen=True)
class Permuted:
    """What was seen, and the share of relabellings that reach it, what was seen included."""

    seen: float
    p_value: float


def window_alpha(alpha: float, window_days: float) -> float:
    """The part of `alpha`, of half a year, that one window may use up."""
    return alpha * min(1.0, window_days / HALF_YEAR_DAYS)


def input_drift(
    before: Sequence[str], now: Sequence[str], window_days: float, seed: int
) -> Reading:
    """A learner tries to tell the inputs of both windows apart, as in the audit."""
    rng = np.random.default_rng(seed)
    first, second = (_sample(texts, rng) for texts in (before, now))
    alpha = window_alpha(ALPHA_INPUTS, window_days)
    found = _permuted(_learner([*first, *second], len(first), seed), alpha)
    moved = found.p_value <= alpha and found.seen > WARN_AUC
    told = "differ" if moved else "do not clearly differ"
    return Reading(
        kind="input-drift",
        state="alarm" if moved else "quiet",
        message=f"inputs {told} from the first window's: a learner tells them apart with an AUC of "
        f"{found.seen:.2f} (alarm above {WARN_AUC} at p {alpha:.5f}; p {found.p_value:.5f})",
        figures={"auc": found.seen, "p_value": found.p_value},
    )


def output_mix(
    before: Mapping[str, int], now: Mapping[str, int], window_days: float, seed: int
) -> Reading:
    """The kinds of valid answers in both windows: labels, filled fields or lengths."""
    kinds = sorted(before.keys() | now.keys())
    counts = np.array([[side.get(kind, 0) for kind in kinds] for side in (before, now)])
    sizes = counts.sum(axis=1)
    if not sizes.all():
        message = "a window holds no valid answer, so the mix of answers cannot be compared"
        return Reading(kind="output-mix", state="unknown", message=message)
    shares = counts / sizes[:, None]
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    alpha = window_alpha(ALPHA_MIX, window_days)
    found = _permuted(_tables(counts, seed), alpha)
    moved = found.p_value <= alpha and distance > MOVED
    most = kinds[int(np.abs(shares[0] - shares[1]).argmax())]
    was, is_ = shares[:, kinds.index(most)]
    return Reading(
        kind="output-mix",
        state="alarm" if moved else "quiet",
        message=f"{distance:.0%} of the answers moved to another kind (alarm above {MOVED:.0%} at "
        f"p {alpha:.5f}; p {found.p_value:.5f}); most: {most[:60]!r} from {was:.0%} to {is_:.0%}",
        figures={"moved": distance, "p_value": found.p_value},
    )


def kind_of_answer(contract: OutputContract, text: str, value: object) -> str:
    """A valid answer's kind for `output_mix`: its label, its filled fields, or its length."""
    if contract.kind == "label":
        return text.strip()
    if contract.kind == "json" and isinstance(value, dict):
        fields = contract.json_schema.get("properties")
        known = fields if isinstance(fields, dict) else {}
        filled = {key for key, each in value.items() if each not in (None, "", [])}
        # Names that a model made up may hold anything, and an alarm is sent elsewhere.
        return ",".join(sorted(key if key in known else OTHER for key in filled))
    return f"{2 ** len(text).bit_length() // 2} characters or more"


def mix(kinds: Counter[str]) -> dict[str, int]:
    """The most common kinds; the others together."""
    common = dict(kinds.most_common(_MOST_KINDS))
    rest = kinds.total() - sum(common.values())
    return common | ({OTHER: rest} if rest else {})


def _sample(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    chosen = np.sort(rng.permutation(len(texts))[:SAMPLE])
    return [texts[i] for i in chosen.tolist()]


_Draw = Callable[[int], tuple[float, Array]]
"""From a number to the statistic that was seen and that of so many new relabellings."""


def _permuted(draw: _Draw, alpha: float) -> Permuted:
    """The test; it ends early where p can no longer be as small as `alpha`.

    The p value of a test that ends early is still valid (Besag & Clifford 1991, Biometrika 78).
    """
    wanted = int(np.ceil(1 / alpha))  # so that 1 / (1 + wanted) lies below alpha
    reached = done = 0
    size, seen = _FIRST, 0.0
    while done < wanted and not reached:
        seen, drawn = draw(min(size, wanted - done))
        reached += int((drawn >= seen - 1e-12).sum())
        done += len(drawn)
        size = _AT_ONCE
    return Permuted(seen, (1 + reached) / (1 + done))


def _learner(texts: Sequence[str], first: int, seed: int) -> _Draw:
    lengths = np.log1p(np.array([len(text) for text in texts], dtype=np.float32))
    lengths = (lengths - lengths.mean()) / (lengths.std() or 1)
    similarity = kernel(vectors(texts)) + _LENGTH_WEIGHT * np.outer(lengths, lengths)
    truth = np.arange(len(texts)) >= first
    rng = np.random.default_rng(seed + 1)

    def draw(count: int) -> tuple[float, Array]:
        labels = np.stack([truth, *(rng.permutation(truth) for _ in range(count))], axis=1)
        folds = np.random.default_rng(seed)  # the same each time, so that all draws compare
        scores = out_of_fold(similarity.astype(np.float32), labels.astype(np.float32), folds)
        areas = auc(scores, labels)
        return float(areas[0]), areas[1:]

    return draw


def _tables(counts: Array, seed: int) -> _Draw:
    """Pearson's statistic of tables with the same sums."""
    totals, size = counts.sum(axis=0), int(counts[1].sum())
    expected = totals * size / totals.sum()
    rng = np.random.default_rng(seed)

    def statistic(second: Array) -> Array:
        return np.asarray(((second - expected) ** 2 / expected).sum(axis=-1), dtype=np.float64)

    def draw(count: int) -> tuple[float, Array]:
        drawn = rng.multivariate_hypergeometric(totals, size, count, method="marginals")
        return float(statistic(counts[1].astype(np.float64))), statistic(drawn.astype(np.float64))

    return draw
