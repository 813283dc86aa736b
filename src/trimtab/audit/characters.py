"""Damaged characters, and the language that a text is in."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

READ_CHARACTERS = 2_000
"""How much of a text is looked at for its language."""

_BROKEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ufffe\uffff]")
_LEAD = "\u00c2-\u00f4"
_CP1252 = (
    "\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2018\u2019"
)
_CP1252 += "\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178"
_MOJIBAKE = re.compile(rf"(?:[{_LEAD}][\u0080-\u00bf{_CP1252}]{{1,3}})+")


def damage(text: str) -> tuple[str, str] | None:
    """What is damaged, for a person, and the text as it may have been; None where all is well.

    Three kinds: UTF-8 that was read as Windows-1252 or Latin-1, characters that stand for lost
    ones, and control characters. Characters that were lost cannot be given back.
    """
    if text.isascii() and text.isprintable():
        return None
    repaired = _MOJIBAKE.sub(_repair, text)
    if repaired != text:
        return "UTF-8 that was read as Windows-1252 or Latin-1", repaired
    broken = _BROKEN.search(text)
    if broken is None:
        return None
    code = f"U+{ord(broken[0]):04X}"
    if broken[0] == "\ufffd":
        return f"a lost character ({code}) at character {broken.start() + 1}", ""
    why = f"a control character ({code}) at character {broken.start() + 1}"
    return why, _BROKEN.sub("", text)


def _repair(match: re.Match[str]) -> str:
    raw = bytearray()
    for character in match[0]:
        try:
            raw += character.encode("cp1252")
        except UnicodeEncodeError:  # the five bytes that Windows-1252 leaves open
            raw.append(ord(character))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return match[0]


def language(text: str) -> str | None:
    """The language of `text` by its commonest words, else its script; None where neither shows."""
    text = text[:READ_CHARACTERS]
    if not text.isascii():
        scripts = Counter(_scripts(text))
        if scripts and scripts.most_common(1)[0][0] != "Latin":
            return scripts.most_common(1)[0][0]
    words = _WORD.findall(text.casefold())
    votes: Counter[str] = Counter()
    for word in words:
        for name in _LANGUAGES.get(word, ()):
            votes[name] += 1
    best = votes.most_common(2)
    if not best or best[0][1] < _MIN_VOTES:
        return None
    tied = len(best) > 1 and best[0][1] == best[1][1]
    return None if tied else best[0][0]


def _scripts(text: str) -> Iterator[str]:
    for character in text:
        if character.isalpha():
            name = unicodedata.name(character, "").split(" ", 1)[0].capitalize()
            yield "Chinese" if name == "Cjk" else _SCRIPTS.get(name, name)


_MIN_VOTES = 2
"""One common word is chance: many are a word or a name in another language too."""

_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = {"Hiragana": "Japanese", "Katakana": "Japanese", "Hangul": "Korean"}
_COMMON = {
    "English": "the and of to is in that it for was on are with as this have not you be at from or",
    "German": "der die und das ist nicht ein eine ich zu den mit von auf für im dem sich auch wir",
    "French": "le la les et des est une dans que pour pas sur vous avec au du je nous ce qui sont",
    "Spanish": "el la los las que y en un una por con para es no se del su al como más pero está",
    "Italian": "il che di la non è per un una sono con del della le si gli ho da anche questo",
    "Portuguese": "o que não uma um para com os do da em é por mais dos as se você está ao foi",
    "Dutch": "de het een en van ik dat niet is op te zijn voor met die aan er maar om heb ook",
    "Polish": "nie się na jest że do to jak ale za od przez tak czy po dla są już może tylko",
    "Swedish": "och att det som är jag inte en på för med av ett den har till om de var vi",
    "Turkish": "ve bir bu için de da ne ile çok değil ben mi var daha gibi ama o en olarak",
}
_LANGUAGES: dict[str, tuple[str, ...]] = {}
for _name, _words in _COMMON.items():
    for _word in _words.split():
        _LANGUAGES[_word] = (*_LANGUAGES.get(_word, ()), _name)
