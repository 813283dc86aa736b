"""Bits that a model spends on each byte of the task's texts, in plain text and in use."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.measure.bench import Bench
from trimtab.measure.calibrate import Rates
from trimtab.measure.meter import Meter
from trimtab.prompt.ask import to_requests
from trimtab.tune.retention.suite import Passage, load_suite
from trimtab.types import Example, Message, Variant

if TYPE_CHECKING:
    from trimtab.engine.local.engine import LocalEngine
    from trimtab.tune.rows import TrainingRow

LANGUAGE = "domain language"
LANGUAGE_SHARE = 0.03
"""Share of the budget that it may take."""
FEWEST_ROWS, MOST_ROWS = 8, 64
_CHUNK = 8
"""Rows between looks at the budget."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Reader:
    """Reads texts with one local model: bits per byte of each, None for one that is a single token,
    which nothing predicts."""

    engine: LocalEngine
    meter: Meter

    def plain(self, texts: Sequence[str]) -> tuple[float | None, ...]:
        """The base model on plain text, without a prompt. Raises `BudgetSpent`, as all here."""
        return self._bits(self._rows(texts), None)

    def tokens_per_word(self, texts: Sequence[str]) -> float | None:
        """None where the texts hold no word."""
        words = sum(len(_WORD.findall(text)) for text in texts)
        return sum(map(len, self._rows(texts))) / words if words else None

    def targets(self, rows: Sequence[TrainingRow], adapter: str | None) -> tuple[float | None, ...]:
        """Of each row's answer after its prompt, with the adapter in this folder or without one."""
        return self._bits(rows, adapter)

    def _rows(self, texts: Sequence[str]) -> list[TrainingRow]:
        from trimtab.tune.retention.answer import passage_rows

        return passage_rows(self.engine, [Passage(text=text) for text in texts])

    def _bits(self, rows: Sequence[TrainingRow], adapter: str | None) -> tuple[float | None, ...]:
        from trimtab.tune.retention.likelihood import answer_states, log_likelihoods

        model, found = self.engine.loaded.model, []
        for part in _chunks(rows):
            self.meter.check()
            self.engine.adapters.use(adapter)
            known = [row for row in part if row.answer]
            likelihoods = iter(
                log_likelihoods(model, known, answer_states(model, known)) if known else ()
            )
            for row in part:
                size = len(self.engine.template.text(row.answer).encode())
                nats = next(likelihoods) if row.answer else None
                found.append(None if nats is None or not size else -nats / math.log(2) / size)
            self.meter.book(tokens_in=sum(map(len, part)))
        return tuple(found)


def general_texts() -> list[str]:
    """Plain passages of the retention suite's quick part."""
    items = load_suite(quick=True).items
    return [item.text for item in items if isinstance(item, Passage)]


def asked_rows(
    engine: LocalEngine, bench: Bench, variant: Variant, rows: Sequence[Example]
) -> list[TrainingRow]:
    """Each row's target after what `variant` is sent for it."""
    from trimtab.tune.rows import TrainingRow

    requests = to_requests(variant, rows, bench.pool, bench.contract, bench.run.folder)
    return [
        TrainingRow(
            *engine.template.training(
                (*request.messages, Message(role="assistant", content=row.target))
            ),
            row.id,
        )
        for request, row in zip(requests, rows, strict=True)
    ]


def affordable(tokens: float, rates: Rates, seconds: float) -> int:
    """Rows that fit into `seconds` at `tokens` to read for each; at most MOST_ROWS."""
    return min(MOST_ROWS, int(seconds * rates.prefill / max(tokens, 1.0)))


def _chunks(rows: Sequence[TrainingRow]) -> Iterator[Sequence[TrainingRow]]:
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
