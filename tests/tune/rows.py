"""Rows of token ids for the tests of this folder."""

from __future__ import annotations

from trimtab.tune.rows import TrainingRow


def row(length: int, number: int, vocabulary: int = 300) -> TrainingRow:
    """`length` prompt tokens that differ from row to row, and an answer that names the row."""
    prompt = [3 + (number * 31 + position * 17) % (vocabulary - 3) for position in range(length)]
    return TrainingRow(prompt, [3 + number % (vocabulary - 3), 2], f"row-{number}")
