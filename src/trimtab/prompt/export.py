"""A variant's prompt for use without Trimtab: a template with named placeholders.

All templates are Jinja with its default settings. They know `input`, and where the prompt shows the
nearest demonstrations, `demonstrations`: a list of objects with `input` and `output`, in the order
in which they are shown. Filled, they give the messages of `render.render`, which besides leaves out
a fixed demonstration that has the very input that is asked about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab.errors import InputError
from trimtab.prompt.own import PLACEHOLDER, ROLE_LINE
from trimtab.prompt.render import lay_out
from trimtab.prompt.styles import STYLES, Style
from trimtab.types import Message, Prompt

_INPUT = f"{{{{ {PLACEHOLDER} }}}}"
_DEMONSTRATION = ("{{ demonstration.input }}", "{{ demonstration.output }}")
_FOR_EACH = "for demonstration in demonstrations"
_SPECIAL = re.compile(r"\{(?=[{%#\r]|\n?\Z)|\r|\n\Z")
"""What Jinja would not leave as it is: a brace that may open an expression, a carriage return
(which it reads as a line feed) and the last line feed (which it drops)."""

_LAST_LINE_FEED = re.compile(r"\n\Z")
"""Of a whole template, which may also be what stands around empty texts."""


@dataclass(frozen=True)
class _Template:
    """Messages whose contents are templates; those of `each` are repeated for demonstrations."""

    before: tuple[Message, ...]
    each: tuple[Message, ...] = ()
    after: tuple[Message, ...] = ()


def as_messages(prompt: Prompt) -> str:
    """A JSON list of messages as OpenAI has them, whose contents are templates.

    Raises:
        InputError: the prompt shows the nearest demonstrations as messages, and a list cannot.
    """
    template = _template(prompt)
    if template.each:
        raise InputError(
            "this prompt shows other demonstrations for each input, as messages of their own, "
            "and a fixed list of messages cannot; write it with --to jinja or --to text"
        )
    messages = [
        {"role": each.role, "content": _LAST_LINE_FEED.sub(_as_expression, each.content)}
        for each in template.before
    ]
    return json.dumps(messages, ensure_ascii=False, indent=2) + "\n"


def as_text(prompt: Prompt) -> str:
    """A template of one text, each message under a line with its role, such as `### user`.

    `search.prompts` reads it back, where it has no loop over demonstrations.
    """
    template = _template(prompt)
    text = _transcript(template.before)
    if template.each:
        # What follows either mark is a role line, so that no space that counts is trimmed.
        loop = _transcript(template.each)
        text += f"{{% {_FOR_EACH} -%}}\n{loop}{{% endfor -%}}\n{_transcript(template.after)}"
    return text


def as_jinja(prompt: Prompt) -> str:
    """A template of the JSON list of messages: fill it, read it as JSON, send it."""
    template = _template(prompt)
    items = [_json_item(message) for message in template.before]
    if template.each:
        loop = "".join(f"{_json_item(message)},\n" for message in template.each)
        last = ",\n".join(_json_item(message) for message in template.after)
        items.append(f"{{% {_FOR_EACH} %}}\n{loop}{{% endfor %}}\n{last}")
    return "[\n" + ",\n".join(items) + "\n]\n"


EXPORTS: dict[str, Callable[[Prompt], str]] = {
    "messages": as_messages,
    "text": as_text,
    "jinja": as_jinja,
}
"""By the name that `trimtab prompt --to` takes."""


def _template(prompt: Prompt) -> _Template:
    if prompt.template:
        return _Template(prompt.template)
    style = STYLES[prompt.style]
    system = _literal(prompt.system)
    fixed = [(_literal(each.input), _literal(each.target)) for each in prompt.demonstrations]
    if not prompt.nearest:
        return _Template(lay_out(style, system, fixed, _INPUT))
    if style.turns:
        return _with_repeated_turns(style, system, fixed)
    *before, asked = lay_out(style, system, fixed, "")
    shown = asked.content.removesuffix(style.question(""))
    shown += f"{{% {_FOR_EACH} %}}{style.lines(*_DEMONSTRATION)}{{% endfor %}}"
    return _Template((*before, _user(shown + style.question(_INPUT))))


def _with_repeated_turns(style: Style, system: str, fixed: Sequence[tuple[str, str]]) -> _Template:
    *before, asked = lay_out(style, system, fixed, _INPUT)
    shown, answer = _DEMONSTRATION
    turns = (_user(style.question(shown)), Message(role="assistant", content=answer))
    if style.system or fixed:
        return _Template(tuple(before), turns, (asked,))
    # The instructions open the first question, whichever that is.
    opened = f"{{% if loop.first %}}{system}\n\n{{% endif %}}{style.question(shown)}"
    alone = f"{{% if not demonstrations %}}{system}\n\n{{% endif %}}{style.question(_INPUT)}"
    return _Template((), (_user(opened), turns[1]), (_user(alone),))


def _user(content: str) -> Message:
    return Message(role="user", content=content)


def _transcript(messages: Sequence[Message]) -> str:
    return "".join(
        # No line of a text may be taken for a role line.
        f"### {each.role}\n" + ROLE_LINE.sub(r'{{ "#" }}## \1', each.content) + "\n"
        for each in messages
    )


def _json_item(message: Message) -> str:
    content = f"{{% filter tojson %}}{message.content}{{% endfilter %}}"
    return f'{{"role": "{message.role}", "content": {content}}}'


def _literal(text: str) -> str:
    """A template that gives just `text`, also where another template follows it."""
    return _SPECIAL.sub(_as_expression, text)


def _as_expression(found: re.Match[str]) -> str:
    return f"{{{{ {json.dumps(found[0])} }}}}"
