"""Domain language, general knowledge, and what the payback hangs on, in words."""

from __future__ import annotations

from trimtab.report import values
from trimtab.types import Knowledge, Language, Swing


def language_told(found: Language) -> str:
    """How the task's language compares with general text, in a sentence or three."""
    words = found.tokens_per_word
    told = (
        f"The untuned model spends {values.score(found.inputs.estimate)} bits on a byte of the "
        f"task's inputs and {values.score(found.general.estimate)} on a byte of general text."
    )
    places = {"inputs": "the inputs", "targets": "the targets", "general": "general text"}
    known = [f"{words[name]:.1f} in {place}" for name, place in places.items() if name in words]
    if len(known) > 1:
        told += f" Tokens to a word: {', '.join(known[:-1])} and {known[-1]}."
    if found.closed is not None:
        saved = "all" if found.closed >= 1 else values.percent(found.closed)
        told += f" Of what targets take beyond general text the fine-tune saves {saved}."
    return told


def knowledge_told(found: Knowledge) -> str:
    """How much of the task asks for what the input does not say; empty where nothing is known."""
    told = []
    if found.beyond_input is not None:
        told.append(
            "Share of the rows of train and dev whose target says mostly what the input does not: "
            f"{values.interval(found.beyond_input)}."
        )
    if found.closed_book is not None:
        told.append(
            "By the instructions alone the untuned model scores "
            f"{values.interval(found.closed_book)} on dev"
            + (
                f", and {values.interval(found.closed_book_beyond)} on such rows."
                if found.closed_book_beyond is not None
                else "."
            )
        )
    return " ".join(told)


def ends(swing: Swing, unit: str) -> str:
    """The 5% and 95% ends of one input of the money."""

    def told(value: float) -> str:
        return {
            "money": values.money(value, ""),
            "calls": values.count(value),
            "difference": values.difference(value),
            "months": f"{value:.1f}",
            "factor": f"{value:.2f}",
        }[swing.unit]

    after = {"money": unit, "months": "months", "factor": "times"}.get(swing.unit, "")
    return f"{told(swing.low)} to {told(swing.high)} {after}".rstrip()
