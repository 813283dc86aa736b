"""The candidates of both arms as Variants, and what each asks a model for an example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.render import render
from trimtab.prompt.wording import short_text, system_text
from trimtab.task.spec import Task
from trimtab.types import (
    Adapter,
    Decoding,
    Example,
    OutputContract,
    Prompt,
    Request,
    Variant,
    content_hash,
)


def zero_shot(task: Task, model_id: str, max_tokens: int) -> Variant:
    """The full instructions without demonstrations."""
    return _prompted("zero-shot", model_id, Prompt(system=system_text(task)), max_tokens)


def static(
    task: Task,
    model_id: str,
    demonstrations: Sequence[Example],
    max_tokens: int,
    strategy: str,
) -> Variant:
    """The full instructions and the same demonstrations for every input.

    `strategy` says in the variant's name how the demonstrations were chosen.
    """
    prompt = Prompt(system=system_text(task), demonstrations=tuple(demonstrations))
    name = f"{len(demonstrations)} chosen demonstrations ({strategy})"
    return _prompted(name, model_id, prompt, max_tokens)


def nearest(task: Task, model_id: str, k: int, max_tokens: int) -> Variant:
    """The full instructions and the `k` training rows most like the input."""
    prompt = Prompt(system=system_text(task), nearest=k)
    return _prompted(f"{k} nearest demonstrations", model_id, prompt, max_tokens)


def constrained(variant: Variant) -> Variant:
    """The same variant, decoded under the task's output contract."""
    return variant.model_copy(update={"name": f"{variant.name}, constrained", "constrained": True})


def tuned_prompt(task: Task) -> Prompt:
    """What the tuned model is trained on and called with: training taught it the rest."""
    return Prompt(system=short_text(task))


def tuned(task: Task, model_id: str, adapter: Adapter, max_tokens: int) -> Variant:
    """The model with a trained adapter, under the short prompt it was trained on."""
    return Variant(
        name=f"fine-tune on {adapter.rows} rows",
        arm="fine-tune",
        model=model_id,
        prompt=tuned_prompt(task),
        max_tokens=max_tokens,
        adapter=adapter,
    )


def to_requests(
    variant: Variant,
    examples: Sequence[Example],
    pool: NearestPool | None,
    contract: OutputContract,
    run_folder: Path,
    seed: int = 0,
) -> list[Request]:
    """One request for each example, in their order; repeats of sampled answers vary `seed`.

    `run_folder` is where the variant's adapter path starts.

    A sampled answer draws from a seed of its own, made from `seed` and the example: one seed for
    all would tie the luck of all examples together, and their interval would be too narrow.
    Greedy requests all have seed 0, so that a repeat is the same request.
    """
    adapter = str(run_folder / variant.adapter.path) if variant.adapter else None
    shared_messages = 1 + 2 * len(variant.prompt.demonstrations)
    return [
        Request(
            messages=render(variant.prompt, example.input, pool),
            decoding=Decoding(
                max_tokens=variant.max_tokens,
                temperature=variant.temperature,
                seed=_seed(seed, example) if variant.temperature > 0 else 0,
                contract=contract if variant.constrained else None,
            ),
            adapter=adapter,
            shared_messages=shared_messages,
        )
        for example in examples
    ]


def _prompted(name: str, model_id: str, prompt: Prompt, max_tokens: int) -> Variant:
    return Variant(name=name, arm="prompt", model=model_id, prompt=prompt, max_tokens=max_tokens)


def _seed(seed: int, example: Example) -> int:
    """31 bits: what every engine's generator takes."""
    return int(content_hash(str(seed), example.id, length=8), 16) >> 1
