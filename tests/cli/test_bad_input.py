"""What cannot be used ends with exit code 2 and one message: where it is, and what to do."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from decisions import both_arms, rows, write_rows, write_task
from engine.endpoint import Reply, answer


def remove(folder) -> None:
    (folder / "rows.jsonl").unlink()


def empty(folder) -> None:
    (folder / "rows.jsonl").write_bytes(b"")


def lines(change):
    """Writes the usual rows after `change` of the list of them."""

    def write(folder) -> None:
        found = rows()
        change(found)
        write_rows(folder / "rows.jsonl", found)

    return write


def conversation(row):
    turns = (("user", row["input"]), ("assistant", row["output"]))
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def mixed(found) -> None:
    found[6] = conversation(found[6])


def no_target(found) -> None:
    del found[2]["output"]
    found[4]["output"] = ""


def one_label(found) -> None:
    for row in found:
        row["output"] = "person"


def same_ids(found) -> None:
    found[1]["id"] = found[8]["id"] = "a7"


def bad_bytes(folder) -> None:
    path = folder / "rows.jsonl"
    good = path.read_bytes().splitlines(keepends=True)
    good[3] = b'{"input": "M\xfcller", "output": "person"}\n'
    path.write_bytes(b"".join(good))


def long_line(folder) -> None:
    path = folder / "rows.jsonl"
    good = path.read_bytes().splitlines(keepends=True)
    good[4] = b'{"input": "' + b"x" * 12_000_000 + b'", "output": "person"}\n'
    path.write_bytes(b"".join(good))


def few(found) -> None:
    del found[60:]


DATA = {
    "missing": (remove, "rows.jsonl: there is no such file"),
    "empty": (empty, "rows.jsonl: the file is empty"),
    "two forms": (lines(mixed), "rows.jsonl:7: this row has `messages`"),
    "not UTF-8": (bad_bytes, "rows.jsonl:4: not UTF-8"),
    "a line of 12 MB": (long_line, "rows.jsonl:5: longer than 10 MB"),
    "no target": (lines(no_target), "rows.jsonl:3: has no `output`"),
    "a second row without target": (lines(no_target), "rows.jsonl:5: has no `output`"),
    "one label": (lines(one_label), "rows.jsonl: every row has the same label, 'person'"),
    "too few rows": (lines(few), "60 distinct rows are too few: 70 are needed"),
    "an id twice": (lines(same_ids), "rows.jsonl:9: the id 'a7' names another row on line 2"),
}


def check(ended, message: str) -> None:
    assert ended.code == 2, ended.err
    assert message in ended.err
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("verb", ["plan", "decide"])
@pytest.mark.parametrize("case", DATA)
def test_data(trimtab, tmp_path, case, verb) -> None:
    spoil, message = DATA[case]
    folder = write_task(tmp_path / "task")
    spoil(folder)
    check(trimtab(verb, folder), message)
    assert not (folder / "runs").exists(), "what is refused leaves nothing behind"


def test_a_huge_line_takes_bounded_memory(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    with (folder / "rows.jsonl").open("r+b") as file:
        file.seek(80_000_000)  # a hole: as long a line as that, without writing it
        file.write(b"\n")
    trimtab("--help")  # what is imported once does not count
    tracemalloc.start()
    ended = trimtab("plan", folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check(ended, "rows.jsonl:91: longer than 10 MB")
    assert peak < 40_000_000


TASKS = {
    "an unknown key": ({"budgets": {"minutes": 3}}, "unknown key; did you mean 'budget'?"),
    "an unknown inner key": (
        {"goals": {"quality": 0.9, "valididy": 0.9}},
        "goals.valididy: unknown key; did you mean 'validity'?",
    ),
    "a wrong metric": ({"metric": "field_f1"}, "metric 'field_f1' does not judge label outputs"),
    "a goal out of range": ({"goals": {"quality": 90}}, "goals.quality"),
    "text for a number": ({"budget": {"minutes": "soon"}}, "budget.minutes"),
    "one label": ({"output": {"kind": "label", "labels": ["person"]}}, "at least two labels"),
}


@pytest.mark.parametrize("case", TASKS)
def test_task_file(trimtab, tmp_path, case) -> None:
    changes, message = TASKS[case]
    folder = write_task(tmp_path / "task", **changes)
    key = next(iter(changes))
    text = (folder / "task.yaml").read_text().splitlines()
    first = next(i for i, line in enumerate(text, 1) if line.startswith(f"{key}:"))
    ended = trimtab("decide", folder)
    check(ended, message)
    place = ended.err.removeprefix(f"error: {folder / 'task.yaml'}:").partition(":")[0]
    assert first <= int(place) <= first + 4


def test_no_task_at_all(trimtab, tmp_path) -> None:
    check(trimtab("decide", tmp_path), "there is no such task file; `trimtab init`")


MODELS = {
    "no such folder": ({"model": "/no/such/folder"}, "neither a folder that exists nor the id"),
    "no such id": ({"model": "nobody/no-such-model"}, "'nobody/no-such-model' cannot be loaded"),
    "nearly the default": (
        {"model": "smollm2-135m-instrukt"},
        "did you mean 'smollm2-135m-instruct'",
    ),
    "no such engine": ({"engine": "lokal"}, "engine 'lokal' is not known; the known ones: fake"),
    "no address": ({"engine": "openai", "model": "m"}, "needs a `base_url`"),
    "no key": (
        {"engine": "openai", "model": "m", "base_url": "http://x/v1", "api_key_env": "NO_SUCH_KEY"},
        "NO_SUCH_KEY",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_model(trimtab, tmp_path, case) -> None:
    spec, message = MODELS[case]
    folder = write_task(tmp_path / "task", models={"prompt": spec, "tune": None})
    check(trimtab("decide", folder), message)


def test_a_model_that_cannot_be_tuned(trimtab, tmp_path) -> None:
    fake = {"engine": "fake", "model": "m"}
    folder = write_task(tmp_path / "task", models={"prompt": fake, "tune": fake})
    check(trimtab("decide", folder), "models.tune.engine is 'fake'")


@pytest.fixture
def at(tmp_path, endpoint, monkeypatch):
    """A task whose prompt model is served at `endpoint`; lost calls are tried again at once."""
    monkeypatch.setattr("trimtab.engine.endpoint._FIRST_WAIT_S", 0.0)

    def task(url: str = endpoint.url):
        spec = {"engine": "openai", "model": "m", "base_url": url}
        return write_task(tmp_path / "task", models={"prompt": spec, "tune": None})

    return task


def test_an_endpoint_that_is_down(trimtab, at) -> None:
    ended = trimtab("decide", at("http://127.0.0.1:9/v1"))
    check(ended, "http://127.0.0.1:9/v1/chat/completions cannot be used")
    assert "check `base_url`, and that the endpoint is running" in ended.err


def test_an_endpoint_that_answers_html(trimtab, at, endpoint) -> None:
    page = b"<html><body>Welcome to the proxy</body></html>"
    endpoint.script = lambda body, call: Reply(body=page, headers={"content-type": "text/html"})
    ended = trimtab("decide", at())
    check(ended, "cannot be used")
    assert "Welcome to the proxy" in ended.err or "HTML" in ended.err


def test_an_endpoint_that_comes_back_goes_on_with_the_same_run(trimtab, at, endpoint) -> None:
    folder = at()
    endpoint.script = lambda body, call: Reply(status=401, body=b'{"error": {"message": "who?"}}')
    assert trimtab("plan", folder).code == 2

    endpoint.script = lambda body, call: answer("person")
    assert trimtab("plan", folder).code == 0
    assert len(list((folder / "runs").glob("2*"))) == 1


def test_a_run_of_another_version(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    assert trimtab("decide", folder).code == 0
    path = folder / "runs" / "latest" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 7}))
    for command in (("decide", folder), ("plan", folder), ("predict", folder / "runs" / "latest")):
        check(trimtab(*command, stdin=b"Anna\n"), "format version 7")
    assert trimtab("decide", folder, "--fresh").code == 0


def test_a_damaged_record_names_its_line(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task")
    assert trimtab("decide", folder).code == 0
    run = folder / "runs" / "latest"
    (run / "verdict.json").unlink()
    path = next((run / "records").glob("*-dev.jsonl"))
    text = path.read_text().splitlines()
    text[2] = '{"variant": 3}'
    path.write_text("\n".join(text) + "\n")
    check(trimtab("decide", folder), f"{path.name}:3: this line is damaged")


def test_a_run_with_another_model(trimtab, tmp_path, tiny_model) -> None:
    folder = write_task(tmp_path / "task", **both_arms(tiny_model))
    assert trimtab("plan", folder).code == 0
    path = folder / "runs" / "latest" / "plan.json"
    plan = json.loads(path.read_text())
    path.write_text(json.dumps(plan | {"models": ["other@1/float32", "other@1/float32"]}))
    check(trimtab("decide", folder), "was measured with other@1/float32")
