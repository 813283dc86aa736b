"""Both databases behave as one; nothing is half done."""

from __future__ import annotations

import threading

import pytest

from trimtab.errors import DatabaseUnavailable, InputError
from trimtab.store import database as module
from trimtab.store.database import Database, default_url
from trimtab.store.migrations import MIGRATIONS

NAMES = ("deployments", "feedback", "keys", "traces")


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def add(database: Database, name: str) -> None:
    database.query(
        "INSERT INTO keys (id, task, name, sha256, created, who) VALUES (?, ?, ?, ?, ?, ?)",
        (name, "t", name, name, 1.5, "a test"),
    )


def names(database: Database) -> list[str]:
    return [row[0] for row in database.query("SELECT name FROM keys ORDER BY name")]


def test_all_tables_are_there_and_empty(database) -> None:
    for name in NAMES:
        assert database.query(f"SELECT COUNT(*) FROM {name}") == [(0,)]


def test_what_was_written_is_there_for_the_next(database, database_url) -> None:
    add(database, "né '%s' ?")
    other = Database(database_url)
    assert names(other) == ["né '%s' ?"]
    assert other.query("SELECT created FROM keys") == [(1.5,)], "seconds keep their fraction"
    other.close()


def test_a_transaction_that_raises_changes_nothing(database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        add(database, "a")
        raise ZeroDivisionError
    assert names(database) == []
    with pytest.raises(DatabaseUnavailable), database.transaction():
        add(database, "a")
        add(database, "a")
    assert names(database) == []
    with database.transaction():
        add(database, "b")
    assert names(database) == ["b"]


def test_a_transaction_inside_another_is_a_part_of_it(database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction(lock="keys"):
        with database.transaction(lock="keys"):
            add(database, "a")
        raise ZeroDivisionError
    assert names(database) == []
    with database.transaction():
        add(database, "b")
        with pytest.raises(ZeroDivisionError), database.transaction():
            add(database, "c")
            raise ZeroDivisionError
        with pytest.raises(DatabaseUnavailable), database.transaction():
            add(database, "b")
        add(database, "d")
    assert names(database) == ["b", "d"]


def test_many_rows_go_in_and_known_ones_are_passed_over(database) -> None:
    rows = [(f"{i:05d}", "t", "champion", "v", "{}") for i in range(1000)]
    database.insert("traces", "id, task, role, variant, content", rows[:600])
    database.insert("traces", "id, task, role, variant, content", rows)
    assert database.query("SELECT COUNT(*) FROM traces") == [(1000,)]
    database.insert("traces", "id, task, role, variant, content", [])


def test_opening_twice_at_once_migrates_once(database_url) -> None:
    problems: list[BaseException] = []

    def open_and_close() -> None:
        try:
            Database(database_url).close()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=open_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    opened = Database(database_url)
    assert opened.query("SELECT number FROM migrations") == [
        (i + 1,) for i in range(len(MIGRATIONS))
    ]
    opened.close()


def test_later_steps_are_done_on_an_old_database(database_url, monkeypatch) -> None:
    old = Database(database_url)
    add(old, "kept")
    old.close()
    later = (*MIGRATIONS, ("ALTER TABLE keys ADD COLUMN note TEXT",))
    monkeypatch.setattr(module, "MIGRATIONS", later)
    new = Database(database_url)
    assert new.query("SELECT name, note FROM keys") == [("kept", None)]
    new.close()
    monkeypatch.setattr(module, "MIGRATIONS", MIGRATIONS)
    with pytest.raises(InputError, match="newer Trimtab"):
        Database(database_url)


def test_a_step_that_fails_leaves_nothing_of_itself(database_url, monkeypatch) -> None:
    broken = (*MIGRATIONS, ("CREATE TABLE extra (id TEXT)", "NO SQL AT ALL"))
    Database(database_url).close()
    monkeypatch.setattr(module, "MIGRATIONS", broken)
    with pytest.raises(DatabaseUnavailable):
        Database(database_url)
    monkeypatch.setattr(module, "MIGRATIONS", MIGRATIONS)
    opened = Database(database_url)
    with pytest.raises(DatabaseUnavailable):
        opened.query("SELECT * FROM extra")
    opened.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me:secret@host/name", "is no database"),
        ("postgresql://me:secret@host:port/name", "no valid port"),
        ("postgresql://me:secret@host/name?color=red", "nothing else"),
    ],
)
def test_a_url_that_is_none_says_so_without_the_password(url, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot be used") as caught:
        Database("postgresql://me:secret@127.0.0.1:9/name")
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnavailable, match="cannot be used"):
        Database(str(tmp_path / "file" / "production.sqlite"))


def test_a_file_that_is_no_database_is_unavailable(tmp_path) -> None:
    (tmp_path / "text").write_text("not a database at all, only text" * 100)
    with pytest.raises(DatabaseUnavailable, match="not a database"):
        Database(str(tmp_path / "text"))


def test_sqlite_urls_name_relative_and_absolute_files(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Database("sqlite:///relative.sqlite").close()
    assert (tmp_path / "relative.sqlite").exists()
    Database(f"sqlite:///{tmp_path}/absolute.sqlite").close()
    assert (tmp_path / "absolute.sqlite").exists()


def test_sqlite_waits_for_the_disk_unless_told_not_to(tmp_path) -> None:
    for synced, level in ((True, 2), (False, 1)):  # FULL and NORMAL
        opened = Database(str(tmp_path / "db"), synced=synced)
        assert opened.query("PRAGMA synchronous") == [(level,)]
        assert opened.query("PRAGMA journal_mode") == [("wal",)]
        opened.close()


def test_the_default_is_beside_the_task_file_or_from_the_environment(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("TRIMTAB_DATABASE", raising=False)
    assert default_url(tmp_path) == str(tmp_path / "production.sqlite")
    monkeypatch.setenv("TRIMTAB_DATABASE", "postgresql://host/name")
    assert default_url(tmp_path) == "postgresql://host/name"
