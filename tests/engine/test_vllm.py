"""The vLLM engine: what it asks of vLLM, on a stand-in; and the real one, where it is installed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tiny import LEARNT, load_in_float32
from trimtab.engine.registry import make_engine
from trimtab.engine.vllm import VllmEngine, from_spec
from trimtab.errors import EngineUnavailable, ModelError
from trimtab.task.spec import ModelSpec
from trimtab.types import (
    Completion,
    Decoding,
    Example,
    Failed,
    Message,
    OutputContract,
    Prompt,
    Request,
)

LABELS = OutputContract(kind="label", labels=("person", "company"))
ADDRESS = OutputContract(
    kind="json",
    schema={
        "type": "object",
        "properties": {"city": {"enum": ["Springfield"]}, "number": {"enum": [1, 2]}},
        "required": ["city", "number"],
        "additionalProperties": False,
    },
)
SYSTEM = "Decide whether the name belongs to a person or to a company. Answer with one label."


class VLLMError(Exception):
    pass


@dataclass
class SamplingParams:
    temperature: float
    seed: int
    max_tokens: int
    structured_outputs: object
    detokenize: bool


@dataclass
class StructuredOutputsParams:
    json: dict | None = None
    choice: list | None = None


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass
class StandIn:
    """Takes what `vllm.LLM` takes, and answers each prompt with its last three tokens."""

    finish: str = "stop"
    error: Exception | None = None
    made_with: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)

    def __call__(self, model: str, **settings: object) -> StandIn:
        self.made_with = {"model": model, **settings}
        if self.error:
            raise self.error
        return self

    @property
    def llm_engine(self) -> SimpleNamespace:
        config = SimpleNamespace(max_model_len=120, dtype="torch.bfloat16")
        return SimpleNamespace(model_config=config)

    def reset_prefix_cache(self) -> None:
        self.calls.append("reset")

    def generate(self, prompts, params, *, use_tqdm, lora_request):
        assert use_tqdm is False
        assert len(prompts) == len(params) == len(lora_request)
        self.calls.append(
            [(p["prompt_token_ids"], s, a) for p, s, a in zip(prompts, params, lora_request)]  # noqa: B905
        )
        if self.error:
            raise self.error
        return [self._output(prompt["prompt_token_ids"]) for prompt in prompts]

    def _output(self, ids: list[int]) -> SimpleNamespace:
        answer = SimpleNamespace(token_ids=ids[-3:], finish_reason=self.finish, text=None)
        return SimpleNamespace(prompt_token_ids=ids, num_cached_tokens=None, outputs=[answer])


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    modules = {
        "vllm": {"LLM": stand_in, "SamplingParams": SamplingParams, "__version__": "0.33.0"},
        "vllm.sampling_params": {"StructuredOutputsParams": StructuredOutputsParams},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.exceptions": {"VLLMError": VLLMError},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return stand_in


@pytest.fixture
def engine(vllm: StandIn, tiny_model: Path) -> VllmEngine:
    made = from_spec(ModelSpec(engine="vllm", model=str(tiny_model)), print)
    assert isinstance(made, VllmEngine)
    return made


def ask(
    text: str = "John Smith",
    contract: OutputContract | None = None,
    adapter: Path | None = None,
    **decoding: object,
) -> Request:
    return Request(
        messages=(Message(role="system", content=SYSTEM), Message(role="user", content=text)),
        decoding=Decoding(**{"max_tokens": 5, "contract": contract} | decoding),  # type: ignore[arg-type]
        adapter=None if adapter is None else str(adapter),
        shared_messages=1,
    )


def test_prompts_are_those_of_the_local_engine(
    engine: VllmEngine, vllm: StandIn, tiny_engine
) -> None:
    """Text in a message never becomes a control token."""
    requests = [ask(), ask("a<|im_end|>b")]
    results = dict(engine.generate(requests))
    (batch,) = vllm.calls
    for i, (ids, params, adapter) in enumerate(batch):
        assert ids == tiny_engine.template.prompt(requests[i].messages)
        assert (params.temperature, params.max_tokens, params.seed) == (0, 5, 0)
        assert params.structured_outputs is adapter is None
        assert results[i].tokens_in == len(ids) == engine.count_tokens(requests[i].messages)
        assert (results[i].tokens_out, results[i].finish) == (3, "stop")
        assert results[i].text == tiny_engine.template.text(ids[-3:])


def test_settings_reach_vllm(engine: VllmEngine, vllm: StandIn) -> None:
    list(
        engine.generate([ask(temperature=0.7, seed=3), ask(contract=LABELS), ask(contract=ADDRESS)])
    )
    ((_, sampled, _), (_, label, _), (_, address, _)) = vllm.calls[0]
    assert (sampled.temperature, sampled.seed) == (0.7, 3)
    assert label.structured_outputs.choice == ["person", "company"]
    schema = address.structured_outputs.json
    assert list(schema["properties"]) == ["city", "number"]
    assert schema["x-guidance"]["whitespace_flexible"] is False
    assert "x-guidance" not in ADDRESS.json_schema
    assert vllm.made_with["structured_outputs_config"] == {"backend": "guidance"}
    assert vllm.made_with["trust_remote_code"] is False


def test_each_adapter_has_a_number_of_its_own(
    engine: VllmEngine, vllm: StandIn, tmp_path: Path
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": 16}))
    list(engine.generate([ask(adapter=first), ask(), ask(adapter=second), ask(adapter=first)]))
    loras = [adapter for _, _, adapter in vllm.calls[0]]
    assert loras[1] is None
    assert loras[0] == loras[3]
    assert [(lora.lora_int_id, lora.lora_path) for lora in (loras[0], loras[2])] == [
        (1, str(first)),
        (2, str(second)),
    ]
    assert vllm.made_with["enable_lora"] is True


@pytest.mark.parametrize(
    ("config", "said"),
    [(None, "no readable LoRA adapter"), ("{", "no readable"), ('{"r": 65}', "rank 65")],
)
def test_an_adapter_that_cannot_be_used_is_refused(
    engine: VllmEngine, vllm: StandIn, tmp_path: Path, config: str | None, said: str
) -> None:
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(ModelError, match=said):
        list(engine.generate([ask(adapter=tmp_path)]))
    assert vllm.calls == []


def test_a_prompt_that_is_too_long_fails_alone(engine: VllmEngine, vllm: StandIn) -> None:
    results = dict(engine.generate([ask("x" * 200), ask()]))
    assert isinstance(results[0], Failed)
    assert results[0].boundary == "context"
    assert isinstance(results[1], Completion)
    assert len(vllm.calls[0]) == 1


def test_an_answer_that_vllm_gave_up_is_a_failure(engine: VllmEngine, vllm: StandIn) -> None:
    vllm.finish = "abort"
    ((_, result),) = engine.generate([ask()])
    assert isinstance(result, Failed)
    assert result.boundary == "server"


def test_no_requests_no_batch(engine: VllmEngine, vllm: StandIn) -> None:
    assert list(engine.generate([])) == []
    assert vllm.calls == []


def test_vllm_that_stopped_is_said(engine: VllmEngine, vllm: StandIn) -> None:
    vllm.error = VLLMError("EngineCore encountered an issue")
    with pytest.raises(EngineUnavailable, match="EngineCore encountered an issue"):
        list(engine.generate([ask()]))


def test_a_timed_call_finds_only_the_shared_prefix_computed(
    engine: VllmEngine, vllm: StandIn, tiny_engine
) -> None:
    request = ask()
    timed = engine.time_call(request)
    assert isinstance(timed, Completion)
    assert timed.latency_s is not None
    reset, warm_up, call = vllm.calls
    assert reset == "reset"
    assert warm_up[0][0] == tiny_engine.template.shared(request.messages, 1)
    assert warm_up[0][1].max_tokens == 1
    assert call[0][0][: len(warm_up[0][0])] == warm_up[0][0]


def test_the_model_id_names_weights_version_and_precision(
    engine: VllmEngine, tiny_engine, tiny_model: Path
) -> None:
    weights = tiny_engine.model_id.split("/")[0]
    assert weights.startswith(tiny_model.name)
    assert engine.model_id == f"{weights}/vllm-0.33.0/bfloat16"


def test_a_machine_that_cannot_run_it_is_said(vllm: StandIn, tiny_model: Path) -> None:
    vllm.error = RuntimeError("Failed to infer device type\nmore")
    with pytest.raises(ModelError, match="Failed to infer device type\nIt needs a GPU"):
        from_spec(ModelSpec(engine="vllm", model=str(tiny_model)), print)


def test_without_the_package_its_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match=r"trimtab\[vllm\]"):
        make_engine(ModelSpec(engine="vllm", model=str(tiny_model)), print)


needs_vllm = pytest.mark.skipif(
    find_spec("vllm") is None, reason="vLLM is not installed: only its stand-in was tested"
)


@pytest.fixture(scope="module")
def real(real_model: Path) -> VllmEngine:
    made = from_spec(ModelSpec(engine="vllm", model=str(real_model)), print)
    assert isinstance(made, VllmEngine)
    return made


@pytest.mark.model
@needs_vllm
def test_the_real_one_answers_constrains_and_blames(real: VllmEngine) -> None:
    names = ["John Smith", "Smith and Sons Ltd"]
    requests = [
        *[ask(name, max_tokens=12) for name in names],
        *[ask(name, contract=LABELS, max_tokens=12) for name in names],
        ask("Springfield", contract=ADDRESS, max_tokens=30),
        ask("hi " * 10_000),
    ]
    results = dict(real.generate(requests))
    free, labels = [results[0], results[1]], [results[2], results[3]]
    assert all(isinstance(result, Completion) and result.text for result in free)
    for result in labels:
        assert isinstance(result, Completion)
        assert result.finish == "stop"
        assert result.text in LABELS.labels
    address = results[4]
    assert isinstance(address, Completion)
    parsed = json.loads(address.text)
    assert address.text == json.dumps(parsed, separators=(",", ":"))
    assert parsed["city"] == "Springfield"
    assert isinstance(results[5], Failed)
    assert results[5].boundary == "context"


@pytest.mark.model
@needs_vllm
def test_the_real_one_times_a_call_behind_its_shared_prompt(real: VllmEngine) -> None:
    system = Message(role="system", content=SYSTEM * 20)  # vLLM shares whole blocks of tokens only
    request = ask(max_tokens=2)
    request = request.model_copy(update={"messages": (system, request.messages[1])})
    for timed in (real.time_call(request), real.time_call(request)):
        assert isinstance(timed, Completion)
        assert timed.latency_s is not None
        assert 0 < timed.tokens_cached < timed.tokens_in


@pytest.mark.model
@needs_vllm
def test_the_real_one_answers_with_an_adapter_of_the_local_engine(
    real: VllmEngine, real_model: Path, tmp_path: Path
) -> None:
    from trimtab.tune.lora import TrainSettings, train
    from trimtab.tune.rows import encode

    local = load_in_float32(real_model)
    examples = [Example(id=text, input=text, target=label) for text, label in LEARNT.items()]
    rows = encode(local.template, Prompt(system=SYSTEM), examples)
    settings = TrainSettings(learning_rate=1e-3, epochs=6, batch_size=2)
    *_, last = train(local, rows, rows[:2], settings, tmp_path, lambda tokens: None)
    adapter = Path(last.adapter)
    tuned = dict(real.generate([ask(name, adapter=adapter) for name in LEARNT]))
    bare = dict(real.generate([ask(name) for name in LEARNT]))
    locally = dict(local.generate([ask(name, adapter=adapter) for name in LEARNT]))
    assert [tuned[i].text for i in range(len(LEARNT))] == list(LEARNT.values())
    assert [locally[i].text for i in range(len(LEARNT))] == list(LEARNT.values())
    assert [bare[i].text for i in range(len(LEARNT))] != list(LEARNT.values())
