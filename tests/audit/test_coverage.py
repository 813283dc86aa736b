import random

import numpy as np
import pytest

from trimtab.audit.coverage import clusters, two_sample
from trimtab.audit.learn import auc, kernel, out_of_fold, vectors

from .subjects import balanced, example, run

TOPICS = {
    "card": "my card was declined at the shop and the payment failed again",
    "parcel": "the parcel arrived late broken wet and the courier never called",
    "login": "cannot log in because the password reset mail does not arrive",
}


def inputs(topic: str, n: int, seed: int) -> list[str]:
    rng = random.Random(f"{topic} {seed}")
    words = TOPICS[topic].split()
    return [f"{' '.join(rng.sample(words, 6))} {rng.randrange(10**6)}" for _ in range(n)]


def data(*topics: str, n: int = 100, seed: int = 0):
    texts = [text for topic in topics for text in inputs(topic, n, seed)]
    return [example(text, "ab"[i % 2]) for i, text in enumerate(texts)]


def test_without_a_sample_it_says_what_to_collect():
    found = run(balanced(60))["coverage"]
    assert not found.measured
    assert "data.traffic_sample" in found.message


def test_too_small_a_sample_is_no_answer():
    assert not run(balanced(60), traffic=["one", "two"])["coverage"].measured


def test_rows_like_the_traffic_pass():
    traffic = [text for topic in TOPICS for text in inputs(topic, 60, seed=1)]
    found = run(data(*TOPICS, n=60), traffic=traffic)["coverage"]
    assert found.severity == "info"
    assert found.figures["auc"] < 0.6
    assert found.collect == {}


def test_a_missing_kind_of_input_is_named_and_asked_for():
    traffic = [text for topic in TOPICS for text in inputs(topic, 60, seed=1)]
    found = run(data("card", "parcel", n=90), traffic=traffic)["coverage"]
    assert found.severity == "warn"
    assert found.figures["p_value"] == pytest.approx(1 / 200)
    kinds = [kind.split("'")[1].split() for kind in found.collect]
    assert all(set(words[:6]) <= set(TOPICS["login"].split()) for words in kinds)
    assert any(len(words) == 1 for words in kinds)
    assert any(len(words) > 1 for words in kinds)
    assert all(0 < count <= 180 for count in found.collect.values())
    assert all("password" in f.why or "log" in f.why or "mail" in f.why for f in found.flags[:5])


def test_data_of_another_world_stops():
    found = run(data("card"), traffic=inputs("parcel", 100, seed=1))["coverage"]
    assert found.severity == "stop"
    assert found.figures["auc"] > 0.9


def test_repeated_inputs_of_traffic_count_once():
    traffic = inputs("card", 100, seed=1)
    often = [*traffic, *traffic[:1] * 1000]
    assert run(data("card"), traffic=often)["coverage"].severity == "info"


def test_the_p_value_is_uniform_where_there_is_no_difference():
    """A test at 5 % that fires in more than 5 % of calm cases would cry wolf."""
    values = []
    for seed in range(40):
        texts = inputs("card", 120, seed)
        values.append(two_sample(texts[:60], texts[60:], seed).p_value)
    assert sum(value <= 0.05 for value in values) <= 6  # 99 % quantile of Binomial(40, 0.05)
    assert 0.3 < np.mean(values) < 0.7


def test_auc_against_its_definition():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, size=(30, 2)).astype(np.float32)
    positive = rng.random((30, 2)) < 0.4
    for column, found in enumerate(auc(scores, positive)):
        yes, no = scores[positive[:, column], column], scores[~positive[:, column], column]
        wins = (yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean()
        assert found == pytest.approx(wins)


def test_no_row_is_judged_by_itself():
    """Labels that nothing explains cannot be predicted: each row's own label is not seen."""
    rng = np.random.default_rng(1)
    similarity = kernel(vectors([f"{rng.integers(10**9)}" for _ in range(200)]))
    labels = rng.integers(0, 2, size=(200, 1)).astype(np.float32)
    scores = out_of_fold(similarity, labels, rng)
    assert 0.35 < auc(scores, labels == 1)[0] < 0.65


def test_clusters_part_what_is_apart():
    texts = [text for topic in TOPICS for text in inputs(topic, 30, seed=2)]
    found = clusters(kernel(vectors(texts)), 3, np.random.default_rng(0))
    assert [len(set(found[i : i + 30])) for i in (0, 30, 60)] == [1, 1, 1]
    assert len(set(found)) == 3


def timed(topics, start: int):
    return [
        example(row.input, row.target, time=f"2026-{start + i % 3:02d}-01T00:00:00Z")
        for i, row in enumerate(data(*topics, n=60, seed=start))
    ]


def test_drift_between_early_and_late_rows():
    calm = run([*timed(("card", "parcel"), 1), *timed(("card", "parcel"), 6)])["drift"]
    assert calm.severity == "info"
    moved = run([*timed(("card", "parcel"), 1), *timed(("card", "login"), 6)])["drift"]
    assert moved.severity == "warn"
    assert "drift" not in run(balanced(60))


def test_a_label_that_only_late_rows_have():
    early = [row.model_copy(update={"target": "a"}) for row in timed(("card",), 1)]
    late = timed(("card",), 6)
    found = run([*early, *late])["drift"]
    assert found.severity == "warn"
    assert "label that no early one has" in found.message
