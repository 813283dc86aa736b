"""The candidates of both arms as Variants, and what changes one into another."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.prompt.demonstrations import ORDERS, ordered
from trimtab.prompt.wording import short_text, system_text
from trimtab.task.spec import Task
from trimtab.types import Adapter, Example, Prompt, Variant

NEAREST_ORDERS = ("nearest-last", "nearest-first")
RETRIES = 2
"""Of `retrying`, by default: what is not put right in two attempts seldom is in more."""


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


def reasoning(variant: Variant) -> Variant:
    """The same variant, which thinks in free text before it answers. Costs a second call."""
    return variant.model_copy(update={"name": f"{variant.name}, thinking first", "reason": True})


def retrying(variant: Variant, retries: int = RETRIES) -> Variant:
    """The same variant, shown what is wrong with an answer that breaks the contract, and asked
    again, at most `retries` times."""
    name = f"{variant.name}, {retries} {'retry' if retries == 1 else 'retries'}"
    return variant.model_copy(update={"name": name, "retries": retries})


def worded(variant: Variant, task: Task, format: str, example: Example | None = None) -> Variant:
    """The same variant with the output contract said in this format of `wording.formats_of`.

    Raises:
        ValueError: as `wording.system_text`, or the prompt is the user's own and kept as written.
    """
    _refuse_own(variant)
    prompt = variant.prompt.model_copy(update={"system": system_text(task, format, example)})
    return variant.model_copy(update={"name": f"{variant.name}, format {format}", "prompt": prompt})


def orders_of(variant: Variant) -> tuple[str, ...]:
    """The orders of its demonstrations that `reordered` can make; empty where it shows none.

    The first is the one that `static` and `nearest` give.
    """
    if variant.prompt.demonstrations:
        return ORDERS
    return NEAREST_ORDERS if variant.prompt.nearest else ()


def reordered(variant: Variant, order: str) -> Variant:
    """The same variant with its demonstrations in this order of `orders_of`.

    Raises:
        ValueError: it cannot take this order.
    """
    if order not in orders_of(variant):
        raise ValueError(f"no order {order!r} here; there are: {', '.join(orders_of(variant))}")
    prompt = variant.prompt
    if prompt.demonstrations:
        shown = ordered(prompt.demonstrations, order)
        prompt = prompt.model_copy(update={"demonstrations": shown})
    else:
        prompt = prompt.model_copy(update={"nearest_first": order == "nearest-first"})
    return variant.model_copy(update={"name": f"{variant.name}, {order}", "prompt": prompt})


def tuned_prompt(task: Task) -> Prompt:
    """What the tuned model is trained on and called with: training taught it the rest."""
    return Prompt(system=short_text(task))


def searched_prompt(task: Task, best: Variant) -> Prompt | None:
    """The best prompt's instructions without its demonstrations, for a fine-tune to be trained on;
    None where they are the task's own or the short ones."""
    alone = {"demonstrations": (), "nearest": 0, "nearest_first": False}
    prompt = best.prompt.model_copy(update=alone)
    known = (Prompt(system=system_text(task)), tuned_prompt(task))
    return None if prompt in known else prompt


def tuned(
    task: Task, model_id: str, adapter: Adapter, max_tokens: int, prompt: Prompt | None = None
) -> Variant:
    """The model with a trained adapter, under the prompt it was trained on: by default the short
    one."""
    short = tuned_prompt(task)
    prompt = short if prompt is None else prompt
    how = "" if prompt == short else ", searched instructions"
    return Variant(
        name=f"fine-tune on {adapter.rows} rows{how}",
        arm="fine-tune",
        model=model_id,
        prompt=prompt,
        max_tokens=max_tokens,
        adapter=adapter,
    )


def _prompted(name: str, model_id: str, prompt: Prompt, max_tokens: int) -> Variant:
    return Variant(name=name, arm="prompt", model=model_id, prompt=prompt, max_tokens=max_tokens)


def _refuse_own(variant: Variant) -> None:
    if variant.prompt.template:
        raise ValueError(f"{variant.name} is a prompt of the user's own and is kept as written")
