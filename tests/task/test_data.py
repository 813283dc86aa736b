import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DataError
from trimtab.task import rows
from trimtab.task.data import dataset_hash, read_examples, read_traffic, system_message
from trimtab.types import OutputContract, content_hash

TEXT = OutputContract(kind="text")
LABEL = OutputContract(kind="label", labels=("a", "b"))
JSON = OutputContract(
    kind="json",
    json_schema={"type": "object", "properties": {"x": {"type": "integer"}, "y": {}}},
)
GOOD = {"input": "one", "output": "a"}
OTHER = {"input": "two", "output": "b"}


@pytest.fixture
def write(tmp_path):
    def _write(*lines: object, name: str = "rows.jsonl") -> Path:
        file = tmp_path / name
        parts = [
            line if isinstance(line, bytes) else (json.dumps(line) + "\n").encode()
            for line in lines
        ]
        file.write_bytes(b"".join(parts))
        return file

    return _write


def chat(*turns: tuple[str, str], **extra: object) -> dict[str, object]:
    return {"messages": [{"role": role, "content": text} for role, text in turns], **extra}


def refusal(path: Path, contract: OutputContract = TEXT) -> str:
    with pytest.raises(DataError) as caught:
        read_examples(path, contract)
    return str(caught.value)


def test_a_row_becomes_an_example(write):
    row = {"input": "one", "output": " a ", "group": 7, "time": "2026-01-31", "id": "r1"}
    example, other = read_examples(write(row, OTHER), LABEL, approved_by="team")
    assert example.id == content_hash("one", "a")
    assert (example.input, example.target, example.group) == ("one", "a", "7")
    assert example.time == datetime(2026, 1, 31, tzinfo=UTC)
    assert (example.approved_by, example.source) == ("team", "rows.jsonl:1")
    assert (other.time, other.group, other.source) == (None, None, "rows.jsonl:2")


def test_a_row_may_name_its_own_approver(write):
    file = write({**GOOD, "approved_by": "expert"}, {**OTHER, "approved_by": ""})
    assert [e.approved_by for e in read_examples(file, TEXT, "team")] == ["expert", "team"]


def test_json_targets_are_the_same_row_however_they_are_written(write):
    file = write(
        {"input": "q", "output": {"y": 1, "x": 2}},
        {"input": "q", "output": '{ "x": 2, "y": 1 }'},
        {"input": "q", "output": {}},
    )
    first, second, third = read_examples(file, JSON)
    assert first.target == '{"x":2,"y":1}'
    assert first.id == second.id != third.id


def test_messages_give_the_same_example_as_input_and_output(write):
    plain = read_examples(write(GOOD), TEXT)[0]
    messages = chat(("system", "Do."), ("user", "one"), ("assistant", "a"))
    file = write(messages, name="chat.jsonl")
    assert read_examples(file, TEXT)[0].id == plain.id
    assert system_message(file) == "Do."
    assert system_message(write(GOOD)) is None


def test_all_formats_give_the_same_examples(write, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    data = [{"input": 'a "quoted",\nline', "output": "a"}, OTHER]
    table = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(data), table)
    sheet = tmp_path / "rows.csv"
    with sheet.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["input", "output"])
        writer.writeheader()
        writer.writerows(data)
    expected = [e.id for e in read_examples(write(*data), TEXT)]
    assert [e.id for e in read_examples(table, TEXT)] == expected
    assert [e.id for e in read_examples(sheet, TEXT)] == expected
    assert [e.source for e in read_examples(sheet, TEXT)] == ["rows.csv:2", "rows.csv:4"]


def test_parquet_structs_and_times(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "rows.parquet"
    time = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    pq.write_table(
        pa.Table.from_pylist(
            [
                {"input": "q", "output": {"x": 1, "y": "v"}, "time": time},
                {"input": "r", "output": {"x": 2, "y": None}, "time": None},
            ]
        ),
        file,
    )
    first, second = read_examples(file, JSON)
    assert (first.target, first.time) == ('{"x":1,"y":"v"}', time)
    assert (second.target, second.time) == ('{"x":2}', None)


def test_a_file_that_is_no_parquet_is_refused(write):
    assert "not a Parquet file" in refusal(write(GOOD, name="rows.parquet"))


def test_exact_copies_stay(write):
    assert len(read_examples(write(GOOD, GOOD), TEXT)) == 2


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"input": "x"}, "has no `output`"),
        ({"input": "x", "output": None}, "has no `output`"),
        ({"input": "x", "output": "  "}, "has no `output`"),
        ({"output": "x"}, "has no `input`"),
        ({"input": " ", "output": "x"}, "it is empty"),
        ({"input": {"a": 1}, "output": "x"}, "must be text"),
        ({"prompt": "x", "completion": "y"}, "`completion`, `prompt`"),
        ({**GOOD, "time": "31.1.2026"}, "`time`"),
        ({**GOOD, "group": ["a"]}, "`group`"),
        ({**GOOD, "messages": []}, "keep one form"),
        (["x", "y"], "one JSON object a line"),
        (b"{not json}\n", "character 2"),
        (b'{"input": "\\ud800", "output": "x"}\n', "surrogate"),
        (b"[" * 50_000 + b"\n", "nested"),
        (chat(("user", "a"), ("assistant", "b")), "same form"),
    ],
)
def test_a_bad_row_is_named_with_its_line(write, row, words):
    found = refusal(write(GOOD, row, OTHER))
    assert words in found
    assert "rows.jsonl:2:" in found
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")], "2 user turns"),
        ([("assistant", "b")], "found: assistant"),
        ([("user", "a"), ("assistant", " ")], "no text `content`"),
        ([("user", "a"), ("tool", "t"), ("assistant", "b")], "found: user, tool, assistant"),
    ],
)
def test_conversations_that_are_not_single_turns_are_refused(write, turns, words):
    assert words in refusal(write(chat(*turns)))


def test_a_system_message_must_be_the_same_on_all_rows(write):
    turns = (("user", "a"), ("assistant", "b"))
    first = chat(("system", "Do."), *turns)
    for second in (chat(("system", "Do!"), *turns), chat(*turns)):
        assert "differs from that of line 1" in refusal(write(first, second))


def test_an_id_must_not_name_two_rows(write):
    same = {**GOOD, "id": 1}
    assert len(read_examples(write(same, same), TEXT)) == 2
    assert "another row on line 1" in refusal(write(same, {**OTHER, "id": 1}))


def test_a_single_label_is_refused(write):
    assert "the same label, 'a'" in refusal(write(GOOD, {"input": "z", "output": "a"}), LABEL)


def test_five_problems_are_listed_and_then_reading_stops(write):
    found = refusal(write(*[{"input": "x"}] * 9)).splitlines()
    assert len(found) == 6
    assert "stopped after 5" in found[-1]


def test_missing_empty_and_unknown_files(write, tmp_path):
    assert "no such file" in refusal(tmp_path / "none.jsonl")
    assert "is empty" in refusal(write())
    assert "holds no rows" in refusal(write(b"\n \n"))
    assert "unknown kind" in refusal(write(GOOD, name="rows.xlsx"))
    (tmp_path / "folder.jsonl").mkdir()
    assert "not a file" in refusal(tmp_path / "folder.jsonl")


def test_bad_utf8_is_named_by_its_byte(write):
    start = len(json.dumps(GOOD)) + 1
    file = write(GOOD, b'{"input": "caf\xe9", "output": "x"}\n')
    assert f"rows.jsonl:2: not UTF-8 at byte {start + 14}" in refusal(file)


def test_a_huge_line_is_refused_and_the_next_line_still_read(write, monkeypatch):
    monkeypatch.setattr(rows, "MAX_LINE_BYTES", 200)
    file = write(GOOD, {"input": "x" * 1000, "output": "a"}, {"input": "y"})
    found = refusal(file).splitlines()
    assert "rows.jsonl:2: longer than" in found[0]
    assert "rows.jsonl:3: has no `output`" in found[1]
    exact = json.dumps(GOOD).encode()
    assert read_examples(write(exact.ljust(199) + b"\n"), TEXT)


def test_csv_problems(write):
    head = b"input,output\n"
    assert "3 cells" in refusal(write(head, b"a,b,c\n", name="r.csv"))
    assert "r.csv:2: not CSV" in refusal(write(head, b'"a,b\n' * 3, name="r.csv"))
    assert "r.csv:3: not UTF-8" in refusal(write(head, b"a,b\n", b"\xff,b\n", name="r.csv"))
    assert "same name" in refusal(write(b"input,input\n", b"a,b\n", name="r.csv"))
    assert "`output`: it is empty" in refusal(write(head, b"a,\n", name="r.csv"))
    assert "holds no rows" in refusal(write(head, name="r.csv"))


def test_traffic(write):
    assert read_traffic(write(b"one\n\n two \n", name="t.txt")) == ["one", "two"]
    assert read_traffic(write(GOOD, {"input": "two"})) == ["one", "two"]
    with pytest.raises(DataError, match=r"t\.jsonl:1: has no `input`"):
        read_traffic(write({"text": "x"}, name="t.jsonl"))
    with pytest.raises(DataError, match="no inputs"):
        read_traffic(write(b"\n", name="t.txt"))


def test_the_dataset_hash_sees_content_but_not_order(write):
    one, two = read_examples(write(GOOD, OTHER), TEXT)
    assert dataset_hash([one, two]) == dataset_hash([two, one])
    assert dataset_hash([one, two]) != dataset_hash([one, one])
    changed = one.model_copy(update={"group": "g"})
    assert dataset_hash([changed, two]) != dataset_hash([one, two])


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_any_text_survives_jsonl(tmp_path_factory, pairs):
    file = tmp_path_factory.mktemp("data") / "rows.jsonl"
    lines = [json.dumps({"input": i, "output": o}, ensure_ascii=False) for i, o in pairs]
    file.write_bytes("\n".join(lines).encode())
    assert [(e.input, e.target) for e in read_examples(file, TEXT)] == pairs


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    for suffix in ("jsonl", "csv"):
        file = tmp_path_factory.mktemp("data") / f"rows.{suffix}"
        file.write_bytes(content)
        with pytest.raises(DataError):
            read_examples(file, LABEL)
