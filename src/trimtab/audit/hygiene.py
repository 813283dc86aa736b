"""Checks for what should not be in training data: personal data, damage, texts that do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from trimtab.audit.characters import damage, language
from trimtab.audit.personal import Hit, find, masked
from trimtab.audit.slices import FEW_ROWS
from trimtab.audit.subject import Flagged, Look, Subject, finding, unmeasured
from trimtab.types import Example, Finding

MAIN_LANGUAGE = 0.9
"""A language below this share of the rows that show one is worth a look at the others."""

RARE_LANGUAGE = 0.01
"""A language below this share of the rows is taken for chance, and not asked for."""

MIN_SHOWN = 50
"""Fewer inputs that show a language say nothing about the others: common words of one are names
in another."""


class PersonalData:
    """Rows with e-mail addresses, phone, card, bank and national numbers; values are masked."""

    def __init__(self, subject: Subject) -> None:
        self._found = Flagged(subject.listed)
        self._kinds: Counter[str] = Counter()

    def see(self, look: Look) -> None:
        row = look.row
        hits = [
            (part, hit, text[hit.start : hit.end])
            for part, text in (("input", row.input), ("target", row.target))
            for hit in find(text)
        ]
        if hits:
            self._kinds.update({hit.kind for _, hit, _ in hits})
            self._found.add(row, "; ".join(_told(part, hit, value) for part, hit, value in hits))

    def findings(self) -> Iterator[Finding]:
        found = self._found
        if not found.count:
            message = "no e-mail address, phone, card, bank or national number was recognised"
            yield finding("personal-data", "info", message)
            return
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self._kinds.most_common())
        message = (
            f"rows with what looks like personal data: {found.count:,} ({kinds}); a trained model "
            "can give it away, so remove or replace it"
        )
        figures = {kind: float(count) for kind, count in self._kinds.items()}
        yield finding("personal-data", "warn", message, found.flags, found.count, figures)


def _told(part: str, hit: Hit, value: str) -> str:
    return f"{hit.kind} in the {part}: {masked(value)}"


class Encoding:
    """Rows whose characters were damaged on their way here."""

    def __init__(self, subject: Subject) -> None:
        self._damaged = Flagged(subject.listed)

    def see(self, look: Look) -> None:
        row = look.row
        for part, text in (("input", row.input), ("target", row.target)):
            found = damage(text)
            if found is not None:
                self._damaged.add(row, f"{part}: {found[0]}", found[1])
                return

    def findings(self) -> Iterator[Finding]:
        damaged = self._damaged
        if not damaged.count:
            yield finding("encoding", "info", "no damaged characters")
            return
        message = (
            f"rows with damaged characters: {damaged.count:,}; save the file as UTF-8 again from "
            "its source"
        )
        yield finding("encoding", "warn", message, damaged.flags, damaged.count)


class Languages:
    """Which languages the inputs are in, as far as their commonest words or their script show."""

    def __init__(self, subject: Subject) -> None:
        self._listed = subject.listed
        self._rows = 0
        self._by: dict[str, Flagged] = {}

    def see(self, look: Look) -> None:
        self._rows += 1
        name = language(look.row.input)
        if name is not None:
            self._by.setdefault(name, Flagged(self._listed)).add(look.row, name)

    def findings(self) -> Iterator[Finding]:
        counts = Counter({name: flagged.count for name, flagged in self._by.items()})
        shown = counts.total()
        if shown < max(MIN_SHOWN, self._rows / 10):
            message = f"the inputs are too short to show their language; {shown:,} do"
            yield unmeasured("language", message)
            return
        main, most = counts.most_common(1)[0]
        spread = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
        message = f"of {self._rows:,} inputs {shown:,} show their language: {spread}"
        flags = [
            flag for name, flagged in self._by.items() if name != main for flag in flagged.flags
        ][: self._listed]
        mixed = most / shown < MAIN_LANGUAGE
        if mixed:
            message += "; where several are meant, each needs rows of its own in every split"
        figures = {name: count / shown for name, count in counts.items()}
        rare = {
            f"inputs in {name}": FEW_ROWS - count
            for name, count in counts.items()
            if count < FEW_ROWS and count >= RARE_LANGUAGE * shown
        }
        others = shown - most
        yield finding("language", "info", message, flags, others, figures, rare)


class Truncation:
    """Rows that do not fit into the model's context with their answer."""

    def __init__(self, subject: Subject) -> None:
        self._limit = subject.limit
        self._over = Flagged(subject.listed)

    def see(self, look: Look) -> None:
        if self._limit is None:
            return
        room = self._limit.tokens - self._limit.reserved
        if _bytes(look.row) <= room:  # no tokenizer makes more tokens than there are bytes
            return
        tokens = self._limit.count(look.row.input) + self._limit.count(look.row.target)
        if tokens > room:
            self._over.add(look.row, f"{tokens:,} tokens, and there is room for {room:,}")

    def findings(self) -> Iterator[Finding]:
        if self._limit is None:
            message = (
                "whether every row fits into the model's context is unknown: the model is not on "
                "this machine"
            )
            yield unmeasured("truncation", message)
            return
        over, tokens = self._over, self._limit.tokens
        if not over.count:
            message = f"every row fits into the model's context of {tokens:,} tokens"
            yield finding("truncation", "info", message)
            return
        message = (
            f"rows that are longer with their answer than the model's context of {tokens:,} tokens "
            f"allows: {over.count:,}; shorten them, or take a model that reads more"
        )
        yield finding("truncation", "warn", message, over.flags, over.count)


def _bytes(row: Example) -> int:
    return len(row.input.encode()) + len(row.target.encode())
