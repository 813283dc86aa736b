"""The arm: one sweep, nested sizes that go on from each other, and an end that keeps what is."""

from __future__ import annotations

import hashlib
import json

import pytest

from scores import dev_score
from trimtab.errors import BudgetSpent
from trimtab.task.spec import Task
from trimtab.tune import arm as arm_module
from trimtab.tune.arm import TuneArm
from trimtab.tune.lora import ADAPTER_FILE, train
from trimtab.tune.remedies import scaled
from trimtab.tune.rows import encode
from trimtab.types import Example, OutputContract, Prompt, VariantScore

RATES = (1e-3, 5e-3)
SIZES = (4, 8, 16)
NAMES = ("John Smith", "Springfield Ltd", "Mary Jones", "Fox Incorporated")
EXAMPLES = [
    Example(id=str(i), input=f"{NAMES[i % 4]} {i}", target=("person", "company")[i % 2])
    for i in range(24)
]
DEV = EXAMPLES[20:]


def task(**search) -> Task:
    return Task(
        name="names",
        instructions="Decide whose name it is.",
        data={"path": "rows.jsonl"},
        output=OutputContract(kind="label", labels=("person", "company")),
        metric="accuracy",
        goals={"quality": 0.9},
        search={"learning_rates": RATES, "epochs": 2, "batch_size": 4, "rank": 4} | search,
    )


class Lab:
    """An arm on the tiny model. `quality` scores (rows, epoch); all that happens is noted."""

    def __init__(self, engine, run_folder, monkeypatch, quality=lambda rows, epoch: 0.5) -> None:
        self.engine = engine
        self.run_folder = run_folder
        self.quality = quality
        self.loss = lambda rows, epoch: epoch.dev_loss
        self.scored: list[tuple[int, int]] = []
        self.trainings: list[dict] = []
        self.steps = 0
        self.stop_at: int | None = None
        monkeypatch.setattr(arm_module, "train", self._train)

    def _train(self, engine, rows, dev, settings, folder, on_tokens, start):
        noted = {"rows": rows, "rate": settings.learning_rate, "start": start, "folder": folder}
        self.trainings.append(noted)
        for epoch in train(engine, rows, dev, settings, folder, on_tokens, start):
            yield epoch.model_copy(update={"dev_loss": self.loss(len(rows), epoch)})

    def on_tokens(self, tokens: int) -> None:
        self.steps += 1
        if self.steps == self.stop_at:
            raise BudgetSpent("a test's budget")

    def evaluate(self, variant) -> VariantScore:
        adapter = variant.adapter
        self.scored.append((adapter.rows, adapter.epoch))
        return dev_score(variant, self.quality(adapter.rows, adapter.epoch))

    def arm(self, **search) -> TuneArm:
        self.trainings.clear()
        return TuneArm(
            engine=self.engine,
            task=task(**search),
            folder=self.run_folder / "adapters",
            max_tokens=8,
            evaluate=self.evaluate,
            on_tokens=self.on_tokens,
        )

    def run(self, sizes=SIZES, **search):
        return self.arm(**search).run(EXAMPLES[:20], DEV, sizes)

    def weights(self) -> set[str]:
        """Adapter weights on disk, as `rows-rate/epoch`."""
        found = (self.run_folder / "adapters").rglob(ADAPTER_FILE)
        return {f"{path.parent.parent.name}/{path.parent.name}" for path in found}

    def epochs(self) -> list[str]:
        lines = (self.run_folder / "adapters" / "epochs.jsonl").read_text().splitlines()
        return [json.loads(line)["epoch"] for line in lines]


@pytest.fixture
def lab(tiny_engine, tmp_path, monkeypatch) -> Lab:
    return Lab(tiny_engine, tmp_path / "run", monkeypatch)


def test_sizes_are_nested_and_each_starts_from_the_one_before(lab) -> None:
    _, trained = lab.run()
    by_size = {len(t["rows"]): t for t in lab.trainings}
    for small, large in ((4, 8), (8, 16)):
        assert by_size[large]["rows"][:small] == by_size[small]["rows"]
    kept = [lab.run_folder / each.variant.adapter.path for each in trained]
    assert by_size[8]["start"] == kept[0]
    assert by_size[16]["start"] == kept[1]
    assert all(t["start"] is None for t in lab.trainings if len(t["rows"]) == 4)
    assert [each.point.rows for each in trained] == list(SIZES)


def test_the_rate_with_the_least_dev_loss_trains_every_size(lab) -> None:
    sweep, trained = lab.run()
    assert [(p.rows, p.learning_rate) for p in sweep] == [(4, rate) for rate in RATES]
    assert all(p.sweep and p.dev_quality.estimate is None for p in sweep)
    best = min(sweep, key=lambda point: point.dev_loss).learning_rate
    assert {each.point.learning_rate for each in trained} == {best}
    # The sweep's training of the chosen rate is the first size: it is not repeated.
    assert lab.epochs().count(f"4-rows-{best:g}/1") == 1
    assert len(lab.epochs()) == 2 * (len(RATES) + len(SIZES) - 1)


def test_the_best_epoch_by_dev_quality_is_kept(lab) -> None:
    lab.quality = lambda rows, epoch: {(4, 2): 0.7, (8, 1): 0.8}.get((rows, epoch), 0.6)
    _, trained = lab.run()
    assert [each.point.epoch for each in trained] == [2, 1, 1]  # of equals, the first
    assert [each.point.dev_quality.estimate for each in trained] == [0.7, 0.8, 0.6]
    for each in trained:
        assert each.point.variant == each.variant.id
        assert not each.point.sweep


def test_pruning_leaves_the_kept_weights_and_nothing_else(lab) -> None:
    lab.quality = lambda rows, epoch: epoch / 10
    _, trained = lab.run()
    rate = trained[0].point.learning_rate
    assert lab.weights() == {f"{size}-rows-{rate:g}/epoch-2" for size in SIZES}
    for each in trained:
        weights = lab.run_folder / each.variant.adapter.path / ADAPTER_FILE
        assert hashlib.sha256(weights.read_bytes()).hexdigest() == each.variant.adapter.sha256
    assert not list(lab.run_folder.rglob("state.safetensors"))
    assert len(list(lab.run_folder.rglob("epoch.json"))) == 2 * (len(RATES) + len(SIZES) - 1)


def test_a_size_that_ends_in_another_is_not_pruned_with_it(lab) -> None:
    _, trained = lab.run((4, 14))
    rate = trained[0].point.learning_rate
    assert lab.weights() == {f"{size}-rows-{rate:g}/epoch-1" for size in (4, 14)}


def test_a_scaled_copy_of_a_size_outlives_the_next_sitting(lab) -> None:
    _, trained = lab.run()
    smaller = scaled(trained[-1].variant.adapter, lab.run_folder, 0.75)
    lab.run()
    assert (lab.run_folder / smaller.path / ADAPTER_FILE).exists()
    assert scaled(trained[-1].variant.adapter, lab.run_folder, 0.75) == smaller


def test_a_finished_arm_is_read_not_repeated(lab) -> None:
    first = lab.run()
    epochs, scored, steps = lab.epochs(), list(lab.scored), lab.steps
    assert lab.run() == first
    assert (lab.epochs(), lab.steps) == (epochs, steps)
    assert lab.scored == 2 * scored, "each sitting must hear of every variant, in the same order"


# The sweep takes 1 + 1 steps a rate, the sizes 2 x 2 and 2 x 4 more: 4 + 4 + 8 = 16 in all.
# At step 8 and 16 the first of a size's two epochs is scored, so it makes the point.
@pytest.mark.parametrize(("stop_at", "finished"), [(1, 0), (4, 0), (5, 1), (8, 2), (9, 2), (16, 3)])
def test_a_spent_budget_ends_the_arm_with_the_sizes_that_are_finished(
    lab, stop_at, finished
) -> None:
    lab.stop_at = stop_at
    sweep, trained = lab.run()
    assert [each.point.rows for each in trained] == list(SIZES[:finished])
    assert len(sweep) == (len(RATES) if finished else 0)
    assert not hasattr(lab.engine.loaded.model, "peft_config")


@pytest.mark.parametrize(("unscored", "sizes"), [((8, 1), [4]), ((8, 2), [4, 8])])
def test_a_budget_that_ends_while_scoring_keeps_the_epochs_that_were_scored(
    lab, unscored, sizes
) -> None:
    def quality(rows, epoch):
        if (rows, epoch) == unscored:
            lab.stop_at = lab.steps + 1  # what is spent stays spent
            raise BudgetSpent("a test's budget")
        return 0.5

    lab.quality = quality
    _, trained = lab.run()
    assert [each.point.rows for each in trained] == sizes
    assert all((each.point.rows, each.point.epoch) in lab.scored for each in trained)
    assert unscored not in {(each.point.rows, each.point.epoch) for each in trained}


@pytest.mark.parametrize("stop_at", [1, 3, 6, 8, 12, 15])
def test_an_arm_that_was_cut_ends_as_if_it_were_not(tiny_engine, tmp_path, monkeypatch, stop_at):
    whole = Lab(tiny_engine, tmp_path / "whole", monkeypatch).run()
    cut = Lab(tiny_engine, tmp_path / "cut", monkeypatch)
    cut.stop_at = stop_at
    cut.run()
    sweep, trained = cut.run()
    assert [_timeless(p) for p in sweep] == [_timeless(p) for p in whole[0]]
    assert [_timeless(t.point) for t in trained] == [_timeless(t.point) for t in whole[1]]
    assert [t.variant.adapter.sha256 for t in trained] == [
        t.variant.adapter.sha256 for t in whole[1]
    ]
    assert len(set(cut.epochs())) == len(cut.epochs())


# --- early stopping -----------------------------------------------------------------------------

DEV_BY_EPOCH = {1: 0.5, 2: 0.6, 3: 0.6, 4: 0.9}


def risen(rows, epoch) -> float:
    """Dev loss that rises with the third epoch."""
    return {1: 0.9, 2: 0.8, 3: 0.85, 4: 0.1}[epoch.number]


def test_a_quality_that_stands_still_stops_nothing_while_dev_loss_falls(lab) -> None:
    lab.quality = lambda rows, epoch: 0.0 if epoch < 3 else 0.5
    _, trained = lab.run(epochs=3, learning_rates=(1e-3,))
    losses = [t.point.dev_loss for t in trained]
    assert losses == sorted(losses, reverse=True), "this model still learns"
    assert [each.point.epoch for each in trained] == [3] * len(SIZES)


def test_a_size_stops_after_the_first_epoch_that_is_no_better_on_dev(lab) -> None:
    lab.quality = lambda rows, epoch: DEV_BY_EPOCH[epoch]
    lab.loss = risen
    _, trained = lab.run(epochs=4)
    assert [(each.point.epoch, each.point.epochs) for each in trained] == [(2, 3)] * len(SIZES)
    (name,) = {t["folder"].name for t in lab.trainings if len(t["rows"]) == 8}
    assert [each for each in lab.epochs() if each.startswith("8-rows")] == [
        f"{name}/{number}" for number in (1, 2, 3)
    ]
    assert (8, 4) not in lab.scored
    assert [v.adapter.epoch for v in trained[1].tried] == [1, 2, 3]


@pytest.mark.parametrize("unscored", [(8, 2), (8, 3), (16, 3)])
def test_a_cut_between_epochs_stops_at_the_same_epoch(
    tiny_engine, tmp_path, monkeypatch, unscored
) -> None:
    def quality(rows, epoch):
        return DEV_BY_EPOCH[epoch]

    whole = Lab(tiny_engine, tmp_path / "whole", monkeypatch, quality)
    whole.loss = risen
    expected = whole.run(epochs=4)
    assert {each.point.epochs for each in expected[1]} == {3}
    cut = Lab(tiny_engine, tmp_path / "cut", monkeypatch, quality)
    cut.loss = risen

    def killing(rows, epoch):
        if (rows, epoch) == unscored:
            raise KeyboardInterrupt
        return DEV_BY_EPOCH[epoch]

    cut.quality = killing
    with pytest.raises(KeyboardInterrupt):
        cut.run(epochs=4)
    cut.quality = quality
    _, trained = cut.run(epochs=4)
    assert [_timeless(t.point) for t in trained] == [_timeless(t.point) for t in expected[1]]
    assert sorted(cut.epochs()) == sorted(whole.epochs())


# --- under another prompt -----------------------------------------------------------------------

LONGER = Prompt(system="Say whose name it is. A title before a name means person.", style="tagged")


def test_the_best_size_is_trained_once_more_under_another_prompt(lab) -> None:
    _, trained = lab.run()
    before = lab.weights()
    arm = lab.arm()
    found = arm.under(LONGER, trained[1], trained[0], EXAMPLES[:20], DEV)
    (training,) = lab.trainings
    assert training["start"] == lab.run_folder / trained[0].variant.adapter.path
    assert training["rate"] == trained[1].point.learning_rate
    assert training["rows"] == encode(lab.engine.template, LONGER, EXAMPLES[:8])
    assert found.variant.prompt == LONGER
    assert found.variant.id not in {each.variant.id for each in trained}
    assert found.variant.name == "fine-tune on 8 rows, searched instructions"
    assert found.variant.adapter.sha256 != trained[1].variant.adapter.sha256
    new = lab.weights() - before
    assert len(new) == 1 and before <= lab.weights(), "no size loses its weights"
    scored = list(lab.scored)
    assert lab.arm().under(LONGER, trained[1], trained[0], EXAMPLES[:20], DEV) == found
    assert lab.trainings == []
    assert lab.scored == [*scored, (8, 1), (8, 2)]
    assert lab.run()[1] == trained, "the sizes are what they were"
    assert new <= lab.weights()


def test_the_smallest_size_under_another_prompt_starts_from_the_base(lab) -> None:
    _, trained = lab.run()
    found = lab.arm().under(LONGER, trained[0], None, EXAMPLES[:20], DEV)
    assert lab.trainings[0]["start"] is None
    assert found.point.rows == SIZES[0]


def _timeless(point):
    return point.model_copy(update={"seconds": 0.0, "peak_memory": None})
