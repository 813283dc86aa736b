"""A served task is decided again on more data, on the fake engine: from reason to shadow."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from decisions import rows, write_rows, write_task
from trimtab import pipeline
from trimtab.errors import InputError
from trimtab.measure.meter import Silent
from trimtab.predictor import find_variant
from trimtab.retrain import retrain as module
from trimtab.retrain.retrain import called_for, list_retrains, retrain
from trimtab.serve.promotion import find_candidate
from trimtab.store import deployments
from trimtab.store.data_versions import list_versions
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed, current
from trimtab.store.files import append, read_records
from trimtab.store.run import read_info
from trimtab.store.traces import new_id
from trimtab.task.reviewed import REVIEWED_FILE, Reviewed
from watch.traffic import watched


@pytest.fixture(scope="module")
def decided(tmp_path_factory) -> Path:
    """A task with a finished run on 90 rows. Only read."""
    root = tmp_path_factory.mktemp("decided")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        pipeline.decide(write_task(root / "task"))
    return root / "task"


@pytest.fixture
def folder(decided, tmp_path) -> Path:
    return shutil.copytree(decided, tmp_path / "task", symlinks=True)


@pytest.fixture
def database(tmp_path):
    opened = Database(str(tmp_path / "production.sqlite"))
    yield opened
    opened.close()


def serve(folder: Path, database: Database, variant: str | None = None) -> Deployed:
    """Promote the run's winner, or the variant that answers without demonstrations."""
    found = find_candidate(variant or str(folder / "runs" / "latest"), folder)
    deployments.promote(database, "names", found.deployed, "champion", 0, "a test", "to test")
    return found.deployed


def worst(folder: Path) -> str:
    decision, _ = find_variant((folder / "runs" / "latest").resolve())
    return min(decision.dev_scores, key=lambda score: score.quality.estimate or 0).variant


def more_rows(folder: Path, count: int = 150) -> None:
    write_rows(folder / "rows.jsonl", rows(count))


def run(folder, database, reason="a person asks", **options):
    asked = watched(folder, database, retrain={"new_rows": 3})
    called = called_for(asked, datetime.now(UTC), reason)
    return retrain(asked, called, "reviewer-1", Silent(), **options)


def test_a_better_variant_becomes_the_shadow(folder, database) -> None:
    champion = serve(folder, database, worst(folder))
    more_rows(folder)
    found = run(folder, database)
    assert found.concluded.conclusion == "better", found.concluded.statement
    assert (found.champion, found.who, found.why) == (champion, "reviewer-1", ("a person asks",))
    state = current(database, "names").state
    assert (state.champion, state.shadow) == (champion, found.challenger)
    change = current(database, "names")
    assert change.who == "reviewer-1"
    assert "a person asks" in change.why
    assert found.rollout == change.number
    assert list_retrains(folder) == [found]


def test_the_data_of_both_decisions_is_kept(folder, database) -> None:
    serve(folder, database, worst(folder))
    more_rows(folder)
    found = run(folder, database, roll_out=False)
    first, second = list_versions(folder)
    assert (first.rows, second.rows) == (90, 150)
    assert (second.hash, second.parent) == (found.data, first.hash)
    assert read_info(folder / "runs" / found.run).identity["data"] == found.data
    assert current(database, "names").state.shadow is None


def test_both_meet_only_rows_that_the_champion_never_saw(folder, database) -> None:
    champion = serve(folder, database, worst(folder))
    old_run = folder / "runs" / champion.run
    tested = {
        record.example
        for path in (old_run / "records").glob("*-test.jsonl")
        for record in read_records(path)
    }
    old_inputs = {row["input"] for row in rows(90)}
    more_rows(folder)
    found = run(folder, database)
    info = {row.id: row for row in _examples(folder)}
    path = folder / "runs" / found.run / "records" / f"{champion.variant}-test.jsonl"
    asked = {record.example for record in read_records(path)}
    assert asked
    for example in asked:
        assert example in tested or info[example].input not in old_inputs
    openings = (folder / "runs" / found.run / "test_openings.jsonl").read_text("utf-8")
    assert "against challenger" in openings


def test_the_champion_that_wins_again_stays(folder, database) -> None:
    serve(folder, database)
    found = run(folder, database)
    assert found.concluded.conclusion == "stay"
    assert "no row changed" in found.concluded.statement
    again = run(folder, database, fresh=True)
    assert "won the decision again" in again.concluded.statement
    assert again.run != found.run
    assert current(database, "names").state.shadow is None


def test_without_the_old_data_only_its_test_rows_count(folder, database) -> None:
    serve(folder, database, worst(folder))
    for version in (folder / "runs" / "data").glob("*.jsonl"):
        version.unlink()
    found = run(folder, database)
    assert found.comparison is not None
    assert found.comparison.n <= 30


def test_after_a_retraining_only_what_is_new_calls_for_another(folder, database) -> None:
    serve(folder, database)
    asked = watched(folder, database, retrain={"new_rows": 3})

    def review(count: int) -> None:
        now = datetime.now(UTC)
        lines = [
            Reviewed(
                id=new_id(), action="approve", input=f"Vera {now:%f} Ott {i}", output="person",
                approved_by="reviewer-1", reviewed=now, source="trace", origin=new_id(),
            )
            for i in range(count)
        ]  # fmt: skip
        append(folder / REVIEWED_FILE, lines)

    review(3)
    (why,) = called_for(asked, datetime.now(UTC)).why
    assert "3 newly reviewed rows" in why
    run(folder, database, reason=None)
    assert called_for(asked, datetime.now(UTC)).why == (), "no row is new to that one"
    review(2)
    called = called_for(asked, datetime.now(UTC))
    assert called.why == ()
    assert "2 of 3 newly reviewed" in called.next
    review(1)
    assert len(called_for(asked, datetime.now(UTC)).why) == 1


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_another_champion_meanwhile_stays(folder, database_url, monkeypatch) -> None:
    """A person promotes while the decision runs for hours."""
    database = Database(database_url)
    serve(folder, database, worst(folder))
    more_rows(folder)
    decide = module.decide

    def decide_meanwhile(*given):
        serve(folder, database)
        return decide(*given)

    monkeypatch.setattr(module, "decide", decide_meanwhile)
    found = run(folder, database)
    assert found.concluded.conclusion == "better"
    assert "nothing was rolled out: another champion" in found.concluded.statement
    assert found.rollout is None
    assert current(database, "names").state.shadow is None
    assert list_retrains(folder) == [found]
    database.close()


def test_a_second_one_waits_for_the_first(folder, database) -> None:
    serve(folder, database, worst(folder))
    more_rows(folder)
    run(folder, database)
    with pytest.raises(InputError, match="under way"):
        run(folder, database)


def test_a_champion_of_another_model_cannot_be_compared(folder, database) -> None:
    serve(folder, database, worst(folder))
    write_task(folder, models={"prompt": {"engine": "fake", "model": "other"}, "tune": None})
    with pytest.raises(InputError, match="bring it back"):
        run(folder, database)


def test_nothing_is_called_for_where_nothing_serves(folder, database) -> None:
    with pytest.raises(InputError, match="promote"):
        called_for(watched(folder, database), datetime.now(UTC))


def _examples(folder: Path):
    from trimtab.task.open import open_task

    return open_task(folder).examples
