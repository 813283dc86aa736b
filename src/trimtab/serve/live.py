"""What serves now: the deployment's variants, loaded, and which of them takes a call."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trimtab.engine.base import Engine, Stepping
from trimtab.engine.openai import OpenAIEngine
from trimtab.engine.registry import make_engine
from trimtab.predictor import EngineMaker, load
from trimtab.serve.calls import Calls, Served
from trimtab.serve.dispatch import Dispatcher
from trimtab.serve.endpoint import EndpointCalls, Wire
from trimtab.serve.settings import Limits
from trimtab.serve.whole import WholeBatches
from trimtab.store.deployments import Deployed, Deployment, Role
from trimtab.task.spec import ModelSpec

_SAME_ENGINE = {"engine", "model", "base_url", "api_key_env", "concurrency", "timeout_seconds"}
"""Settings that make an engine; the others only say what it costs."""


@dataclass(frozen=True)
class Live:
    """The variants of one deployment. Never changed: a new deployment is a new one of these."""

    number: int
    champion: Served
    canary: Served | None = None
    share: float = 0.0
    shadow: Served | None = None

    def route(self, key: str) -> tuple[Role, Served]:
        """The variant for a user or an input, always the same one while this canary is deployed.

        A canary whose share grows keeps those that it had.
        """
        if self.canary is not None and _place(self.canary.deployed.variant, key) < self.share:
            return "canary", self.canary
        return "champion", self.champion

    @property
    def calls(self) -> set[Calls]:
        """What brings calls to the engines of these variants."""
        served = (self.champion, self.canary, self.shadow)
        return {each.calls for each in served if each is not None}


class Loader:
    """Loads deployments. Variants that share a model share its engine and dispatcher."""

    def __init__(
        self,
        task_folder: Path,
        limits: Limits,
        progress: Callable[[str], None],
        make: EngineMaker = make_engine,
    ) -> None:
        self._runs = task_folder / "runs"
        self._limits = limits
        self._progress = progress
        self._make = make
        self._engines: dict[str, tuple[Engine, Calls]] = {}
        self._finishing: set[asyncio.Task[None]] = set()

    def load(self, number: int, state: Deployment, now: Live | None) -> Live:
        """Everything of `state`, ready to answer; what `now` has already is taken from it.

        Raises:
            TrimtabError: a run or model is missing, or is not what was measured.
        """
        assert state.champion is not None, "promoting refuses to make such a state"
        kept = {} if now is None else _by_deployed(now)
        return Live(
            number=number,
            champion=self._served(state.champion, kept),
            canary=self._served(state.canary, kept) if state.canary else None,
            share=state.share,
            shadow=self._served(state.shadow, kept) if state.shadow else None,
        )

    def close_unused(self, live: Live | None) -> None:
        """Let engines go that `live` does not need, once their last calls are answered."""
        used = live.calls if live else set()
        for key, (_, calls) in list(self._engines.items()):
            if calls not in used:
                task = asyncio.create_task(calls.finish())
                self._finishing.add(task)
                task.add_done_callback(self._finishing.discard)
                del self._engines[key]

    async def finish(self) -> None:
        """Answer what waits, then let all engines go."""
        self.close_unused(None)
        await asyncio.gather(*self._finishing)

    def waiting(self) -> int:
        """Calls that no engine has taken yet."""
        return sum(calls.waiting for _, calls in self._engines.values())

    def _served(self, deployed: Deployed, kept: Mapping[Deployed, Served]) -> Served:
        if deployed in kept:
            return kept[deployed]
        key = ""

        def shared(spec: ModelSpec, progress: Callable[[str], None]) -> Engine:
            nonlocal key
            if self._limits.endpoint_calls is not None:
                spec = spec.model_copy(update={"concurrency": self._limits.endpoint_calls})
            key = spec.model_dump_json(include=_SAME_ENGINE)
            if key not in self._engines:
                engine = self._make(spec, progress)
                self._engines[key] = (engine, self._calls(engine))
            return self._engines[key][0]

        folder = self._runs / deployed.run
        predictor = load(folder, self._progress, variant_id=deployed.variant, make=shared)
        return Served(deployed, predictor, self._engines[key][1])

    def _calls(self, engine: Engine) -> Calls:
        most = self._limits.waiting_calls
        if isinstance(engine, OpenAIEngine):
            return EndpointCalls(engine, Wire(), most)
        at_once = engine.chunk_size
        if isinstance(engine, Stepping):
            stepper = engine.stepper()
            return Dispatcher(stepper, at_once=at_once, most_waiting=most, streams=True)
        return Dispatcher(WholeBatches(engine), at_once=at_once, most_waiting=most)


def _by_deployed(live: Live) -> dict[Deployed, Served]:
    served = (live.champion, live.canary, live.shadow)
    return {each.deployed: each for each in served if each is not None}


def _place(variant: str, key: str) -> float:
    """Where `key` falls in [0, 1): evenly, and anew for each canary, so that not the same users
    meet every one."""
    digest = hashlib.sha256(f"{variant}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
