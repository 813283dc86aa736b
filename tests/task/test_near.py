import random

from hypothesis import given
from hypothesis import strategies as st

from trimtab.task.near import (
    MIN_CHARACTERS,
    jaccard,
    near_duplicate_clusters,
    normalised,
    shingles,
)

LONG = "the parcel arrived broken and nobody answers the telephone since monday morning"


def together(texts: list[str]) -> set[frozenset[str]]:
    groups: dict[int, set[str]] = {}
    for text, cluster in zip(texts, near_duplicate_clusters(texts), strict=True):
        groups.setdefault(cluster, set()).add(text)
    return {frozenset(group) for group in groups.values()}


def test_case_and_space_do_not_matter():
    assert near_duplicate_clusters(["Ab  c", "x", "aB C "]) == [0, 1, 0]


def test_long_texts_cluster_when_nearly_equal():
    a, b, c = near_duplicate_clusters([LONG, LONG.replace("monday", "tuesday"), LONG[::-1]])
    assert a == b != c


def test_short_texts_are_duplicates_only_where_equal():
    short = "4 Elm St, Boise, ID"
    assert len(short) < MIN_CHARACTERS
    assert near_duplicate_clusters([short, short.replace("4", "5")]) == [0, 1]


def test_nearness_is_passed_on_along_a_chain():
    words = [f"word{i:03d}" for i in range(60)]
    texts = [" ".join(words[k : k + 40]) for k in (0, 3, 6, 9)]
    assert jaccard(shingles(texts[0]), shingles(texts[3])) < 0.8
    assert len(set(near_duplicate_clusters(texts))) == 1


def test_empty_input():
    assert near_duplicate_clusters([]) == []
    assert near_duplicate_clusters(["", " "]) == [0, 0]


def test_all_near_pairs_are_found_and_no_other():
    """Against the quadratic definition, on texts around the threshold."""
    rng = random.Random(3)
    words = [f"w{i}x{i * i}" for i in range(400)]
    texts = []
    for _ in range(60):
        base = rng.choices(words, k=30)
        for changes in range(4):
            copy = list(base)
            for place in rng.sample(range(30), changes):
                copy[place] = rng.choice(words)
            texts.append(" ".join(copy))
    sets = [shingles(normalised(text)) for text in texts]
    parent = list(range(len(texts)))
    for i in range(len(texts)):
        for j in range(i):
            if jaccard(sets[i], sets[j]) >= 0.8:
                old, new = parent[i], parent[j]
                parent = [new if p == old else p for p in parent]
    expected: dict[int, set[str]] = {}
    for text, root in zip(texts, parent, strict=True):
        expected.setdefault(root, set()).add(text)
    assert together(texts) == {frozenset(group) for group in expected.values()}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60)), st.randoms())
def test_order_does_not_matter_and_equals_stay_together(texts, rng):
    shuffled = list(texts)
    rng.shuffle(shuffled)
    assert together(texts) == together(shuffled)
    clusters = near_duplicate_clusters(texts)
    seen: dict[str, int] = {}
    for text, cluster in zip(texts, clusters, strict=True):
        assert seen.setdefault(normalised(text), cluster) == cluster
