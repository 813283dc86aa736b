"""What an opened task says of its rows."""

from __future__ import annotations

import json

from decisions import write_task
from trimtab.task.open import open_task


def test_rows_that_the_split_keeps_together_share_a_cluster(tmp_path) -> None:
    """By any chain: b has the group of a, and nearly the text of c, which has no group."""
    folder = write_task(tmp_path / "task")
    path = folder / "rows.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    text = "the northern harbour company for ropes and sails of all kinds, founded long ago"
    chain = [
        {"input": "a row about something else", "group": "g"},
        {"input": text, "group": "g"},
        {"input": text + "!"},
        {"input": "a row that is alone"},
    ]
    lines += [{**each, "output": "company"} for each in chain]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), "utf-8")
    opened = open_task(folder)
    by_input = {row.input: opened.clusters[row.id] for row in opened.examples}
    a, b, c, alone = (by_input[each["input"]] for each in chain)
    assert a == b == c
    assert alone != a
    split = opened.split
    parts = [[row.id for row in split.train], [row.id for row in split.dev], split.test.ids]
    clusters = [{opened.clusters[identity] for identity in part} for part in parts]
    assert sum(map(len, clusters)) == len(set.union(*clusters)), "no cluster is on two sides"
