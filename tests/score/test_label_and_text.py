import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DataError
from trimtab.score import label, text
from trimtab.types import OutputContract

NAMES = label.from_contract(OutputContract(kind="label", labels=("person", "company")))
TEXT = text.from_contract(OutputContract(kind="text"))


@pytest.mark.parametrize(
    ("answer", "valid", "accuracy"),
    [
        ("person", True, 1),
        (" person\n", True, 1),
        ("company", True, 0),
        ("Person", False, 0),
        ("person.", False, 0),
        ("The answer is person", False, 0),
        ("person company", False, 0),
        ("", False, 0),
    ],
)
def test_a_label_is_taken_as_it_is(answer, valid, accuracy):
    scored = NAMES(answer, "person")
    assert (scored.valid, scored.metrics) == (valid, {"accuracy": accuracy})
    assert (scored.problem is None) == valid


def test_a_target_outside_the_contract_is_an_error_of_the_data():
    with pytest.raises(DataError, match="'robot'"):
        NAMES("person", "robot")


@pytest.mark.parametrize(
    ("answer", "exact", "normalized"),
    [
        ("Straße", 1, 1),
        ("  Straße\n", 1, 1),
        ("STRASSE", 0, 1),
        ("“Straße”.", 0, 1),
        ("Straße !", 0, 1),
        ("Stra ße", 0, 0),
        ("Strase", 0, 0),
    ],
)
def test_text_with_known_answers(answer, exact, normalized):
    assert TEXT(answer, "Straße").metrics == {"exact": exact, "normalized_exact": normalized}


@pytest.mark.parametrize(
    ("one", "other"), [("-5", "5"), (".5", "5"), ("$5", "5"), ("(5)", "5"), ("?", "!"), ("C#", "C")]
)
def test_punctuation_that_carries_meaning_is_kept(one, other):
    assert text.normalized(one) != text.normalized(other)


def test_composed_and_decomposed_letters_are_the_same_text():
    assert text.normalized("Cafe\u0301") == text.normalized("CAF\u00c9")


@given(st.text())
def test_normalizing_is_idempotent(value):
    assert text.normalized(text.normalized(value)) == text.normalized(value)


@given(st.text(min_size=1).filter(str.strip))
def test_a_text_equals_itself(value):
    assert TEXT(value, value).metrics == {"exact": 1, "normalized_exact": 1}
