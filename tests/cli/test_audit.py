"""`trimtab audit`: what it prints, writes and returns."""

from __future__ import annotations

import csv
import json

from decisions import rows, write_rows, write_task


def test_the_table_says_what_is_well_what_is_not_and_what_is_unknown(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    write_rows(folder / "rows.jsonl", [*rows(), rows()[0], {"input": "x y", "output": "firm"}])
    ended = trimtab("audit", folder)
    assert ended.code == 0
    shown = " ".join(ended.out.split())
    for words in ("! warning exact-duplicates", "? unknown coverage", "✓ leakage"):
        assert words in shown


def test_json_and_the_fix_list(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    write_rows(folder / "rows.jsonl", [*rows(), {"input": "=1+1 jo@ex.com", "output": "firm"}])
    ended = trimtab("audit", folder, "--json", "--fix-list", tmp_path / "fix.csv")
    assert ended.code == 0
    printed = json.loads(ended.out)
    assert (printed["task"], printed["rows"]) == ("names", 91)
    found = {finding["check"]: finding for finding in printed["findings"]}
    assert found["personal-data"]["count"] == 1
    assert "jo@ex.com" not in ended.out
    with (tmp_path / "fix.csv").open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line["source"] == "rows.jsonl:91"]
    assert {line["check"] for line in lines} >= {"personal-data", "contract-violations"}
    assert {line["input"] for line in lines} == {"'=1+1 **@**.*om"}


def test_a_stop_is_exit_code_1(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task", data={"path": "rows.jsonl", "traffic_sample": "t.txt"})
    traffic = [f"kann ich das Paket {i} bitte morgen abholen, nicht heute?" for i in range(80)]
    (folder / "t.txt").write_text("\n".join(traffic), "utf-8")
    ended = trimtab("audit", folder)
    assert ended.code == 1
    assert "✗ stop" in ended.out


def test_data_too_small_to_split_is_audited(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    write_rows(folder / "rows.jsonl", rows(12))
    ended = trimtab("audit", folder, "--json")
    assert ended.code == 0
    found = {finding["check"]: finding for finding in json.loads(ended.out)["findings"]}
    assert not found["leakage"]["measured"]
    assert found["size"]["collect"] == {"any input": 88}


def test_slices_come_from_columns_of_the_data(trimtab, tmp_path) -> None:
    data = {"path": "rows.jsonl", "slices": ["region"]}
    folder = write_task(tmp_path / "task", data=data)
    regions = [{**row, "region": "west" if i < 4 else "east"} for i, row in enumerate(rows())]
    write_rows(folder / "rows.jsonl", regions)
    found = json.loads(trimtab("audit", folder, "--json").out)["findings"]
    collect = {finding["check"]: finding for finding in found}["collect-next"]["collect"]
    assert collect["region west"] == 6
    write_rows(folder / "rows.jsonl", rows())
    ended = trimtab("audit", folder)
    assert ended.code == 2
    assert "no row has a column 'region'" in ended.err


def test_what_cannot_be_read_is_refused_with_its_line(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    (folder / "rows.jsonl").write_text('{"input": "a", "output": "person"}\nnot json\n')
    ended = trimtab("audit", folder)
    assert ended.code == 2
    assert "rows.jsonl:2" in ended.err
