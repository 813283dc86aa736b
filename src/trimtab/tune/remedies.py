"""What mends a fine-tune that lost general ability, from cheap to dear.

A scaled adapter costs no training. The others train once more on the same rows: with the base's own
answers to general prompts among them, at a lower learning rate, or with fewer dimensions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from trimtab.engine.local.engine import LocalEngine
from trimtab.prompt.variants import tuned_prompt
from trimtab.store.files import sha256_of
from trimtab.task.spec import Task
from trimtab.tune.lora import TrainSettings, train
from trimtab.tune.retention.suite import load_replay
from trimtab.tune.rows import TrainingRow, encode
from trimtab.types import (
    ADAPTER_FILE,
    Adapter,
    Completion,
    Decoding,
    Example,
    Message,
    Noun,
    Request,
)

_REPLAY_TOKENS = 96


class Recipe(Noun):
    """A training that should forget less than the one before."""

    name: str
    replay: float = 0.0
    """Rows with the base's own answers, as a share of the task's rows."""
    rate: float = 1.0
    """Factor on the learning rate."""
    rank: float = 1.0
    """Factor on the rank."""


RECIPES = (
    Recipe(name="with replay of the base's answers", replay=0.1),
    Recipe(name="at a quarter of the learning rate", rate=0.25),
    Recipe(name="at a quarter of the rank", rank=0.25),
)


def scaled(adapter: Adapter, run_folder: Path, factor: float) -> Adapter:
    """A copy of the adapter whose change to the model is `factor` times as large.

    The factor goes into the weights and not beside them, so that whatever loads the copy, and
    whatever it is exported to, is what was measured.
    """
    source, name = run_folder / adapter.path, f"{adapter.path}-scaled-{factor:g}"
    target, draft = run_folder / name, run_folder / f"{name}.draft"
    if not target.exists():
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        shutil.copy(source / "adapter_config.json", draft)
        weights = {
            key: (value * factor if ".lora_B" in key else value).contiguous()
            for key, value in load_file(source / ADAPTER_FILE).items()
        }
        save_file(weights, draft / ADAPTER_FILE, metadata={"format": "pt"})
        draft.rename(target)
    return adapter.model_copy(update={"path": name, "sha256": sha256_of(target / ADAPTER_FILE)})


def retrained(
    engine: LocalEngine,
    task: Task,
    rows: Sequence[Example],
    dev: Sequence[Example],
    adapter: Adapter,
    recipe: Recipe,
    adapters: Path,
    on_tokens: Callable[[int], None],
) -> Adapter:
    """Train anew by `recipe` on the rows that made `adapter`; the best epoch by dev loss.

    `adapters` is the run's adapter folder. `on_tokens` may raise, as in `train`; the next call goes
    on from there.
    """
    assert adapter.learning_rate is not None, "an adapter that was trained elsewhere"
    search, prompt = task.search, tuned_prompt(task)
    settings = TrainSettings(
        learning_rate=adapter.learning_rate * recipe.rate,
        epochs=search.epochs,
        rank=max(1, round(search.rank * recipe.rank)),
        batch_size=search.batch_size,
        four_bit=search.four_bit,
        seed=task.seed,
    )
    own = encode(engine.template, prompt, rows)
    replayed = replay_rows(engine, round(recipe.replay * len(own)))
    dev_rows = encode(engine.template, prompt, dev)
    folder = adapters / f"remedy-{'-'.join(recipe.name.split())}"
    epochs = list(train(engine, [*own, *replayed], dev_rows, settings, folder, on_tokens))
    best = min(epochs, key=lambda epoch: epoch.dev_loss)
    return Adapter(
        path=str(best.adapter.relative_to(adapters.parent)),
        sha256=sha256_of(best.adapter / ADAPTER_FILE),
        rows=len(rows),
        epoch=best.number,
        learning_rate=settings.learning_rate,
        seed=task.seed,
    )


def replay_rows(engine: LocalEngine, count: int) -> list[TrainingRow]:
    """Up to `count` rows of general prompts with the base model's own greedy answers.

    An answer that ran into its limit is left out: it would teach the model to stop in mid-sentence.
    """
    messages = [(Message(role="user", content=text),) for text in load_replay()[:count]]
    decoding = Decoding(max_tokens=_REPLAY_TOKENS)
    answers = dict(engine.generate([Request(messages=m, decoding=decoding) for m in messages]))
    return [
        TrainingRow(
            *engine.template.training((*asked, Message(role="assistant", content=answer.text)))
        )
        for asked, answer in ((asked, answers[i]) for i, asked in enumerate(messages))
        if isinstance(answer, Completion) and answer.finish == "stop" and answer.text.strip()
    ]
