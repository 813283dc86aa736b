"""The one place where a prompt becomes messages: for measuring, for predicting, for training.

A model that is trained on one rendering and called with another loses quality for no visible
reason, so there is no second function that does this.
"""

from __future__ import annotations

from trimtab.prompt.nearest import NearestPool, same_input_key
from trimtab.types import Example, Message, Prompt


def render(prompt: Prompt, text: str, pool: NearestPool | None) -> tuple[Message, ...]:
    """System text, demonstrations as turns (fixed ones first, the nearest last), then the input.

    A row with the same input as `text` is never shown as a demonstration, so that a training row
    does not see its own answer. `text` and the demonstrations stay plain content. Raises
    `ValueError` when the prompt retrieves demonstrations and no pool is given.
    """
    messages = [Message(role="system", content=prompt.system)]
    for example in _demonstrations(prompt, text, pool):
        messages.append(Message(role="user", content=example.input))
        messages.append(Message(role="assistant", content=example.target))
    messages.append(Message(role="user", content=text))
    return tuple(messages)


def render_with_target(
    prompt: Prompt, example: Example, pool: NearestPool | None
) -> tuple[Message, ...]:
    """What `render` gives for the example's input, closed by its target as the answer."""
    answer = Message(role="assistant", content=example.target)
    return (*render(prompt, example.input, pool), answer)


def _demonstrations(prompt: Prompt, text: str, pool: NearestPool | None) -> list[Example]:
    own = same_input_key(text)
    shown = [each for each in prompt.demonstrations if same_input_key(each.input) != own]
    if prompt.nearest == 0:
        return shown
    if pool is None:
        raise ValueError("the prompt retrieves nearest demonstrations; give the pool of rows")
    fixed = {example.id for example in shown}
    # Asking for as many more as are fixed leaves enough after those are passed over.
    found = pool.nearest(text, prompt.nearest + len(fixed), exclude_input=text)
    retrieved = [example for example in found if example.id not in fixed]
    return shown + retrieved[-prompt.nearest :]
