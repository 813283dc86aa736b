"""A run's fine-tune in other forms is the same fine-tune, and where it is not, that is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from decisions import write_rows, write_task
from trimtab import export as export_module
from trimtab import pipeline
from trimtab.cli import app
from trimtab.errors import InputError, ModelError, RunError
from trimtab.export import FAILED, FORMS, PARITY, Parity, export
from trimtab.predictor import load
from trimtab.task.open import open_task
from trimtab.tune.export import load as load_module
from trimtab.tune.export.ollama import modelfile


@pytest.fixture(scope="session")
def run(tiny_run) -> Path:
    return tiny_run.folder


@pytest.fixture(autouse=True)
def always_in_float32(in_float32) -> None: ...


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written_loaded_back_and_the_same(run, tmp_path, form) -> None:
    found = export(run, form, tmp_path / form)
    assert found.parity.passed, found.parity.statement
    assert found.parity.rows > 0
    saved = Parity.model_validate_json((tmp_path / form / PARITY).read_bytes())
    assert saved == found.parity
    assert not (tmp_path / form / FAILED).exists()
    assert not list((tmp_path / form).glob(".merged-*"))


def test_full_precision_gives_the_same_texts_in_gguf(run, tmp_path) -> None:
    parity = export(run, "gguf", tmp_path / "gguf", "f32").parity
    assert parity.equal == parity.rows
    assert parity.difference.estimate == 0


def test_eight_bits_stay_within_noise(run, tmp_path) -> None:
    found = export(run, "gguf", tmp_path / "gguf", "q8_0")
    assert found.parity.passed
    sizes = [
        (export(run, "gguf", tmp_path / name, name).folder / "model.gguf").stat().st_size
        for name in ("f16", "f32")
    ]
    assert (found.folder / "model.gguf").stat().st_size < sizes[0] < sizes[1]


def test_the_merged_folder_answers_alike_in_transformers_own_loop(run, tmp_path) -> None:
    folder = export(run, "merged", tmp_path / "merged").folder
    decision = pipeline.Decision.model_validate_json((run / "verdict.json").read_bytes())
    predictor = load(run, variant_id=decision.fine_tune.variant)
    free = predictor.variant.model_copy(update={"constrained": False})
    from dataclasses import replace

    rows = open_task(run.parent.parent).split.dev[:5]
    own = replace(predictor, variant=free).answer_many(rows)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    template = predictor.engine.template
    from trimtab.prompt.render import render

    for row, answer in zip(rows, own, strict=True):
        ids = template.prompt(render(free.prompt, row.input, None))
        with torch.no_grad():
            made = model.generate(
                torch.tensor([ids]), do_sample=False, max_new_tokens=free.max_tokens
            )[0, len(ids) :]
        assert template.text(made.tolist()) == answer.text


def test_training_rows_hold_the_prompts_of_the_training(run, tmp_path) -> None:
    openai = export(run, "openai-jsonl", tmp_path / "openai").folder / "train.jsonl"
    trl = export(run, "trl-jsonl", tmp_path / "trl").folder / "train.jsonl"
    first, second = (
        [json.loads(line) for line in path.read_text().splitlines()] for path in (openai, trl)
    )
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one["messages"] == other["prompt"] + other["completion"]
        assert [turn["role"] for turn in one["messages"]] == ["system", "user", "assistant"]
        assert one["messages"][2]["content"] in ("person", "company")


def test_the_modelfile_says_what_was_measured(run, tmp_path) -> None:
    text = (export(run, "ollama", tmp_path / "ollama").folder / "Modelfile").read_text()
    assert text.startswith("FROM ./model.gguf\n")
    assert 'SYSTEM """Decide whose name it is."""' in text
    assert "PARAMETER temperature 0\n" in text
    assert 'PARAMETER stop "<|im_end|>"' in text


def test_the_modelfile_of_held_answers_says_what_calls_must_send(run) -> None:
    predictor = load(run, lambda _: None)
    template = predictor.engine.template
    free, held = (
        modelfile(template, predictor.variant.model_copy(update={"constrained": constrained}))
        for constrained in (False, True)
    )
    assert held.endswith(free)
    comment = held.removesuffix(free)
    assert all(line.startswith("#") for line in comment.splitlines())
    assert '"format"' in comment


def test_the_default_folder_is_in_the_run(run, tmp_path) -> None:
    copied = tmp_path / "task"
    shutil.copytree(run.parent.parent, copied, symlinks=True)
    own = copied / "runs" / run.name
    assert export(own, "peft").folder == own / "exports" / "peft"
    with pytest.raises(InputError, match="is not empty"):
        export(own, "peft")


@pytest.mark.parametrize("form", ["peft", "merged", "gguf", "ollama"])
def test_an_export_that_is_not_the_same_is_marked(run, tmp_path, form, monkeypatch) -> None:
    """The weights are spoilt after they were written, before they are loaded back."""
    real = load_module._model

    def spoilt(engine, source, **how):
        model = real(engine, source, **how)
        with torch.no_grad():
            for layer in model.base_model.layers:
                layer.mlp.down_proj.weight.mul_(-3)
        return model

    monkeypatch.setattr(load_module, "_model", spoilt)
    found = export(run, form, tmp_path / form)
    assert not found.parity.passed
    assert found.parity.equal < found.parity.rows
    assert "Do not use" in (tmp_path / form / FAILED).read_text()


def test_a_torn_adapter_changes_the_texts_of_peft(run, tmp_path, monkeypatch) -> None:
    from trimtab.tune.export import weights

    real = weights.write_peft

    def torn(adapter, base, out):
        real(adapter, base, out)
        path = out / "adapter_model.safetensors"
        save_file({name: -2 * value for name, value in load_file(path).items()}, path)

    monkeypatch.setattr(weights, "write_peft", torn)
    assert not export(run, "peft", tmp_path / "peft").parity.passed


def test_the_command_ends_with_the_result(run, tmp_path, monkeypatch) -> None:
    from typer.testing import CliRunner

    fine = CliRunner().invoke(
        app, ["export", str(run), "--to", "trl-jsonl", "--out", str(tmp_path / "a")]
    )
    assert fine.exit_code == 0
    assert "the same" in fine.stdout
    monkeypatch.setattr(
        export_module,
        "_training_rows",
        lambda source, form, folder: Parity(
            form=form, variant="v", rows=2, equal=1, passed=False, statement="1 of 2"
        ),
    )
    bad = CliRunner().invoke(
        app, ["export", str(run), "--to", "trl-jsonl", "--out", str(tmp_path / "b")]
    )
    assert bad.exit_code == 1
    assert "NOT the same" in bad.stdout


def test_a_run_without_a_fine_tune_has_nothing_to_export(tmp_path) -> None:
    folder = pipeline.decide(write_task(tmp_path / "task")).folder
    with pytest.raises(RunError, match="no fine-tune to export"):
        export(folder, "merged", tmp_path / "out")


def test_changed_rows_are_refused(run, tmp_path) -> None:
    copied = tmp_path / "task"
    shutil.copytree(run.parent.parent, copied, symlinks=True)
    rows = [json.loads(line) for line in (copied / "rows.jsonl").read_text().splitlines()]
    write_rows(copied / "rows.jsonl", rows[1:])
    with pytest.raises(RunError, match="not those"):
        export(copied / "runs" / run.name, "trl-jsonl", tmp_path / "out")


def test_a_model_that_gguf_has_no_name_for_is_refused(run, tmp_path, monkeypatch) -> None:
    from trimtab.tune.export import gguf

    with pytest.raises(ModelError, match="convert_hf_to_gguf"):
        gguf.check_llama({"model_type": "qwen2"})
    with pytest.raises(ModelError, match="rotary"):
        gguf.check_llama({"model_type": "llama", "rope_parameters": {"rope_type": "llama3"}})
    with pytest.raises(ModelError, match="splits text"):
        gguf._splitting({"type": "Metaspace"})
    digits = {"type": "Digits", "individual_digits": True}
    sequence = {"type": "Sequence", "pretokenizers": [digits, {"type": "ByteLevel"}]}
    assert gguf._splitting(sequence) == "smollm"
