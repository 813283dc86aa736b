"""What each verb does when all is well."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from decisions import both_arms, rows, write_rows, write_task
from trimtab.task.load import load_task
from trimtab.task.open import open_task

HEAVY = ("torch", "transformers", "pydantic", "scipy", "numpy", "httpx", "yaml", "jinja2")


def as_messages(path) -> None:
    write_rows(
        path,
        [
            {
                "messages": [
                    {"role": "system", "content": "Is this a person or a company? Say which."},
                    {"role": "user", "content": row["input"]},
                    {"role": "assistant", "content": row["output"]},
                ]
            }
            for row in rows()
        ],
    )


def as_csv(path) -> None:
    body = "".join(f'"{row["input"]}",{row["output"]}\n' for row in rows())
    path.write_text(f"input,output\n{body}")


def as_parquet(path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows()), path)


FORMATS = {
    "rows.jsonl": lambda path: write_rows(path, rows()),
    "chat.jsonl": as_messages,
    "rows.csv": as_csv,
    "rows.parquet": as_parquet,
}


@pytest.mark.parametrize("name", FORMATS)
def test_init_writes_a_task_that_can_be_opened(trimtab, tmp_path, name) -> None:
    data = tmp_path / "data" / name
    data.parent.mkdir()
    FORMATS[name](data)
    ended = trimtab("init", tmp_path / "my task!", "--data", data)
    assert ended.code == 0
    assert "task.yaml" in ended.out
    task = load_task(tmp_path / "my task!")
    assert task.name == "my-task"
    assert task.output.labels == ("company", "person")
    assert task.metric == "accuracy"
    if name == "chat.jsonl":
        assert task.instructions.strip() == "Is this a person or a company? Say which."
    assert len(open_task(tmp_path / "my task!").examples) == 90


def test_init_of_json_targets_finds_their_schema(trimtab, tmp_path) -> None:
    found = [{"input": f"{i} Main St", "output": {"number": i, "street": "Main"}} for i in range(9)]
    write_rows(tmp_path / "rows.jsonl", found)
    assert trimtab("init", tmp_path / "task", "--data", tmp_path / "rows.jsonl").code == 0
    task = load_task(tmp_path / "task")
    assert task.output.kind == "json"
    assert list(task.output.json_schema["properties"]) == ["number", "street"]


def test_init_never_writes_over_a_task(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    before = (folder / "task.yaml").read_bytes()
    ended = trimtab("init", folder, "--data", folder / "rows.jsonl")
    assert ended.code == 2
    assert "is there already" in ended.err
    assert (folder / "task.yaml").read_bytes() == before


def test_plan_shows_each_stage_and_the_budget(trimtab, tmp_path) -> None:
    ended = trimtab("plan", write_task(tmp_path / "task"))
    assert ended.code == 0
    assert "prompt search" in ended.out
    assert re.search(r"Hard limit\s+50,000\s+30\smin", ended.out)
    assert "No fine-tune: the task names no model that can be tuned here" in ended.out


def test_plan_tells_the_sizes_and_what_a_further_one_costs(trimtab, tmp_path, tiny_model) -> None:
    ended = trimtab("plan", write_task(tmp_path / "task", **both_arms(tiny_model)))
    assert ended.code == 0
    assert "Training sizes: 16, 32 rows, of 40." in ended.out
    assert "a further size costs its own epochs" in " ".join(ended.out.split())


def test_decide_shows_the_verdict_and_where_the_report_is(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    first = trimtab("decide", folder)
    assert first.code == 0
    headline = json.loads((folder / "runs/latest/verdict.json").read_text())["verdict"]["headline"]
    shown = " ".join(first.out.replace("│", " ").split())
    assert headline in shown
    assert "report.html" in first.out
    again = trimtab("decide", folder)
    assert again.code == 0
    assert "is finished" in again.out


def predicted(ended) -> list[dict]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from trimtab import pipeline

    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        return pipeline.decide(write_task(root / "task")).folder


TEXTS = ["Anna 007 Marsh", 'Jürgen "Jo" Ott Ltd', "{curly} & Sons"]


def test_predict_answers_each_line_of_stdin(trimtab, run) -> None:
    found = predicted(trimtab("predict", run, stdin="\n".join(TEXTS).encode()))
    assert [each["input"] for each in found] == TEXTS
    assert {each["text"] for each in found} <= {"person", "company"}
    assert all(each["valid"] and each["error"] is None for each in found)


@pytest.mark.parametrize("way", ["stdin", "file"])
def test_predict_reads_json_lines(trimtab, run, tmp_path, way) -> None:
    path = tmp_path / "inputs.jsonl"
    write_rows(path, [{"input": text, "other": 1} for text in TEXTS])
    if way == "file":
        ended = trimtab("predict", run, path)
    else:
        ended = trimtab("predict", run, stdin=path.read_bytes())
    assert [each["input"] for each in predicted(ended)] == TEXTS


def test_predict_writes_nothing_but_json_to_stdout(run) -> None:
    command = [sys.executable, "-m", "trimtab.cli", "predict", str(run)]
    ended = subprocess.run(command, input=b"Anna\n", capture_output=True, check=True)
    (line,) = ended.stdout.splitlines()
    assert json.loads(line)["input"] == "Anna"


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "holds no inputs"),
        (b"good\nM\xfcller\n", ":2: not UTF-8"),
        (b'{"input": "a"}\n{"text": "b"}\n', ":2: has no `input`"),
    ],
)
def test_predict_refuses_inputs_that_cannot_be_read(trimtab, run, stdin, message) -> None:
    ended = trimtab("predict", run, stdin=stdin)
    assert ended.code == 2
    assert message in ended.err
    assert ended.out == ""


def test_predict_refuses_what_is_no_finished_run(trimtab, tmp_path) -> None:
    ended = trimtab("predict", tmp_path, stdin=b"Anna\n")
    assert ended.code == 2
    assert "run.json is missing" in ended.err


def test_an_interrupt_says_how_to_go_on(trimtab, tmp_path, monkeypatch) -> None:
    from trimtab import pipeline

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "decide", interrupted)
    ended = trimtab("decide", write_task(tmp_path / "task"))
    assert ended.code == 130
    assert "the same command goes on from here" in ended.err


def test_help_names_every_verb(trimtab) -> None:
    ended = trimtab("--help")
    assert ended.code == 0
    assert all(verb in ended.out for verb in ("init", "plan", "decide", "predict"))


@pytest.mark.parametrize("verb", ["init", "plan", "decide", "predict"])
def test_each_verb_explains_itself(trimtab, verb) -> None:
    ended = trimtab(verb, "--help")
    assert ended.code == 0
    assert "Usage" in ended.out


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from trimtab.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "Usage" in ended.stdout
    assert ended.stderr.strip() == "[]"
