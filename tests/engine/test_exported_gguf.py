"""A fine-tune exported as GGUF, run by a real llama.cpp server on a task's own rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tiny import load_in_float32
from trimtab.engine.openai import OpenAIEngine
from trimtab.prompt.ask import to_requests
from trimtab.task.spec import ModelSpec
from trimtab.tune.export.gguf import GGUF, write_gguf
from trimtab.tune.export.weights import write_merged
from trimtab.tune.lora import TrainSettings, train
from trimtab.tune.rows import encode
from trimtab.types import Completion, Example, OutputContract, Prompt, Variant

from .llamacpp import LlamaServer

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(find_spec("xllamacpp") is None, reason="no wheel of xllamacpp"),
]

CONTRACT = OutputContract(kind="json", schema={"type": "object"})
PROMPT = Prompt(system="Split the name into its parts.")
NAMES = ("John Smith", "Mary Ann Jones", "Peter Brown", "Ruth Decker", "Hugo Fox", "Vera Dale")


def example(number: int) -> Example:
    name = NAMES[number % len(NAMES)]
    first, last = name.split()[0], name.split()[-1]
    text = f"{last}, {first} ({number})"
    target = json.dumps({"first": first, "last": last}, separators=(",", ":"))
    return Example(id=str(number), input=text, target=target)


ROWS = [example(number) for number in range(34)]


@pytest.fixture(scope="module")
def tuned(real_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """(engine of the default model, folder of an adapter that learnt the names)."""
    engine = load_in_float32(real_model)
    settings = TrainSettings(learning_rate=2e-3, epochs=1, batch_size=4)
    rows = encode(engine.template, PROMPT, ROWS[:24])
    folder = tmp_path_factory.mktemp("trained") / "a"
    *_, last = train(engine, rows, rows[:1], settings, folder, lambda tokens: None)
    return engine, last.adapter


@pytest.fixture(scope="module")
def server(tuned, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    engine, adapter = tuned
    merged, out = tmp_path_factory.mktemp("merged"), tmp_path_factory.mktemp("gguf") / GGUF
    write_merged(engine, adapter, merged)
    write_gguf(merged, out, "f16", "names")
    running = LlamaServer(out)
    yield running
    running.kill()


def test_the_server_answers_as_the_engine_that_was_measured(tuned, server) -> None:
    engine, adapter = tuned
    variant = Variant(name="v", arm="fine-tune", model="m", prompt=PROMPT, max_tokens=24)
    requests = to_requests(variant, ROWS[24:], None, CONTRACT, Path())
    ours = dict(engine.generate([r.model_copy(update={"adapter": str(adapter)}) for r in requests]))
    spec = ModelSpec(engine="openai", model="names", base_url=server.url, concurrency=2)
    theirs = dict(OpenAIEngine(spec).generate(requests))
    same, right = 0, 0
    for place, row in enumerate(ROWS[24:]):
        assert isinstance(ours[place], Completion)
        assert isinstance(theirs[place], Completion)
        assert theirs[place].tokens_in == ours[place].tokens_in, "the tokens of the prompt differ"
        same += theirs[place].text == ours[place].text
        right += theirs[place].text == row.target
    # Rounding in another program may turn a near-tie; a wrong permutation turns every answer.
    assert same >= 9
    assert right >= 5
