"""Domain language, general knowledge and the ends of an input, in words."""

import pytest

from trimtab.report import gains, values

from . import decisions


def test_domain_language_is_told_with_its_share():
    told = gains.language_told(decisions.language()).replace(values.SPACE, " ")
    assert "0.97 bits on a byte of the task's inputs and 0.90 on a byte of general text" in told
    assert (
        "Tokens to a word: 2.4 in the inputs, 1.9 in the targets and 1.3 in general text." in told
    )
    assert told.endswith("the fine-tune saves all.")
    part = decisions.language().model_copy(update={"closed": 0.42})
    assert "saves 42" in gains.language_told(part)
    easy = decisions.language().model_copy(update={"closed": None, "tokens_per_word": {}})
    assert "saves" not in gains.language_told(easy)


def test_knowledge_is_told_as_far_as_it_is_known():
    told = gains.knowledge_told(decisions.knowledge()).replace(values.SPACE, " ")
    assert "mostly what the input does not: 0.04 [0.02, 0.06]" in told
    assert "scores 0.06 [0.01, 0.11] on dev, and 0.00 (interval undefined) on such rows." in told
    nothing = decisions.knowledge().model_copy(
        update={"beyond_input": None, "closed_book": None, "closed_book_beyond": None}
    )
    assert gains.knowledge_told(nothing) == ""


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        ("money", "1.00 to 2.00 USD"),
        ("calls", "1 to 2"),
        ("difference", "+1.00 to +2.00"),
        ("months", "1.0 to 2.0 months"),
        ("factor", "1.00 to 2.00 times"),
    ],
)
def test_ends_of_an_input_carry_their_unit(unit, told):
    swing = decisions.money().tornado[0].model_copy(update={"unit": unit, "low": 1, "high": 2})
    assert gains.ends(swing, "USD") == told
