"""Answers new inputs with the variant that a finished run chose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trimtab.engine.base import Engine, same_weights
from trimtab.engine.registry import make_engine
from trimtab.errors import RunError
from trimtab.prompt.ask import answer_all, conversation, to_requests
from trimtab.prompt.nearest import NearestPool
from trimtab.store.files import read_nouns, sha256_of
from trimtab.store.run import read_info
from trimtab.task.contract import violation
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import (
    ADAPTER_FILE,
    HOSTED_FILE,
    Completion,
    Decision,
    Example,
    Failed,
    Noun,
    Request,
    Variant,
)

EngineMaker = Callable[[ModelSpec, Callable[[str], None]], Engine]


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
        return list(self.predict_each(texts))

    def predict_each(self, texts: Sequence[str]) -> Iterator[Prediction]:
        """As `predict_many`, given out as soon as a chunk of them is answered."""
        rows = [Example(id=str(i), input=text, target="") for i, text in enumerate(texts)]
        for start in range(0, len(rows), self.engine.chunk_size):
            chunk = rows[start : start + self.engine.chunk_size]
            for row, answer in zip(chunk, self.answer_many(chunk), strict=True):
                yield self._prediction(row.input, answer)

    def answer_many(self, rows: Sequence[Example]) -> list[Completion | Failed]:
        """The final answer to each row's input, in their order. A sampled answer draws from a seed
        made of the row's id."""
        contract = self.task.output
        requests = to_requests(self.variant, rows, self.pool, contract, self.folder)
        answers = dict(answer_all(self.variant, contract, dict(enumerate(requests)), self._ask))
        return [answers[i] for i in range(len(rows))]

    async def answer_one(
        self, row: Example, ask: Callable[[Request], Awaitable[Completion | Failed]]
    ) -> Completion | Failed:
        """What `answer_many` gives for one row, with calls made by `ask`."""
        talk = self.conversation(row)
        request = next(talk)
        while True:
            try:
                request = talk.send(await ask(request))
            except StopIteration as over:
                answer: Completion | Failed = over.value
                return answer

    def conversation(
        self, row: Example
    ) -> Generator[Request, Completion | Failed, Completion | Failed]:
        """The calls of one row, for others to make: yields each request, is sent its answer, and
        returns what `answer_many` gives."""
        contract = self.task.output
        (first,) = to_requests(self.variant, [row], self.pool, contract, self.folder)
        return conversation(self.variant, contract, first)

    def _ask(self, requests: Mapping[int, Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """One round of calls, in the engine's chunks."""
        keys = list(requests)
        for start in range(0, len(keys), self.engine.chunk_size):
            chunk = keys[start : start + self.engine.chunk_size]
            for position, answer in self.engine.generate([requests[key] for key in chunk]):
                yield chunk[position], answer

    def _prediction(self, text: str, answer: Completion | Failed) -> Prediction:
        if isinstance(answer, Failed):
            return Prediction(input=text, text=None, valid=False, error=answer.message)
        problem = violation(self.task.output, answer.text)
        return Prediction(input=text, text=answer.text, valid=problem is None, error=problem)


def load(
    folder: str | Path,
    progress: Callable[[str], None] = lambda _: None,
    *,
    variant_id: str | None = None,
    make: EngineMaker = make_engine,
) -> Predictor:
    """The winner of the finished run in `folder`, or another of its variants by id.

    `make` makes the engine, so that a caller with several variants may share one.

    Raises `RunError` for a run that is not finished or has no such variant, and `ModelError` where
    its model is not the one that was measured.
    """
    folder = Path(folder)
    decision, variant = find_variant(folder, variant_id)
    task = Task.model_validate(decision.settings)
    spec = task.models.prompt if variant.arm == "prompt" else task.models.tune
    assert spec is not None
    engine = make(spec, progress)
    if not same_weights(engine.model_id, variant.model):
        raise RunError(
            f"{folder} measured the model {variant.model}, and {spec.model!r} is now "
            f"{engine.model_id}; decide again, or bring the measured model back"
        )
    if engine.model_id != variant.model:
        progress(
            f"measured as {variant.model} and answering as {engine.model_id}: the precision of "
            "another processor may change a few answers"
        )
    return Predictor(variant, task, folder, engine, _pool(folder, variant))


def find_variant(folder: Path, variant_id: str | None = None) -> tuple[Decision, Variant]:
    """The winner of a finished run, or another of its variants by id, with what it needs in place.

    Raises `RunError` as `load`.
    """
    read_info(folder)
    decision = read_decision(folder)
    wanted = variant_id or decision.verdict.winner
    if wanted is None:
        raise RunError(f"{folder} ended in {decision.verdict.word!r} without a variant to use")
    variant = decision.variant(wanted)
    if variant is None:
        known = ", ".join(f"{v.id} ({v.name})" for v in decision.variants)
        raise RunError(f"{folder} has no variant {wanted}; it has {known}")
    _check_adapter(folder, variant)
    if variant.prompt.nearest and not (folder / "pool.jsonl").exists():
        raise _no_pool(folder)
    return decision, variant


def _check_adapter(folder: Path, variant: Variant) -> None:
    """The weights must be those that were measured; where an endpoint keeps them, their name."""
    if variant.adapter is None:
        return
    place = folder / variant.adapter.path
    hosted, weights = place / HOSTED_FILE, place / ADAPTER_FILE
    found = hosted if hosted.exists() else weights
    if not found.exists() or sha256_of(found) != variant.adapter.sha256:
        raise RunError(f"{found} is missing or is not what was measured; decide again")


def _pool(folder: Path, variant: Variant) -> NearestPool | None:
    if not variant.prompt.nearest:
        return None
    rows = read_nouns(folder / "pool.jsonl", Example)
    if not rows:
        raise _no_pool(folder)
    return NearestPool(rows)


def _no_pool(folder: Path) -> RunError:
    return RunError(
        f"{folder / 'pool.jsonl'} is missing, and the variant retrieves its demonstrations from "
        "it; bring it back, or decide again"
    )


def read_decision(folder: Path) -> Decision:
    path = folder / "verdict.json"
    try:
        return Decision.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not finished; run `trimtab decide` to finish it") from error
    except ValidationError as error:
        raise RunError(
            f"{path} is damaged or of another version: {error.errors()[0]['msg']}"
        ) from error
