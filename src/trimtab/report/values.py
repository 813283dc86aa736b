"""How single values read in the report: rounded sensibly, with their units, never faked.

None, and a number that is not finite, always become words. No value that differs from 0 or 1 is
rounded onto it: a validity of 0.998 must not look like a perfect one.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from typing import TypeGuard

from trimtab.types import Interval

UNMEASURED = "not measured"
NEVER = "never"
MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


def score(value: float | None) -> str:
    """A number in -1..1 with two decimals; more where two would round onto 0 or 1."""
    if not _finite(value):
        return UNMEASURED
    sign = MINUS if value < 0 else ""
    size = abs(value)
    for decimals in range(2, 7):
        text = f"{size:.{decimals}f}"
        if float(text) not in {0.0, 1.0}:
            return sign + text
    return f"{value:.2f}"


def difference(value: float | None) -> str:
    """Like `score`, with its sign always shown."""
    if not _finite(value):
        return UNMEASURED
    text = score(value)
    return f"+{text}" if value > 0 and text[0].isdigit() else text


def interval(value: Interval | None, *, signed: bool = False) -> str:
    """`0.61 [0.57, 0.65]`; says so where the bounds are undefined."""
    if value is None or not _finite(value.estimate):
        return UNMEASURED
    form = difference if signed else score
    return f"{form(value.estimate)} {bounds(value, signed=signed)}"


def bounds(value: Interval, *, signed: bool = False) -> str:
    """`[0.57, 0.65]`, `[0.57, unknown]`, or that they are undefined."""
    return range_of(value, difference if signed else score) or "(interval undefined)"


def range_of(value: Interval | None, form: Callable[[float], str]) -> str:
    """`[4.90 s, 6.02 s]`; `[4.90 s, unknown]` where a bound is; empty where none is known."""
    if value is None or not (_finite(value.low) or _finite(value.high)):
        return ""
    low, high = (form(b) if _finite(b) else "unknown" for b in (value.low, value.high))
    return f"[{low},{SPACE}{high}]"


def percent(value: float | None) -> str:
    """A probability as a whole percentage; never `0 %` or `100 %`, which no sample can show."""
    if not _finite(value):
        return UNMEASURED
    if value >= 0.995:
        return f">{SPACE}99{SPACE}%"
    if value < 0.005:
        return f"<{SPACE}1{SPACE}%"
    return f"{100 * value:.0f}{SPACE}%"


def p_value(value: float | None) -> str:
    if not _finite(value):
        return "p undefined"
    return f"p{SPACE}={SPACE}{value:.2g}" if value >= 0.001 else f"p{SPACE}<{SPACE}0.001"


def count(value: float | None) -> str:
    """A whole number with thousands separators; large ones to three significant digits."""
    if not _finite(value):
        return UNMEASURED
    if abs(value) < 10_000 or float(value).is_integer():
        return f"{value:,.0f}".replace("-", MINUS)
    return f"{float(f'{value:.3g}'):,.0f}".replace("-", MINUS)


def compact(value: int) -> str:
    """A count for a narrow column: `4,096`, `126k`, `2.31M`."""
    if value < 100_000:
        return f"{value:,}"
    return f"{value / 1e3:,.0f}k" if value < 1_000_000 else f"{value / 1e6:,.2f}M"


def tokens(value: float | None) -> str:
    """Mean tokens of a call: whole from ten on, one decimal below."""
    if not _finite(value):
        return UNMEASURED
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def money(value: float | None, currency: str) -> str:
    """`USD 1,240`, `USD 3.20`, `USD 0.0042`: whole from a hundred on, else two digits or more."""
    if not _finite(value):
        return UNMEASURED
    size = abs(value)
    if size >= 100 or size == 0:
        text = f"{size:,.0f}"
    elif size >= 1:
        text = f"{size:.2f}"
    else:
        text = f"{size:.{1 - math.floor(math.log10(size))}f}"
    return f"{currency}{SPACE}{MINUS if value < 0 else ''}{text}".strip(SPACE)


def money_interval(value: Interval, currency: str) -> str:
    if not _finite(value.estimate):
        return UNMEASURED
    found = range_of(value, lambda bound: money(bound, "")) or "(interval undefined)"
    return f"{money(value.estimate, currency)} {found}"


def seconds(value: float | None) -> str:
    """A duration in the unit that reads best: `38 ms`, `1.24 s`, `14.5 min`, `2.5 h`."""
    if not _finite(value):
        return UNMEASURED
    if value == 0:
        return f"0{SPACE}s"
    if value < 0.1:
        return f"{1000 * value:.2g}{SPACE}ms" if value < 0.01 else f"{1000 * value:.0f}{SPACE}ms"
    if value < 120:
        return f"{value:.2f}{SPACE}s" if value < 10 else f"{value:.0f}{SPACE}s"
    if value < 7200:
        return f"{value / 60:.1f}".removesuffix(".0") + f"{SPACE}min"
    return f"{value / 3600:.1f}{SPACE}h"


def visible(text: str) -> str:
    """`text` with every control, bidirectional and unpaired surrogate character made visible.

    Model output is untrusted: an escape sequence must not reach a terminal, nor an override
    character reorder what a reviewer reads.
    """
    return "".join(_visible_character(character) for character in text)


def shorten(text: str, most: int) -> str:
    """At most `most` characters of `text`, and how many were left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most:,} more characters)"


def _visible_character(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}:
        return character
    if character in "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}\N{SOFT HYPHEN}":
        return character
    return f"\\u{{{ord(character):x}}}"


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
