"""Reads `task.yaml` and its like, and says line by line what is wrong with it."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from trimtab.errors import TaskError
from trimtab.task.contract import short
from trimtab.task.scoring import scoring_problems
from trimtab.task.spec import Spec, Task
from trimtab.types import OutputContract

TASK_FILE = "task.yaml"

SpecT = TypeVar("SpecT", bound=Spec)

_Place: TypeAlias = tuple[str | int, ...]
_Problem: TypeAlias = tuple[_Place, str]


def load_task(path: str | Path) -> Task:
    """Read a task from its folder or its file.

    Raises:
        TaskError: one `file:line: key: problem` a line, for every problem found.
    """
    file = Path(path)
    if file.is_dir():
        file /= TASK_FILE
    return load_spec(file, Task, _task_problems)


def load_spec(
    file: Path, kind: type[SpecT], more: Callable[[SpecT], Iterable[_Problem]] = lambda _: ()
) -> SpecT:
    """Read a YAML file of `kind`; `more` finds problems that its fields alone do not show.

    Raises:
        TaskError: as `load_task`.
    """
    node, values = _parse(file, _read(file))
    problems = [(place, f"the key {place[-1]!r} stands twice") for place in _repeated_keys(node)]
    spec: SpecT | None = None
    try:
        spec = kind.model_validate(values)
    except ValidationError as error:
        problems += [(detail["loc"], _explain(kind, detail)) for detail in error.errors()]
    except RecursionError:
        problems.append(((), "nested too deeply, or an alias refers to itself"))
    if spec is not None:
        problems += more(spec)
    if spec is None or problems:
        lines = [_line_of(node, place) for place, _ in problems]
        order = sorted(range(len(problems)), key=lambda i: lines[i])
        raise TaskError("\n".join(_problem_line(file, lines[i], *problems[i]) for i in order))
    return spec


def load_spec_or_defaults(file: Path, kind: type[SpecT]) -> SpecT:
    """As `load_spec`; the defaults where there is no such file."""
    return load_spec(file, kind) if file.exists() else kind()


def _problem_line(file: Path, line: int, place: _Place, problem: str) -> str:
    key = ".".join(map(str, place))
    return f"{file}:{line}: {key}: {problem}" if key else f"{file}:{line}: {problem}"


# --- YAML -----------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """The safe loader, with the line kept where a value (a date, say) cannot be built."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"{error} (put text in quotes)", node.start_mark
            ) from error


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise TaskError(
            f"{file}: there is no such task file; `trimtab init` writes one for your data"
        ) from None
    except UnicodeDecodeError as error:
        raise TaskError(
            f"{file}: not UTF-8 at byte {error.start}; save the file as UTF-8"
        ) from None
    except OSError as error:
        raise TaskError(f"{file}: cannot be read: {error.strerror}") from error


def _parse(file: Path, text: str) -> tuple[yaml.MappingNode, dict[object, object]]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise TaskError(f"{file}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TaskError(f"{file}:{line}: not YAML: {error.reason}") from None
    except RecursionError:
        raise TaskError(f"{file}: nested too deeply to read") from None
    if node is None:
        raise TaskError(f"{file}: the file is empty; `trimtab init` writes one for your data")
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        raise TaskError(f"{file}:1: expected keys and values, such as `name: my-task`")
    return node, values


def _repeated_keys(root: yaml.MappingNode) -> Iterator[_Place]:
    """Keys that stand twice in one mapping; YAML would silently keep the last."""
    seen: set[int] = set()
    pending: list[tuple[_Place, yaml.Node]] = [((), root)]
    while pending:
        place, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            yield from ((*place, key) for key, count in keys.items() if count > 1)
            pending += [((*place, str(key.value)), value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            pending += [((*place, index), value) for index, value in enumerate(node.value)]


def _line_of(root: yaml.Node, place: _Place) -> int:
    """Line of the value at `place`, or of the innermost parent that the file does hold."""
    node, line = root, root.start_mark.line + 1
    for key in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [(k, v) for k, v in node.value if k.value == str(key)]
            if not pairs:
                break
            line = pairs[-1][0].start_mark.line + 1
            node = pairs[-1][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = node.value[key]
            line = node.start_mark.line + 1
        else:
            break
    return line


# --- what is wrong --------------------------------------------------------------------------


def _explain(kind: type[BaseModel], detail: ErrorDetails) -> str:
    fault, given = detail["type"], detail["input"]
    if fault == "missing":
        return "this key is required"
    if fault == "extra_forbidden":
        return _unknown_key(kind, detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if fault == "string_type" and not isinstance(given, (dict, list)) and given is not None:
        return f"expected text, found {short(given, 60)}; put it in quotes"
    if fault == "value_error" or isinstance(given, (dict, list)):
        return message
    return f"{message}, found {short(given, 60)}"


def _unknown_key(kind: type[BaseModel], place: _Place) -> str:
    known = _keys_at(kind, place[:-1])
    nearest = difflib.get_close_matches(str(place[-1]), known, n=1)
    if nearest:
        return f"unknown key; did you mean {nearest[0]!r}?"
    return f"unknown key; the keys here are: {', '.join(known)}"


def _keys_at(kind: type[BaseModel], place: _Place) -> list[str]:
    """Keys that a file of `kind` may hold at `place`."""
    model, named_by_user = kind, False
    for key in place:
        if named_by_user:
            named_by_user = False
            continue
        field = next(
            field for name, field in model.model_fields.items() if key in (name, field.alias)
        )
        annotation = field.annotation
        named_by_user = get_origin(annotation) is dict
        model = next(
            option
            for option in (annotation, *get_args(annotation))
            if isinstance(option, type) and issubclass(option, BaseModel)
        )
    return [field.alias or name for name, field in model.model_fields.items()]


def _task_problems(task: Task) -> Iterator[_Problem]:
    for place, text in _contract_problems(task.output):
        yield ("output", *place), text
    yield from scoring_problems(task)


def _contract_problems(output: OutputContract) -> Iterator[_Problem]:
    if output.kind == "label":
        yield from _label_problems(output.labels)
    elif output.labels:
        yield ("labels",), f"labels belong to `kind: label`, not to `kind: {output.kind}`"
    if output.kind == "json":
        yield from _schema_problems(output.json_schema)
    elif output.json_schema:
        yield ("schema",), f"a schema belongs to `kind: json`, not to `kind: {output.kind}`"


def _label_problems(labels: tuple[str, ...]) -> Iterator[tuple[_Place, str]]:
    if len(labels) < 2:
        yield ("labels",), f"a label task needs at least two labels, found {len(labels)}"
    counts = Counter(labels)
    for index, label in enumerate(labels):
        if not label or label != label.strip() or "\n" in label:
            yield (
                ("labels", index),
                f"{label!r}: a label is one line without space around it, and not empty",
            )
        elif counts[label] > 1 and labels.index(label) != index:
            yield ("labels", index), f"the label {label!r} stands twice"


def _schema_problems(schema: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or not properties:
        yield ("schema",), "a JSON task needs a schema with `type: object` and `properties`"
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield ("schema", *error.absolute_path), f"not a JSON Schema: {short(error.message)}"
        return
    yield from _inner_problems(schema)


def _children(value: object) -> Iterable[tuple[str | int, object]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _inner_problems(schema: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    root = DRAFT202012.create_resource(schema)
    resolver: Any = Registry().with_resource("", root).resolver()
    pending: list[tuple[_Place, object]] = [(("schema",), schema)]
    while pending:
        place, value = pending.pop()
        for key, child in _children(value):
            pending.append(((*place, key), child))
            if isinstance(child, float) and not math.isfinite(child):
                yield (*place, key), f"{child} is no number of JSON; give a finite one"
            if key == "$ref" and isinstance(child, str):
                try:
                    resolver.lookup(child)
                except Unresolvable:
                    yield (*place, key), f"{child!r} points at nothing inside this schema"
