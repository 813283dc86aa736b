from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DiskFull, RunError
from trimtab.store import files
from trimtab.types import Completion, Record, Scored


def record(example: str, text: str = "answer") -> Record:
    return Record(
        variant="v",
        example=example,
        completion=Completion(text=text, finish="stop", tokens_in=1, tokens_out=1),
        outcome=Scored(metrics={"accuracy": 1.0}, valid=True),
    )


@given(st.lists(st.lists(st.text()), max_size=5))
def test_what_was_appended_is_read(tmp_path_factory: pytest.TempPathFactory, batches: list) -> None:
    path = tmp_path_factory.mktemp("files") / "new" / "records.jsonl"
    for batch in batches:
        files.append(path, [record("e", text) for text in batch])
    texts = [r.completion.text for r in files.read_records(path) if r.completion]
    assert texts == [text for batch in batches for text in batch]


def test_dicts_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    files.append(path, [{"b": "ü\n", "a": [1, None]}])
    assert path.read_text() == '{"b":"ü\\n","a":[1,null]}\n'


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with pytest.raises(ValueError, match="JSON compliant"):
        files.append(path, [{"a": 1.0}, {"a": float("nan")}])
    assert not path.exists()


@pytest.mark.parametrize("torn", [b'{"variant": "v', b"\0" * 200_000, b"x"])
def test_a_torn_last_line_is_dropped_and_cut_off_before_the_next(
    tmp_path: Path, torn: bytes
) -> None:
    path = tmp_path / "records.jsonl"
    files.append(path, [record("a")])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert files.read_records(path) == [record("a")]
    files.append(path, [record("b")])
    assert files.read_records(path) == [record("a"), record("b")]
    assert path.read_bytes().startswith(whole + b'{"variant":"v","example":"b"')


def test_a_file_of_only_a_torn_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"vari')
    assert files.read_records(path) == []
    files.append(path, [record("a")])
    assert files.read_records(path) == [record("a")]


@pytest.mark.parametrize("damage", [b"{", b"", b"\xff", b'{"variant": 1}', b"null"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "records.jsonl"
    line = record("a").model_dump_json().encode()
    path.write_bytes(b"\n".join([line, damage, line, b""]))
    with pytest.raises(RunError, match=r"records\.jsonl:2: "):
        files.read_records(path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "records.jsonl"
    files.append(path, [record("a")])
    before = path.read_bytes()
    write = os.write
    calls = []

    def write_some_then_fail(fd: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(code, os.strerror(code))
        return write(fd, bytes(data[:10]))

    monkeypatch.setattr(os, "write", write_some_then_fail)
    with pytest.raises(DiskFull, match="nothing finished is lost"):
        files.append(path, [record("b")])
    monkeypatch.undo()
    assert path.read_bytes() == before
    files.append(path, [record("c")])
    assert files.read_records(path) == [record("a"), record("c")]


def test_a_real_limit_on_file_size_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    files.append(path, [record("a")])
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, limits[1]))
    try:
        with pytest.raises(DiskFull):
            files.append(path, [record("b")])
        with pytest.raises(DiskFull):
            files.write_atomic(path, "x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_that_is_no_full_disk_stays_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        files.append(folder, [record("a")])


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    files.write_atomic(path, "old")
    files.write_atomic(path, "né\ud7ff")
    assert path.read_text() == "né\ud7ff"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_lock_is_held_by_one_and_freed_by_closing(tmp_path: Path) -> None:
    held = files.lock(tmp_path / "lock", wait=False)
    with pytest.raises(BlockingIOError):
        files.lock(tmp_path / "lock", wait=False)
    os.close(held)
    os.close(files.lock(tmp_path / "lock", wait=True))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TRIMTAB_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/trimtab"),
        ({"TRIMTAB_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/trimtab"),
    ],
)
def test_cache_folder(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("TRIMTAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert files.cache_folder() == Path(expected)


def test_every_acknowledged_record_survives_a_kill(tmp_path: Path) -> None:
    """A child appends batches and says each one's number when `append` has returned."""
    path = tmp_path / "records.jsonl"
    child = textwrap.dedent("""
        import sys
        from pathlib import Path
        from trimtab.store.files import append, read_lines

        path = Path(sys.argv[1])
        done = sum(1 for _ in read_lines(path)) if path.exists() else 0
        while True:
            append(path, [{"n": done + i, "fill": "x" * 5000} for i in range(3)])
            done += 3
            print(done, flush=True)
    """)
    acknowledged = 0
    for sitting in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", child, str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(5 + 7 * sitting):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().splitlines()
            acknowledged = int(rest[-1]) if rest and rest[-1].isdigit() else acknowledged
        numbers = [Numbered.model_validate_json(line).n for _, line in files.read_lines(path)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= acknowledged > 0


class Numbered(files.Noun):
    n: int
    fill: str
