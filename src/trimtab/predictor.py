"""Answers new inputs with the variant that a finished run chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trimtab.engine.base import Engine
from trimtab.engine.registry import make_engine
from trimtab.errors import RunError
from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.variants import to_requests
from trimtab.store.files import read_nouns, sha256_of
from trimtab.store.run import read_info
from trimtab.task.contract import violation
from trimtab.task.spec import Task
from trimtab.types import ADAPTER_FILE, Completion, Decision, Example, Failed, Noun, Variant


class Prediction(Noun):
    """One answer. `valid` says whether it keeps the output contract; `error` why there is none."""

    input: str
    text: str | None
    valid: bool
    error: str | None = None


@dataclass(frozen=True)
class Predictor:
    """A variant ready to answer. Rendering and decoding are those that were measured."""

    variant: Variant
    task: Task
    folder: Path
    engine: Engine
    pool: NearestPool | None

    def predict(self, text: str) -> Prediction:
        return self.predict_many([text])[0]

    def predict_many(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in their order."""
        rows = [Example(id=str(i), input=text, target="") for i, text in enumerate(texts)]
        requests = to_requests(self.variant, rows, self.pool, self.task.output, self.folder)
        answers: dict[int, Completion | Failed] = {}
        for start in range(0, len(requests), self.engine.chunk_size):
            chunk = requests[start : start + self.engine.chunk_size]
            answers.update((start + i, answer) for i, answer in self.engine.generate(chunk))
        return [self._prediction(text, answers[i]) for i, text in enumerate(texts)]

    def _prediction(self, text: str, answer: Completion | Failed) -> Prediction:
        if isinstance(answer, Failed):
            return Prediction(input=text, text=None, valid=False, error=answer.message)
        problem = violation(self.task.output, answer.text)
        return Prediction(input=text, text=answer.text, valid=problem is None, error=problem)


def load(folder: str | Path, progress: Callable[[str], None] = lambda _: None) -> Predictor:
    """The winner of the finished run in `folder`.

    Raises `RunError` for a run that is not finished or has no winner, and `ModelError` where its
    model is not the one that was measured.
    """
    folder = Path(folder)
    read_info(folder)
    decision = _decision(folder)
    variant = next((v for v in decision.variants if v.id == decision.verdict.winner), None)
    if variant is None:
        raise RunError(f"{folder} ended in {decision.verdict.word!r} without a variant to use")
    task = Task.model_validate(decision.settings)
    spec = task.models.prompt if variant.arm == "prompt" else task.models.tune
    assert spec is not None
    engine = make_engine(spec, progress)
    if engine.model_id != variant.model:
        raise RunError(
            f"{folder} measured the model {variant.model}, and {spec.model!r} is now "
            f"{engine.model_id}; decide again, or bring the measured model back"
        )
    _check_adapter(folder, variant)
    return Predictor(variant, task, folder, engine, _pool(folder, variant))


def _check_adapter(folder: Path, variant: Variant) -> None:
    """The weights must be those that were measured."""
    if variant.adapter is None:
        return
    weights = folder / variant.adapter.path / ADAPTER_FILE
    if not weights.exists() or sha256_of(weights) != variant.adapter.sha256:
        raise RunError(f"{weights} is missing or is not what was measured; decide again")


def _pool(folder: Path, variant: Variant) -> NearestPool | None:
    if not variant.prompt.nearest:
        return None
    rows = read_nouns(folder / "pool.jsonl", Example)
    if not rows:
        raise RunError(
            f"{folder / 'pool.jsonl'} is missing, and the winner retrieves its demonstrations "
            "from it; bring it back, or decide again"
        )
    return NearestPool(rows)


def _decision(folder: Path) -> Decision:
    path = folder / "verdict.json"
    try:
        return Decision.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not finished; run `trimtab decide` to finish it") from error
    except ValidationError as error:
        raise RunError(
            f"{path} is damaged or of another version: {error.errors()[0]['msg']}"
        ) from error
