"""The loss is that of transformers, and does not depend on how rows are batched or padded."""

from __future__ import annotations

import math

import pytest
import torch

from trimtab.tune.lora import TrainSettings, lora, trainable
from trimtab.tune.loss import answer_divergences, answer_losses, mean_loss
from trimtab.tune.retention.likelihood import answer_states
from trimtab.tune.rows import TrainingRow

from .rows import row

ROWS = [row(length, number) for number, length in enumerate((1, 3, 40, 7, 7, 2, 90, 12))]
ROWS[2] = TrainingRow(ROWS[2].prompt, [9, 8, 7, 6, 2])  # so that rows weigh differently


def reference(model, training_row) -> torch.Tensor:
    """Mean over the answer tokens, by transformers' own loss with the prompt masked."""
    ids = torch.tensor([training_row.prompt + training_row.answer])
    labels = ids.clone()
    labels[:, : len(training_row.prompt)] = -100
    return model(input_ids=ids, labels=labels).loss


@pytest.fixture(params=["sdpa", "eager"])
def reference_model(request, tiny_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        tiny_model, dtype=torch.float32, attn_implementation=request.param
    )


def test_the_loss_is_that_of_transformers(tiny_engine, reference_model) -> None:
    for each in ROWS:
        losses = answer_losses(tiny_engine.loaded.model, [each])
        assert len(losses) == len(each.answer)
        expected = reference(reference_model, each).item()
        assert losses.mean().item() == pytest.approx(expected, abs=1e-4)


def test_a_batch_gives_the_losses_of_its_rows_in_their_order(tiny_engine) -> None:
    model = tiny_engine.loaded.model
    together = answer_losses(model, ROWS)
    alone = [answer_losses(model, [each]) for each in ROWS]
    assert torch.allclose(together, torch.cat(alone), rtol=1e-4)


def test_gradients_of_a_batch_are_those_of_its_rows(tiny_engine) -> None:
    """One step on 8 rows is 8 accumulated steps on one, each weighed by its answer tokens."""
    model = tiny_engine.loaded.model
    tokens = sum(len(each.answer) for each in ROWS)
    gradients = []
    for steps in ([ROWS], [[each] for each in ROWS]):
        with lora(model, TrainSettings(learning_rate=1e-3, epochs=1)) as peft_model:
            parameters = trainable(peft_model)
            for name, parameter in parameters.items():
                if "lora_B" in name:  # begins at zero, where lora_A has no gradient
                    torch.nn.init.normal_(parameter, std=0.02, generator=torch.Generator())
            for step in steps:
                (answer_losses(model, step).sum() / tokens).backward()
            gradients.append({name: p.grad.clone() for name, p in parameters.items()})
    batch, accumulated = gradients
    assert batch.keys() == accumulated.keys()
    assert len(batch) == 2 * 7 * 2  # A and B of seven linear layers in two blocks
    for name in batch:
        assert batch[name].abs().max() > 0, name
        assert torch.allclose(batch[name], accumulated[name], atol=1e-6), name


def test_prompts_are_not_learnt(tiny_engine) -> None:
    """Only positions that predict answer tokens count, the first of them the prompt's last."""
    model = tiny_engine.loaded.model
    each = TrainingRow([5, 6, 7], [8, 2])
    logits = model(input_ids=torch.tensor([[5, 6, 7, 8, 2]])).logits[0]
    expected = -sum(torch.log_softmax(logits[at], -1)[token] for at, token in ((2, 8), (3, 2)))
    assert answer_losses(model, [each]).sum().item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "own modules"])
def test_the_divergence_from_the_base_is_that_of_its_formula(
    tiny_engine, monkeypatch, packed
) -> None:
    """KL(base || tuned), with its gradient, by transformers' own logits."""
    model = tiny_engine.loaded.model
    each = TrainingRow([5, 6, 7], [8, 9, 2])
    ids = torch.tensor([[*each.prompt, *each.answer]])
    (states,) = answer_states(model, [each])
    if not packed:
        monkeypatch.setattr("trimtab.tune.loss.fits", lambda model: False)
    with torch.no_grad():
        base = torch.log_softmax(model(input_ids=ids).logits[0, 2:5], -1)
    with lora(model, TrainSettings(learning_rate=1e-3, epochs=1)) as peft_model:
        parameters = trainable(peft_model)
        for name, parameter in parameters.items():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator())
        found = answer_divergences(model, each, states.clone())
        found.mean().backward()
        gradients = {name: p.grad.clone() for name, p in parameters.items()}
        peft_model.zero_grad()
        tuned = torch.log_softmax(peft_model(input_ids=ids).logits[0, 2:5], -1)
        expected = (base.exp() * (base - tuned)).sum(-1)
        expected.mean().backward()
        assert found.min() > 0.001
        assert torch.allclose(found, expected, atol=1e-4)
        for name, parameter in parameters.items():
            assert torch.allclose(gradients[name], parameter.grad, atol=1e-4), name
    assert answer_divergences(model, each, states.clone()).abs().max() < 1e-5


def test_the_mean_is_over_tokens_not_rows(tiny_engine) -> None:
    model = tiny_engine.loaded.model
    many = ROWS * 5  # more than one scoring batch
    expected = torch.cat([answer_losses(model, [each]) for each in many]).mean().item()
    assert mean_loss(model, many) == pytest.approx(expected, rel=1e-5)
    assert mean_loss(model, many) == pytest.approx(mean_loss(model, many[::-1]), rel=1e-5)


def test_an_uninformed_model_loses_the_logarithm_of_its_vocabulary(tiny_engine) -> None:
    model = tiny_engine.loaded.model
    torch.nn.init.zeros_(model.get_output_embeddings().weight.data)
    size = model.get_output_embeddings().weight.shape[0]
    assert mean_loss(model, ROWS) == pytest.approx(math.log(size), rel=1e-5)
