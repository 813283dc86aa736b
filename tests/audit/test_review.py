import pytest

from trimtab.audit.review import krippendorff

from .subjects import balanced, example, run


def test_alpha_of_a_worked_example():
    """Krippendorff (2011), section C: nominal data, two observers, twelve units, alpha 0.692."""
    first = ["a", "a", "b", "b", "d", "c", "c", "c", "e", "d", "d", "a"]
    second = ["b", "a", "b", "b", "b", "c", "c", "c", "e", "d", "d", "d"]
    units = [[ord(a), ord(b)] for a, b in zip(first, second, strict=True)]
    assert krippendorff(units) == pytest.approx(0.692, abs=0.001)


def test_alpha_is_undefined_where_all_say_the_same():
    assert krippendorff([[1, 1], [1, 1]]) is None
    assert krippendorff([[1, 2], [1, 2]]) < 0
    assert krippendorff([[1, 1], [2, 2], [3]]) == 1


def twice_labelled(n: int, wrong: int):
    rows = balanced(40)
    for i in range(n):
        right = "ab"[i % 2]
        rows.append(example(f"question {i}", right, approved_by="ann"))
        other = "ba"[i % 2] if i < wrong else right
        rows.append(example(f"question {i}", other, approved_by="ben"))
    return rows


def test_agreement_between_reviewers():
    found = run(twice_labelled(40, 10))["reviewer-agreement"]
    assert found.severity == "warn"
    assert found.figures["alpha"] == pytest.approx(1 - 79 * 20 / (2 * 40 * 40), abs=1e-9)
    assert found.count == 20
    assert found.figures["low"] < found.figures["alpha"] < found.figures["high"]
    assert run(twice_labelled(40, 1))["reviewer-agreement"].severity == "info"


def test_agreement_is_unknown_from_few_inputs_or_one_reviewer():
    assert not run(twice_labelled(19, 5))["reviewer-agreement"].measured
    alone = [row.model_copy(update={"approved_by": "ann"}) for row in twice_labelled(40, 10)]
    assert not run(alone)["reviewer-agreement"].measured
