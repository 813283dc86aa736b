"""What the task asks of the base model: its language, and knowledge beyond its inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.compare.bounds import sign_flip_p
from trimtab.compare.intervals import amount_interval, cluster_codes
from trimtab.compare.knowledge import knowledge
from trimtab.compare.paired import FLIPS
from trimtab.measure.language import (
    FEWEST_ROWS,
    LANGUAGE,
    LANGUAGE_SHARE,
    Reader,
    affordable,
    asked_rows,
    general_texts,
)
from trimtab.measure.session import Session
from trimtab.store.files import read_records, write_atomic
from trimtab.types import Arm, Example, Interval, Knowledge, Language, Scored, Spent, Variant

_PASSES = 2
"""The base and the fine-tune both read the short prompt."""


def domain_language(session: Session, finalists: Sequence[Variant]) -> Language | None:
    """Bits per byte of general text, of the task's inputs and of its targets in use; None where no
    fine-tune is here to read with, or neither the share nor the budget leaves time. What an earlier
    sitting measured is kept in `language.json`."""
    tuned, prompt = _tuned(session, finalists), _of("prompt", finalists)
    if tuned is None:
        return None
    path = session.run.folder / "language.json"
    if path.exists():
        return Language.model_validate_json(path.read_bytes())
    if prompt is not None and (session.benches["prompt"].engine is not session.tuner):
        prompt = None  # another model, whose likelihoods are not given
    if prompt is not None and prompt.reason:
        prompt = None  # its answers follow thoughts that no target has
    rows = _rows(session, tuned, prompt)
    if rows:
        with session.meter.optional(), session.meter.stage(LANGUAGE, "fine-tune"):
            found = _measured(session, rows, tuned, prompt)
            write_atomic(path, found.model_dump_json(indent=2) + "\n")
            return found
    return None


def language_need(session: Session, finalists: Sequence[Variant]) -> Spent | None:
    """The most that `domain_language` takes; None where there is nothing to read with."""
    if _tuned(session, finalists) is None:
        return None
    seconds = LANGUAGE_SHARE * session.opened.task.budget.seconds
    return Spent(stage=LANGUAGE, arm="fine-tune", seconds=seconds)


def _tuned(session: Session, finalists: Sequence[Variant]) -> Variant | None:
    """The fine-tune, where its likelihoods can be told here."""
    tuned = _of("fine-tune", finalists)
    here = session.tuner is not None and tuned is not None and tuned.adapter is not None
    return tuned if here else None


def _of(arm: Arm, finalists: Sequence[Variant]) -> Variant | None:
    return next((variant for variant in finalists if variant.arm == arm), None)


def _rows(session: Session, tuned: Variant, prompt: Variant | None) -> Sequence[Example]:
    """As many dev rows as fit; none where that is too few."""
    assert session.tuner is not None
    dev = sorted(session.opened.split.dev, key=lambda row: row.id)
    few = dev[:FEWEST_ROWS]
    bench = session.benches["fine-tune"]
    tokens = [_PASSES * len(row) for row in asked_rows(session.tuner, bench, tuned, few)]
    if prompt is not None:
        tokens += [
            len(row) for row in asked_rows(session.tuner, session.benches["prompt"], prompt, few)
        ]
    budget = session.opened.task.budget.seconds
    seconds = min(LANGUAGE_SHARE * budget, session.meter.left.seconds)
    fitting = affordable(sum(tokens) / len(few), session.plan.rates["fine-tune"], seconds)
    return dev[:fitting] if fitting >= FEWEST_ROWS else []


def _measured(
    session: Session, rows: Sequence[Example], tuned: Variant, prompt: Variant | None
) -> Language:
    assert session.tuner is not None and tuned.adapter is not None
    engine, opened = session.tuner, session.opened
    reader = Reader(engine, session.meter)
    texts = {
        "general": general_texts(),
        "inputs": [row.input for row in rows],
        "targets": [row.target for row in rows],
    }
    tokens = {name: reader.tokens_per_word(each) for name, each in texts.items()}
    general, inputs = reader.plain(texts["general"]), reader.plain(texts["inputs"])
    short = asked_rows(engine, session.benches["fine-tune"], tuned, rows)
    before = reader.targets(short, None)
    after = reader.targets(short, str(session.run.folder / tuned.adapter.path))
    prompted = None
    if prompt is not None:
        asked = asked_rows(engine, session.benches["prompt"], prompt, rows)
        prompted = reader.targets(asked, None)
    names = [opened.clusters[row.id] for row in rows]
    seed = opened.task.seed
    saved, p_value = _saved(prompted, after, names, seed) if prompted else (None, None)
    of_general, of_base, of_tuned = (
        _mean(general, None, seed),
        _mean(before, names, seed),
        _mean(after, names, seed),
    )
    return Language(
        rows=len(rows),
        general=of_general,
        inputs=_mean(inputs, names, seed),
        tokens_per_word={name: each for name, each in tokens.items() if each is not None},
        untuned=of_base,
        prompted=_mean(prompted, names, seed) if prompted else None,
        tuned=of_tuned,
        saved=saved,
        p_value=p_value,
        closed=_closed(of_base, of_tuned, of_general),
    )


def _closed(base: Interval, tuned: Interval, general: Interval) -> float | None:
    """Share of what the base needs beyond general text that the fine-tune saves."""
    if base.estimate is None or tuned.estimate is None or general.estimate is None:
        return None
    gap = base.estimate - general.estimate
    return (base.estimate - tuned.estimate) / gap if gap > 0 else None


def _saved(
    before: Sequence[float | None],
    after: Sequence[float | None],
    names: Sequence[str],
    seed: int,
) -> tuple[Interval, float | None]:
    """Paired savings in bits per byte, and their sign-flip p-value."""
    pairs = [
        (b - a, name)
        for b, a, name in zip(before, after, names, strict=True)
        if b is not None and a is not None
    ]
    gaps, kept = [gap for gap, _ in pairs], [name for _, name in pairs]
    p_value = sign_flip_p(np.array(gaps), cluster_codes(len(kept), kept), FLIPS, seed)
    return amount_interval(gaps, kept, seed=seed), p_value if gaps else None


def _mean(values: Sequence[float | None], names: Sequence[str] | None, seed: int) -> Interval:
    """Over the texts that have a value."""
    known = [i for i, value in enumerate(values) if value is not None]
    amounts = [value for value in values if value is not None]
    clusters = None if names is None else [names[i] for i in known]
    return amount_interval(amounts, clusters, seed=seed, floor=0.0)


def knowledge_needed(session: Session, tried: Sequence[Variant]) -> Knowledge:
    """What targets say beyond their inputs, and how the prompted model does by the instructions
    alone, as far as one of the variants that were `tried` on dev was no more than those.

    A constrained one comes first: what is asked is what the model knows, not how it writes it.
    """
    opened, metric = session.opened, session.opened.task.metric
    only = [each for each in tried if each.arm == "prompt" and _instructions_only(each)]
    alone = max(only, key=lambda each: each.constrained, default=None)
    path = session.run.records_path(alone.id, "dev") if alone is not None else None
    dev = {row.id for row in opened.split.dev}
    scores = {
        record.example: record.outcome.metrics[metric]
        for record in (read_records(path) if path is not None else ())
        if record.example in dev and isinstance(record.outcome, Scored)
    }
    known = [*opened.split.train, *opened.split.dev]
    return knowledge(known, opened.task.output, scores, opened.clusters, opened.task.seed)


def _instructions_only(variant: Variant) -> bool:
    prompt = variant.prompt
    return not (prompt.demonstrations or prompt.nearest or prompt.template or variant.reason)
