import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.report import values
from trimtab.types import Interval

ANY = st.sampled_from((None, math.nan, math.inf, -math.inf)) | st.floats(-1e12, 1e12)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def interval(estimate: float | None, low: float | None, high: float | None) -> Interval:
    return Interval(estimate=estimate, low=low, high=high, n=50, method="Wilson")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.614, "0.61"),
        (0.0, "0.00"),
        (1.0, "1.00"),
        (0.998, "0.998"),
        (0.9996, "0.9996"),
        (0.0004, "0.0004"),
        (-0.123, "−0.12"),
        (None, "not measured"),
        (math.nan, "not measured"),
        (math.inf, "not measured"),
    ],
)
def test_score(value, expected):
    assert values.score(value) == expected


@given(st.floats(min_value=1e-5, max_value=1 - 1e-5))
def test_a_score_between_0_and_1_never_reads_as_either(value):
    assert 0.0 < float(values.score(value)) < 1.0


@given(ANY)
def test_nothing_unmeasured_reads_as_a_number(value):
    forms = (
        values.score,
        values.difference,
        values.percent,
        values.p_value,
        values.count,
        values.tokens,
        values.seconds,
        lambda v: values.money(v, "USD"),
    )
    measured = value is not None and math.isfinite(value)
    for form in forms:
        text = form(value)
        assert any(character.isdigit() for character in text) == measured, text


@pytest.mark.parametrize(
    ("value", "expected"), [(0.17, "+0.17"), (-0.17, "−0.17"), (0.0, "0.00"), (0.0031, "+0.003")]
)
def test_difference_shows_its_sign(value, expected):
    assert values.difference(value) == expected


def test_interval():
    assert plain(values.interval(interval(0.61, 0.57, 0.65))) == "0.61 [0.57, 0.65]"
    assert plain(values.interval(interval(0.1, -0.02, 0.3), signed=True)) == "+0.10 [−0.02, +0.30]"


def test_undefined_bounds_are_said_and_not_faked():
    assert values.interval(interval(0.61, None, None)) == "0.61 (interval undefined)"
    assert values.interval(interval(None, None, None)) == "not measured"
    assert values.interval(None) == "not measured"
    money = interval(3.2, None, None)
    assert plain(values.money_interval(money, "EUR")) == "EUR 3.20 (interval undefined)"


def test_a_bound_that_is_known_is_told_without_the_other():
    assert plain(values.interval(interval(0.61, 0.57, None))) == "0.61 [0.57, unknown]"
    assert plain(values.interval(interval(0.1, None, 0.3), signed=True)) == "+0.10 [unknown, +0.30]"
    assert plain(values.money_interval(interval(3, 2, None), "EUR")) == "EUR 3.00 [2.00, unknown]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.971, "97 %"), (1.0, "> 99 %"), (0.0, "< 1 %"), (0.999, "> 99 %"), (0.5, "50 %")],
)
def test_a_probability_is_never_certain(value, expected):
    assert plain(values.percent(value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (1234.0, "1,234"), (79_861.1, "79,900"), (300_000.0, "300,000"), (-5, "−5")],
)
def test_count(value, expected):
    assert values.count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0042, "USD 0.0042"),
        (0.118, "USD 0.12"),
        (3.2, "USD 3.20"),
        (1240.4, "USD 1,240"),
        (0.0, "USD 0"),
        (-19.02, "USD −19.02"),
    ],
)
def test_money(value, expected):
    assert plain(values.money(value, "USD")) == expected


def test_money_without_a_known_currency_is_a_bare_number():
    assert values.money(3.2, "") == "3.20"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0 s"),
        (0.0042, "4.2 ms"),
        (0.058, "58 ms"),
        (0.614, "0.61 s"),
        (58.0, "58 s"),
        (900.0, "15 min"),
        (905.0, "15.1 min"),
        (9000.0, "2.5 h"),
    ],
)
def test_seconds(value, expected):
    assert plain(values.seconds(value)) == expected


def test_p_value():
    assert plain(values.p_value(0.00012)) == "p < 0.001"
    assert plain(values.p_value(0.0131)) == "p = 0.013"


@given(st.text())
def test_visible_leaves_no_control_or_override_character(text):
    shown = values.visible(text)
    assert not set(shown) & {"\x1b", "\x00", "\x07", "\r", "\x9b", "\u202e", "\u2066", "\u200b"}
    if text.isascii() and text.isprintable():
        assert shown == text


def test_visible_shows_an_escape_sequence():
    assert values.visible("a\x1b[2Jb\u202ec\ud800") == "a\\u{1b}[2Jb\\u{202e}c\\u{d800}"


def test_shorten_says_how_much_is_missing():
    assert values.shorten("abc", 3) == "abc"
    assert values.shorten("x" * 2005, 800) == "x" * 800 + "… (1,205 more characters)"
