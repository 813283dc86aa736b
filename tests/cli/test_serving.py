"""Promote, retire, roll back, list; keys; and what stands in the way."""

from __future__ import annotations

import pytest

from trimtab.store.database import Database
from trimtab.store.deployments import current, history
from trimtab.store.keys import list_keys


@pytest.fixture
def ids(decided) -> list[str]:
    """The winner, then the others."""
    winner = decided[1].verdict.winner
    return [winner, *(v.id for v in decided[1].variants if v.id != winner)]


def serving(folder):
    database = Database(str(folder / "production.sqlite"))
    found = current(database, "names")
    database.close()
    return found


def test_a_run_is_promoted_by_its_folder(trimtab, folder, ids) -> None:
    ended = trimtab("promote", folder / "runs" / "latest", "--reason", "it won", "--by", "Ada")
    assert ended.code == 0, ended.err
    change = serving(folder)
    assert (change.who, change.why, change.state.champion.variant) == ("Ada", "it won", ids[0])
    assert change.state.champion.run != "latest", "the link may point elsewhere tomorrow"
    assert ids[0] in ended.out


def test_a_variant_is_promoted_by_its_id(trimtab, folder, ids) -> None:
    for target, role in ((ids[0], "champion"), (ids[1], "canary"), (ids[2], "shadow")):
        options = ["--as", role, "--share", "0.2", "--reason", "r", "--task", folder]
        ended = trimtab("promote", target, *options)
        assert ended.code == 0, ended.err
    state = serving(folder).state
    assert [state.champion.variant, state.canary.variant, state.shadow.variant] == ids[:3]
    assert state.share == 0.2
    assert "20.00% of calls" in ended.out


def test_rollback_and_retire_and_the_list_of_all_changes(trimtab, folder, ids) -> None:
    for target in ids[:2]:
        trimtab("promote", target, "--reason", f"try {target}", "--task", folder)
    trimtab("promote", ids[2], "--as", "shadow", "--reason", "s", "--task", folder)
    assert trimtab("retire", folder, "--as", "shadow", "--reason", "enough").code == 0
    assert serving(folder).state.shadow is None
    assert trimtab("rollback", folder, "--to", 2, "--reason", "r").code == 0
    ended = trimtab("rollback", folder, "--reason", "worse")
    assert ended.code == 0
    assert serving(folder).state.champion.variant == ids[0]
    listed = trimtab("deployments", folder)
    assert [line.split()[0] for line in listed.out.splitlines() if "UTC" in line] == list("654321")
    assert "worse" in listed.out
    again = trimtab("rollback", folder, "--reason", "more")
    assert again.code == 2
    assert "no earlier state" in again.err


def test_what_cannot_be_promoted_says_why(trimtab, folder, ids, tmp_path) -> None:
    def refused(*arguments: object) -> str:
        ended = trimtab("promote", *arguments, "--reason", "r")
        assert ended.code == 2
        return ended.err

    assert "no finished run" in refused("0123456789ab", "--task", folder)
    assert "run.json is missing" in refused(tmp_path)
    assert "promote one first" in refused(ids[0], "--as", "canary", "--task", folder)
    (run,) = (folder / "runs").glob("*-*")
    (run / "verdict.json").unlink()
    assert "not finished" in refused(run)
    assert serving(folder) is None


def test_a_variant_that_lost_its_rows_is_not_promoted(trimtab, folder, decided) -> None:
    nearest = next(v.id for v in decided[1].variants if v.prompt.nearest)
    options = [nearest, "--reason", "r", "--task", folder]
    assert trimtab("promote", *options).code == 0
    (pool,) = folder.glob("runs/*-*/pool.jsonl")
    pool.unlink()
    ended = trimtab("promote", *options)
    assert (ended.code, "pool.jsonl is missing" in ended.err) == (2, True)


def test_a_reason_is_needed(trimtab, folder) -> None:
    assert trimtab("promote", folder / "runs" / "latest").code == 2
    assert trimtab("rollback", folder).code == 2


def test_another_database_can_be_named(trimtab, folder, tmp_path, monkeypatch, ids) -> None:
    url = str(tmp_path / "elsewhere.sqlite")
    options = [ids[0], "--reason", "r", "--task", folder]
    trimtab("promote", *options, "--database", url)
    monkeypatch.setenv("TRIMTAB_DATABASE", url)
    trimtab("promote", *options)
    database = Database(url)
    assert len(history(database, "names")) == 2
    database.close()
    assert not (folder / "production.sqlite").exists()


def test_keys_are_made_listed_and_revoked(trimtab, folder) -> None:
    made = trimtab("key", "add", folder, "--name", "web shop")
    assert made.code == 0, made.err
    key = made.out.strip()
    database = Database(str(folder / "production.sqlite"))
    (kept,) = list_keys(database, "names")
    database.close()
    assert key.startswith(kept.id)
    listed = trimtab("key", "list", folder)
    assert "web shop  in use" in listed.out
    assert key not in listed.out
    assert trimtab("key", "revoke", folder, kept.id).code == 0
    assert "revoked" in trimtab("key", "list", folder).out
    assert trimtab("key", "revoke", folder, kept.id).code == 2


def test_a_folder_without_a_task_is_refused(trimtab, tmp_path) -> None:
    for arguments in (["deployments"], ["key", "list"], ["serve"]):
        ended = trimtab(*arguments, tmp_path)
        assert ended.code == 2
        assert "no such task file" in ended.err
