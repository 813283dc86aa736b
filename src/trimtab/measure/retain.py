"""Answers the retention suite with and without an adapter, and keeps what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.measure.calibrate import Rates
from trimtab.measure.meter import Meter
from trimtab.store.files import append, cache_folder, read_nouns, write_atomic
from trimtab.store.run import Run
from trimtab.task.open import OpenTask
from trimtab.tune.retention.suite import QUICK, Ask, Item, Suite, load_suite
from trimtab.types import Adapter, Noun, Spent, content_hash

if TYPE_CHECKING:
    from trimtab.engine.local.engine import LocalEngine
    from trimtab.tune.retention.answer import ItemScore
    from trimtab.tune.rows import TrainingRow

RETENTION = "retention"
REMEDIES = "remedies"
SCALES = (0.75, 0.5, 0.25)
"""What an adapter that lost too much is multiplied by, the least change first."""

_VERSION = "1"
"""Part of the name of what is kept of a base model: raised when scores change their meaning."""
_ANSWER_SHARE = 0.6
"""Mean length of an answer as a share of its limit; most asks are answered in a few words."""


class Divergence(Noun):
    """Mean KL divergence (base || tuned, nats per token)."""

    task: float
    general: float | None
    """None where the base answered none of the suite's messages."""


@dataclass(frozen=True)
class SuiteBench:
    """Runs one suite on one model; what a run or the user's cache holds is not answered again."""

    run: Run
    engine: LocalEngine
    meter: Meter
    suite: Suite

    def scores(self, adapter: Adapter | None) -> list[ItemScore]:
        """One score an item, in the suite's order, of the base (None) or with an adapter.

        Raises `BudgetSpent` between batches; what was answered is kept. The base's scores are
        shared by all runs of a user.
        """
        from trimtab.tune.retention.answer import ItemScore, answer

        path = self._path(adapter, "jsonl")
        if adapter is None and not path.exists() and self._cached.exists():
            append(path, read_nouns(self._cached, ItemScore))
        done = {score.item: score for score in read_nouns(path, ItemScore)}
        for chunk in _chunks(self.suite.items, self.engine.chunk_size):
            if all(item.id in done for item in chunk):
                continue
            self.meter.check()
            found = answer(self.engine, chunk, self._folder(adapter))
            append(path, found)
            self.meter.book(
                calls=len(found),
                tokens_in=sum(score.tokens_in for score in found),
                tokens_out=sum(score.tokens_out for score in found),
            )
            done.update({score.item: score for score in found})
        if adapter is None and not self._cached.exists():
            write_atomic(self._cached, path.read_text("utf-8"))
        return [done[item.id] for item in self.suite.items]

    def divergence(self, adapter: Adapter, task_rows: Sequence[TrainingRow]) -> Divergence:
        """How far the adapter moves the next token: on answers of the task, and on the base's own
        answers to a third of the suite's messages, asked as the suite asks them.

        Raises `BudgetSpent`.
        """
        from trimtab.tune.retention.answer import answered_rows, divergence

        path = self._path(adapter, "json")
        if path.exists():
            return Divergence.model_validate_json(path.read_bytes())
        answers = {
            score.item: score.answer for score in self.scores(None) if score.score is not None
        }
        asks = [ask for ask in _messages(self.suite) if ask.id in answers]
        self.meter.check()
        folder = str(self.run.folder / adapter.path)
        general = answered_rows(self.engine, asks, [answers[ask.id] for ask in asks])
        found = Divergence(
            task=divergence(self.engine, task_rows, folder),
            general=divergence(self.engine, general, folder) if general else None,
        )
        write_atomic(path, found.model_dump_json() + "\n")
        self.meter.book(tokens_in=2 * sum(map(len, [*task_rows, *general])))
        return found

    @property
    def _cached(self) -> Path:
        name = content_hash(_VERSION, self.engine.model_id, self.suite.sha)
        return cache_folder() / "retention" / f"{name}.jsonl"

    def _folder(self, adapter: Adapter | None) -> str | None:
        return None if adapter is None else str(self.run.folder / adapter.path)

    def _path(self, adapter: Adapter | None, kind: str) -> Path:
        name = "base" if adapter is None else adapter.sha256[:16]
        return self.run.folder / "retention" / f"{self.suite.sha}-{name}.{kind}"


def suite_for(opened: OpenTask) -> Suite:
    """The whole suite where general ability is needed, else a third of it."""
    limits = opened.task.constraints
    own = opened.folder / limits.retention_suite if limits.retention_suite else None
    return load_suite(own, quick=limits.general_ability != "needed")


def retention_stages(opened: OpenTask, engine: LocalEngine, rates: Rates) -> tuple[Spent, ...]:
    """What is set aside where general ability is needed: the suite twice, and for the remedies that
    cost no training."""
    if opened.task.constraints.general_ability != "needed":
        return ()
    suite = suite_for(opened)
    remedies = planned(engine, suite, rates, adapters=len(SCALES), base=False)
    return (
        planned(engine, suite, rates),
        remedies.model_copy(update={"stage": REMEDIES}),
    )


def planned(
    engine: LocalEngine, suite: Suite, rates: Rates, adapters: int = 1, *, base: bool = True
) -> Spent:
    """What it takes to answer the suite by the base, if it does, and by each adapter, and to read
    the base's answers as both see them."""
    from trimtab.tune.retention.answer import prompt_tokens

    def written(asks: Sequence[Ask]) -> int:
        return round(_ANSWER_SHARE * sum(ask.max_tokens for ask in asks))

    sides, messages = adapters + base, _messages(suite)
    read = sum(prompt_tokens(engine, item) for item in suite.items)
    read_again = sum(prompt_tokens(engine, ask) for ask in messages) + written(messages)
    tokens_in = sides * read + 2 * adapters * read_again
    tokens_out = sides * written([item for item in suite.items if isinstance(item, Ask)])
    return Spent(
        stage=RETENTION,
        arm="fine-tune",
        calls=sides * len(suite.items),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        seconds=tokens_in / rates.prefill + tokens_out / rates.decode,
    )


def _messages(suite: Suite) -> list[Ask]:
    """A third of the bundled ones: the quick suite is that already."""
    asks = [item for item in suite.items if isinstance(item, Ask)]
    return asks[:: QUICK if suite.complete else 1]


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
