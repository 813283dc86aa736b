"""Files that survive a kill and a full disk: JSON lines, atomic writes, locks.

A JSON-lines file has one writer at a time. A line is finished once it ends with a newline; what
follows the last newline was being written when its process died, and is dropped.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from trimtab.errors import DiskFull, RunError
from trimtab.types import Noun, Record

NounT = TypeVar("NounT", bound=Noun)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TAIL_BLOCK = 64 * 1024


def append(path: Path, rows: Iterable[Noun | Mapping[str, JsonValue]]) -> None:
    """Append one JSON line per row; on return they are on the disk.

    All rows go down in one write, so that a kill leaves either finished lines or one torn line.

    Raises:
        DiskFull: nothing more can be written; the file is as it was before the call.
    """
    batch = b"".join(json_line(row) for row in rows)
    if not batch:
        return
    with translate_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            end = _end_of_last_line(fd)
            os.ftruncate(fd, end)
            try:
                _write_all(fd, batch)
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, end)
                raise
        finally:
            os.close(fd)
        if is_new:
            _fsync_folder(path.parent)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without newline); a torn last line is left out."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield number, line[:-1]


def read_nouns(path: Path, kind: type[NounT]) -> list[NounT]:
    """Read a JSON-lines file of `kind`; a file that does not exist yet has no rows.

    Raises:
        RunError: a finished line is not a `kind`.
    """
    if not path.exists():
        return []
    nouns = []
    for number, line in read_lines(path):
        try:
            nouns.append(kind.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise RunError(
                f"{path}:{number}: this line is damaged or was written by another version: "
                f"{problem}. Delete the file to measure it again, or start a fresh run"
            ) from error
    return nouns


def read_records(path: Path) -> list[Record]:
    """Read the records of one variant on one split, in the order they were measured."""
    return read_nouns(path, Record)


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` by `text`: a reader, or a later start, sees the old file or the new one.

    Raises:
        DiskFull: the old file, if any, is untouched.
    """
    with translate_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            try:
                _write_all(fd, text.encode())
                os.fchmod(fd, 0o644)  # mkstemp makes it private; a report is to be shared
                os.fsync(fd)
            finally:
                os.close(fd)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _fsync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock(path: Path, *, wait: bool) -> int:
    """Take the exclusive lock on `path`; returns a descriptor, and closing it frees the lock.

    The system frees the lock of a process that dies, so a lock is never stale.

    Raises:
        BlockingIOError: another process holds it and `wait` is false.
    """
    with translate_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd


def cache_folder() -> Path:
    """Where things that several runs share are kept; `TRIMTAB_CACHE` overrides the place."""
    if chosen := os.environ.get("TRIMTAB_CACHE"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser() / "trimtab"
    return Path.home() / ".cache" / "trimtab"


@contextmanager
def translate_disk_full(path: Path) -> Iterator[None]:
    """Turn the system's errors for a full disk, quota or size limit into `DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f"cannot write {path}: {error.strerror}; free space and run the same command "
                "again; nothing finished is lost"
            ) from error
        raise


def json_line(row: Noun | Mapping[str, JsonValue]) -> bytes:
    """A row as it stands in a JSON-lines file."""
    if isinstance(row, Noun):
        return row.model_dump_json().encode() + b"\n"
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # one turn, save where the system takes a part only
        rest = rest[os.write(fd, rest) :]


def _end_of_last_line(fd: int) -> int:
    """Offset after the last newline, searched backwards from the end."""
    end = os.fstat(fd).st_size
    while end:
        start = max(0, end - _TAIL_BLOCK)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
