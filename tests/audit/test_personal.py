from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.audit.personal import find, luhn, mask_all, masked


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("e-mail", "jane.o'neil+news@mail.example.co.uk"),
        ("e-mail", "björn@müller.example"),
        ("phone number", "+1 (415) 555-0132"),
        ("phone number", "+49 30 901820"),
        ("phone number", "020 7946 0958"),
        ("phone number", "415-555-0132"),
        ("payment card", "4111 1111 1111 1111"),
        ("payment card", "378282246310005"),
        ("IBAN", "DE89 3704 0044 0532 0130 00"),
        ("IBAN", "GB82WEST12345698765432"),
        ("US social security number", "078-05-1120"),
        ("UK national insurance number", "AB 12 34 56 C"),
        ("Spanish DNI or NIE", "12345678Z"),
        ("Brazilian CPF", "529.982.247-25"),
        ("French social security number", "2 55 08 14 168 025 38"),
        ("Italian tax code", "RSSMRA85T10A562S"),
    ],
)
@pytest.mark.parametrize("frame", ["{}", "Please use {}, thanks.", "({})", "id:{};"])
def test_what_is_personal_is_found_whole(kind, value, frame):
    text = frame.format(value)
    (hit,) = find(text)
    assert (hit.kind, text[hit.start : hit.end]) == (kind, value)


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112 fails its check digit",
        "DE88 3704 1144 1532 1130 11 fails its check",
        "529.982.247-26 and 12345678A and 666-12-3456 fail theirs",
        "order 20260131-4711, version 10.12.3, 2026-01-31 09:30:00",
        "room 1234567890123456789012345",
        "12 Main St, Springfield, IL 62704-1234",
        "1,234,567.89 USD for 3 x 250",
        "@home and a@b and user@localhost",
        "0000000000",
        "192.168.100.200",
    ],
)
def test_other_numbers_are_none(text):
    assert list(find(text)) == []


def test_no_value_is_shown():
    assert masked("4111 1111 1111 1111") == "**** **** **** **11"
    assert masked("jo@ex.com") == "**@**.*om"
    text = "write to jane@example.com or call 415-555-0132 today"
    hidden = mask_all(text)
    assert hidden == "write to ****@*******.*om or call ***-***-**32 today"


@given(st.text(max_size=80))
def test_masking_keeps_the_length_and_hits_never_overlap(text):
    assert len(mask_all(text)) == len(text)
    spans = sorted((hit.start, hit.end) for hit in find(text))
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@given(st.integers(0, 10**15))
def test_exactly_one_check_digit_holds(number):
    assert sum(luhn(f"{number}{digit}") for digit in range(10)) == 1
