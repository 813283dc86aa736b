"""Rows in a temporary file: read as often as needed, however much larger than memory they are."""

from __future__ import annotations

import errno
import marshal
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import IO, Self, overload

from trimtab.errors import DiskFull
from trimtab.types import Example


class Spool(Sequence[Example]):
    """Examples on disk, in their order; 8 bytes of memory a row. Closing it frees the disk.

    The file lies where Python puts temporary files (`TMPDIR` moves it).

    Raises:
        DiskFull: the rows do not fit there.
    """

    def __init__(self, examples: Iterable[Example]) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=1 << 20)  # noqa: SIM115 - closed by __exit__
        self._ends = array("Q")
        end = 0
        try:
            for row in examples:
                end += self._file.write(_packed(row))
                self._ends.append(end)
            self._file.flush()
        except OSError as error:
            self._file.close()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                folder = tempfile.gettempdir()
                raise DiskFull(f"{folder}: no space for the rows; set TMPDIR elsewhere") from error
            raise
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | Sequence[Example]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        start = self._ends[place - 1] if place else 0
        self._file.seek(start)
        return _unpacked(self._file.read(self._ends[place] - start))

    def __iter__(self) -> Iterator[Example]:
        start = 0
        self._file.seek(start)
        for end in self._ends:
            if self._file.tell() != start:  # another reader was here between two rows
                self._file.seek(start)
            yield _unpacked(self._file.read(end - start))
            start = end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


class Texts(Sequence[str]):
    """One text of each row, read when it is asked for."""

    def __init__(self, rows: Sequence[Example], text: Callable[[Example], str]) -> None:
        self._rows = rows
        self._text = text

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self._text(row) for row in self._rows[place]]
        return self._text(self._rows[place])

    def __iter__(self) -> Iterator[str]:
        return map(self._text, self._rows)


def _packed(row: Example) -> bytes:
    time = None if row.time is None else row.time.isoformat()
    return marshal.dumps(
        (row.id, row.input, row.target, row.group, time, row.approved_by, row.source)
    )


def _unpacked(data: bytes) -> Example:
    identity, text, target, group, time, approved_by, source = marshal.loads(data)  # noqa: S302 - our own file
    return Example(
        id=identity,
        input=text,
        target=target,
        group=group,
        time=None if time is None else datetime.fromisoformat(time),
        approved_by=approved_by,
        source=source,
    )
