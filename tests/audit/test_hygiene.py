import csv
import io

import pytest

from trimtab.audit.fixlist import HEADER, fix_list
from trimtab.audit.subject import Limit
from trimtab.task.split import SealedTest, Split

from .subjects import LONG, TEXT, balanced, example, run


def test_personal_data_is_listed_by_row_and_masked():
    rows = [*balanced(40), example("mail jane@example.com", source="r.jsonl:41")]
    found = run(rows)["personal-data"]
    assert (found.severity, found.rows) == ("warn", (rows[40].id,))
    assert found.flags[0].why == "e-mail in the input: ****@*******.*om"
    assert "jane" not in found.model_dump_json()


def test_damaged_characters_come_with_a_repair():
    rows = [*balanced(40), example("MÃ¼ller GmbH"), example("fine", "Ã¼")]
    found = run(rows)["encoding"]
    assert found.count == 2
    assert found.flags[0].suggestion == "Müller GmbH"
    assert found.flags[1].why.startswith("target")


def test_rows_that_do_not_fit_into_the_context():
    rows = [*balanced(40), example("word " * 40), example("x" * 150)]
    limit = Limit(tokens=60, reserved=20, count=lambda text: len(text.split()))
    found = run(rows, limit=limit)["truncation"]
    assert found.rows == (rows[40].id,)  # the other has many bytes, but one token
    assert "41 tokens, and there is room for 40" in found.flags[0].why


def test_languages():
    english = [example(f"the box is in the house {i}") for i in range(80)]
    german = [example(f"das Paket ist nicht für mich {i}") for i in range(5)]
    found = run([*english, *german], TEXT)["language"]
    assert set(found.rows) == {row.id for row in german}
    assert found.collect == {"inputs in German": 5}
    assert not run(balanced(80))["language"].measured


def test_slices_with_few_rows_and_none_in_the_test():
    rows = balanced(60)
    region = ["north"] * 30 + ["south"] * 24 + ["west"] * 6
    split = Split(tuple(rows[:40]), (), SealedTest(rows[40:]))
    found = run(rows, split=split, slices={"region": region})
    slices = found["slices"]
    assert slices.severity == "warn"
    assert set(slices.rows) == {row.id for row in rows[54:]}
    assert "no test row of: region 'north'" in slices.message
    assert slices.collect == {"region west": 4}
    assert found["collect-next"].collect["region west"] == 4


def test_rows_that_say_the_same_in_another_order():
    rows = [*balanced(40), example(LONG), example(" ".join(LONG.split()[::-1]))]
    found = run(rows)["semantic-duplicates"]
    assert set(found.rows) == {rows[40].id, rows[41].id}


@pytest.mark.parametrize("evil", ["=cmd()", "+1", "-1", "@x", "\tq", " =x", "\n=x"])
def test_no_cell_of_the_fix_list_is_a_formula(evil):
    rows = [*balanced(40), example(f"{evil} jane@example.com", "c", source="=r.jsonl:1")]
    found = run(rows)
    lines = list(csv.reader(io.StringIO(fix_list(list(found.values()), rows))))
    assert tuple(lines[0]) == HEADER
    mine = [line for line in lines if line[1] == rows[40].id]
    assert {line[2] for line in mine} >= {"personal-data", "contract-violations"}
    for cell in (cell for line in mine for cell in line):
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\n", "\r"))
        assert "jane" not in cell


def test_the_fix_list_follows_the_file_and_leaves_notes_out():
    rows = [example("mail jo@ex.com"), *balanced(40), example("odd", "c")]
    text = fix_list(list(run(rows).values()), rows)
    checks = [line[2] for line in csv.reader(io.StringIO(text))][1:]
    assert checks.index("personal-data") < checks.index("contract-violations")
    assert "near-duplicates" not in checks
