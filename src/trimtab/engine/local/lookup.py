"""Guesses the next tokens of an answer from text that is already there.

Answers repeat their input, each other and, where they go wrong, themselves. A few guessed tokens
ride along with the next pass at almost no cost while few rows are under way; the model keeps those
that it would have chosen itself, so a guess never changes an answer (prompt lookup decoding, Saxena
2023; the check is speculative decoding's, Leviathan et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 3
"""Tokens that are compared; a longer match says more, so it is tried first."""


class Lookup:
    """A growing text, with where each run of one to three tokens was last followed by another."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Linear in the new tokens."""
        for token in tokens:
            place = len(self._tokens)
            for length in range(1, min(_LONGEST, place) + 1):
                self._after[tuple(self._tokens[place - length :])] = place
            self._tokens.append(token)

    def guess(self, recent: Sequence[int], most: int) -> tuple[list[int], int]:
        """(up to `most` tokens that followed the end of `recent`, how many tokens agreed)."""
        for length in range(min(_LONGEST, len(recent)), 0, -1):
            place = self._after.get(tuple(recent[-length:]))
            if place is not None:
                return self._tokens[place : place + most], length
        return [], 0
