"""Training resumes as if never cut, leaves the base alone, and never repeats a finished epoch."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tiny import load_in_float32
from trimtab.audit.difficulty import DYNAMICS_FILE
from trimtab.tune import lora as lora_module
from trimtab.tune.lora import (
    ADAPTER_FILE,
    Epoch,
    TrainSettings,
    lora,
    schedule,
    train,
    trainable,
    until_worse,
)
from trimtab.tune.loss import mean_loss
from trimtab.tune.rows import TrainingRow, batches

from .rows import row

ROWS = [row(4 + number % 9, number) for number in range(22)]
DEV = [row(5, number) for number in range(40, 45)]
SETTINGS = TrainSettings(learning_rate=5e-3, epochs=3, batch_size=4, rank=4)


class Stop(Exception):
    """What an interrupted training raises in these tests."""


def ignore(tokens: int) -> None: ...


def stop_after(steps: int, also=ignore):
    done = []

    def on_tokens(tokens: int) -> None:
        also(tokens)
        done.append(tokens)
        if len(done) == steps:
            raise Stop

    return on_tokens


def run(engine, folder, settings=SETTINGS, on_tokens=ignore, start=None):
    return list(train(engine, ROWS, DEV, settings, folder, on_tokens, start))


def adapter(epoch) -> dict[str, torch.Tensor]:
    return load_file(epoch.adapter / ADAPTER_FILE)


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def state(engine) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in engine.loaded.model.state_dict().items()}


def lines(folder) -> list[str]:
    path = folder.parent / "epochs.jsonl"
    return [json.loads(line)["epoch"] for line in path.read_text().splitlines()]


def dynamics(epoch) -> list[dict]:
    text = (epoch.adapter / DYNAMICS_FILE).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_training_learns_and_reports_what_it_did(tiny_engine, tmp_path) -> None:
    heard: list[int] = []
    before = mean_loss(tiny_engine.loaded.model, ROWS)
    epochs = run(tiny_engine, tmp_path / "a", on_tokens=heard.append)
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert before > epochs[0].train_loss > epochs[1].train_loss > epochs[2].train_loss
    assert {epoch.tokens for epoch in epochs} == {sum(map(len, ROWS))}
    assert sum(heard) == 3 * sum(map(len, ROWS))
    assert all(epoch.peak_memory > 50e6 for epoch in epochs)  # torch alone takes more
    assert lines(tmp_path / "a") == ["a/1", "a/2", "a/3"]


def test_the_reported_dev_loss_is_that_of_the_saved_adapter(tiny_engine, tmp_path) -> None:
    for epoch in run(tiny_engine, tmp_path / "a"):
        tiny_engine.adapters.use(str(epoch.adapter))
        assert mean_loss(tiny_engine.loaded.model, DEV) == pytest.approx(epoch.dev_loss, abs=1e-4)


def test_each_row_leaves_its_loss_of_each_epoch(tiny_engine, tmp_path) -> None:
    found = [dynamics(epoch) for epoch in run(tiny_engine, tmp_path / "a")]
    for number, rows in enumerate(found, 1):
        assert sorted(each["example"] for each in rows) == sorted(each.example for each in ROWS)
        assert {each["epoch"] for each in rows} == {number}
    first = batches(ROWS, SETTINGS.batch_size, SETTINGS.seed, 1)[0]
    untrained = [mean_loss(tiny_engine.loaded.model, [each]) for each in first]
    assert [each["loss"] for each in found[0][: len(first)]] == pytest.approx(untrained, abs=1e-4)


def test_training_leaves_the_base_as_it_was(tiny_engine, tmp_path) -> None:
    before = state(tiny_engine)
    run(tiny_engine, tmp_path / "a")
    assert equal(state(tiny_engine), before)
    assert not any(p.requires_grad for p in tiny_engine.loaded.model.parameters())
    assert not hasattr(tiny_engine.loaded.model, "peft_config")


def test_the_base_is_trained_on_whatever_adapter_was_in_use(tiny_engine, tiny_adapter, tmp_path):
    clean = run(tiny_engine, tmp_path / "a")
    tiny_engine.adapters.use(str(tiny_adapter))
    after_use = run(tiny_engine, tmp_path / "b")
    assert equal(adapter(clean[-1]), adapter(after_use[-1]))


def test_an_exception_in_the_middle_of_an_epoch_unloads_everything(tiny_engine, tmp_path) -> None:
    before = state(tiny_engine)
    with pytest.raises(Stop):
        run(tiny_engine, tmp_path / "a", on_tokens=stop_after(3))
    assert equal(state(tiny_engine), before)
    assert not hasattr(tiny_engine.loaded.model, "peft_config")
    assert not any("lora" in name for name, _ in tiny_engine.loaded.model.named_modules())
    assert not (tmp_path / "epochs.jsonl").exists()


@pytest.mark.parametrize("seconds_between", [0.0, 3600.0], ids=["checkpoints", "none"])
@pytest.mark.parametrize("steps", [1, 4, 6, 7, 15])
def test_a_training_that_was_cut_ends_as_if_it_were_not(
    tiny_model, tiny_engine, tmp_path, monkeypatch, steps, seconds_between
) -> None:
    """Six steps an epoch: cut in the first epoch, at its end, in the second, in the third."""
    monkeypatch.setattr(lora_module, "_CHECKPOINT_SECONDS", seconds_between)
    whole = run(tiny_engine, tmp_path / "whole" / "a")
    folder = tmp_path / "cut" / "a"
    with pytest.raises(Stop):
        run(load_in_float32(tiny_model), folder, on_tokens=stop_after(steps))
    finished = steps // 7  # the epoch whose last step is cut is not finished
    assert len(list(folder.glob("epoch-?"))) == finished
    heard: list[int] = []
    resumed = run(load_in_float32(tiny_model), folder, on_tokens=heard.append)
    assert len(heard) == 18 - (6 * finished if seconds_between else steps)
    for a, b in zip(whole, resumed, strict=True):
        assert equal(adapter(a), adapter(b))
        assert (a.train_loss, a.dev_loss, a.tokens) == (b.train_loss, b.dev_loss, b.tokens)
        assert dynamics(a) == dynamics(b)
    assert lines(folder) == ["a/1", "a/2", "a/3"]
    assert not list(folder.glob("*partial*")), "an epoch's checkpoint is not needed after it"


def test_the_time_before_a_cut_counts(tiny_engine, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lora_module, "_CHECKPOINT_SECONDS", 0.0)
    one = SETTINGS.model_copy(update={"epochs": 1})

    def slowly(tokens: int) -> None:
        time.sleep(0.1)

    with pytest.raises(Stop):
        run(tiny_engine, tmp_path / "a", one, on_tokens=stop_after(3, also=slowly))
    (resumed,) = run(tiny_engine, tmp_path / "a", one)
    assert 0.2 < resumed.seconds < 30


@pytest.mark.parametrize("pass_tokens", [1, 30])
def test_one_row_at_a_time_is_the_whole_batch(tiny_engine, tmp_path, pass_tokens) -> None:
    """Eight accumulated passes of one row are one pass of eight, though rows weigh differently."""
    rows = [TrainingRow(each.prompt, each.answer * (1 + i % 4)) for i, each in enumerate(ROWS)]
    settings = SETTINGS.model_copy(update={"epochs": 1, "batch_size": 8})
    parts = settings.model_copy(update={"pass_tokens": pass_tokens})
    (whole,) = train(tiny_engine, rows, DEV, settings, tmp_path / "whole", ignore)
    (summed,) = train(tiny_engine, rows, DEV, parts, tmp_path / "parts", ignore)
    assert summed.train_loss == pytest.approx(whole.train_loss, rel=1e-5)
    # Adam divides a gradient by its own size, so one that is nearly zero moves its weight by
    # rounding alone: single weights may differ, the adapter as a whole may not.
    expected = torch.cat([value.flatten() for value in adapter(whole).values()])
    found = torch.cat([value.flatten() for value in adapter(summed).values()])
    assert (found - expected).norm() < 1e-3 * expected.norm()


def test_training_is_that_of_a_plain_loop(tiny_model, tiny_engine, tmp_path) -> None:
    """peft's modules, padded batches, full logits, transformers' own loss, and one optimiser that
    is never put away."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    with lora(model, SETTINGS) as peft_model:
        parameters = trainable(peft_model)
        optimiser = torch.optim.AdamW(parameters.values(), weight_decay=0.0)
        orders = [batches(ROWS, SETTINGS.batch_size, SETTINGS.seed, e) for e in (1, 2, 3)]
        steps = [batch for order in orders for batch in order]
        losses = []
        for step, batch in enumerate(steps):
            optimiser.param_groups[0]["lr"] = SETTINGS.learning_rate * schedule(step, len(steps))
            loss = peft_model(**padded(batch)).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)
            optimiser.step()
            losses.append(loss.item() * sum(len(each.answer) for each in batch))
        expected = {name: p.detach().clone() for name, p in parameters.items()}
    epochs = run(tiny_engine, tmp_path / "a")
    answers = sum(len(each.answer) for each in ROWS)
    for number, epoch in enumerate(epochs):
        own = sum(losses[6 * number : 6 * number + 6]) / answers
        assert epoch.train_loss == pytest.approx(own, rel=1e-4)
    trained = adapter(epochs[-1])
    assert len(trained) == len(expected)
    for name, value in expected.items():
        saved = trained[name.replace(".default", "")]
        assert torch.allclose(saved, value, atol=1e-3), name


def padded(batch) -> dict[str, torch.Tensor]:
    """A batch as transformers takes it: padding masked, prompts without labels."""
    width = max(map(len, batch))
    ids, mask, labels = (torch.full((len(batch), width), fill) for fill in (0, 0, -100))
    for index, each in enumerate(batch):
        ids[index, : len(each)] = torch.tensor(each.prompt + each.answer)
        mask[index, : len(each)] = 1
        labels[index, len(each.prompt) : len(each)] = torch.tensor(each.answer)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def test_epochs_end_with_the_first_that_is_not_below_the_best_before_it() -> None:
    def epochs(losses):
        for number, loss in enumerate(losses, 1):
            yield Epoch(
                number=number,
                adapter=Path("a"),
                train_loss=1.0,
                dev_loss=loss,
                tokens=1,
                seconds=1.0,
                peak_memory=1,
            )

    def stopped(*losses):
        return [epoch.number for epoch in until_worse(epochs(losses))]

    assert stopped(3.0, 2.0, 1.0) == [1, 2, 3]
    assert stopped(3.0, 2.0, 2.0, 1.0) == [1, 2, 3]
    assert stopped(3.0, 4.0, 1.0) == [1, 2]
    assert stopped(3.0) == [1]


def test_finished_epochs_are_not_trained_again(tiny_engine, tmp_path) -> None:
    first = run(tiny_engine, tmp_path / "a")
    heard: list[int] = []
    assert run(tiny_engine, tmp_path / "a", on_tokens=heard.append) == first
    assert heard == []
    assert lines(tmp_path / "a") == ["a/1", "a/2", "a/3"]


def test_only_the_last_epoch_keeps_the_state_of_the_training(tiny_engine, tmp_path) -> None:
    run(tiny_engine, tmp_path / "a")
    kept = sorted(p.parent.name for p in (tmp_path / "a").glob("*/state.safetensors"))
    assert kept == ["epoch-3"]


def test_a_half_written_epoch_does_not_count(tiny_engine, tmp_path) -> None:
    whole = run(tiny_engine, tmp_path / "whole" / "a")
    folder = tmp_path / "torn" / "a"
    (folder / "epoch-1.draft").mkdir(parents=True)
    (folder / "epoch-1.draft" / ADAPTER_FILE).write_bytes(b"torn")
    (folder / "epoch-1").mkdir()
    resumed = run(tiny_engine, folder)
    assert equal(adapter(whole[-1]), adapter(resumed[-1]))
    assert sorted(p.name for p in folder.iterdir()) == ["epoch-1", "epoch-2", "epoch-3"]


def test_a_warm_start_goes_on_from_the_given_weights(tiny_engine, tmp_path) -> None:
    taught = run(tiny_engine, tmp_path / "a")[-1]
    still = SETTINGS.model_copy(update={"learning_rate": 0.0, "epochs": 1})
    (warm,) = run(tiny_engine, tmp_path / "warm", still, start=taught.adapter)
    assert equal(adapter(warm), adapter(taught))
    assert warm.dev_loss == pytest.approx(taught.dev_loss, abs=1e-5)
    (cold,) = run(tiny_engine, tmp_path / "cold", still)
    assert not equal(adapter(cold), adapter(taught))


def test_the_seed_fixes_the_adapter(tiny_engine, tmp_path) -> None:
    one = SETTINGS.model_copy(update={"epochs": 1})
    a = run(tiny_engine, tmp_path / "a", one)
    torch.manual_seed(99)  # the global generator has no say
    b = run(tiny_engine, tmp_path / "b", one)
    c = run(tiny_engine, tmp_path / "c", one.model_copy(update={"seed": 1}))
    assert equal(adapter(a[0]), adapter(b[0]))
    assert not equal(adapter(a[0]), adapter(c[0]))


def test_the_card_does_not_tell_where_the_model_lies(tiny_engine, tmp_path) -> None:
    epoch = run(tiny_engine, tmp_path / "a", SETTINGS.model_copy(update={"epochs": 1}))[0]
    config = json.loads((epoch.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == tiny_engine.model_id
    assert config["lora_alpha"] == 2 * config["r"] == 8


def test_every_linear_layer_is_adapted(tiny_engine, tmp_path) -> None:
    epoch = run(tiny_engine, tmp_path / "a", SETTINGS.model_copy(update={"epochs": 1}))[0]
    names = {key.split(".lora_")[0].rpartition(".")[2] for key in adapter(epoch)}
    attention = {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert names == attention | {"gate_proj", "up_proj", "down_proj"}


@given(st.integers(1, 3000))
def test_the_learning_rate_rises_then_falls_to_a_tenth(total) -> None:
    rates = [schedule(step, total) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) == 1
    peak = rates.index(1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert peak <= total / 10 + 1
    assert min(rates[peak:]) >= 0.1
    if total >= 100:
        assert rates[-1] < 0.11
