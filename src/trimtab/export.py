"""A run's fine-tune in the form that another program loads, and the proof that it is the same.

An export is written, loaded back with the libraries that its users load it with, and asked the same
rows. Only then is it called done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, get_args

from trimtab.errors import InputError, RunError
from trimtab.parity import Parity, compare_answers, rows_to_ask
from trimtab.predictor import Predictor, find_variant, load
from trimtab.prompt.variants import tuned_prompt
from trimtab.store.files import write_atomic
from trimtab.store.run import read_info
from trimtab.task.open import OpenTask, open_task
from trimtab.types import HOSTED_FILE, HostedModel

if TYPE_CHECKING:
    from trimtab.engine.local.engine import LocalEngine
    from trimtab.tune.export.gguf import Precision

Form = Literal["peft", "merged", "gguf", "ollama", "openai-jsonl", "trl-jsonl"]
FORMS: tuple[Form, ...] = get_args(Form)
TRAINING_ROWS: tuple[Form, ...] = ("openai-jsonl", "trl-jsonl")
"""Forms that hold no weights."""

PARITY = "parity.json"
FAILED = "PARITY-FAILED.txt"
SAME_TEXTS: tuple[Form, ...] = ("peft", "merged")
"""Forms that keep the weights; GGUF rounds them, or counts anew."""


@dataclass(frozen=True)
class Exported:
    folder: Path
    parity: Parity


@dataclass(frozen=True)
class _Source:
    """The fine-tune to export, in memory."""

    predictor: Predictor
    engine: LocalEngine
    opened: OpenTask

    @property
    def adapter(self) -> Path:
        assert self.predictor.variant.adapter is not None
        return self.predictor.folder / self.predictor.variant.adapter.path

    @property
    def base(self) -> str:
        """The name of the tuned model in the task file."""
        tune = self.predictor.task.models.tune
        assert tune is not None
        return tune.model


def export(
    run: str | Path,
    form: Form,
    out: str | Path | None = None,
    precision: Precision = "f16",
    progress: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write the fine-tune of the finished `run` as `form` into the new folder `out`, and check it.

    By default the folder is `exports/FORM` in the run. `precision` is that of GGUF's weights. An
    export that is not the same stays there with its `parity.json` and a file that says so.

    Raises `RunError` for a run without a fine-tune or whose data changed, `InputError` for a folder
    that is in use, and `ModelError` for a model that cannot be written in this form.
    """
    run = Path(run)
    folder = Path(out) if out is not None else run / "exports" / form
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; choose another folder with --out")
    predictor, opened = _fine_tune(run, progress)
    hosted = _hosted(predictor)
    if hosted is not None and form not in TRAINING_ROWS:
        raise InputError(
            f"{run}'s fine-tune is kept by the endpoint that trained it, as {hosted.model}, and "
            f"its weights are not here to be written as {form}; export {' or '.join(TRAINING_ROWS)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    progress(f"writing {form} to {folder}")
    if hosted is not None:
        parity = _uploaded_rows(predictor, opened, hosted, form, folder)
    elif form in TRAINING_ROWS:
        parity = _training_rows(_source(predictor, opened), form, folder)
    else:
        source = _source(predictor, opened)
        exported = _write(source, form, folder, precision)
        progress("asking the measured and the exported fine-tune the same rows")
        parity = _compare(source, form, exported)
    write_atomic(folder / PARITY, parity.model_dump_json(indent=2) + "\n")
    if not parity.passed:
        write_atomic(folder / FAILED, f"Do not use this export: {parity.statement}.\n")
    return Exported(folder, parity)


def _fine_tune(run: Path, progress: Callable[[str], None]) -> tuple[Predictor, OpenTask]:
    """The run's fine-tune, and its task with the same rows."""
    decision, _ = find_variant(run, None)
    if decision.fine_tune is None:
        raise RunError(f"{run} has no fine-tune to export; its verdict is {decision.verdict.word}")
    predictor = load(run, progress, variant_id=decision.fine_tune.variant)
    opened = open_task(run.resolve().parent.parent)
    if opened.data_hash != read_info(run).identity["data"]:
        raise RunError(
            f"the rows of {opened.folder} are not those that {run} was decided with; bring them "
            "back, or decide again"
        )
    return predictor, opened


def _hosted(predictor: Predictor) -> HostedModel | None:
    """The fine-tune as its endpoint knows it; None where its weights are here."""
    assert predictor.variant.adapter is not None
    path = predictor.folder / predictor.variant.adapter.path / HOSTED_FILE
    return HostedModel.model_validate_json(path.read_bytes()) if path.exists() else None


def _source(predictor: Predictor, opened: OpenTask) -> _Source:
    from trimtab.engine.local.engine import LocalEngine

    assert isinstance(predictor.engine, LocalEngine)
    return _Source(predictor, predictor.engine, opened)


def _write(source: _Source, form: Form, folder: Path, precision: Precision) -> LocalEngine:
    """Write weights; gives the engine that loaded them back."""
    from trimtab.tune.export.gguf import GGUF, write_gguf
    from trimtab.tune.export.load import load_gguf, load_merged, load_peft
    from trimtab.tune.export.ollama import MODELFILE, modelfile
    from trimtab.tune.export.weights import write_merged, write_peft

    engine = source.engine
    if form == "peft":
        write_peft(source.adapter, source.base, folder)
        return load_peft(engine, folder, source.base)
    if form == "merged":
        write_merged(engine, source.adapter, folder)
        return load_merged(engine, folder)
    text = modelfile(engine.template, source.predictor.variant) if form == "ollama" else None
    with TemporaryDirectory(dir=folder, prefix=".merged-") as merged:
        write_merged(engine, source.adapter, Path(merged))
        write_gguf(Path(merged), folder / GGUF, precision, source.predictor.task.name)
    if text is not None:
        write_atomic(folder / MODELFILE, text)
    return load_gguf(engine, folder)


def _compare(source: _Source, form: Form, exported: LocalEngine) -> Parity:
    rows, own = rows_to_ask(source.opened.split), source.predictor
    bare = own.variant.model_copy(update={"adapter": None})
    there = replace(own, engine=exported, variant=bare)
    return compare_answers(
        form,
        own.variant,
        own.task,
        rows,
        own.answer_many(rows),
        there.answer_many(rows),
        same_texts=form in SAME_TEXTS,
    )


def _training_rows(source: _Source, form: Form, folder: Path) -> Parity:
    """Write the rows that made the adapter; read back, they must be the tokens of its training."""
    from trimtab.tune.export.chat_rows import ROWS as FILE
    from trimtab.tune.export.chat_rows import read_rows, write_rows
    from trimtab.tune.rows import encode

    variant = source.predictor.variant
    assert variant.adapter is not None
    rows = source.opened.split.train[: variant.adapter.rows]
    template, prompt = source.engine.template, variant.prompt
    write_rows(form, prompt, rows, folder / FILE)
    trained, read = encode(template, prompt, rows), read_rows(folder / FILE, template)
    equal = sum(
        (a.prompt, a.answer) == (b.prompt, b.answer) for a, b in zip(trained, read, strict=True)
    )
    return Parity(
        form=form,
        variant=variant.id,
        rows=len(rows),
        equal=equal,
        passed=equal == len(rows),
        statement=f"{equal} of {len(rows)} rows give the tokens that were trained on",
    )


def _uploaded_rows(
    predictor: Predictor, opened: OpenTask, hosted: HostedModel, form: Form, folder: Path
) -> Parity:
    """Write the rows that the endpoint was given; read back, they must be the file it was given."""
    from trimtab.tune.export.chat_rows import ROWS as FILE
    from trimtab.tune.export.chat_rows import openai_file, read_messages, write_rows

    variant = predictor.variant
    assert variant.adapter is not None
    rows = opened.split.train[: variant.adapter.rows]
    write_rows(form, tuned_prompt(predictor.task), rows, folder / FILE)
    content = openai_file(read_messages(folder / FILE))
    same = hashlib.sha256(content).hexdigest() == hosted.training_sha256
    return Parity(
        form=form,
        variant=variant.id,
        rows=len(rows),
        equal=len(rows) if same else 0,
        passed=same,
        statement=f"the rows are {'' if same else 'not '}those that job {hosted.job} trained on",
    )
