"""Prompts that users wrote themselves: read from files, checked, and filled with an input.

A file that ends in `.json` holds a list of messages as OpenAI has them. Any other file is text: one
user message, or several where its first line is a role line such as `### system`. All contents are
Jinja templates that know one name, `input`, and run in Jinja's sandbox.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue, ValidationError

from trimtab.errors import TaskError
from trimtab.task.contract import short
from trimtab.task.spec import Task
from trimtab.types import Message, Prompt, Variant

if TYPE_CHECKING:
    from jinja2 import Environment, Template

PLACEHOLDER = "input"
ROLE_LINE = re.compile(r"^### (system|user|assistant)$", re.MULTILINE)
"""Before each message of a text with several."""

_PROBE = "Any text."
_SPACE = re.compile(r"\s*")
_RUNTIME_ERRORS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What an expression in a template can raise on top of Jinja's own errors."""


def own_prompts(folder: Path, task: Task) -> tuple[Prompt, ...]:
    """The prompts in the files that `search.prompts` names, relative to the task's `folder`.

    Raises:
        TaskError: a file cannot be read or used; names the file and the line.
    """
    return tuple(_read(folder / name) for name in task.search.prompts)


def own_variants(folder: Path, task: Task, model_id: str, max_tokens: int) -> list[Variant]:
    """A variant for each of `own_prompts`, named after its file. Raises as that."""
    return [
        Variant(
            name=f"own prompt {name}",
            arm="prompt",
            model=model_id,
            prompt=prompt,
            max_tokens=max_tokens,
        )
        for name, prompt in zip(task.search.prompts, own_prompts(folder, task), strict=True)
    ]


def fill(template: Sequence[Message], text: str) -> tuple[Message, ...]:
    """The messages with `text` in place of `input`. It stays plain content.

    Raises:
        TaskError: an expression in the template fails on this input.
    """
    from jinja2 import TemplateError

    try:
        return tuple(
            Message(role=each.role, content=_compiled(each.content).render({PLACEHOLDER: text}))
            for each in template
        )
    except (TemplateError, *_RUNTIME_ERRORS) as error:
        raise TaskError(
            f"a prompt of search.prompts fails on the input {short(text, 60)}: {error}; "
            f"show the input as {{{{ {PLACEHOLDER} }}}}, without an expression that it can break"
        ) from error


def _read(path: Path) -> Prompt:
    try:
        source = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise TaskError(
            f"{path}: cannot be read: {error.strerror}; correct search.prompts in the task file"
        ) from None
    source = source.replace("\r\n", "\n")
    parts = list(_json_messages(path, source) if path.suffix == ".json" else _text(source))
    used = set().union(*(_names(path, line, message.content) for line, message in parts))
    if PLACEHOLDER not in used:
        raise TaskError(
            f"{path}:1: the prompt never shows the input; "
            f"write {{{{ {PLACEHOLDER} }}}} where it belongs"
        )
    if parts[-1][1].role != "user":
        raise TaskError(f"{path}:{parts[-1][0]}: the last message must have the role user")
    for line, message in parts:
        _try(path, line, message.content)
    return Prompt(system="", template=tuple(message for _, message in parts))


def _text(source: str) -> Iterator[tuple[int, Message]]:
    """(line, message) of a text with role lines, or of one that is a single user message."""
    marks = list(ROLE_LINE.finditer(source))
    if not marks or marks[0].start() != 0:
        yield 1, Message(role="user", content=source.removesuffix("\n"))
        return
    ends = [mark.start() for mark in marks[1:]] + [len(source)]
    for mark, end in zip(marks, ends, strict=True):
        content = source[mark.end() + 1 : end].removesuffix("\n")
        line = source.count("\n", 0, mark.start()) + 2
        yield line, Message.model_validate({"role": mark[1], "content": content})


def _json_messages(path: Path, source: str) -> Iterator[tuple[int, Message]]:
    """(line where it begins, message) of a list of messages, or of an object that holds it."""
    try:
        items: JsonValue = json.loads(source)
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise TaskError(f"{path}: nested too deeply to read") from None
    start = 0
    if isinstance(items, dict) and isinstance(items.get("messages"), list):
        items = items["messages"]
        start = next(
            found.end()
            for found in re.finditer(r'"messages"\s*:\s*', source)
            if json.JSONDecoder().raw_decode(source, found.end())[0] == items
        )
    if not isinstance(items, list) or not items:
        raise TaskError(f'{path}:1: expected a list of {{"role": ..., "content": ...}}')
    for item, line in zip(items, _lines_of_items(source, start), strict=True):
        try:
            yield line, Message.model_validate(item)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"])) or "message"
            raise TaskError(f"{path}:{line}: {place}: {problem['msg']}") from None


def _lines_of_items(source: str, start: int) -> Iterator[int]:
    """The line on which each item of the JSON list at `start` begins."""
    decoder = json.JSONDecoder()
    at = _past_space(source, source.index("[", start) + 1)
    while source[at] != "]":
        yield source.count("\n", 0, at) + 1
        _, at = decoder.raw_decode(source, at)
        at = _past_space(source, at)
        if source[at] == ",":
            at = _past_space(source, at + 1)


def _past_space(source: str, at: int) -> int:
    match = _SPACE.match(source, at)
    assert match is not None
    return match.end()


def _names(path: Path, line: int, content: str) -> set[str]:
    """The names that a template asks for, all of them known."""
    from jinja2 import TemplateSyntaxError, meta, nodes

    try:
        tree = _environment().parse(content)
        names = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        raise TaskError(f"{path}:{line + error.lineno - 1}: {error.message}") from None
    for node in tree.find_all(nodes.Name):
        if node.name in names and node.name != PLACEHOLDER:
            raise TaskError(
                f"{path}:{line + node.lineno - 1}: unknown placeholder {node.name!r}; "
                f"the only one is {{{{ {PLACEHOLDER} }}}}"
            )
    return names


def _try(path: Path, line: int, content: str) -> None:
    """Fill the template once, so that what always fails is found before any call."""
    from jinja2 import TemplateError

    try:
        _compiled(content).render({PLACEHOLDER: _PROBE})
    except (TemplateError, *_RUNTIME_ERRORS) as error:
        frames = traceback.extract_tb(error.__traceback__)
        inside = [each.lineno or 1 for each in frames if each.filename == "<template>"]
        at = line + (inside[-1] if inside else 1) - 1
        raise TaskError(f"{path}:{at}: the template fails: {error}") from None


@cache
def _environment() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # a prompt is no HTML
        keep_trailing_newline=True,
    )
    # An unknown name must be an error and not one of Jinja's functions.
    environment.globals.clear()
    return environment


@cache
def _compiled(content: str) -> Template:
    return _environment().from_string(content)
