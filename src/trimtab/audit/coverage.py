"""Do the rows look like the real inputs, and do late rows look like early ones?

A classifier two-sample test (Lopez-Paz and Oquab 2017): a learner that cannot tell two samples
apart better than chance has found no difference. Its p value is that of a permutation test in which
the whole learner is fitted anew for each relabelling, so it holds at any size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.audit.learn import Floats, auc, kernel, out_of_fold, vectors
from trimtab.audit.personal import mask_all
from trimtab.audit.subject import Severity, Subject, Table, finding, flagged_at, unmeasured
from trimtab.task.near import normalised
from trimtab.types import Finding, Flag

SAMPLE = 1_500
"""Texts of each side: enough to tell an AUC of 0.55 from 0.5, and a second or two of work."""

MIN_SAMPLE = 50
WARN_AUC, STOP_AUC = 0.6, 0.7
SIGNIFICANT = 0.05
PERMUTATIONS = 199

COMMON_KIND = 0.02
"""Kinds of input below this share of the traffic are not asked for."""

COVERED = 0.5
"""A kind of input counts as missing where its share of the rows is below this part of its share
of the traffic, and beyond chance."""

CHANCE_Z = 4.5
"""Standard errors that count as beyond chance. Independent inputs exceed them in one of 300,000
kinds; the margin is for real inputs, which come in batches."""

INPUTS_OF_CLUSTER = 4
"""Inputs are parted into the root of a quarter of their number: 27 clusters of 3,000. A kind of 8 %
of the traffic moves the AUC by 0.04 at most, so kinds are looked at besides."""

MOST_WORDS = 5
FARTHEST = 20
_LENGTH_WEIGHT = 0.1
_ROUNDS = 20
_SHOWN = 60
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class TwoSample:
    """How well a learner tells the first texts from the second. `similarity` is of all of them."""

    auc: float
    p_value: float
    similarity: Floats


def two_sample(first: Sequence[str], second: Sequence[str], seed: int) -> TwoSample:
    """Cross-validated AUC, and the share of random relabellings that reach it."""
    texts = [*first, *second]
    lengths = np.log1p(np.array([len(text) for text in texts], dtype=np.float32))
    lengths = (lengths - lengths.mean()) / (lengths.std() or 1)
    similarity = kernel(vectors(texts))
    rng = np.random.default_rng(seed)
    second_one = np.arange(len(texts)) >= len(first)
    relabelled = [second_one, *(rng.permutation(second_one) for _ in range(PERMUTATIONS))]
    labels = np.stack(relabelled, axis=1)
    both = similarity + _LENGTH_WEIGHT * np.outer(lengths, lengths)
    scores = out_of_fold(both.astype(np.float32), labels.astype(np.float32), rng)
    areas = auc(scores, labels)
    reached = int((areas[1:] >= areas[0]).sum())
    return TwoSample(float(areas[0]), (1 + reached) / (1 + PERMUTATIONS), similarity)


def coverage(subject: Subject, table: Table) -> Finding:
    """The rows against the sample of traffic; repeated inputs count once on both sides."""
    traffic = list({normalised(text): text for text in subject.traffic}.values())
    if not traffic:
        message = (
            "whether the rows cover the real inputs is unknown: collect a few hundred unlabelled "
            "inputs as they come in, at random and from all times and sources, one a line, and "
            "name the file in data.traffic_sample"
        )
        return unmeasured("coverage", message)
    places = table.sample(SAMPLE)
    if min(len(traffic), len(places)) < MIN_SAMPLE:
        message = (
            f"whether the rows cover the real inputs is unknown: {len(traffic)} distinct inputs "
            f"of traffic and {len(places)} rows are too few; {MIN_SAMPLE} of each are needed"
        )
        return unmeasured("coverage", message)
    rng = np.random.default_rng(subject.seed)
    if len(traffic) > SAMPLE:
        chosen = np.sort(rng.permutation(len(traffic))[:SAMPLE])
        traffic = [traffic[i] for i in chosen.tolist()]
    rows = [subject.rows[int(place)].input for place in places]
    test = two_sample(rows, traffic, subject.seed)
    kinds = [
        *_missing_clusters(test.similarity, len(rows), traffic, rng),
        *_missing_words(rows, traffic),
    ]
    severity = _severity(test)
    told = {"info": "no", "warn": "a clear", "stop": "a large"}[severity]
    message = (
        f"{told} difference between the rows and the traffic: a learner tells them apart with an "
        f"AUC of {test.auc:.2f} (chance 0.50, warning above {WARN_AUC}, stop above {STOP_AUC}; "
        f"permutation p {test.p_value:.3f})"
    )
    if kinds:
        severity = "stop" if severity == "stop" else "warn"
        shown = ", ".join(f"{kind.name} {kind.traffic:.0%} and {kind.rows:.0%}" for kind in kinds)
        message += f"; missing kinds, with their shares of traffic and of rows: {shown}"
    figures = {"auc": test.auc, "p_value": test.p_value, "traffic": float(len(traffic))}
    flags = _farthest(test.similarity, len(rows), subject.traffic, traffic)
    wanted = {kind.name: kind.to_label(len(table.distinct)) for kind in kinds}
    return finding("coverage", severity, message, flags, len(flags), figures, wanted)


def drift(subject: Subject, table: Table) -> Finding | None:
    """The later half of the rows against the earlier one, where rows carry a time."""
    places = table.distinct
    timed = places[~np.isnan(table.times[places])]
    if not len(timed):
        return None
    sample = np.intersect1d(timed, table.sample(2 * SAMPLE))
    if len(sample) < 2 * MIN_SAMPLE:
        message = f"drift over time not judged: {len(sample)} rows carry a time, too few"
        return unmeasured("drift", message)
    ordered = sample[np.argsort(table.times[sample], kind="stable")]
    early, late = ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]
    texts = [[subject.rows[int(place)].input for place in half] for half in (early, late)]
    test = two_sample(texts[0], texts[1], subject.seed)
    new = late[~np.isin(table.targets[late], table.targets[early])]
    drifting = test.p_value <= SIGNIFICANT and test.auc > WARN_AUC
    message = (
        f"late rows {'differ' if drifting else 'do not clearly differ'} from early ones "
        f"(AUC {test.auc:.2f}, permutation p {test.p_value:.3f})"
    )
    figures = {"auc": test.auc, "p_value": test.p_value}
    if subject.contract.kind != "label":
        new = new[:0]
    if len(new):
        labels, counts = np.unique(table.targets[new], return_counts=True)
        # A label of k rows has all of them in the later half by chance once in 2^k times.
        by_chance = min(1.0, len(np.unique(table.targets[sample])) * 0.5 ** int(counts.max()))
        figures |= {"new_labels": float(len(labels)), "new_labels_p": by_chance}
        message += (
            f"; {len(new):,} of the late ones have a label that no early one has "
            f"({len(labels)} such labels, p {by_chance:.3f})"
        )
    message += "; the test rows are drawn from all times, so the scores say nothing of the future"
    warn = drifting or len(new) > 0
    flags = flagged_at(subject, new, "a label that only late rows have")
    return finding("drift", "warn" if warn else "info", message, flags, len(new), figures)


def _severity(test: TwoSample) -> Severity:
    if test.p_value > SIGNIFICANT or test.auc <= WARN_AUC:
        return "info"
    return "stop" if test.auc > STOP_AUC else "warn"


@dataclass(frozen=True)
class _Kind:
    """A kind of input with its shares of the two sides."""

    name: str
    traffic: float
    rows: float

    def to_label(self, total: int) -> int:
        """How many rows of it would bring its share of the traffic to `total` rows and these; as
        many as there are where that is hardly possible."""
        gap = self.traffic - self.rows
        return round(gap * total / max(1 - self.traffic, gap)) or 1


def _missing(share: NDArray[np.float64], sizes: tuple[int, int]) -> NDArray[np.bool_]:
    """Kinds that are common in traffic and, beyond chance, rare in the rows.

    Args:
        share: of the rows and of the traffic, shape (2, kinds).
        sizes: numbers of rows and of traffic inputs.
    """
    data, real = share
    pooled = (data * sizes[0] + real * sizes[1]) / sum(sizes)
    error = np.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    beyond = (real - data) >= CHANCE_Z * error
    missing: NDArray[np.bool_] = beyond & (real >= COMMON_KIND) & (data < COVERED * real)
    return missing


def _missing_clusters(
    similarity: Floats, rows: int, traffic: Sequence[str], rng: np.random.Generator
) -> list[_Kind]:
    count = max(2, round((len(similarity) / INPUTS_OF_CLUSTER) ** 0.5))
    inside = np.eye(count)[clusters(similarity, count, rng)]
    share = np.stack([inside[:rows].mean(axis=0), inside[rows:].mean(axis=0)])
    found: list[_Kind] = []
    for each in np.flatnonzero(_missing(share, (rows, len(traffic)))).tolist():
        members = np.flatnonzero(inside[rows:, each])
        centre = similarity[np.ix_(rows + members, rows + members)].sum(axis=1).argmax()
        name = f"inputs like {_short(traffic[int(members[centre])])}"
        found.append(_Kind(name, float(share[1, each]), float(share[0, each])))
    return found


def _missing_words(rows: Sequence[str], traffic: Sequence[str]) -> list[_Kind]:
    """Words that mark missing kinds: the clearest one, then that of the inputs without it, ..."""
    sides = [[set(_WORD.findall(text.casefold())) for text in side] for side in (rows, traffic)]
    found: list[_Kind] = []
    while len(found) < MOST_WORDS and all(sides):
        counts = [Counter(word for words in side for word in words) for side in sides]
        words = [word for word, n in counts[1].items() if n >= COMMON_KIND * len(sides[1])]
        if not words:
            break
        sizes = len(sides[0]), len(sides[1])
        share = np.array([[c[w] / n for w in words] for c, n in zip(counts, sizes, strict=True)])
        gap = np.where(_missing(share, sizes), share[1] - share[0], 0)
        if not gap.any():
            break
        word = words[int(gap.argmax())]
        real, data = (
            sum(word in words for words in side) / whole
            for side, whole in ((sides[1], len(traffic)), (sides[0], len(rows)))
        )
        found.append(_Kind(f"inputs with the word {mask_all(word)!r}", real, data))
        sides = [[words for words in side if word not in words] for side in sides]
    return found


def clusters(similarity: Floats, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Spherical k-means on a kernel: number of the cluster of each item.

    Sources: Dhillon and Modha (2001), Concept Decompositions for Large Sparse Text Data; Arthur
    and Vassilvitskii (2007), k-means++, for the first centres.
    """
    centres = [int(rng.integers(len(similarity)))]
    while len(centres) < count:
        distance = np.maximum(1 - similarity[centres].max(axis=0), 1e-9).astype(np.float64)
        centres.append(int(rng.choice(len(similarity), p=distance / distance.sum())))
    cluster: NDArray[np.intp] = similarity[:, centres].argmax(axis=1)
    for _ in range(_ROUNDS):
        inside = np.eye(count, dtype=np.float32)[cluster]
        sums = similarity @ inside
        lengths = np.sqrt(np.maximum((inside * sums).sum(axis=0), 1e-9))
        moved = (sums / lengths).argmax(axis=1)
        if (moved == cluster).all():
            break
        cluster = moved
    return cluster


def _farthest(
    similarity: Floats, rows: int, sample: Sequence[str], traffic: Sequence[str]
) -> list[Flag]:
    nearest = similarity[rows:, :rows].max(axis=1)
    number = {text: place for place, text in reversed(list(enumerate(sample, 1)))}
    return [
        Flag(
            row=f"traffic:{number[traffic[i]]}",
            why=f"no row is like {_short(traffic[i])} (highest similarity {nearest[i]:.2f})",
        )
        for i in np.argsort(nearest, kind="stable")[:FARTHEST].tolist()
    ]


def _short(text: str) -> str:
    masked = " ".join(mask_all(text).split())
    return f"{masked[:_SHOWN]!r}" + ("…" if len(masked) > _SHOWN else "")
