"""What reviewers say: kept, checked, settled, written to the file, and taken back."""

from __future__ import annotations

import pytest

from decisions import write_task
from trimtab.errors import InputError
from trimtab.review.book import Book
from trimtab.store.database import Database
from trimtab.store.reviews import get_item, reviewed_calls, reviews_of
from trimtab.store.trail import trail
from trimtab.task.load import load_task
from trimtab.task.reviewed import REVIEWED_FILE, read_reviewed, reviewed_lines

from .pages import ADDRESS, add_items, item


@pytest.fixture
def url(database_url) -> str:
    """Of each kind of database."""
    return database_url


@pytest.fixture
def database(url):
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def book(folder) -> Book:
    return Book(load_task(folder), folder)


def lines(folder) -> list[tuple[str, str | None]]:
    return [(line.action, line.output) for line, _ in reviewed_lines(folder)]


def test_an_approved_answer_is_a_row_with_who_and_when(book, folder, url, database) -> None:
    one = item("Quick Ltd", "company")
    add_items(url, one)
    assert book.take(database, "reviewer-1", one.id, "approve", comment=" sure ") == "done"
    ((line, _),) = read_reviewed(folder)
    assert (line.id, line.input, line.output) == (one.id, "Quick Ltd", "company")
    assert (line.approved_by, line.source, line.origin) == ("reviewer-1", "trace", one.origin)
    (review,) = reviews_of(database, one.id)
    assert (review.comment, review.time) == ("sure", line.reviewed)
    assert [call.score for call in reviewed_calls(database, "names")] == [1.0]
    assert trail(database, "names")[0].who == "reviewer-1"


def test_a_correction_to_the_same_is_an_approval(book, folder, url, database) -> None:
    one, other = item(), item()
    add_items(url, one, other)
    book.take(database, "reviewer-1", one.id, "correct", " person ")
    book.take(database, "reviewer-1", other.id, "correct", "company")
    assert lines(folder) == [("approve", "person"), ("correct", "company")]
    assert [call.score for call in reviewed_calls(database, "names")] == [1.0, 0.0]


def test_what_breaks_the_contract_is_refused_and_changes_nothing(
    book, folder, url, database
) -> None:
    broken = item(answer="robot", problem="no label")
    add_items(url, broken)
    for action, target in (
        ("approve", None),
        ("correct", "alien"),
        ("correct", ""),
        ("correct", None),
    ):
        with pytest.raises(InputError):
            book.take(database, "reviewer-1", broken.id, action, target)
    assert reviews_of(database, broken.id) == []
    assert book.take(database, "reviewer-1", broken.id, "reject") == "done"
    assert lines(folder) == [("reject", None)]
    assert [call.score for call in reviewed_calls(database, "names")] == [0.0]


def test_nobody_reviews_an_item_twice_and_a_settled_one_stays(book, url, database) -> None:
    one, two = item(), item(needed=2)
    add_items(url, one, two)
    book.take(database, "reviewer-1", one.id, "approve")
    with pytest.raises(InputError, match="someone else"):
        book.take(database, "reviewer-2", one.id, "reject")
    book.take(database, "reviewer-1", two.id, "skip")
    book.take(database, "reviewer-1", two.id, "approve")
    with pytest.raises(InputError, match="before"):
        book.take(database, "reviewer-1", two.id, "approve")
    with pytest.raises(InputError):
        book.take(database, "reviewer-1", "0" * 28, "approve")


def test_undo_takes_the_row_back_and_opens_the_item(book, folder, url, database) -> None:
    one = item()
    add_items(url, one)
    book.take(database, "reviewer-1", one.id, "approve")
    with pytest.raises(InputError, match="nothing to undo"):
        book.undo(database, "reviewer-2")
    assert book.undo(database, "reviewer-1") == one
    assert read_reviewed(folder) == []
    assert lines(folder) == [("approve", "person"), ("withdraw", None)]
    assert get_item(database, "names", one.id) == (one, "open")
    assert reviewed_calls(database, "names") == []
    book.take(database, "reviewer-1", one.id, "correct", "company")
    assert lines(folder)[-1] == ("correct", "company")


def test_two_reviewers_who_differ_need_a_third(book, folder, url, database) -> None:
    one = item(needed=2)
    add_items(url, one)
    assert book.take(database, "reviewer-1", one.id, "approve") == "open"
    assert book.take(database, "reviewer-2", one.id, "correct", "company") == "torn"
    assert lines(folder) == []
    with pytest.raises(InputError):
        book.take(database, "reviewer-1", one.id, "approve")
    assert book.take(database, "reviewer-3", one.id, "correct", "company") == "done"
    assert lines(folder) == [("correct", "company")]
    with pytest.raises(InputError, match="decided"):
        book.undo(database, "reviewer-2")
    book.undo(database, "reviewer-3")
    assert get_item(database, "names", one.id)[1] == "torn"
    assert book.take(database, "reviewer-1", one.id, "approve", is_admin=True) == "done"


def test_the_file_is_brought_up_to_date_after_a_kill(book, folder, url, database) -> None:
    one, two = item(), item()
    add_items(url, one, two)
    book.take(database, "reviewer-1", one.id, "approve", write=False)
    book.take(database, "reviewer-1", two.id, "approve")
    assert Book(load_task(folder), folder).write_missing(database) == 1
    assert {line.id for line, _ in read_reviewed(folder)} == {one.id, two.id}
    assert book.write_missing(database) == 0
    text = (folder / REVIEWED_FILE).read_text("utf-8")
    (folder / REVIEWED_FILE).write_text(text + text.replace(one.id, "elsewhere"), "utf-8")
    book.write_missing(database)
    assert "elsewhere" in {line.id for line, _ in read_reviewed(folder)}, "of another database"


def test_the_score_is_the_tasks_metric(tmp_path, url, database) -> None:
    folder = write_task(tmp_path / "json", output=ADDRESS, metric="field_f1")
    book = Book(load_task(folder), folder)
    one = item("a", '{"city":"Austin","zip":"1"}')
    add_items(url, one)
    book.take(database, "reviewer-1", one.id, "correct", '{"zip": "2", "city": "Austin"}')
    ((line, _),) = read_reviewed(folder)
    assert line.output == '{"city":"Austin","zip":"2"}', "as the contract writes it"
    assert [call.score for call in reviewed_calls(database, "names")] == [0.5]


def test_a_masked_call_counts_for_quality_and_is_no_row(book, folder, url, database) -> None:
    one = item("Mail [redacted]", "company", redacted=True)
    add_items(url, one)
    assert book.take(database, "reviewer-1", one.id, "approve") == "done"
    assert read_reviewed(folder) == []
    assert book.write_missing(database) == 0
    assert [call.score for call in reviewed_calls(database, "names")] == [1.0]
    wanted = Book(load_task(folder), folder, masked_rows=True)
    assert wanted.write_missing(database) == 1
    assert [line.input for line, _ in read_reviewed(folder)] == ["Mail [redacted]"]
    book.write_missing(database)
    assert read_reviewed(folder) == [], "no longer wanted"
