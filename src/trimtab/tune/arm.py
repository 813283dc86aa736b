"""The fine-tune arm: a learning-rate sweep on dev, then nested training sizes.

Each size goes on from the best adapter of the size before, over all of its own rows, so that what
a small size cost is not spent again. A point of the curve is what this recipe makes of so many
rows; nothing it sees lies outside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.engine.local.engine import LocalEngine
from trimtab.errors import BudgetSpent
from trimtab.prompt.variants import tuned, tuned_prompt
from trimtab.store.files import append, read_nouns, sha256_of
from trimtab.task.spec import Task
from trimtab.tune.lora import Epoch, TrainSettings, train
from trimtab.tune.rows import TrainingRow, encode
from trimtab.tune.trained import Trained
from trimtab.types import (
    ADAPTER_FILE,
    Adapter,
    CurvePoint,
    Example,
    Interval,
    Variant,
    VariantScore,
)

_UNMEASURED = Interval(estimate=None, low=None, high=None, n=0, method="not measured")


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
        is not trained again. A spent budget ends the arm early with the sizes that are finished.

        Returns the points of the sweep (dev loss only) and the trained sizes.
        """
        prompt = tuned_prompt(self.task)
        rows = encode(self.engine.template, prompt, train_rows[: max(sizes)])
        dev_rows = encode(self.engine.template, prompt, dev)
        finished = {trained.point.rows: trained for trained in read_nouns(self._log, Trained)}
        sweep: list[CurvePoint] = []
        trained: list[Trained] = []
        try:
            sweep = self._sweep(rows[: sizes[0]], dev_rows)
            rate = _best_rate(sweep)
            for size in sizes:
                if size in finished:
                    # Scored before, so without a call; the caller hears of them in each sitting.
                    for variant in finished[size].tried:
                        self.evaluate(variant)
                else:
                    start = self._adapter_folder(trained[-1]) if trained else None
                    finished[size] = self._train_size(rows[:size], dev_rows, rate, start)
                    append(self._log, [finished[size]])
                self._prune(finished[size])
                trained.append(finished[size])
        except BudgetSpent:
            pass  # the meter remembers it, and the verdict says so
        return sweep, trained

    @property
    def _log(self) -> Path:
        return self.folder / "trained.jsonl"

    def _sweep(self, rows: Sequence[TrainingRow], dev: Sequence[TrainingRow]) -> list[CurvePoint]:
        """Each learning rate at its best epoch by dev loss, on the smallest size."""
        return [
            self._point(
                rows,
                rate,
                epochs := self._epochs(rows, dev, rate),
                min(epochs, key=lambda epoch: epoch.dev_loss),
            )
            for rate in self.task.search.learning_rates
        ]

    def _train_size(
        self,
        rows: Sequence[TrainingRow],
        dev: Sequence[TrainingRow],
        rate: float,
        start: Path | None,
    ) -> Trained:
        """Train one size; its best epoch is the one with the best dev quality."""
        epochs = self._epochs(rows, dev, rate, start)
        candidates: list[tuple[tuple[bool, float], Epoch, Variant, Interval]] = []
        try:
            for epoch in epochs:
                variant = self._variant(epoch, len(rows), rate)
                score = self.evaluate(variant)
                candidates.append((score.rank, epoch, variant, score.quality))
        except BudgetSpent:
            if not candidates:
                raise  # otherwise the epochs that were scored make the point
        _, best, variant, quality = max(candidates, key=lambda each: each[0])
        point = self._point(rows, rate, epochs, best, quality, variant.id)
        tried = tuple(each for _, _, each, _ in candidates)
        return Trained(point=point, variant=variant, tried=tried)

    def _point(
        self,
        rows: Sequence[TrainingRow],
        rate: float,
        epochs: Sequence[Epoch],
        best: Epoch,
        quality: Interval = _UNMEASURED,
        variant: str = "",
    ) -> CurvePoint:
        return CurvePoint(
            rows=len(rows),
            seed=self.task.seed,
            learning_rate=rate,
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

    def _epochs(
        self,
        rows: Sequence[TrainingRow],
        dev: Sequence[TrainingRow],
        rate: float,
        start: Path | None = None,
    ) -> list[Epoch]:
        search = self.task.search
        settings = TrainSettings(
            learning_rate=rate,
            epochs=search.epochs,
            rank=search.rank,
            batch_size=search.batch_size,
            four_bit=search.four_bit,
            seed=self.task.seed,
        )
        folder = self.folder / f"{len(rows)}-rows-{rate:g}"
        return list(train(self.engine, rows, dev, settings, folder, self.on_tokens, start))

    def _variant(self, epoch: Epoch, rows: int, rate: float) -> Variant:
        weights = epoch.adapter / ADAPTER_FILE
        adapter = Adapter(
            path=str(epoch.adapter.relative_to(self.folder.parent)),
            sha256=sha256_of(weights),
            rows=rows,
            epoch=epoch.number,
            learning_rate=rate,
            seed=self.task.seed,
        )
        return tuned(self.task, self.engine.model_id, adapter, self.max_tokens)

    def _adapter_folder(self, trained: Trained) -> Path:
        assert trained.variant.adapter is not None
        return self.folder.parent / trained.variant.adapter.path

    def _prune(self, trained: Trained) -> None:
        """Delete the weights of this size's other epochs and rates; their figures stay."""
        kept = self._adapter_folder(trained)
        for weights in self.folder.glob(f"{trained.point.rows}-rows-*/*/*.safetensors"):
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
