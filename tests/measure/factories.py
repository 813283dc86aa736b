"""Small values, and engines that stop half way, for the tests of this folder."""

from __future__ import annotations

from trimtab.engine.cache import RequestCache
from trimtab.engine.fake import FakeEngine
from trimtab.measure.bench import Bench
from trimtab.measure.meter import Meter, Silent
from trimtab.prompt.nearest import NearestPool
from trimtab.score.label import from_contract
from trimtab.store.run import open_run
from trimtab.task.spec import Budget, ModelSpec, Prices, Task
from trimtab.types import Example, OutputContract, Prompt, Variant, content_hash

LABELS = OutputContract(kind="label", labels=("person", "company"))
PRICES = Prices(input=1.0, output=10.0, cached_input=0.1)
GENEROUS = Budget(minutes=600, calls=10**6, money=10**6)


def examples(count: int, start: int = 0) -> list[Example]:
    """Rows whose inputs differ in length, half of them persons."""
    rows = []
    for i in range(start, start + count):
        text = f"name {i} " + "x " * (i * 7 % 5)
        target = LABELS.labels[i % 2]
        rows.append(Example(id=content_hash(text, target), input=text, target=target))
    return rows


def task(**rest) -> Task:
    return Task(
        name="names",
        instructions="Decide whose name it is.",
        data={"path": "rows.jsonl"},
        output=rest.pop("output", LABELS),
        metric=rest.pop("metric", "accuracy"),
        goals={"quality": 0.9},
        **rest,
    )


def variant(name: str = "zero-shot", **settings) -> Variant:
    settings = {"prompt": Prompt(system="Decide."), "max_tokens": 8} | settings
    return Variant(name=name, arm="prompt", model="fake", **settings)


class Crash(Exception):
    """A kill, as far as the code under test can tell."""


class CrashingEngine(FakeEngine):
    """Raises after `answers` answers; keeps what it was asked, batch by batch."""

    def __init__(self, answers: int | None = None, **rest) -> None:
        super().__init__(**rest)
        self.left = answers
        self.batches: list[list[str]] = []

    def generate(self, requests):
        self.batches.append([request.messages[-1].content for request in requests])
        for answer in super().generate(requests):
            if self.left == 0:
                raise Crash
            if self.left is not None:
                self.left -= 1
            yield answer


def bench(root, engine, *, budget=GENEROUS, progress=None, scorer=None, cache="cache") -> Bench:
    """A bench over a run in `root`; open and close it as a sitting."""
    run, _ = open_run(root, {"task file": "t"}, {})
    return Bench(
        run=run,
        engine=engine,
        spec=ModelSpec(engine="fake", prices=PRICES),
        scorer=scorer or from_contract(LABELS),
        contract=LABELS,
        pool=NearestPool(examples(20, start=1000)),
        cache=RequestCache(root / f"{cache}.sqlite"),
        meter=Meter(run, budget, progress or Silent()),
    )


def close(sitting: Bench) -> None:
    sitting.cache.close()
    sitting.run.close()
