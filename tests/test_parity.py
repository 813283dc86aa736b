"""No fine-tune serves before its adapter, read from the disk, answered as it was measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trimtab import parity as module
from trimtab.errors import BudgetSpent, RunError
from trimtab.measure.meter import Silent
from trimtab.measure.session import open_session
from trimtab.parity import (
    ROWS,
    Parity,
    compare_answers,
    near_enough,
    prove_winner,
    refuse_unproven,
    require_parity,
    rows_to_ask,
)
from trimtab.predictor import find_variant
from trimtab.serve.promotion import find_candidate
from trimtab.store.run import open_run, read_info
from trimtab.task.open import open_task
from trimtab.types import HOSTED_FILE, Completion, Failed, Interval


@pytest.fixture(scope="session")
def run(tiny_run) -> Path:
    return tiny_run.folder


@pytest.fixture(autouse=True)
def always_in_float32(in_float32) -> None: ...


@pytest.fixture
def own(run, tmp_path) -> Path:
    """A copy of the run, in a task folder of its own."""
    shutil.copytree(run.parent.parent, tmp_path / "task", symlinks=True)
    return tmp_path / "task" / "runs" / run.name


def tuned(folder: Path):
    decision, _ = find_variant(folder)
    return decision.variant(decision.fine_tune.variant)


def kept(folder: Path) -> Parity:
    return Parity.model_validate_json((folder / "parity" / f"{tuned(folder).id}.json").read_bytes())


def spoil(folder: Path) -> None:
    """As if the weights in use were others than those that were measured."""
    path = folder / "records" / f"{tuned(folder).id}-dev.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        line["completion"]["text"] = "neither"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def test_promoting_a_fine_tune_compares_it_once(own) -> None:
    variant = tuned(own)
    shutil.rmtree(own / "parity", ignore_errors=True)
    said: list[str] = []
    require_parity(own, variant, said.append)
    found = kept(own)
    assert found.passed
    assert (found.form, found.variant) == ("adapter", variant.id)
    assert found.equal == found.rows > 0
    assert any("asking" in line for line in said)
    said.clear()
    require_parity(own, variant, said.append)
    assert said == [], "what was compared is not asked again"
    assert find_candidate(variant.id, own.parent.parent).deployed.variant == variant.id


def test_a_fine_tune_that_answers_otherwise_is_not_promoted(own) -> None:
    shutil.rmtree(own / "parity", ignore_errors=True)
    spoil(own)
    for _ in range(2):
        with pytest.raises(RunError, match="does not answer as it was measured: 0 of"):
            find_candidate(tuned(own).id, own.parent.parent)
    assert not kept(own).passed


def test_the_page_asks_no_model(own) -> None:
    variant = tuned(own)
    shutil.rmtree(own / "parity", ignore_errors=True)
    with pytest.raises(RunError, match="trimtab promote"):
        find_candidate(variant.id, own.parent.parent, refuse_unproven)
    require_parity(own, variant)
    assert find_candidate(variant.id, own.parent.parent, refuse_unproven)
    (own / "parity" / f"{variant.id}.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        refuse_unproven(own, variant)


def test_without_recorded_answers_there_is_nothing_to_promote_on(own) -> None:
    shutil.rmtree(own / "parity", ignore_errors=True)
    shutil.rmtree(own / "records")
    with pytest.raises(RunError, match="holds no answers"):
        require_parity(own, tuned(own))


def test_without_its_dataset_version_the_rows_of_today_serve(own) -> None:
    shutil.rmtree(own / "parity", ignore_errors=True)
    shutil.rmtree(own.parent / "data")
    require_parity(own, tuned(own))
    assert kept(own).rows > 0


def test_prompts_and_fine_tunes_of_an_endpoint_have_nothing_to_compare(own) -> None:
    decision, _ = find_variant(own)
    prompt = decision.variant(decision.prompt.variant)
    shutil.rmtree(own / "parity", ignore_errors=True)
    require_parity(own, prompt)
    hosted = tuned(own)
    (own / hosted.adapter.path / HOSTED_FILE).write_text("{}")
    require_parity(own, hosted)
    refuse_unproven(own, hosted)
    assert not (own / "parity").exists()


@pytest.fixture
def session(own):
    """The finished run, gone on with."""
    opened = open_task(own.parent.parent)
    info = read_info(own)
    run, _ = open_run(opened.folder, info.identity, info.settings)
    assert run.folder.name == own.name
    with run, open_session(opened, run, Silent()) as opened_session:
        yield opened_session


def test_a_decision_reads_its_winner_from_the_disk_again(session, own, monkeypatch) -> None:
    """Up to 50 rows, of which training rows fill up what dev lacks, and the test has none."""
    shutil.rmtree(own / "parity", ignore_errors=True)
    read: list[str | None] = []
    use = session.tuner.adapters.use
    monkeypatch.setattr(
        session.tuner.adapters, "use", lambda folder: (read.append(folder), use(folder))
    )
    variant = tuned(own)
    prove_winner(session, variant)
    found = kept(own)
    split = session.opened.split
    assert found.passed
    assert found.rows == min(ROWS, len(split.dev) + len(split.train)) == 50
    assert len(split.dev) < 50
    assert None in read and read[-1] is not None
    asked = {row.id for row in rows_to_ask(split)}
    assert asked.isdisjoint(row.id for row in split.test.open(own / "openings", "a test"))
    assert any(spent.stage == "parity" and spent.calls for spent in session.run.spent())


def test_a_decision_has_nothing_to_prove_of_a_prompt_or_without_a_winner(session, own) -> None:
    shutil.rmtree(own / "parity", ignore_errors=True)
    decision, _ = find_variant(own)
    prove_winner(session, None)
    prove_winner(session, decision.variant(decision.prompt.variant))
    assert not (own / "parity").exists()


def test_a_spent_budget_leaves_it_to_promoting(session, own, monkeypatch) -> None:
    shutil.rmtree(own / "parity", ignore_errors=True)

    def spent() -> None:
        raise BudgetSpent("1 minute")

    monkeypatch.setattr(session.meter, "check", spent)
    prove_winner(session, tuned(own))
    assert not (own / "parity").exists()
    require_parity(own, tuned(own))


def interval(estimate, low, high):
    return Interval(estimate=estimate, low=low, high=high, n=50, method="test")


@pytest.mark.parametrize(
    ("equal", "difference", "passes"),
    [
        (50, interval(0.0, -0.07, 0.07), True),
        (45, interval(0.02, -0.05, 0.09), True),
        (44, interval(0.0, -0.05, 0.05), False),
        (46, interval(-0.04, -0.1, 0.02), False),
        (25, interval(0.0, -0.2, 0.2), False),
        (10, interval(0.01, -0.02, 0.03), True),
        (50, interval(None, None, None), False),
    ],
)
def test_an_interval_that_holds_nothing_and_much_is_no_parity(equal, difference, passes) -> None:
    assert near_enough(equal, 50, difference, 0.03) is passes


def answers(*texts):
    return [
        Failed(boundary="server", message="down")
        if text is None
        else Completion(text=text, finish="stop", tokens_in=1, tokens_out=1)
        for text in texts
    ]


def test_answers_are_compared_row_by_row(run) -> None:
    opened = open_task(run.parent.parent)
    rows = rows_to_ask(opened.split)[:20]
    right = answers(*(row.target for row in rows))
    one_wrong = [*answers("neither"), *right[1:]]
    lost = [*answers(None), *right[1:]]

    def found(other, *, same_texts=False):
        return compare_answers(
            "gguf", tuned(run), opened.task, rows, right, other, same_texts=same_texts
        )

    assert found(right).passed
    assert found(right, same_texts=True).passed
    assert not found(one_wrong, same_texts=True).passed
    close = found(one_wrong)
    assert (close.equal, close.measured, close.exported) == (19, 1.0, pytest.approx(0.95))
    assert not close.passed, "0.05 lost is more than the smallest difference of 0.03"
    assert not found(lost).passed, "a row without an answer is no parity"
    assert close.equal >= module.ALIKE * 20
