"""How far the finalists are asked again: as far as the budget goes, and no later stage pays."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from measure.factories import LABELS, Crash, bench, close, examples, variant
from scores import curve_point
from trimtab.consistency import Walk, ask_again, steadiness
from trimtab.engine.fake import FakeEngine
from trimtab.measure import consistency as sizes_module
from trimtab.measure.consistency import calls_for, sizes
from trimtab.seeds import Replica
from trimtab.task.spec import Budget
from trimtab.types import Interval, Prompt, Spent

STEPS = ((2, 1), (4, 1), (4, 2), (8, 2))
ROWS = examples(8)
NOTHING = Spent(stage="later")
PROMPT = variant("prompt", prompt=Prompt(system="Decide."))
TUNED = variant("tuned", prompt=Prompt(system="Say.")).model_copy(update={"arm": "fine-tune"})


class Slow(FakeEngine):
    """Each call takes `seconds`, and the `crash`th ends the sitting."""

    def __init__(self, clock: SimpleNamespace, crash: int | None = None) -> None:
        super().__init__(lambda messages, decoding: messages[-1].content.split()[1])
        self.clock, self.crash, self.seconds = clock, crash, 1.0

    def generate(self, requests):
        for each in super().generate(requests):
            self.clock.now += self.seconds
            if self.calls == self.crash:
                raise Crash
            yield each


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch) -> None:
    monkeypatch.setattr(sizes_module, "SIZES", STEPS)


@pytest.fixture
def sit(tmp_path, clock):
    """Opens a sitting of the same run, with the time, calls and money of a budget."""
    opened, notes = [], []

    def session(engine=None, **budget):
        while opened:
            close(opened.pop())
        limits = Budget(minutes=budget.pop("seconds", 6e4) / 60, **{"money": 1e6, **budget})
        sitting = bench(tmp_path, engine or Slow(clock), budget=limits)
        opened.append(sitting)
        task = SimpleNamespace(budget=limits, seed=0, metric="accuracy", output=LABELS)
        return SimpleNamespace(
            opened=SimpleNamespace(
                task=task,
                split=SimpleNamespace(dev=ROWS),
                clusters={row.id: row.id for row in ROWS},
            ),
            run=sitting.run,
            meter=sitting.meter,
            plan=SimpleNamespace(stages=()),
            note=notes.append,
            heard=notes,
            benches={"prompt": sitting, "fine-tune": sitting},
        )

    yield session
    while opened:
        close(opened.pop())


def asked(found) -> list[tuple[int, list[str], list[int]]]:
    """Of each finalist: rows, sources, and variations of each."""
    return [
        (len(each.first), list(each.varied), [len(parts) for parts in each.varied.values()])
        for each in found
    ]


def walk(session) -> Walk:
    return Walk.model_validate_json((session.run.folder / "asked_again.json").read_bytes())


def test_a_budget_that_pays_for_all_sizes_takes_the_largest(sit) -> None:
    session = sit()
    found = ask_again(session, [PROMPT, TUNED], NOTHING)
    assert asked(found) == [(8, ["sample", "input", "format"], [2, 2, 2])] * 2
    assert [(s.rows, s.variations) for s in walk(session).steps] == sizes(len(ROWS))
    assert walk(session).ended
    assert session.meter.stopped_by is None


def test_a_person_hears_how_far_it_goes(sit) -> None:
    session = sit()
    ask_again(session, [PROMPT, TUNED], NOTHING)
    assert session.heard[-1] == "asking again on 8 dev rows, 2 times in each way"
    assert len(session.heard) == len(STEPS)


def test_without_a_finalist_nothing_is_asked(sit) -> None:
    session = sit()
    assert ask_again(session, [], NOTHING) == []
    assert steadiness(session, []).consistency is None


@pytest.mark.parametrize("seconds", range(20, 240, 10))
@pytest.mark.parametrize("later", [0, 40])
def test_later_stages_keep_their_time_and_no_source_is_cut_off(sit, seconds, later) -> None:
    session = sit(seconds=seconds)
    kept = Spent(stage="later", seconds=later)
    found = ask_again(session, [PROMPT, TUNED], kept)
    steps = walk(session).steps
    if len(steps) > 1:
        assert session.meter.left.seconds >= later
        last = steps[-1]
        assert (
            asked(found) == [(last.rows, ["sample", "input", "format"], [last.variations] * 3)] * 2
        )
    assert session.meter.stopped_by is None or len(steps) == 1


def test_more_budget_never_asks_less(sit, tmp_path) -> None:
    reached = []
    for seconds in (30, 60, 90, 120, 240):
        session = sit(seconds=seconds)
        ask_again(session, [PROMPT, TUNED], NOTHING)
        reached.append(len(walk(session).steps))
        (session.run.folder / "asked_again.json").unlink()
        for name in ("records", "spent.jsonl"):
            (session.run.folder / name).rename(tmp_path / f"{name}-{seconds}")
    assert reached == sorted(reached)
    assert reached[0] < reached[-1] == len(STEPS)


@pytest.mark.parametrize(
    "budget", [{"calls": calls_for((4, 1)) * 3}, {"money": 1.2e-3}], ids=["calls", "money"]
)
def test_calls_and_money_bound_the_size_too(sit, budget) -> None:
    session = sit(**budget)
    found = ask_again(session, [PROMPT, TUNED], NOTHING)
    assert 1 <= len(walk(session).steps) < len(STEPS)
    assert asked(found)[0][1] == ["sample", "input", "format"]
    assert session.meter.stopped_by is None


def test_a_machine_that_gets_slow_leaves_the_last_whole_size(sit, clock) -> None:
    engine = Slow(clock)
    session = sit(engine, seconds=1000)
    begun = engine.calls

    def slower(requests):
        engine.seconds = 1.0 if engine.calls - begun < 2 * (4 + calls_for((4, 1))) else 25.0
        return Slow.generate(engine, requests)

    engine.generate = slower
    found = ask_again(session, [PROMPT, TUNED], Spent(stage="later", seconds=500))
    steps = walk(session).steps
    assert len(steps) > 2
    assert asked(found) == [(4, ["sample", "input", "format"], [1, 1, 1])] * 2
    assert session.meter.stopped_by is None


def test_the_least_size_counts_as_far_as_it_got(sit) -> None:
    session = sit(seconds=9)
    found = ask_again(session, [PROMPT, TUNED], NOTHING)
    assert asked(found) == [(2, ["sample", "input"], [1, 1]), (2, ["sample"], [1])]
    assert steadiness(session, found).consistency.compared == ("sample",)


def test_the_least_size_was_planned_and_needs_no_spare_time(sit) -> None:
    session = sit(seconds=600)
    found = ask_again(session, [PROMPT, TUNED], Spent(stage="later", seconds=600))
    assert asked(found) == [(2, ["sample", "input", "format"], [1, 1, 1])] * 2


@pytest.mark.parametrize("crash", [1, 7, 20, 33, 60])
def test_a_killed_run_goes_on_and_asks_the_same(sit, clock, crash, tmp_path) -> None:
    with pytest.raises(Crash):
        ask_again(sit(Slow(clock, crash)), [PROMPT, TUNED], NOTHING)
    engine = Slow(clock)
    session = sit(engine)
    found = ask_again(session, [PROMPT, TUNED], NOTHING)
    told = steadiness(session, found)
    again = sit(unused := Slow(clock))
    assert steadiness(again, ask_again(again, [PROMPT, TUNED], NOTHING)) == told
    assert unused.calls == 0
    (tmp_path / "asked_again").mkdir()
    assert asked(found) == [(8, ["sample", "input", "format"], [2, 2, 2])] * 2


def test_what_ended_stays_ended_when_more_is_left_later(sit, clock) -> None:
    session = sit(seconds=600)
    before = ask_again(session, [PROMPT, TUNED], Spent(stage="later", seconds=600))
    resumed = sit(unused := Slow(clock), seconds=600)
    assert asked(ask_again(resumed, [PROMPT, TUNED], NOTHING)) == asked(before)
    assert unused.calls == 0


def test_seeds_are_a_source_on_the_rows_that_were_asked(sit) -> None:
    session = sit(seconds=600)
    found = ask_again(session, [PROMPT, TUNED], Spent(stage="later", seconds=600))
    nothing = Interval(estimate=None, low=None, high=None, n=0, method="none")
    point = curve_point(3, nothing)
    records = session.benches["fine-tune"].records(TUNED, "dev", ROWS)
    again = steadiness(session, found, [Replica((point,), tuple(records))]).consistency
    by_arm = {arm.arm: {each.source: each for each in arm.sources} for arm in again.arms}
    assert "seed" not in by_arm["prompt"]
    (seed,) = by_arm["fine-tune"]["seed"].variations
    assert (seed.name, seed.rows) == ("seed 3", 2)
    assert again.compared == ("sample", "input", "format")


def test_the_file_of_the_walk_is_plain(sit) -> None:
    session = sit()
    ask_again(session, [PROMPT], NOTHING)
    kept = json.loads((session.run.folder / "asked_again.json").read_text())
    assert set(kept) == {"steps", "ended"}
    assert {"rows", "variations", "left", "until"} == set(kept["steps"][0])
