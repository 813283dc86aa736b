"""Finds personal data in a text, and masks it.

A pattern proposes; where the kind has a checksum, the checksum decides. Nothing here tells names
or addresses of people: for those a text must be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_VISIBLE = 2
"""How many characters at the end of a value stay readable, so that its owner can find it."""


class Hit(NamedTuple):
    kind: str
    start: int
    end: int


class _Pattern(NamedTuple):
    kind: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]


def find(text: str) -> Iterator[Hit]:
    """Personal data in `text`, in the order of the kinds; no two hits overlap."""
    if not ("@" in text or _DIGIT.search(text)) or not _MAYBE.search(text):
        return
    taken: list[tuple[int, int]] = []
    for kind, pattern, holds in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if holds(match[0]) and all(end <= a or start >= b for a, b in taken):
                taken.append((start, end))
                yield Hit(kind, start, end)


def masked(value: str) -> str:
    """`value` with every letter and digit but the last two as a star."""
    shown = [place for place, character in enumerate(value) if character.isalnum()][-_VISIBLE:]
    return "".join(
        character if place in shown or not character.isalnum() else "*"
        for place, character in enumerate(value)
    )


def mask_all(text: str) -> str:
    """`text` with all personal data in it masked."""
    for hit in find(text):
        text = text[: hit.start] + masked(text[hit.start : hit.end]) + text[hit.end :]
    return text


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _digits(value: str) -> str:
    return re.sub(r"\D", "", value)


def _is_card(value: str) -> bool:
    digits = _digits(value)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits)


def _is_iban(value: str) -> bool:
    """The remainder 1 modulo 97 (ISO 13616, ISO 7064)."""
    iban = re.sub(r"[ -]", "", value).upper()
    return int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


def _is_phone(value: str) -> bool:
    digits = _digits(value)
    return 9 <= len(digits) <= 15 and len(set(digits)) > 2 and not _ZIP.fullmatch(value)


def _is_ssn(value: str) -> bool:
    """Areas and groups that the US Social Security Administration never issues are none."""
    area, group, serial = re.split(r"[- ]", value)
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def _is_dni(value: str) -> bool:
    number = value.upper().replace("-", "")
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1]


def _is_nir(value: str) -> bool:
    number = re.sub(r"\s", "", value)
    return (97 - int(number[:13]) % 97) == int(number[13:])


def _is_cpf(value: str) -> bool:
    digits = [int(digit) for digit in _digits(value)]
    for length in (9, 10):
        total = sum(d * w for d, w in zip(digits, range(length + 1, 1, -1), strict=False))
        if total * 10 % 11 % 10 != digits[length]:
            return False
    return len(set(digits)) > 1


def _always(_: str) -> bool:
    return True


_DIGIT = re.compile(r"\d")
_ZIP = re.compile(r"\d{5}-\d{4}")
_MAYBE = re.compile(r"@|\d[\d .()/-]{6,}|[A-Za-z]{2}[ -]?\d{2}|[A-Z]{6}\d")
"""Every text that a pattern below can match has this in it; most texts do not."""

_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FO GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU XK",
        "21": "CH CR HR LI LV",
        "22": "BG BH DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}
"""Characters of an IBAN by country, from the SWIFT IBAN registry."""

_IBAN = "|".join(
    rf"(?i:{country})\d\d(?:[ -]?[A-Za-z0-9]){{{length - 4}}}"
    for country, length in _IBAN_LENGTHS.items()
)

_PATTERNS = tuple(
    _Pattern(kind, re.compile(rf"(?<![\w.+-])(?:{pattern})(?![\w-]|\.\d)"), holds)
    for kind, pattern, holds in (
        ("e-mail", r"[\w.+'%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}", _always),
        ("IBAN", _IBAN, _is_iban),
        (
            "French social security number",
            r"[12]\s?\d\d\s?\d\d\s?\d\d\s?\d{3}\s?\d{3}\s?\d\d",
            _is_nir,
        ),
        ("payment card", r"\d(?:[ -]?\d){12,18}", _is_card),
        ("US social security number", r"\d{3}([- ])\d\d\1\d{4}", _is_ssn),
        ("Brazilian CPF", r"\d{3}\.\d{3}\.\d{3}-\d\d", _is_cpf),
        ("Spanish DNI or NIE", r"(?:\d{8}|[XYZ]-?\d{7})-?[A-Za-z]", _is_dni),
        (
            "UK national insurance number",
            r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?(?:\d\d ?){3}[A-D]",
            _always,
        ),
        ("Italian tax code", r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", _always),
        (
            "phone number",  # with a country code, as in North America, or with a leading zero
            r"(?:\+|00)\d{1,3}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d{1,4}(?:[ ./-]?\d{2,4}){1,4}"
            r"|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"
            r"|0\d{1,4}[ /-]\d{2,4}(?:[ -]?\d{2,4}){1,3}",
            _is_phone,
        ),
    )
)
"""The stronger the check, the earlier: the digits of a card are no phone number."""
