import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.prompt.nearest import NearestPool
from trimtab.task.tfidf import TfIdf

from .factories import row

ROWS = [row(text) for text in ("12 Main Street Ames", "PO Box 7 Boone", "99 Oak Avenue", "Zürich")]


def inputs(examples):
    return [example.input for example in examples]


def test_the_most_similar_row_comes_last():
    found = inputs(NearestPool(ROWS).nearest("15 Main St, Ames", 2))
    assert found[-1] == "12 Main Street Ames"
    assert len(found) == 2


def test_similarity_sees_parts_of_words_and_ignores_case():
    pool = NearestPool(ROWS)
    assert inputs(pool.nearest("AVENUES", 1)) == ["99 Oak Avenue"]
    assert inputs(pool.nearest("ZÜRICHER", 1)) == ["Zürich"]


def test_similarity_is_the_cosine_of_tfidf_by_hand():
    tfidf, vectors = TfIdf.fit(["a b", "a c"])
    dense = vectors.toarray()
    # Each one-letter word has four features: itself, and " a", "a ", " a " with its edges.
    shared, own = 4 * 1.0**2, 4 * (np.log(3 / 2) + 1) ** 2
    assert dense[0] @ dense[1] == pytest.approx(shared / (shared + own), rel=1e-5)
    assert np.linalg.norm(tfidf.transform("a x y").toarray()) == pytest.approx(1, rel=1e-5)


def test_rows_with_the_excluded_input_are_passed_over():
    twins = [row("12  MAIN street Ames", "company"), *ROWS]
    found = inputs(NearestPool(twins).nearest("12 Main Street Ames", 5, "12 Main Street Ames"))
    assert sorted(found) == sorted(inputs(ROWS[1:]))


@pytest.mark.parametrize("text", ["", " ", "qqq", "\ud800", "🦊", "\x00"])
def test_a_text_like_no_row_gets_the_same_rows_each_time(text):
    found = NearestPool(ROWS).nearest(text, 3)
    assert len(found) == 3
    assert found == NearestPool(ROWS[::-1]).nearest(text, 3)


def test_a_pool_gives_what_it_has():
    assert NearestPool([]).nearest("x", 3) == ()
    assert len(NearestPool(ROWS).nearest("x", 9)) == len(ROWS)
    assert NearestPool(ROWS).nearest("x", 0) == ()
    assert NearestPool(ROWS[:1]).nearest("x", 1, ROWS[0].input) == ()


@settings(max_examples=30)
@given(st.lists(st.text("ab c", max_size=8), unique=True, max_size=12), st.text("abc ", max_size=8))
def test_order_of_rows_does_not_matter_and_results_agree_with_all_pairs(texts, query):
    rows = [row(text) for text in texts]
    found = NearestPool(rows).nearest(query, 3)
    mixed = random.Random(1).sample(rows, len(rows))
    assert NearestPool(mixed).nearest(query, 3) == found
    if rows:
        tfidf, vectors = TfIdf.fit(texts)
        similarity = (vectors @ tfidf.transform(query).T).toarray()[:, 0]
        by_input = dict(zip(texts, similarity, strict=True))
        got = [by_input[example.input] for example in found]
        assert got == pytest.approx(sorted(similarity)[-3:], abs=1e-5)


def test_building_grows_linearly_with_the_rows():
    words = [f"{random.Random(i).getrandbits(24):x}" for i in range(500)]

    def seconds(n):
        generator = random.Random(n)
        rows = [row(" ".join(generator.choices(words, k=6)) + f" {i}") for i in range(n)]
        start = time.process_time()
        NearestPool(rows)
        return time.process_time() - start

    seconds(500)
    assert seconds(8_000) < 8 * max(seconds(2_000), 0.02)
