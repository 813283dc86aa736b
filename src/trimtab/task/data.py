"""Labelled rows in, `Example`s out; every refusal names its line and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from pydantic import JsonValue

from trimtab.errors import DataError
from trimtab.task.contract import canonical_target, compact_json, short
from trimtab.task.rows import BadRow, RawRow, check_readable, raw_rows, text_lines
from trimtab.types import Example, OutputContract, content_hash

MAX_PROBLEMS = 5
"""How many problems one error lists before reading stops."""

_OPTIONAL = frozenset({"group", "time", "approved_by", "id"})


def read_examples(
    path: Path, contract: OutputContract, approved_by: str | None = None
) -> list[Example]:
    """All of `iter_examples`, in memory."""
    return list(iter_examples(path, contract, approved_by))


def iter_examples(
    path: Path, contract: OutputContract, approved_by: str | None = None
) -> Iterator[Example]:
    """Read the labelled rows of a JSONL, CSV or Parquet file, one at a time.

    A row is `{"input", "output"}` or `{"messages": [system?, user, assistant]}`, the same on all
    rows; `group`, `time` (ISO 8601; UTC where no offset is given), `approved_by` and `id` are
    optional, and other columns are ignored. The system message of `messages` rows is no part of
    an example (`system_message` reads it). Exact duplicates stay.

    Raises:
        DataError: with up to five problems as `file:line: problem`, when five are found or the
            file ends.
    """
    reader = _RowReader(path.name, contract, approved_by)
    problems: list[BadRow] = []
    first: Example | None = None
    alike = True
    for row in raw_rows(path):
        if isinstance(row, BadRow):
            problems.append(row)
        else:
            try:
                example = reader.example(row)
            except ValueError as error:
                problems.append(BadRow(row.line, str(error)))
            else:
                first = first or example
                alike = alike and example.target == first.target
                yield example
        if len(problems) == MAX_PROBLEMS:
            break
    _refuse(path, problems)
    if first is None:
        raise DataError(f"{path}: the file holds no rows")
    if contract.kind == "label" and alike:
        raise DataError(
            f"{path}: every row has the same label, {short(first.target, 60)}; "
            "there is nothing to decide, so add rows of the other labels"
        )


def read_columns(path: Path, names: Sequence[str]) -> dict[str, tuple[str | None, ...]]:
    """The values of other columns, as text, by the `source` of the example that a row became.

    Raises:
        DataError: no row has a column of one of these names.
    """
    found = {
        f"{path.name}:{row.line}": tuple(_as_text(row.fields.get(name)) for name in names)
        for row in raw_rows(path)
        if isinstance(row, RawRow)
    }
    for place, name in enumerate(names):
        if all(values[place] is None for values in found.values()):
            raise DataError(f"{path}: no row has a column {name!r}, which data.slices names")
    return found


def system_message(path: Path) -> str | None:
    """The system message of the first row, where rows are `messages` and have one."""
    row = next(iter(raw_rows(path)), None)
    if isinstance(row, RawRow) and "messages" in row.fields:
        return _conversation(row.fields["messages"])[0]
    return None


def read_traffic(path: Path) -> list[str]:
    """Unlabelled real inputs: the `input` of JSONL, CSV or Parquet rows, else one a line.

    Raises:
        DataError: with up to five problems as `file:line: problem`.
    """
    inputs: list[str] = []
    problems: list[BadRow] = []
    for row in _traffic_rows(path):
        if isinstance(row, BadRow):
            problems.append(row)
        else:
            try:
                inputs.append(_required_text(row.fields, "input"))
            except ValueError as error:
                problems.append(BadRow(row.line, str(error)))
        if len(problems) == MAX_PROBLEMS:
            break
    _refuse(path, problems)
    if not inputs:
        raise DataError(f"{path}: the file holds no inputs")
    return inputs


def dataset_hash(examples: Iterable[Example]) -> str:
    """Hash of all that the rows say; neither their order nor the file's name enters it."""
    facts = (
        content_hash(e.id, e.group or "", str(e.time or ""), e.approved_by or "") for e in examples
    )
    return content_hash(*sorted(facts))


def _traffic_rows(path: Path) -> Iterable[RawRow | BadRow]:
    if path.suffix.lower() in {".jsonl", ".json", ".csv", ".parquet"}:
        yield from raw_rows(path)
        return
    check_readable(path)
    for line in text_lines(path):
        if isinstance(line, BadRow):
            yield line
        elif text := line.text.strip():
            yield RawRow(line.line, {"input": text})


def _refuse(path: Path, problems: list[BadRow]) -> None:
    if not problems:
        return
    lines = [f"{path}:{bad.line}: {bad.problem}" for bad in problems]
    if len(problems) == MAX_PROBLEMS:
        lines.append(f"(reading stopped after {MAX_PROBLEMS} problems)")
    raise DataError("\n".join(lines))


class _RowReader:
    """Turns rows into examples, and remembers what all rows of one file must agree on."""

    def __init__(self, name: str, contract: OutputContract, approved_by: str | None) -> None:
        self._name = name
        self._contract = contract
        self._approved_by = approved_by
        self._first: RawRow | None = None
        self._system: str | None = None
        self._ids: dict[str, tuple[str, int]] = {}

    def example(self, row: RawRow) -> Example:
        """Raises ValueError with what is wrong with this row."""
        text, raw, system = _pair(row.fields)
        self._check_alike(row, system)
        target = canonical_target(self._contract, raw)
        identity = content_hash(text, target)
        self._check_id(row, identity)
        return Example(
            id=identity,
            input=text,
            target=target,
            group=_optional_text(row.fields, "group"),
            time=_time(row.fields),
            approved_by=_optional_text(row.fields, "approved_by") or self._approved_by,
            source=f"{self._name}:{row.line}",
        )

    def _check_alike(self, row: RawRow, system: str | None) -> None:
        if self._first is None:
            self._first, self._system = row, system
            return
        first, here = (frozenset(r.fields) - _OPTIONAL for r in (self._first, row))
        if ("messages" in first) != ("messages" in here):
            raise ValueError(
                f"this row has {_names(here)}, but line {self._first.line} has {_names(first)}; "
                "all rows of a file need the same form"
            )
        if system != self._system:
            raise ValueError(
                f"the system message differs from that of line {self._first.line}; one task has "
                "one instruction, so make them equal or split the file into tasks"
            )

    def _check_id(self, row: RawRow, identity: str) -> None:
        given = _optional_text(row.fields, "id")
        if given is None:
            return
        known, line = self._ids.setdefault(given, (identity, row.line))
        if known != identity:
            raise ValueError(
                f"the id {short(given, 60)} names another row on line {line}; make ids unique"
            )


def _pair(fields: dict[str, JsonValue]) -> tuple[str, JsonValue, str | None]:
    """Input, raw target and system message of one row."""
    if "messages" in fields:
        if "input" in fields or "output" in fields:
            raise ValueError("has both `messages` and `input`/`output`; keep one form")
        system, user, assistant = _conversation(fields["messages"])
        return user, assistant, system
    text = _required_text(fields, "input")
    target = fields.get("output")
    if target is None or (isinstance(target, str) and not target.strip()):
        raise ValueError(f"has no `output`: {_what_is_there(fields, 'output')}")
    return text, target, None


def _required_text(fields: dict[str, JsonValue], key: str) -> str:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"`{key}` must be text, found {short(value, 60)}; write it as a string")
    if value is None or not value.strip():
        raise ValueError(f"has no `{key}`: {_what_is_there(fields, key)}")
    return value


def _what_is_there(fields: dict[str, JsonValue], key: str) -> str:
    if key in fields:
        return "it is empty; fill it in or leave the row out"
    return f"the row has {_names(fields)}; rename the column, or leave the row out"


def _names(fields: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(fields)) or "no fields"


def _conversation(messages: JsonValue) -> tuple[str | None, str, str]:
    """System message (if any), user text and assistant text of an OpenAI `messages` list."""
    turns = [_turn(message) for message in messages] if isinstance(messages, list) else []
    roles = [role for role, _ in turns]
    texts = [text for _, text in turns]
    if roles == ["user", "assistant"]:
        return None, texts[0], texts[1]
    if roles == ["system", "user", "assistant"]:
        return texts[0], texts[1], texts[2]
    _explain_roles(roles)


def _explain_roles(roles: list[str]) -> NoReturn:
    if roles.count("user") > 1:
        raise ValueError(
            f"`messages` has {roles.count('user')} user turns; only single-turn rows can be used "
            "so far: cut each conversation into one user and one assistant message"
        )
    raise ValueError(
        "`messages` must hold an optional system, then one user and one assistant message; "
        f"found: {', '.join(roles) or 'none'}"
    )


def _turn(message: JsonValue) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise ValueError(f"a message must be an object, found {short(message, 60)}")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str):
        raise ValueError("a message has no `role`")
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"the {role} message has no text `content`; only plain text can be used")
    return role, content


def _optional_text(fields: dict[str, JsonValue], key: str) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"`{key}` must be text, found {short(value, 60)}")
    return str(value).strip() or None


def _as_text(value: JsonValue) -> str | None:
    return value if value is None or isinstance(value, str) else compact_json(value)


def _time(fields: dict[str, JsonValue]) -> datetime | None:
    text = _optional_text(fields, "time")
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"`time` is {short(text, 60)}; write it as in 2026-01-31 or 2026-01-31T09:30:00+00:00"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
