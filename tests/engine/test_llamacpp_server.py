"""The endpoint engine against a real server: llama.cpp's, with the default model's own file."""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from trimtab.engine.cache import RequestCache
from trimtab.engine.default_model import extract_gguf
from trimtab.engine.openai import OpenAIEngine
from trimtab.errors import EngineUnavailable
from trimtab.measure.bench import Bench
from trimtab.measure.meter import Meter, Silent
from trimtab.prompt.nearest import NearestPool
from trimtab.score.label import from_contract
from trimtab.store.files import read_records
from trimtab.store.run import open_run
from trimtab.task.spec import Budget, ModelSpec
from trimtab.types import (
    Completion,
    Decoding,
    Example,
    Failed,
    Message,
    OutputContract,
    Prompt,
    Request,
    Scored,
    Variant,
)

from .llamacpp import CONTEXT, SLOTS, LlamaServer

WHEELS = {
    ("Linux", "x86_64"),
    ("Linux", "aarch64"),
    ("Darwin", "x86_64"),
    ("Darwin", "arm64"),
    ("Windows", "AMD64"),
}
if (platform.system(), platform.machine()) not in WHEELS and find_spec("xllamacpp") is None:
    warnings.warn("NOT TESTED against a real server: no wheel of xllamacpp", stacklevel=1)
    pytest.skip("no wheel of xllamacpp for this platform", allow_module_level=True)

pytestmark = pytest.mark.model

LABELS = OutputContract(kind="label", labels=("person", "company"))
NAMES = {
    "John Smith": "person",
    "Smith and Sons Ltd": "company",
    "Mary Jones": "person",
    "Jones Incorporated": "company",
    "Robert Brown": "person",
    "Brown Brothers LLC": "company",
    "Linda Davis": "person",
    "Davis Plumbing Corp": "company",
    "James Wilson": "person",
    "Wilson Bank of Ohio": "company",
}
ROWS = [Example(id=name, input=name, target=label) for name, label in NAMES.items()]
SYSTEM = (
    "Decide whether a name is that of a person or of a company. "
    "Answer with exactly one of these labels and nothing else: person, company."
)
ADDRESS = OutputContract(
    kind="json",
    schema={
        "type": "object",
        "properties": {
            "number": {"type": "integer", "minimum": 0, "maximum": 9999},
            "city": {"type": "string", "maxLength": 20},
            "kind": {"enum": ["home", "office"]},
        },
        "required": ["number", "kind"],
        "additionalProperties": False,
    },
)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extract_gguf(tmp_path_factory.mktemp("gguf"), print)


@pytest.fixture(scope="module")
def server(gguf: Path) -> Iterator[LlamaServer]:
    running = LlamaServer(gguf)
    yield running
    running.kill()


def spec_for(server: LlamaServer, **settings: object) -> ModelSpec:
    return ModelSpec(engine="openai", model="smollm2", base_url=server.url, **settings)  # type: ignore[arg-type]


def ask(text: str, max_tokens: int = 8, contract: OutputContract | None = None) -> Request:
    return Request(
        messages=(Message(role="system", content=SYSTEM), Message(role="user", content=text)),
        decoding=Decoding(max_tokens=max_tokens, contract=contract),
    )


def bench(folder: Path, engine: OpenAIEngine, spec: ModelSpec) -> Bench:
    run, _ = open_run(folder, {"task file": "names"}, {})
    return Bench(
        run=run,
        engine=engine,
        spec=spec,
        scorer=from_contract(LABELS),
        contract=LABELS,
        pool=NearestPool([]),
        cache=RequestCache(folder / "cache.sqlite"),
        meter=Meter(run, Budget(), Silent()),
    )


def zero_shot(*, constrained: bool) -> Variant:
    return Variant(
        name="zero-shot",
        arm="prompt",
        model="smollm2",
        prompt=Prompt(system=SYSTEM),
        max_tokens=8,
        constrained=constrained,
    )


def test_ten_rows_are_answered_four_at_a_time_and_judged(
    server: LlamaServer, tmp_path: Path
) -> None:
    spec = spec_for(server, concurrency=SLOTS)
    sitting = bench(tmp_path, OpenAIEngine(spec), spec)
    records = sitting.records(zero_shot(constrained=True), "dev", ROWS)
    assert [record.example for record in records] == list(NAMES)
    for record in records:
        assert isinstance(record.outcome, Scored)
        assert record.outcome.valid
        assert record.completion is not None
        assert record.completion.text in LABELS.labels
        assert record.completion.finish == "stop"
        assert record.completion.attempts == 1
    free = sitting.records(zero_shot(constrained=False), "dev", ROWS)
    assert all(isinstance(record.outcome, Scored) for record in free)
    assert {r.completion.tokens_in for r in free if r.completion} == {
        r.completion.tokens_in for r in records if r.completion
    }


def test_json_keeps_to_its_schema(server: LlamaServer) -> None:
    engine = OpenAIEngine(spec_for(server))
    [(_, answer)] = engine.generate([ask("12 Main St, Springfield", 40, ADDRESS)])
    assert isinstance(answer, Completion)
    parsed = json.loads(answer.text)
    assert {"number", "kind"} <= set(parsed) <= {"number", "city", "kind"}
    assert isinstance(parsed["number"], int)
    assert parsed["kind"] in ("home", "office")


def test_a_shared_prompt_comes_from_the_servers_cache(server: LlamaServer) -> None:
    engine = OpenAIEngine(spec_for(server, concurrency=1))
    first, second = (dict(engine.generate([ask(name)]))[0] for name in ("Ann Lee", "Ann Leeson"))
    assert isinstance(first, Completion)
    assert isinstance(second, Completion)
    assert 0 < second.tokens_cached < second.tokens_in
    assert second.tokens_cached > second.tokens_in / 2


def test_a_seeded_sample_repeats_and_another_seed_differs(server: LlamaServer) -> None:
    engine = OpenAIEngine(spec_for(server, concurrency=1))

    def sample(seed: int) -> str:
        decoding = Decoding(max_tokens=24, temperature=1.5, seed=seed)
        request = Request(messages=(Message(role="user", content="Invent."),), decoding=decoding)
        answer = dict(engine.generate([request]))[0]
        assert isinstance(answer, Completion)
        return answer.text

    sample(1)  # a prompt that is not yet cached is computed in another batch shape
    assert sample(1) == sample(1) != sample(2)


def test_a_prompt_that_is_too_long_is_blamed_on_the_context(server: LlamaServer) -> None:
    engine = OpenAIEngine(spec_for(server))
    answers = dict(engine.generate([ask("hi " * 2 * CONTEXT), ask("John Smith")]))
    assert isinstance(answers[0], Failed)
    assert answers[0].boundary == "context"
    assert str(CONTEXT) in answers[0].message
    assert isinstance(answers[1], Completion)


def test_a_schema_that_it_cannot_read_is_refused_and_said(server: LlamaServer) -> None:
    engine = OpenAIEngine(spec_for(server))
    nonsense = OutputContract(kind="json", schema={"type": "nonsense"})
    answers = dict(engine.generate([ask("x"), ask("x", contract=nonsense)]))
    assert isinstance(answers[1], Failed)
    assert answers[1].boundary == "response"
    assert "refuses the schema in `response_format`" in answers[1].message


def test_the_time_of_a_call_is_measured(server: LlamaServer) -> None:
    timed = OpenAIEngine(spec_for(server)).time_call(ask("John Smith"))
    assert isinstance(timed, Completion)
    assert timed.latency_s is not None
    assert 0 < timed.latency_s < 60


def test_a_server_that_is_killed_stops_the_run_which_then_resumes(
    gguf: Path, tmp_path: Path
) -> None:
    server = LlamaServer(gguf)
    spec = spec_for(server, concurrency=2)

    class Killing(OpenAIEngine):
        """Kills the server after four answers."""

        def generate(self, requests):
            for number, answer in enumerate(super().generate(requests), start=1):
                yield answer
                if number == 4:
                    server.kill()

    variant = zero_shot(constrained=False)
    sitting = bench(tmp_path, Killing(spec), spec)
    try:
        with pytest.raises(EngineUnavailable, match=r"cannot be used.*endpoint is running"):
            sitting.records(variant, "dev", ROWS)
        # What was under way when the server died is neither answered nor counted as failed.
        saved = {r.example: r for r in read_records(sitting.run.records_path(variant.id, "dev"))}
        assert 4 <= len(saved) < len(ROWS)
        assert all(isinstance(record.outcome, Scored) for record in saved.values())
        sitting.cache.close()
        sitting.run.close()
        server.start()
        resumed = bench(tmp_path, OpenAIEngine(spec), spec)
        records = resumed.records(variant, "dev", ROWS)
    finally:
        server.kill()
    assert [record.example for record in records] == list(NAMES)
    assert all(isinstance(record.outcome, Scored) for record in records)
    assert all(record == saved.get(record.example, record) for record in records)
