"""Reviews to files and back, in every format; what comes from a file is checked first."""

from __future__ import annotations

import csv
import io
import json

import pytest

from decisions import write_task
from trimtab.errors import DataError
from trimtab.review.book import Book
from trimtab.review.exchange.files import export_reviews, import_reviews
from trimtab.review.exchange.label_studio import labelling_config
from trimtab.store.database import Database
from trimtab.store.reviews import all_reviews, count_states, outcomes
from trimtab.task.data import read_examples
from trimtab.task.load import load_task
from trimtab.task.reviewed import read_reviewed

from .pages import add_items, item

FORMATS = ("jsonl", "csv", "argilla", "label-studio")


@pytest.fixture
def database(url):
    opened = Database(url)
    yield opened
    opened.close()


def taken(folder, database, file, kind, by=None):
    return import_reviews(database, load_task(folder), folder, file, kind, "a test", by)


def reviewed(folder, url, database):
    """Two settled items, one torn, one open."""
    items = [
        item("=SUM(A1) Ltd", "company", reason="invalid", variant="v1"),
        item("'Anna' Brown\nSmith", "company"),
        item("Ruth Quick", "person", needed=2),
        item("Vera Ott", "person"),
    ]
    add_items(url, *items)
    book = Book(load_task(folder), folder)
    book.take(database, "reviewer-1", items[0].id, "approve", comment="a firm")
    book.take(database, "reviewer-2", items[1].id, "correct", "person")
    book.take(database, "reviewer-1", items[2].id, "approve")
    book.take(database, "reviewer-2", items[2].id, "correct", "company")
    return items


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_exported_can_be_imported_elsewhere(folder, url, database, tmp_path, kind) -> None:
    items = reviewed(folder, url, database)
    file = tmp_path / f"reviews.{kind if kind in ('jsonl', 'csv') else 'json'}"
    export_reviews(database, load_task(folder), folder, file, kind, "a test")
    other = write_task(tmp_path / "other")
    second = Database(str(tmp_path / "other.sqlite"))
    found = taken(other, second, file, kind)
    by_input = {i.input: (o.target, o.by) for i, o in outcomes(second, "names")}
    assert by_input[items[0].input] == ("company", ("reviewer-1",))
    assert by_input[items[1].input] == ("person", ("reviewer-2",))
    assert {line.output for line, _ in read_reviewed(other)} >= {"company", "person"}
    if kind in ("argilla", "label-studio"):
        assert found.items == 4
        assert count_states(second, "names")[("import", "open")] == 1
    again = taken(other, second, file, kind)
    assert (again.items, again.reviews) == (0, 0), "nothing twice"
    second.close()


@pytest.mark.parametrize("kind", ["argilla", "label-studio"])
def test_items_labelled_elsewhere_come_back_to_their_place(
    folder, url, database, tmp_path, kind
) -> None:
    one = item("Vera Ott", "person")
    add_items(url, one)
    file = tmp_path / "items.json"
    export_reviews(database, load_task(folder), folder, file, kind, "a test")
    (entry,) = json.loads(file.read_text("utf-8"))
    if kind == "argilla":
        assert entry["suggestions"]["answer"]["value"] == "person"
        entry["responses"]["answer"] = [
            {"value": "company", "user_id": "reviewer-9"},
            {"value": "person", "user_id": "reviewer-8", "status": "draft"},
        ]
    else:
        assert entry["predictions"][0]["result"][0]["value"] == {"choices": ["person"]}
        result = {"from_name": "answer", "to_name": "input", "type": "choices"}
        entry["annotations"] = [
            {"completed_by": 3, "was_cancelled": True, "result": []},
            {
                "completed_by": {"id": 9, "email": "reviewer-9"},
                "created_at": "2026-03-09T22:16:08.728353Z",
                "result": [result | {"value": {"choices": ["company"]}}],
            },
        ]
    file.write_text(json.dumps([entry]), "utf-8")
    found = taken(folder, database, file, kind)
    assert (found.items, found.reviews) == (0, 1)
    ((settled, outcome),) = outcomes(database, "names")
    assert (settled.id, outcome.target, outcome.by) == (one.id, "company", ("reviewer-9",))


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_exported_rows_are_labelled_data(folder, url, database, tmp_path, kind) -> None:
    reviewed(folder, url, database)
    file = tmp_path / f"rows.{kind}"
    assert export_reviews(database, load_task(folder), folder, file, kind, "a test") == 2
    rows = read_examples(file, load_task(folder).output)
    assert {(row.target, row.approved_by) for row in rows} == {
        ("company", "reviewer-1"),
        ("person", "reviewer-2"),
    }


def test_masked_calls_are_exported_as_rows_where_a_team_wants_them(
    folder, url, database, tmp_path
) -> None:
    one = item("[redacted] Brown", "person", redacted=True)
    add_items(url, one)
    Book(load_task(folder), folder).take(database, "reviewer-1", one.id, "approve")
    file = tmp_path / "rows.jsonl"
    assert export_reviews(database, load_task(folder), folder, file, "jsonl", "a test") == 0
    (folder / "review.yaml").write_text("masked_rows: true\n", "utf-8")
    assert export_reviews(database, load_task(folder), folder, file, "jsonl", "a test") == 1


def test_no_cell_of_the_csv_can_act_as_a_formula(folder, url, database, tmp_path) -> None:
    reviewed(folder, url, database)
    file = tmp_path / "rows.csv"
    export_reviews(database, load_task(folder), folder, file, "csv", "a test")
    cells = [cell for row in csv.reader(io.StringIO(file.read_text("utf-8"))) for cell in row]
    assert "'=SUM(A1) Ltd" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_unlabelled_inputs_become_items_to_label(folder, database, tmp_path) -> None:
    file = tmp_path / "new.jsonl"
    file.write_text('{"input": "Hugo Dale"}\n{"input": "Dale Ltd", "answer": "company"}\n')
    assert taken(folder, database, file, "jsonl").items == 2
    assert count_states(database, "names") == {("import", "open"): 2}


@pytest.mark.parametrize(
    ("name", "kind", "text", "problem"),
    [
        ("a.jsonl", "jsonl", '{"input": "x", "output": "robot"}', "contract"),
        ("a.jsonl", "jsonl", '{"output": "person"}', "no `input`"),
        ("a.jsonl", "jsonl", '{"input": "x", "output": "person", "action": "eat"}', "action"),
        ("a.jsonl", "jsonl", "{", "a.jsonl:1"),
        ("a.json", "argilla", "{}", "one JSON list"),
        ("a.json", "argilla", "[1]", "entry 1"),
        ("a.json", "argilla", '[{"fields": {}}]', "`input`"),
        ("a.json", "label-studio", '[{"data": 3}]', "`input`"),
        ("a.json", "label-studio", "\x00", "a.json"),
    ],
)
def test_a_file_with_a_problem_changes_nothing(
    folder, database, tmp_path, name, kind, text, problem
) -> None:
    file = tmp_path / name
    good = '{"input": "y", "output": "person"}\n' if kind == "jsonl" else ""
    file.write_text(good + text if problem != "a.jsonl:1" else text, "utf-8")
    with pytest.raises(DataError, match=problem):
        taken(folder, database, file, kind, by="reviewer-1")
    assert count_states(database, "names") == {}
    assert all_reviews(database, "names") == []


def test_a_review_without_a_name_asks_for_one(folder, database, tmp_path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"input": "Hugo Dale", "output": "person"}\n')
    with pytest.raises(DataError, match="--by"):
        taken(folder, database, file, "jsonl")
    assert taken(folder, database, file, "jsonl", by="reviewer-1").reviews == 1


def test_the_labelling_configuration_names_the_labels(folder) -> None:
    text = labelling_config(load_task(folder).output)
    assert '<Choice value="person"/>' in text
    assert 'toName="input"' in text
