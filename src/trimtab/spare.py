"""What later stages are to find of the budget, so that an earlier one takes only what is left.

In their order: what the fine-tune loses elsewhere, layouts, consistency, language, training seeds,
the winner's parity.
"""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.language import language_need
from trimtab.measure.consistency import CONSISTENCY
from trimtab.measure.plan import LAYOUTS
from trimtab.measure.session import Session
from trimtab.retention import elsewhere_need
from trimtab.seeds import closing, seeds_need
from trimtab.types import CurvePoint, Spent, Variant

_MORE = 1.1
"""Times what the trainings need that is kept for them: a stage before them that takes a little
longer is not to turn them away."""


def set_aside(
    session: Session,
    finalists: Sequence[Variant],
    curve: Sequence[CurvePoint],
    searched: CurvePoint | None = None,
) -> Spent:
    """For all of these, of the fine-tune among `finalists`; more training seeds count only where
    they fit beside the consistency that was planned."""
    kept = _asked(session, finalists)
    seeds = seeds_need(session, finalists, curve, searched)
    if seeds is None:
        return kept
    seeds = seeds.model_copy(update={"seconds": _MORE * seeds.seconds})
    beside = _planned(session, (CONSISTENCY,), kept)
    return kept + seeds if (beside + seeds).within(session.meter.left) else kept


def after_latency(session: Session, finalists: Sequence[Variant]) -> Spent:
    """For all but the seeds, which take what all others leave."""
    return _planned(session, (LAYOUTS, CONSISTENCY), _asked(session, finalists))


def _asked(session: Session, finalists: Sequence[Variant]) -> Spent:
    """What is looked at where time is left, and what is kept for the end."""
    asked = (language_need(session, finalists), elsewhere_need(session, finalists))
    return sum((need for need in asked if need is not None), closing(session))


def _planned(session: Session, stages: Sequence[str], beside: Spent) -> Spent:
    return sum((stage for stage in session.plan.stages if stage.stage in stages), beside)
