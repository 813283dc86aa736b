"""The local engine: batches of requests behind a prefix that is computed once per variant."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch

from trimtab.engine.local.adapters import AdapterSlot
from trimtab.engine.local.attention import Prefix
from trimtab.engine.local.decode import Decoder, Row
from trimtab.engine.local.grammar import Grammar
from trimtab.engine.local.linears import Linears
from trimtab.engine.local.lookup import Lookup
from trimtab.engine.local.stepper import LocalStepper
from trimtab.engine.local.template import ChatTemplate
from trimtab.engine.local.weights import LoadedModel
from trimtab.types import Completion, Failed, Message, OutputContract, Request

_VARIANTS = 3
"""A champion, a canary and a shadow: as many as are served at a time."""

_KEPT_PREFIXES = _VARIANTS + 1
"""The empty one is among them."""
_WORTH_SHARING = 4
"""A prefix shorter than this fraction of the prompt saves less than splitting attention costs."""


class LocalEngine:
    """Answers requests with one model in memory; adapters are switched without reloading it."""

    chunk_size = 128
    exact_tokens = True

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.model_id = loaded.model_id
        self.context = loaded.max_context
        self.template = ChatTemplate(loaded.tokenizer)
        self._linears = Linears(loaded.model, loaded.packed)
        self.adapters = AdapterSlot(loaded.model, self._linears.outdate)
        self._decoder = Decoder(loaded, self._linears)
        self._prefixes: OrderedDict[tuple[str | None, tuple[int, ...]], Prefix] = OrderedDict()
        self._grammars: dict[str, Grammar] = {}

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """Answer all requests as one batch per (adapter, shared prefix)."""
        batches: dict[tuple[str | None, tuple[int, ...]], list[Row]] = {}
        for position, request in enumerate(requests):
            prepared = self._prepare(position, request)
            if isinstance(prepared, Failed):
                yield position, prepared
            else:
                shared, row = prepared
                batches.setdefault((request.adapter, shared), []).append(row)
        for (adapter, shared), rows in batches.items():
            prefix = self._prefix(adapter, shared)
            # What guesses are made from decides the shapes of passes, whose rounding could change
            # an answer: so they see this batch alone. For the same reason a batch is given out
            # whole: were it cut by a kill, its rest would be computed in other shapes.
            seen = Lookup()
            seen.extend(shared)
            for row in list(self._decoder.run(rows, prefix, seen)):
                yield row.position, self._completion(row, prefix)

    def time_call(self, request: Request) -> Completion | Failed:
        """One request alone; adapter, shared prefix and the text of calls that were timed before
        are in place, as in a server. Answers of batches are not: the same inputs are among them,
        and what is known beforehand is guessed too well."""
        prepared = self._prepare(0, request)
        if isinstance(prepared, Failed):
            return prepared
        prefix = self._prefix(request.adapter, prepared[0])
        started = time.perf_counter()
        (row,) = self._decoder.run([prepared[1]], prefix, prefix.seen)
        seconds = time.perf_counter() - started
        return self._completion(row, prefix).model_copy(update={"latency_s": seconds})

    def stepper(self) -> LocalStepper:
        """See `Stepping`. Guesses are made from the text of earlier answers, as in `time_call`; the
        packed weights of three adapters are kept."""
        self._linears.keep(_VARIANTS)
        return LocalStepper(
            self._decoder,
            self.template,
            prepare=self._prepare,
            use=self._use,
            prefix=self._prefix,
            completion=self._completion,
        )

    def forget_adapters(self) -> None:
        """Drop what was read and computed of adapters: the next call reads its own anew."""
        self.adapters.use(None)
        self._prefixes.clear()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(self.template.prompt(messages))

    def satisfies(self, contract: OutputContract, completion: Completion) -> bool:
        """Text in the grammar's language means that no greedy step was forbidden, if the text shows
        all that was written."""
        return (
            completion.finish == "stop"
            and self.template.shows_all(completion.text, completion.tokens_out)
            and self._grammar(contract).accepts(completion.text)
        )

    def _prepare(self, position: int, request: Request) -> tuple[tuple[int, ...], Row] | Failed:
        ids = self.template.prompt(request.messages)
        decoding = request.decoding
        if len(ids) + decoding.max_tokens > self.loaded.max_context:
            return Failed(
                boundary="context",
                message=f"{len(ids)} prompt tokens + {decoding.max_tokens} for the answer exceed "
                f"the model's context of {self.loaded.max_context}",
            )
        shared = self.template.shared(request.messages, request.shared_messages)
        if len(shared) * _WORTH_SHARING < len(ids):
            shared = []
        contract = decoding.contract
        row = Row(
            position=position,
            prompt=ids[len(shared) :],
            max_tokens=decoding.max_tokens,
            grammar=self._grammar(contract).start() if contract else None,
            temperature=decoding.temperature,
            sampler=torch.Generator().manual_seed(decoding.seed) if decoding.temperature else None,
        )
        return tuple(shared), row

    def _use(self, adapter: str | None) -> None:
        if not self._linears.select(adapter):
            self.adapters.use(adapter)
            self._linears.prepare(adapter)

    def _prefix(self, adapter: str | None, tokens: tuple[int, ...]) -> Prefix:
        self._use(adapter)
        key = (adapter, tokens)
        if key not in self._prefixes:
            self._prefixes[key] = self._decoder.prefix(tokens)
            if len(self._prefixes) > _KEPT_PREFIXES:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self._prefixes[key]

    def _grammar(self, contract: OutputContract) -> Grammar:
        key = contract.model_dump_json()
        if key not in self._grammars:
            vocabulary = self.loaded.model.get_output_embeddings().weight.shape[0]
            self._grammars[key] = Grammar(
                contract, self.loaded.tokenizer, vocabulary, self.loaded.stop_tokens
            )
        return self._grammars[key]

    def _completion(self, row: Row, prefix: Prefix) -> Completion:
        return Completion(
            text=self.template.text(row.tokens),
            finish="stop" if row.finished else "length",
            tokens_in=len(prefix) + len(row.prompt),
            tokens_cached=len(prefix),
            tokens_out=len(row.tokens),
        )
