"""Recording with a tiny model: nothing is done twice, and what is cut off goes on."""

import pytest
from benchmarks.truth import pools, record, world
from benchmarks.truth.record import Unit

from decisions import rows as names
from trimtab.task.spec import Models, ModelSpec
from trimtab.types import Example

from .factories import TASK

SIZES = (8, 16)
UNITS = (
    Unit("prompts"),
    Unit("draw-0", draw=0),
    Unit("nearest-12", nearest_from=12),
    Unit("draw-1", draw=1),
)


@pytest.fixture
def pool(tiny_model, in_float32, monkeypatch):
    for module in (pools, record):
        monkeypatch.setattr(module, "SIZES", SIZES)
    for module in (record, world):
        monkeypatch.setattr(module, "UNITS", UNITS)
        monkeypatch.setattr(module, "NEAREST_FROM", (12,))
        monkeypatch.setattr(module, "FIXED_FROM", 12)
    spec = ModelSpec(engine="local", model=str(tiny_model))
    task = TASK.model_copy(update={"models": Models(prompt=spec, tune=spec)})
    examples = [
        Example(id=f"e{i}", input=row["input"], target=("yes", "no")[i % 2])
        for i, row in enumerate(names(60))
    ]
    training = tuple(tuple(examples[20 + draw : 36 + draw]) for draw in range(2))
    return pools.Pool(task, tuple(examples[:12]), tuple(examples[12:20]), training)


def test_all_is_recorded_once_and_a_cut_goes_on(pool):
    notes = []
    assert not record.record(pool, 0, notes.append)
    assert notes[-1].startswith("made-up prompts: to be continued")
    assert world.worlds(pool) == []
    assert record.record(pool, 5, notes.append)
    assert [note.split(":")[0] for note in notes if "done" in note] == [
        f"made-up {unit.name}" for unit in UNITS
    ]
    notes.clear()
    assert record.record(pool, 5, notes.append)
    assert notes == []
    first, second = world.worlds(pool)
    assert [each.point.rows for each in first.trained] == [8, 16]
    assert first.trained[0].variant.id != second.trained[0].variant.id
    prompts, _ = first.prompts(12)
    assert len(prompts) == 2 + 2 * 3 + 2
    for variant in [*(p.variant for p in prompts), *world.both_ways(first.trained[1])]:
        assert len(first.population(variant, 12)) == len(pool.rows)


def test_other_rows_are_recorded_anew(pool):
    assert record.record(pool, 5, lambda note: None)
    fewer = pools.Pool(pool.task, pool.rows[:10], pool.rate_rows, pool.training)
    assert all(record.recorded(fewer, unit) is None for unit in UNITS)
