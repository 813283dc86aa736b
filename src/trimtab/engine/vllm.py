"""vLLM's offline engine: large batches on this machine's GPU, with LoRA adapters. Extra: `vllm`.

Prompts are rendered, and JSON constrained to its compact form, as the local engine does, so that an
adapter trained there meets here what it was trained on.

Written for vLLM 0.32 and 0.33. The tests run a stand-in for it, and the real one where it is
installed. So far that was a build of 0.32 for CPUs: nothing here has run on a GPU yet.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trimtab.engine.base import Engine
from trimtab.engine.local.template import ChatTemplate
from trimtab.errors import EngineUnavailable, ModelError
from trimtab.task.spec import ModelSpec
from trimtab.types import Completion, Decoding, Failed, Message, OutputContract, Request

_LARGEST_RANK = 64
"""Of an adapter. vLLM sets memory aside for it before any adapter is known."""
_GPU_SHARE = 0.5
"""Of the GPU's memory; the rest is for the local engine, which trains beside it."""
_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",  # its log would tear the progress bar
    "VLLM_NO_USAGE_STATS": "1",  # nothing about a run leaves the machine
}


class VllmEngine:
    """Answers requests with one model in vLLM; each may name an adapter folder of its own.

    Greedy answers can differ from the local engine's at near-ties, where kernels round otherwise.
    """

    chunk_size = 1024
    exact_tokens = True

    def __init__(self, llm: Any, tokenizer: Any, model_id: str) -> None:
        """`llm` is a `vllm.LLM` that takes adapters, `tokenizer` the one of its model."""
        self.model_id = model_id
        self._llm = llm
        self._template = ChatTemplate(tokenizer)
        self.context = int(llm.llm_engine.model_config.max_model_len)
        self._adapters: dict[str, Any] = {}

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """See `Engine.generate`; all requests are one batch, and given out when all are answered.

        Raises:
            EngineUnavailable: vLLM stopped, or refuses a request of the batch.
            ModelError: an adapter folder holds none, or one of a rank above 64.
        """
        prompts: dict[int, list[int]] = {}
        for position, request in enumerate(requests):
            ids = self._template.prompt(request.messages)
            if len(ids) + request.decoding.max_tokens > self.context:
                yield position, self._too_long(ids, request.decoding)
            else:
                prompts[position] = ids
        outputs = self._run([(ids, requests[i]) for i, ids in prompts.items()])
        for position, output in zip(prompts, outputs, strict=True):
            yield position, self._read(output)

    def time_call(self, request: Request) -> Completion | Failed:
        """See `Engine.time_call`. What all calls share is computed before, as in a server; the
        request's own input is not, even where it was answered before."""
        self._llm.reset_prefix_cache()
        shared = self._template.shared(request.messages, request.shared_messages)
        if shared:
            one_token = request.model_copy(update={"decoding": Decoding(max_tokens=1)})
            self._run([(shared, one_token)])
        started = time.perf_counter()
        ((_, answer),) = self.generate([request])
        seconds = time.perf_counter() - started
        if isinstance(answer, Failed):
            return answer
        return answer.model_copy(update={"latency_s": seconds})

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(self._template.prompt(messages))

    def satisfies(self, contract: OutputContract, completion: Completion) -> bool:
        """False: vLLM does not show which tokens its grammar would have allowed."""
        return False

    def _run(self, calls: Sequence[tuple[list[int], Request]]) -> list[Any]:
        """vLLM's outputs, in the order of `calls` (prompt token ids, request)."""
        from vllm.exceptions import VLLMError

        if not calls:
            return []
        try:
            outputs: list[Any] = self._llm.generate(
                [{"prompt_token_ids": ids} for ids, _ in calls],
                [_sampling(request.decoding) for _, request in calls],
                use_tqdm=False,
                lora_request=[self._adapter(request.adapter) for _, request in calls],
            )
        except VLLMError as error:
            raise EngineUnavailable(f"vLLM cannot answer with {self.model_id}: {error}") from error
        return outputs

    def _read(self, output: Any) -> Completion | Failed:
        answer = output.outputs[0]
        if answer.finish_reason not in ("stop", "length"):
            return Failed(
                boundary="server", message=f"vLLM ended the answer by {answer.finish_reason!r}"
            )
        return Completion(
            text=self._template.text(answer.token_ids),
            finish=answer.finish_reason,
            tokens_in=len(output.prompt_token_ids),
            tokens_cached=output.num_cached_tokens or 0,
            tokens_out=len(answer.token_ids),
        )

    def _too_long(self, ids: Sequence[int], decoding: Decoding) -> Failed:
        return Failed(
            boundary="context",
            message=f"{len(ids)} prompt tokens + {decoding.max_tokens} for the answer exceed "
            f"the model's context of {self.context}",
        )

    def _adapter(self, folder: str | None) -> Any:
        """vLLM's request for the adapter in `folder`, under the same number each time."""
        from vllm.lora.request import LoRARequest

        if folder is None:
            return None
        if folder not in self._adapters:
            _check_adapter(Path(folder))
            number = len(self._adapters) + 1
            self._adapters[folder] = LoRARequest(f"adapter-{number}", number, folder)
        return self._adapters[folder]


def from_spec(spec: ModelSpec, progress: Callable[[str], None]) -> Engine:
    """The entry point `vllm`.

    Raises:
        ModelError: there is no such model, or vLLM cannot run it on this machine.
        ImportError: vLLM is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from transformers import AutoTokenizer
    from vllm import LLM, __version__

    from trimtab.engine.default_model import resolve_model
    from trimtab.engine.local.weights import fingerprint

    source = resolve_model(spec.model, progress)
    progress(f"loading {spec.model} into vLLM")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        llm = LLM(
            str(source),
            trust_remote_code=False,
            enable_lora=True,
            max_lora_rank=_LARGEST_RANK,
            gpu_memory_utilization=_GPU_SHARE,
            structured_outputs_config={"backend": "guidance"},
        )
    except (OSError, ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"vLLM cannot run model {spec.model!r} here: {lines[0]}\nIt needs a GPU with enough "
            "free memory, and a causal language model with a chat template"
        ) from error
    if not tokenizer.chat_template:
        raise ModelError(f"model {spec.model!r} has no chat template; use an instruction-tuned one")
    dtype = str(llm.llm_engine.model_config.dtype).removeprefix("torch.")
    name = f"{Path(spec.model).name}@{fingerprint(source)}"
    return VllmEngine(llm, tokenizer, f"{name}/vllm-{__version__}/{dtype}")


def _sampling(decoding: Decoding) -> Any:
    from vllm import SamplingParams

    return SamplingParams(
        temperature=decoding.temperature,
        seed=decoding.seed,
        max_tokens=decoding.max_tokens,
        structured_outputs=_constraint(decoding.contract),
        detokenize=False,
    )


def _constraint(contract: OutputContract | None) -> Any:
    from vllm.sampling_params import StructuredOutputsParams

    from trimtab.engine.local.grammar import COMPACT_JSON

    if contract is None or contract.kind == "text":
        return None
    if contract.kind == "label":
        return StructuredOutputsParams(choice=list(contract.labels))
    # llguidance, which vLLM is told to use, reads its own settings from this key.
    return StructuredOutputsParams(json={**contract.json_schema, "x-guidance": COMPACT_JSON})


def _check_adapter(folder: Path) -> None:
    try:
        rank = json.loads((folder / "adapter_config.json").read_text("utf-8"))["r"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"no readable LoRA adapter in {folder}: {error}") from error
    if rank > _LARGEST_RANK:
        raise ModelError(
            f"the adapter in {folder} has rank {rank}; engine vllm takes at most {_LARGEST_RANK}"
        )
