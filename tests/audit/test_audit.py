import pytest

from trimtab.audit.audit import refuse_leaks
from trimtab.audit.subject import MAX_LISTED
from trimtab.errors import DataError
from trimtab.task.split import SealedTest, Split
from trimtab.types import OutputContract

from .subjects import JSON, LONG, TEXT, balanced, example, run


def test_good_data_gives_only_information():
    found = run(balanced(120))
    assert {f.severity for f in found.values()} == {"info"}
    unknown = {check for check, each in found.items() if not each.measured}
    assert unknown == {
        "coverage",
        "difficulty",
        "language",
        "noise-ceiling",
        "reviewer-agreement",
        "truncation",
    }
    assert {"size", "leakage", "suspected-targets", "personal-data", "slices"} <= set(found)


@pytest.mark.parametrize(
    ("n", "severity", "words"),
    [
        (99, "warn", "too few for any"),
        (100, "info", "enough for telling 2 labels apart"),
        (4_999, "info", "enough for telling 2 labels apart"),
        (5_000, "info", "more than"),
    ],
)
def test_size_against_the_thresholds_of_the_guide(n, severity, words):
    found = run(balanced(n))["size"]
    assert (found.count, found.severity) == (n, severity)
    assert words in found.message


@pytest.mark.parametrize(
    ("contract", "words", "missing"),
    [
        (TEXT, "not for free text", 350),
        (JSON, "enough for adapting a format", None),
        (OutputContract(kind="label", labels=tuple("abcdefghijk")), "not for telling 11", 350),
    ],
    ids=["text", "json", "many labels"],
)
def test_size_depends_on_the_kind_of_output(contract, words, missing):
    target = '{"x":1}' if contract.kind == "json" else "a"
    found = run([example(f"input number {i}", target) for i in range(150)], contract)["size"]
    assert words in found.message
    assert found.collect.get("any input") == missing


def test_size_counts_distinct_valid_rows_only():
    rows = balanced(100)
    assert run([*rows[:99], rows[0], example("other", "c")])["size"].count == 99


def test_copies_are_counted_once_each_and_listed():
    rows = balanced(40)
    found = run([*rows, rows[3], rows[3], rows[5]])
    assert found["exact-duplicates"].count == 3
    assert found["exact-duplicates"].rows == (rows[3].id, rows[5].id)
    assert "of 40 rows" in found["approved"].message


def test_near_duplicates_are_listed():
    rows = [*balanced(40), example(LONG), example(LONG.replace("monday", "tuesday"))]
    found = run(rows)["near-duplicates"]
    assert (found.count, found.rows) == (2, (rows[40].id, rows[41].id))


def test_conflicting_targets():
    rows = [*balanced(40), example("Same Input", "a"), example("same  input", "b")]
    found = run(rows)["conflicting-targets"]
    assert (found.severity, found.count) == ("warn", 2)
    assert set(found.rows) == {rows[40].id, rows[41].id}


@pytest.mark.parametrize("where", ["dev", "test"])
@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        (example("one"), example("one")),
        (example("one", "a"), example("ONE ", "b")),
        (example("one", group="g"), example("two", group="g")),
        (example(LONG), example(LONG.replace("monday", "tuesday"))),
    ],
    ids=["row", "input", "group", "near"],
)
def test_leakage_is_found_however_it_came(train, held_out, where):
    rows = balanced(40)
    other = (held_out,)
    split = Split(
        (*rows, train),
        other if where == "dev" else (),
        SealedTest(other if where == "test" else ()),
    )
    found = run([*rows, train, held_out], split=split)["leakage"]
    assert found.severity == "stop"
    assert set(found.rows) == {train.id, held_out.id}


def test_a_leak_stops_the_run():
    rows = balanced(40)
    split = Split(tuple(rows), (rows[0],), SealedTest(()))
    found = run(rows, split=split)
    with pytest.raises(DataError, match="split again"):
        refuse_leaks(found.values())
    refuse_leaks(run(rows).values())


def test_rows_without_a_group_do_not_leak_into_each_other():
    rows = balanced(40)
    split = Split(tuple(rows[:20]), tuple(rows[20:30]), SealedTest(rows[30:]))
    assert run(rows, split=split)["leakage"].count == 0


def test_contract_violations_give_the_reason_of_each_row():
    rows = [*balanced(40), example("p", "c", source="r.jsonl:7"), example("q", "")]
    found = run(rows)["contract-violations"]
    assert (found.severity, found.count) == ("warn", 2)
    assert "r.jsonl:7: 'c' is not one of: a, b" in found.message
    assert "the answer is empty" in found.message


def test_label_balance_names_rare_and_unused_labels():
    contract = OutputContract(kind="label", labels=("a", "b", "never"))
    found = run([*balanced(40), *(example(f"r{i}", "b") for i in range(20))], contract)
    assert found["label-balance"].severity == "warn"
    assert "b 40" in found["label-balance"].message
    assert "never 0" in found["label-balance"].message
    assert "right for 67%" in found["label-balance"].message


def test_a_dominant_label_is_a_warning():
    rows = [example(f"r{i}", "a" if i < 180 else "b") for i in range(200)]
    assert run(rows)["label-balance"].severity == "warn"
    rows = [example(f"r{i}", "a" if i < 179 else "b") for i in range(200)]
    assert run(rows)["label-balance"].severity == "info"


def test_field_frequency_counts_valid_targets():
    rows = [example(f"r{i}", '{"x":1}') for i in range(30)]
    rows += [example("s", '{"x":1,"y":"v"}'), example("t", "broken")]
    found = run(rows, JSON)
    assert "label-balance" not in found
    assert "x 31, y 1" in found["field-frequency"].message
    assert found["field-frequency"].rows == (rows[30].id,)


def test_length_outliers():
    rows = [example("x" * (40 + i % 9), "y" * (20 + i % 5)) for i in range(60)]
    rows += [example("x" * 4000, "y" * 20), example("x" * 44, "y")]
    found = run(rows, TEXT)
    assert found["input-length"].rows == (rows[60].id,)
    assert found["target-length"].rows == (rows[61].id,)


def test_lengths_are_not_judged_where_that_is_undefined():
    few = run([example(f"r{i}" * (i + 1), "t") for i in range(29)], TEXT)["input-length"]
    assert "needs 30 rows" in few.message
    same = run([example(f"{i:05d}", "t") for i in range(50)], TEXT)["input-length"]
    assert "the same" in same.message
    assert (few.severity, same.severity, same.count) == ("info", "info", 0)


def test_approved_share():
    rows = balanced(90) + [example(f"r{i}") for i in range(10)]
    assert run(rows)["approved"].severity == "info"
    found = run([*rows, example("one more")])["approved"]
    assert (found.severity, found.count) == ("warn", 11)
    assert "89%" in found.message


def test_at_most_200_rows_are_listed_and_all_counted():
    found = run([example(f"row {i}", "c") for i in range(300)])["contract-violations"]
    assert found.count == 300
    assert len(found.rows) == MAX_LISTED
