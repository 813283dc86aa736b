"""The one place where a prompt becomes messages: for measuring, for predicting, for training.

A model that is trained on one rendering and called with another loses quality for no visible
reason, so there is no second function that does this.
"""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.prompt.nearest import NearestPool, same_input_key
from trimtab.prompt.own import fill
from trimtab.prompt.styles import STYLES, Style
from trimtab.types import Example, Message, Prompt


def render(prompt: Prompt, text: str, pool: NearestPool | None) -> tuple[Message, ...]:
    """Instructions, demonstrations (fixed ones first, the nearest last), then the input, laid out
    in the prompt's style; or the user's own template with the input put in.

    A row with the same input as `text` is never shown as a demonstration, so that a training row
    does not see its own answer. `text` and the demonstrations stay plain content. Raises
    `ValueError` when the prompt retrieves demonstrations and no pool is given.
    """
    return _render(prompt, text, pool, shown=text)


def render_bare(prompt: Prompt, text: str, pool: NearestPool | None) -> tuple[Message, ...]:
    """What `render` gives for `text`, without `text` itself."""
    return _render(prompt, text, pool, shown="")


def render_with_target(
    prompt: Prompt, example: Example, pool: NearestPool | None
) -> tuple[Message, ...]:
    """What `render` gives for the example's input, closed by its target as the answer."""
    answer = Message(role="assistant", content=example.target)
    return (*render(prompt, example.input, pool), answer)


def shared_messages(prompt: Prompt) -> int:
    """How many leading messages are the same whatever the input, but for a demonstration that is
    left out because it has that very input."""
    if prompt.template:
        changing = [i for i, each in enumerate(prompt.template) if _asks(each.content)]
        return changing[0] if changing else len(prompt.template)
    style = STYLES[prompt.style]
    return int(style.system) + (2 * len(prompt.demonstrations) if style.turns else 0)


def lay_out(
    style: Style, system: str, demonstrations: Iterable[tuple[str, str]], text: str
) -> tuple[Message, ...]:
    """Messages of the instructions, (input, answer) pairs and the input; texts are only joined."""
    messages = [Message(role="system", content=system)] if style.system else []
    head = "" if style.system else f"{system}\n\n"
    if not style.turns:
        shown = "".join(style.lines(*pair) for pair in demonstrations)
        return (*messages, Message(role="user", content=head + shown + style.question(text)))
    for asked, answer in demonstrations:
        messages.append(Message(role="user", content=head + style.question(asked)))
        messages.append(Message(role="assistant", content=answer))
        head = ""
    return (*messages, Message(role="user", content=head + style.question(text)))


def _render(prompt: Prompt, text: str, pool: NearestPool | None, shown: str) -> tuple[Message, ...]:
    """Messages for the input `text`, in which `shown` stands in its place."""
    if prompt.template:
        return fill(prompt.template, shown)
    pairs = [(each.input, each.target) for each in _demonstrations(prompt, text, pool)]
    return lay_out(STYLES[prompt.style], prompt.system, pairs, shown)


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
    retrieved = [each for each in found if each.id not in fixed][-prompt.nearest :]
    return shown + (retrieved[::-1] if prompt.nearest_first else retrieved)


def _asks(content: str) -> bool:
    """Whether a template may differ from input to input."""
    return "{{" in content or "{%" in content
