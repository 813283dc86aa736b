"""Training rows in the forms that other trainers read, with the very prompts of this training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import JsonValue

from trimtab.engine.local.template import ChatTemplate
from trimtab.prompt.render import render_with_target
from trimtab.store.files import append, json_line
from trimtab.tune.rows import TrainingRow
from trimtab.types import Example, Message, Prompt

ROWS = "train.jsonl"


def openai_row(messages: Sequence[Message]) -> dict[str, JsonValue]:
    """`{"messages": [...]}`, as OpenAI's fine-tuning takes it."""
    return {"messages": [_turn(message) for message in messages]}


def trl_row(messages: Sequence[Message]) -> dict[str, JsonValue]:
    """TRL's conversational prompt and completion; its loss is on the completion alone, too."""
    turns: list[JsonValue] = [_turn(message) for message in messages]
    return {"prompt": turns[:-1], "completion": turns[-1:]}


FORMS: dict[str, Callable[[Sequence[Message]], dict[str, JsonValue]]] = {
    "openai-jsonl": openai_row,
    "trl-jsonl": trl_row,
}


def write_rows(form: str, prompt: Prompt, examples: Sequence[Example], out: Path) -> None:
    """Write one line for each example."""
    append(out, (FORMS[form](render_with_target(prompt, row, None)) for row in examples))


def openai_file(rows: Iterable[Sequence[Message]]) -> bytes:
    """The file that an endpoint is given to train on."""
    return b"".join(json_line(openai_row(messages)) for messages in rows)


def read_messages(path: Path) -> Iterator[list[Message]]:
    """The messages of each line of a file in either form."""
    for line in path.read_text("utf-8").split("\n"):
        if line:
            raw = json.loads(line)
            turns = raw.get("messages") or raw["prompt"] + raw["completion"]
            yield [Message.model_validate(turn) for turn in turns]


def read_rows(path: Path, template: ChatTemplate) -> list[TrainingRow]:
    """The token ids that this model is trained on from a file in either form."""
    return [TrainingRow(*template.training(messages)) for messages in read_messages(path)]


def _turn(message: Message) -> JsonValue:
    return {"role": message.role, "content": message.content}
