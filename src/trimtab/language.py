"""What the task asks of the base model: its language, and knowledge beyond its inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.compare.bounds import sign_flip_p
from trimtab.compare.intervals import amount_interval, cluster_codes
from trimtab.compare.knowledge import knowledge
from trimtab.compare.paired import FLIPS
from trimtab.errors import BudgetSpent
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
from trimtab.store.files import read_records
from trimtab.types import Example, Interval, Knowledge, Language, Scored, Variant

_PASSES = 2
"""The base and the fine-tune both read the short prompt."""


def domain_language(session: Session, finalists: Sequence[Variant]) -> Language | None:
    """Bits per byte of general text, of the task's inputs and of its targets in use; None where no
    fine-tune is here to read with, or neither the share nor the budget leaves time."""
    by_arm = {variant.arm: variant for variant in finalists}
    tuned, prompt = by_arm.get("fine-tune"), by_arm.get("prompt")
    if session.tuner is None or tuned is None or tuned.adapter is None:
        return None
    if prompt is not None and (session.benches["prompt"].engine is not session.tuner):
        prompt = None  # another model, whose likelihoods are not given
    if prompt is not None and prompt.reason:
        prompt = None  # its answers follow thoughts that no target has
    rows = _rows(session, tuned, prompt)
    stopped_by = session.meter.stopped_by
    try:
        with session.meter.stage(LANGUAGE, "fine-tune"):
            return _measured(session, rows, tuned, prompt) if rows else None
    except BudgetSpent:
        if not session.meter.run_spent:
            session.meter.stopped_by = stopped_by
        return None


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
    budget = session.opened.task.budget.minutes * 60
    seconds = min(LANGUAGE_SHARE * budget, budget - session.meter.seconds)
    fitting = affordable(sum(tokens) / len(few), session.plan.rates["fine-tune"], seconds)
    return dev[:fitting] if fitting >= FEWEST_ROWS else []


def _measured(
    session: Session, rows: Sequence[Example], tuned: Variant, prompt: Variant | None
) -> Language:
    assert session.tuner is not None and tuned.adapter is not None
    engine, opened = session.tuner, session.opened
    reader = Reader(engine, session.meter)
    general = reader.plain(general_texts())
    inputs = reader.plain([row.input for row in rows])
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
        _mean(general.values, None, seed),
        _mean(before, names, seed),
        _mean(after, names, seed),
    )
    return Language(
        rows=len(rows),
        general=of_general,
        inputs=_mean(inputs.values, names, seed),
        tokens_per_word={
            name: bits.tokens_per_word
            for name, bits in (("general", general), ("inputs", inputs))
            if bits.tokens_per_word is not None
        },
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
    return amount_interval(amounts, clusters, seed=seed)


def knowledge_needed(session: Session, tried: Sequence[Variant]) -> Knowledge:
    """What targets say beyond their inputs, and how the prompted model does by the instructions
    alone, as far as one of the variants that were `tried` on dev was no more than those."""
    opened, metric = session.opened, session.opened.task.metric
    alone = next(
        (each for each in tried if each.arm == "prompt" and _instructions_only(each)), None
    )
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
