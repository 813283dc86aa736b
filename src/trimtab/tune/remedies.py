"""What mends a fine-tune that lost general ability, from cheap to dear.

A scaled adapter costs no training. The others train once more on the same rows: with the base's own
answers to general prompts among them, held to what the base would say at those prompts, at a lower
learning rate, or with fewer dimensions.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

from safetensors.torch import load_file, save_file

from trimtab.engine.local.engine import LocalEngine
from trimtab.store.files import sha256_of
from trimtab.task.spec import Task
from trimtab.tune.anchor import Anchor, anchored
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
    Variant,
)

_REPLAY_TOKENS = 96


class Recipe(Noun):
    """A training that should forget less than the one before."""

    name: str
    replay: float = 0.0
    """Rows with the base's own answers to general prompts, as a share of the task's rows."""
    kl: float = 0.0
    """Weight of the divergence from the base on its answer to such a prompt, added to the loss of
    each step."""
    rate: float = 1.0
    """Factor on the learning rate."""
    rank: float = 1.0
    """Factor on the rank."""


RECIPES = (
    Recipe(name="with replay of the base's answers", replay=0.1),
    Recipe(name="with a KL term to the base", kl=1.0),
    Recipe(name="at a quarter of the learning rate", rate=0.25),
    Recipe(name="at a quarter of the rank", rank=0.25),
)


def scaled(adapter: Adapter, run_folder: Path, factor: float) -> Adapter:
    """A copy of the adapter whose change to the model is `factor` times as large.

    The factor goes into the weights and not beside them, so that whatever loads the copy, and
    whatever it is exported to, is what was measured. It lies beside the folder of the adapter's
    size, whose other weights are deleted whenever a run goes on.
    """
    source = run_folder / adapter.path
    adapters = run_folder / Path(adapter.path).parts[0]
    target = adapters / f"scaled-{factor:g}-{adapter.sha256[:16]}"
    draft = target.with_name(f"{target.name}.draft")
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
    name = str(target.relative_to(run_folder))
    changed = {"path": name, "sha256": sha256_of(target / ADAPTER_FILE), "made": "remedy"}
    return adapter.model_copy(update=changed)


def retrained(
    engine: LocalEngine,
    task: Task,
    rows: Sequence[Example],
    dev: Sequence[Example],
    best: Variant,
    recipe: Recipe,
    adapters: Path,
    on_tokens: Callable[[int], None],
) -> Variant:
    """Train anew by `recipe` on the rows that made the fine-tune `best`, under its prompt; the best
    epoch by dev loss. The name tells the recipe, and how many general prompts took part.

    `adapters` is the run's adapter folder. `on_tokens` may raise, as in `train`; the next call goes
    on from there.
    """
    adapter = best.adapter
    assert adapter is not None and adapter.learning_rate is not None, "one that was trained here"
    search = task.search
    settings = TrainSettings(
        learning_rate=adapter.learning_rate * recipe.rate,
        epochs=search.epochs,
        rank=max(1, round(search.rank * recipe.rank)),
        batch_size=search.batch_size,
        four_bit=search.four_bit,
        seed=task.seed,
    )
    own = encode(engine.template, best.prompt, rows)
    dev_rows = encode(engine.template, best.prompt, dev)
    replayed = replay_rows(engine, math.ceil(recipe.replay * len(own)))
    anchor, told = None, ""
    if replayed:
        told = f" ({len(replayed) / len(own):.0%} of the rows)"
    if recipe.kl:
        steps = settings.epochs * math.ceil(len(own) / settings.batch_size)
        anchor = _anchor(engine, steps, recipe.kl)
        told = f" ({len(anchor.rows)} prompts)"
    folder = adapters / f"remedy-{'-'.join(recipe.name.split())}"
    training = [*own, *replayed]
    epochs = train(engine, training, dev_rows, settings, folder, on_tokens, anchor=anchor)
    kept = min(epochs, key=lambda epoch: epoch.dev_loss)
    made = Adapter(
        path=str(kept.adapter.relative_to(adapters.parent)),
        sha256=sha256_of(kept.adapter / ADAPTER_FILE),
        rows=len(rows),
        epoch=kept.number,
        learning_rate=settings.learning_rate,
        seed=task.seed,
        made="remedy",
    )
    return best.model_copy(update={"adapter": made, "name": f"{best.name}, {recipe.name}{told}"})


def _anchor(engine: LocalEngine, steps: int, weight: float) -> Anchor:
    """As many different prompts as there are steps to take one each, as far as there are."""
    general = replay_rows(engine, min(steps, len(load_replay())))
    engine.adapters.use(None)
    return anchored(engine.loaded.model, general, weight)


def replay_rows(engine: LocalEngine, count: int) -> list[TrainingRow]:
    """`count` rows of general prompts with the base model's own greedy answers; where there are
    fewer prompts, they come again.

    Of an answer that ran into its limit, its end is not learnt: that would teach the model to stop
    in mid-sentence. Without any answer there are no rows.
    """
    messages = [(Message(role="user", content=text),) for text in load_replay()[:count]]
    decoding = Decoding(max_tokens=_REPLAY_TOKENS)
    answers = dict(engine.generate([Request(messages=m, decoding=decoding) for m in messages]))
    found = []
    for i, asked in enumerate(messages):
        answer = answers[i]
        if isinstance(answer, Completion) and answer.text.strip():
            said = Message(role="assistant", content=answer.text)
            prompt, ids = engine.template.training((*asked, said))
            found.append(TrainingRow(prompt, ids if answer.finish == "stop" else ids[:-1]))
    return list(islice(cycle(found), count))
