"""One sitting of a run: its engines, its plan, and the benches that measure variants."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from trimtab.engine.base import Engine
from trimtab.engine.cache import RequestCache, default_cache_path
from trimtab.engine.registry import make_engine
from trimtab.errors import RunError, TaskError
from trimtab.measure.bench import Bench
from trimtab.measure.calibrate import Rates, calibrate, long_prefill, training_rate
from trimtab.measure.judging import make_judge, use_per_answer
from trimtab.measure.meter import Meter, Progress, Silent
from trimtab.measure.plan import (
    CALIBRATION,
    Lengths,
    Plan,
    make_plan,
    max_answer,
    measure_lengths,
)
from trimtab.measure.retain import retention_stages
from trimtab.prompt.demonstrations import most_that_fit
from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.own import own_variants
from trimtab.prompt.recipe import Kitchen
from trimtab.prompt.search import PromptSearch
from trimtab.prompt.wording import system_text
from trimtab.score.judge import Judge
from trimtab.score.registry import scorer_for
from trimtab.store.files import write_atomic
from trimtab.store.run import Run
from trimtab.task.open import OpenTask
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import Arm

if TYPE_CHECKING:
    from trimtab.engine.local.engine import LocalEngine
    from trimtab.tune.hosted.client import FineTuningClient

_PACKAGES = ("trimtab", "torch", "transformers", "peft", "llguidance", "numpy", "scipy")

_WHICH_MODEL = ("engine", "model", "base_url", "api_key_env")


@dataclass(frozen=True)
class Session:
    """What measuring and training need, in one value."""

    opened: OpenTask
    run: Run
    meter: Meter
    plan: Plan
    search: PromptSearch
    benches: dict[Arm, Bench]
    tuner: LocalEngine | None
    """The engine whose model may be trained here; None where the task wants no such fine-tune."""
    judge: Judge | None = None
    host: FineTuningClient | None = None
    """The endpoint that trains; None where none does."""
    note: Callable[[str], None] = Silent().note
    """Takes one line for a person when something begins."""


@contextmanager
def open_session(opened: OpenTask, run: Run, progress: Progress) -> Iterator[Session]:
    """Load the models, and make the plan or read the one that the run follows.

    Raises `ModelError` or `EngineUnavailable` where a model cannot be used, and `RunError` where
    it is not the model that this run began with.
    """
    task = opened.task
    prompt_engine = make_engine(task.models.prompt, progress.note)
    tuned = _tuned_engine(task, prompt_engine, progress)
    host = _host(task.models.tune)
    tuner = cast("LocalEngine | None", tuned if host is None else None)
    meter = Meter(run, task.budget, progress)
    cache = RequestCache(default_cache_path())
    pool = NearestPool(opened.split.train)
    judge = make_judge(task, prompt_engine, cache, meter, progress.note)
    scorer = scorer_for(task, opened.folder, judge, opened.split.train)

    def bench(engine: Engine, spec: ModelSpec) -> Bench:
        return Bench(run, engine, spec, scorer, task.output, pool, cache, meter)

    benches: dict[Arm, Bench] = {"prompt": bench(prompt_engine, task.models.prompt)}
    if tuned is not None and task.models.tune is not None:
        benches["fine-tune"] = bench(tuned, task.models.tune)
    try:
        plan, search = _plan(opened, run, meter, prompt_engine, tuned, tuner, judge, progress)
        progress.plan(plan.stages, run.spent())
        yield Session(opened, run, meter, plan, search, benches, tuner, judge, host, progress.note)
    finally:
        cache.close()


def environment(session: Session) -> dict[str, JsonValue]:
    """What the figures were measured on."""
    packages: dict[str, JsonValue] = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "packages": packages,
        "models": list(session.plan.models),
        "rates_tokens_per_second": {
            arm: rates.model_dump() for arm, rates in session.plan.rates.items()
        },
    }


def _tuned_engine(task: Task, prompt_engine: Engine, progress: Progress) -> Engine | None:
    """The engine of the model to tune; None where the task wants no fine-tune."""
    prompt, tune = task.models.prompt, task.models.tune
    if tune is None:
        return None
    if tune.engine not in ("local", "openai"):
        raise TaskError(
            f"models.tune.engine is {tune.engine!r}, and only 'local' and 'openai' can train; "
            "set it, or set models.tune to null to measure prompts alone"
        )
    same = all(getattr(tune, part) == getattr(prompt, part) for part in _WHICH_MODEL)
    return prompt_engine if same else make_engine(tune, progress.note)


def _host(tune: ModelSpec | None) -> FineTuningClient | None:
    """What trains the model to tune, where that is an endpoint."""
    if tune is None or tune.engine != "openai":
        return None
    from trimtab.tune.hosted.client import FineTuningClient

    if tune.machine_per_hour is None and (tune.prices is None or tune.prices.training is None):
        raise TaskError(
            "models.tune is trained at an endpoint, and nothing says what that costs: set "
            "models.tune.prices.training (0 where it is free), so that budget.money holds"
        )
    host = FineTuningClient(tune)
    host.probe()
    return host


def _plan(
    opened: OpenTask,
    run: Run,
    meter: Meter,
    engine: Engine,
    tuned: Engine | None,
    tuner: LocalEngine | None,
    judge: Judge | None,
    progress: Progress,
) -> tuple[Plan, PromptSearch]:
    task, split = opened.task, opened.split
    engines = (engine, tuned, judge.engine if judge is not None else None)
    models = tuple(each.model_id for each in engines if each is not None)
    if run.plan_path.exists():
        plan = Plan.model_validate_json(run.plan_path.read_bytes())
        if plan.models != models:
            raise RunError(
                f"{run.folder} was measured with {', '.join(plan.models)}, and now the models are "
                f"{', '.join(models)}: figures of both would not compare. "
                "Run with --fresh to start anew"
            )
        return plan, _search(opened, engine, plan.max_tokens)
    progress.note("calibrating on this machine")
    rows = [*split.train, *split.dev]
    lengths: dict[Arm, Lengths] = {"prompt": measure_lengths(task, engine, rows)}
    if tuned is not None:
        same = tuned is engine
        lengths["fine-tune"] = lengths["prompt"] if same else measure_lengths(task, tuned, rows)
    search = _search(opened, engine, max_answer(lengths.values()))
    rates: dict[Arm, Rates] = {}
    with meter.stage(CALIBRATION):
        rates["prompt"] = calibrate(task, engine, task.models.prompt, split.train, meter)
        if tuned is not None and task.models.tune is not None:
            rates["fine-tune"] = rates["prompt"]
            if tuned is not engine:
                rates["fine-tune"] = calibrate(task, tuned, task.models.tune, split.train, meter)
        if shown := min(search.dearest().nearest, search.most_shown()):
            read = long_prefill(task, engine, task.models.prompt, split.train, shown, meter)
            rates["prompt"] = rates["prompt"].model_copy(update={"prefill": read})
        if tuner is not None:
            trained = training_rate(task, tuner, split.train, meter)
            rates["fine-tune"] = rates["fine-tune"].model_copy(update={"train": trained})
        judging = use_per_answer(judge, split.train, run) if judge is not None else None
    retention = retention_stages(opened, tuner, rates["fine-tune"]) if tuner is not None else ()
    plan = make_plan(task, split, lengths, rates, search, models, meter.seconds, retention, judging)
    write_atomic(run.plan_path, plan.model_dump_json(indent=2) + "\n")
    return plan, search


def _search(opened: OpenTask, engine: Engine, max_tokens: int) -> PromptSearch:
    task, train = opened.task, opened.split.train
    own = own_variants(opened.folder, task, engine.model_id, max_tokens)
    return PromptSearch(
        Kitchen(task, engine.model_id, max_tokens, train, own),
        lambda: most_that_fit(engine, system_text(task), train, max_tokens),
    )
