"""The fine-tune arm: a learning-rate sweep on dev, then nested training sizes.

Each size goes on from the best adapter of the size before, over all of its own rows, so that what
a small size cost is not spent again. A point of the curve is what this recipe makes of so many
rows; nothing it sees lies outside them. A training ends with the first epoch that is not better on
dev than the best before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trimtab.engine.local.engine import LocalEngine
from trimtab.errors import BudgetSpent
from trimtab.prompt.variants import tuned, tuned_prompt
from trimtab.store.files import append, read_nouns, sha256_of
from trimtab.task.spec import Task
from trimtab.tune.lora import Epoch, TrainSettings, train, until_worse
from trimtab.tune.rows import TrainingRow, encode
from trimtab.tune.trained import Trained
from trimtab.types import (
    ADAPTER_FILE,
    Adapter,
    CurvePoint,
    Example,
    Interval,
    Prompt,
    Variant,
    VariantScore,
)

_UNMEASURED = Interval(estimate=None, low=None, high=None, n=0, method="not measured")
SEARCHED: Literal["searched"] = "searched"
_LOGS = {"size": "trained", SEARCHED: SEARCHED}
"""Where finished trainings are listed: the sizes, and one of them under the searched prompt."""


@dataclass(frozen=True)
class _Size:
    """One training: where its epochs lie, and what they are made of."""

    folder: Path
    rows: Sequence[TrainingRow]
    prompt: Prompt
    """That `rows` are rendered with."""
    rate: float
    start: Path | None
    made: Literal["size", "searched"] = "size"


class _Cut(Exception):
    """The budget ended between the epochs of a size: some are scored, and it is not finished."""

    def __init__(self, so_far: Trained) -> None:
        super().__init__()
        self.so_far = so_far


@dataclass(frozen=True)
class TuneArm:
    """What the arm needs: `evaluate` scores a variant on dev; `on_tokens` hears of each training
    step and raises `BudgetSpent` when the arm's share is used up."""

    engine: LocalEngine
    task: Task
    folder: Path
    """The run's adapter folder."""
    max_tokens: int
    evaluate: Callable[[Variant], VariantScore]
    on_tokens: Callable[[int], None]

    def run(
        self, train_rows: Sequence[Example], dev: Sequence[Example], sizes: Sequence[int]
    ) -> tuple[list[CurvePoint], list[Trained]]:
        """Sweep the learning rate, then train every size, smallest first.

        `train_rows` are in nesting order: a size is a prefix of them. What the run already holds
        is not trained again. A spent budget ends the arm early with the sizes that are finished,
        and with the epochs of the next one that were scored.

        Returns the points of the sweep (dev loss only) and the trained sizes.
        """
        prompt = tuned_prompt(self.task)
        dev_rows = encode(self.engine.template, prompt, dev)
        rows = encode(self.engine.template, prompt, train_rows[: max(sizes)])
        sweep: list[CurvePoint] = []
        trained: list[Trained] = []
        try:
            sweep = self._sweep(rows[: sizes[0]], dev_rows)
            rate = _best_rate(sweep)
            for size in sizes:
                start = self._adapter_folder(trained[-1]) if trained else None
                size_of = _Size(self._folder(size, rate), rows[:size], prompt, rate, start)
                trained.append(self._trained(size_of, dev_rows))
        except _Cut as cut:
            trained.append(cut.so_far)
        except BudgetSpent:
            pass  # the meter remembers it, and the verdict says so
        return sweep, trained

    def under(
        self,
        prompt: Prompt,
        best: Trained,
        before: Trained | None,
        train_rows: Sequence[Example],
        dev: Sequence[Example],
    ) -> Trained:
        """The size of `best` once more, trained as it was but for its prompt; `before` is the size
        that it went on from. What the run already holds is not trained again.

        Raises `BudgetSpent` where no epoch could be scored.
        """
        rows = encode(self.engine.template, prompt, train_rows[: best.point.rows])
        dev_rows = encode(self.engine.template, prompt, dev)
        rate = best.point.learning_rate
        assert rate is not None
        start = self._adapter_folder(before) if before else None
        # The name keeps it apart from what `_prune` deletes of the size itself.
        folder = self.folder / f"{SEARCHED}-{self._folder(best.point.rows, rate).name}"
        size = _Size(folder, rows, prompt, rate, start, SEARCHED)
        try:
            return self._trained(size, dev_rows)
        except _Cut as cut:
            return cut.so_far

    def _trained(self, size: _Size, dev: Sequence[TrainingRow]) -> Trained:
        """The size as its log has it, or trained and added to it.

        Raises `_Cut` where the budget ended between its epochs.
        """
        path = self.folder / f"{_LOGS[size.made]}.jsonl"
        known = {each.point.rows: each for each in read_nouns(path, Trained)}
        found = known.get(len(size.rows))
        if found is None:
            found = self._train_size(size, dev)
            append(path, [found])
        else:
            # Scored before, so without a call; the caller hears of them in each sitting.
            for variant in found.tried:
                self.evaluate(variant)
        self._prune(size.folder, found)
        return found

    def _sweep(self, rows: Sequence[TrainingRow], dev: Sequence[TrainingRow]) -> list[CurvePoint]:
        """Each learning rate at its best epoch by dev loss, on the smallest size."""
        sweep = []
        for rate in self.task.search.learning_rates:
            size = _Size(self._folder(len(rows), rate), rows, tuned_prompt(self.task), rate, None)
            epochs = until_worse(self._epochs(size, dev))
            sweep.append(self._point(size, epochs, min(epochs, key=lambda epoch: epoch.dev_loss)))
        return sweep

    def _train_size(self, size: _Size, dev: Sequence[TrainingRow]) -> Trained:
        """Train one size until an epoch is no better than the best before it; the best epoch is the
        one with the best dev quality. An epoch with less dev loss is better too: quality stands
        still while a format is not learnt."""
        found: list[tuple[tuple[bool, float], Epoch, Variant, Interval]] = []
        cut = False
        try:
            for epoch in self._epochs(size, dev):
                variant = self._variant(epoch, size)
                score = self.evaluate(variant)
                better_quality = all(score.rank > rank for rank, *_ in found)
                less_loss = all(epoch.dev_loss < before.dev_loss for _, before, *_ in found)
                found.append((score.rank, epoch, variant, score.quality))
                if not (better_quality or less_loss):
                    break
        except BudgetSpent:
            if not found:
                raise
            cut = True
        _, best, variant, quality = max(found, key=lambda each: each[0])
        epochs = [epoch for _, epoch, _, _ in found]
        trained = Trained(
            point=self._point(size, epochs, best, quality, variant.id),
            variant=variant,
            tried=tuple(each for _, _, each, _ in found),
        )
        if cut:
            raise _Cut(trained)
        return trained

    def _point(
        self,
        size: _Size,
        epochs: Sequence[Epoch],
        best: Epoch,
        quality: Interval = _UNMEASURED,
        variant: str = "",
    ) -> CurvePoint:
        return CurvePoint(
            rows=len(size.rows),
            seed=self.task.seed,
            learning_rate=size.rate,
            epoch=best.number,
            epochs=len(epochs),
            train_tokens=sum(epoch.tokens for epoch in epochs),
            seconds=sum(epoch.seconds for epoch in epochs),
            peak_memory=max(epoch.peak_memory for epoch in epochs),
            dev_loss=best.dev_loss,
            dev_quality=quality,
            variant=variant,
            sweep=not variant,
        )

    def _epochs(self, size: _Size, dev: Sequence[TrainingRow]) -> Iterator[Epoch]:
        search = self.task.search
        settings = TrainSettings(
            learning_rate=size.rate,
            epochs=search.epochs,
            rank=search.rank,
            batch_size=search.batch_size,
            four_bit=search.four_bit,
            seed=self.task.seed,
        )
        engine, folder = self.engine, size.folder
        return train(engine, size.rows, dev, settings, folder, self.on_tokens, size.start)

    def _folder(self, rows: int, rate: float) -> Path:
        return self.folder / f"{rows}-rows-{rate:g}"

    def _variant(self, epoch: Epoch, size: _Size) -> Variant:
        weights = epoch.adapter / ADAPTER_FILE
        adapter = Adapter(
            path=str(epoch.adapter.relative_to(self.folder.parent)),
            sha256=sha256_of(weights),
            rows=len(size.rows),
            epoch=epoch.number,
            learning_rate=size.rate,
            seed=self.task.seed,
            made=size.made,
        )
        return tuned(self.task, self.engine.model_id, adapter, self.max_tokens, size.prompt)

    def _adapter_folder(self, trained: Trained) -> Path:
        assert trained.variant.adapter is not None
        return self.folder.parent / trained.variant.adapter.path

    def _prune(self, folder: Path, trained: Trained) -> None:
        """Delete the weights of the size's other epochs and rates; their figures stay."""
        kept = self._adapter_folder(trained)
        of_any_rate = f"{folder.name.rpartition('-rows-')[0]}-rows-*"
        for weights in self.folder.glob(f"{of_any_rate}/*/*.safetensors"):
            if weights.parent != kept or weights.name != ADAPTER_FILE:
                weights.unlink()


def _best_rate(sweep: Sequence[CurvePoint]) -> float:
    """Of the training with the least dev loss."""
    tried = [
        (point.dev_loss, point.learning_rate)
        for point in sweep
        if point.dev_loss is not None and point.learning_rate is not None
    ]
    return min(tried, key=lambda each: each[0])[1]
