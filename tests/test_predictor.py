"""A finished run answers new inputs as its winner was measured, or says why it cannot."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions import rows, write_task
from trimtab import pipeline
from trimtab.errors import RunError
from trimtab.predictor import load
from trimtab.store.files import read_records
from trimtab.types import Decision


def write_verdict(folder, decision: Decision) -> None:
    (folder / "verdict.json").write_text(decision.model_dump_json(by_alias=True))


def with_winner(decided, variant_id: str, folder):
    """A copy of the run in which another of its variants won."""
    shutil.copytree(decided.folder, folder)
    verdict = decided.decision.verdict.model_copy(update={"winner": variant_id})
    write_verdict(folder, decided.decision.model_copy(update={"verdict": verdict}))
    return folder


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """A finished run of the fake engine, whose winner shows the nearest rows."""
    root = tmp_path_factory.mktemp("fake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        return pipeline.decide(write_task(root / "task"))


def measured(folder, variant_id: str) -> dict[str, str]:
    """What the run's variant answered to each test row, by the row's id."""
    found = read_records(folder / "records" / f"{variant_id}-test.jsonl")
    return {record.example: record.completion.text for record in found}


def test_answers_are_those_that_were_measured(fake) -> None:
    predictor = load(fake.folder)
    assert predictor.variant.id == fake.decision.verdict.winner
    assert predictor.variant.prompt.nearest, "the winner needs its pool of rows"
    check_measured(fake, predictor)


@pytest.mark.parametrize("arm", ["prompt", "fine_tune"])
def test_each_arm_answers_as_it_was_measured(tiny_run, tmp_path, in_float32, arm) -> None:
    variant_id = getattr(tiny_run.decision, arm).variant
    folder = with_winner(tiny_run, variant_id, tmp_path / "moved")
    predictor = load(folder)
    assert (predictor.variant.adapter is not None) == (arm == "fine_tune")
    check_measured(tiny_run, predictor)


def test_another_processors_precision_is_told_and_not_refused(
    tiny_run, tmp_path, in_float32
) -> None:
    decision = tiny_run.decision
    variant = decision.variant(decision.prompt.variant)
    assert variant is not None
    weights, _, _ = variant.model.rpartition("/")
    elsewhere = variant.model_copy(update={"model": f"{weights}/bfloat16"})
    folder = with_winner(tiny_run, elsewhere.id, tmp_path / "moved")
    verdict = decision.verdict.model_copy(update={"winner": elsewhere.id})
    write_verdict(
        folder, decision.model_copy(update={"verdict": verdict, "variants": (elsewhere,)})
    )
    said: list[str] = []
    predictor = load(folder, said.append)
    assert predictor.variant.model.endswith("/bfloat16")
    assert "/float32" in predictor.engine.model_id
    assert any("/bfloat16 and answering as" in line for line in said)


def test_predictions_come_as_soon_as_their_chunk_is_answered(fake) -> None:
    predictor = load(fake.folder)
    engine = predictor.engine
    texts = [f"name {i}" for i in range(2 * engine.chunk_size + 1)]
    before = engine.calls
    first = next(iter(predictor.predict_each(texts)))
    assert first.input == texts[0]
    assert engine.calls - before == engine.chunk_size
    assert [each.input for each in predictor.predict_each(texts)] == texts


def check_measured(decided, predictor) -> None:
    answers = measured(decided.folder, predictor.variant.id)
    by_id = {row.id: row for row in open_rows(decided)}
    texts = [by_id[example].input for example in answers]
    predictions = predictor.predict_many(texts)
    assert [p.input for p in predictions] == texts
    assert [p.text for p in predictions] == list(answers.values())
    assert predictor.predict(texts[0]) == predictions[0]


def open_rows(decided):
    from trimtab.task.open import open_task

    return open_task(decided.folder.parents[1]).examples


def test_answers_that_break_the_contract_are_marked(fake, tmp_path) -> None:
    zero_shot = next(v for v in fake.decision.variants if v.name == "zero-shot")
    predictor = load(with_winner(fake, zero_shot.id, tmp_path / "run"))
    prediction = predictor.predict("Anna")  # without demonstrations, the fake engine says {}
    assert (prediction.text, prediction.valid) == ("{}", False)
    assert "is not one of: person, company" in prediction.error


def test_inputs_that_cannot_be_answered_say_why(tiny_run, tmp_path, in_float32) -> None:
    predictor = load(with_winner(tiny_run, tiny_run.decision.prompt.variant, tmp_path / "run"))
    long, short = predictor.predict_many(["word " * 2000, "Anna"])
    assert (long.text, long.valid) == (None, False)
    assert "context" in long.error
    assert short.text is not None


@settings(max_examples=15)
@given(texts=st.lists(st.text(max_size=20), max_size=40))
def test_one_prediction_for_each_text_in_order(fake, texts) -> None:
    predictions = load(fake.folder).predict_many(texts)
    assert [p.input for p in predictions] == texts
    assert all((p.error is None) == p.valid for p in predictions)


def test_a_run_without_a_verdict_is_refused(fake, tmp_path) -> None:
    folder = shutil.copytree(fake.folder, tmp_path / "run")
    (folder / "verdict.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        load(folder)


def test_a_run_without_a_winner_is_refused(fake, tmp_path) -> None:
    with pytest.raises(RunError, match="without a variant to use"):
        load(with_winner(fake, None, tmp_path / "run"))


def test_a_folder_that_is_no_run_is_refused(tmp_path) -> None:
    with pytest.raises(RunError, match=r"run\.json is missing"):
        load(tmp_path)


def test_a_run_of_another_version_is_refused(fake, tmp_path) -> None:
    folder = shutil.copytree(fake.folder, tmp_path / "run")
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"format_version": 99}))
    with pytest.raises(RunError, match="version 99"):
        load(folder)


@pytest.mark.parametrize("text", ["{", '{"schema_version": 2}', "[]", "\xff"])
def test_a_damaged_verdict_is_refused(fake, tmp_path, text) -> None:
    folder = shutil.copytree(fake.folder, tmp_path / "run")
    (folder / "verdict.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=r"verdict\.json"):
        load(folder)


def test_another_model_in_the_old_place_is_refused(fake, tmp_path) -> None:
    folder = shutil.copytree(fake.folder, tmp_path / "run")
    changed = fake.decision.settings | {"models": {"prompt": {"engine": "fake", "model": "other"}}}
    write_verdict(folder, fake.decision.model_copy(update={"settings": changed}))
    with pytest.raises(RunError, match=r"fake:m.*fake:other"):
        load(folder)


def test_the_task_that_is_decided_has_both_labels() -> None:
    assert {row["output"] for row in rows()} == {"person", "company"}
