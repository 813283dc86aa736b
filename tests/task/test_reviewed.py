"""What experts said becomes data, and the user's own file stays as it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from decisions import write_task
from trimtab.audit.open import open_subject
from trimtab.audit.review import Approved
from trimtab.audit.subject import walk
from trimtab.errors import DataError
from trimtab.task.open import open_task
from trimtab.task.reviewed import REVIEWED_FILE, Reviewed, read_reviewed
from trimtab.types import content_hash

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def line(identity: str, action: str, output: str | None = None, **more) -> Reviewed:
    fields = {
        "id": identity,
        "action": action,
        "input": "Quick Ltd",
        "output": output,
        "approved_by": "reviewer-1" if output else None,
        "reviewed": NOW,
        "source": "trace",
        "origin": f"call {identity}",
    } | more
    return Reviewed(**fields)


def write(folder, *lines: Reviewed) -> None:
    text = "".join(each.model_dump_json() + "\n" for each in lines)
    (folder / REVIEWED_FILE).write_text(text, "utf-8")


@pytest.fixture
def folder(tmp_path):
    return write_task(tmp_path / "task", data={"path": "rows.jsonl"})


def of_row(row, identity: str, action: str, output: str | None = None) -> Reviewed:
    return line(identity, action, output, input=row.input, source="row", origin=row.id)


def test_rows_are_approved_corrected_and_left_out_in_their_places(folder) -> None:
    before = open_task(folder)
    one, two, three, *rest = before.examples
    write(
        folder,
        of_row(one, "a", "approve", one.target),
        of_row(two, "b", "correct", "person"),
        of_row(three, "c", "reject"),
    )
    after = open_task(folder)
    assert (folder / "rows.jsonl").read_text("utf-8").count("\n") == len(before.examples)
    assert after.examples[0] == one.model_copy(update={"approved_by": "reviewer-1"})
    assert after.examples[1].target == "person"
    assert after.examples[1].id == content_hash(two.input, "person")
    assert after.examples[2:] == tuple(rest)
    assert after.data_hash != before.data_hash


def test_reviewed_calls_become_rows_with_who_and_when(folder) -> None:
    asked = datetime(2026, 1, 5, tzinfo=UTC)
    write(folder, line("a", "correct", "company", time=asked), line("b", "reject"))
    *_, added = open_task(folder).examples
    assert (added.input, added.target, added.approved_by) == ("Quick Ltd", "company", "reviewer-1")
    assert (added.time, added.source) == (asked, f"{REVIEWED_FILE}:1")


def test_the_newest_line_of_an_item_counts(folder) -> None:
    write(
        folder,
        line("a", "approve", "person"),
        line("b", "approve", "person"),
        line("a", "withdraw"),
        line("b", "correct", "company"),
    )
    assert [(found.id, found.output) for found, _ in read_reviewed(folder)] == [("b", "company")]


def test_the_approval_gate_reads_them(folder) -> None:
    rows = open_task(folder).examples
    write(folder, *(of_row(row, str(i), "approve", row.target) for i, row in enumerate(rows)))
    with open_subject(folder) as (_, subject):
        check = Approved(subject)
        walk(subject, [check])
        (found,) = check.findings()
    assert found.figures["share"] == 1.0
    assert "reviewer-1 90" in found.message


def test_slices_stay_with_their_rows(tmp_path) -> None:
    folder = write_task(tmp_path / "t")
    text = (folder / "rows.jsonl").read_text("utf-8")
    lines = [
        part.replace("{", f'{{"region": "r{i}", ', 1) for i, part in enumerate(text.splitlines())
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    settings = (folder / "task.yaml").read_text("utf-8")
    (folder / "task.yaml").write_text(
        settings.replace("path: rows.jsonl", "path: rows.jsonl\n  slices: [region]"), "utf-8"
    )
    rows = open_task(folder).examples
    write(folder, of_row(rows[0], "a", "reject"), line("b", "approve", "company"))
    with open_subject(folder) as (_, subject):
        assert list(subject.slices["region"][:2]) == ["r1", "r2"]
        assert subject.slices["region"][-1] is None


def test_a_cut_off_line_is_passed_over_and_a_damaged_one_refused(folder) -> None:
    write(folder, line("a", "approve", "person"))
    with (folder / REVIEWED_FILE).open("a") as file:
        file.write('{"id": "b", "acti')
    assert len(read_reviewed(folder)) == 1
    with (folder / REVIEWED_FILE).open("a") as file:
        file.write("\n")
    with pytest.raises(DataError, match=rf"{REVIEWED_FILE}:2"):
        open_task(folder)
