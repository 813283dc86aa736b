"""What later stages need is kept for them; more training seeds only where they fit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trimtab import spare
from trimtab.measure.consistency import CONSISTENCY
from trimtab.measure.plan import LAYOUTS
from trimtab.spare import after_latency, set_aside
from trimtab.types import Spent


@pytest.fixture
def session(monkeypatch):
    """A fifth of 1,000 seconds is left, 20 of them planned for consistency."""
    needs = {"language_need": 10, "elsewhere_need": 30, "seeds_need": 100}
    for name, seconds in needs.items():
        found = Spent(stage=name, seconds=seconds, calls=seconds, money=seconds)
        monkeypatch.setattr(spare, name, lambda *given, found=found: found)
    monkeypatch.setattr(spare, "closing", lambda session: Spent(stage="closing", seconds=20))
    left = Spent(stage="left", seconds=200, calls=1000, money=1000)
    plan = SimpleNamespace(stages=(Spent(stage=CONSISTENCY, seconds=20), Spent(stage="latency")))
    return SimpleNamespace(plan=plan, meter=SimpleNamespace(left=left))


def test_all_later_stages_are_kept_for(session) -> None:
    kept = set_aside(session, [], [])
    assert kept.seconds == pytest.approx(20 + 10 + 30 + 110)
    assert (kept.calls, kept.money) == (140, 140)


@pytest.mark.parametrize("left", [{"seconds": 189}, {"calls": 139}, {"money": 139}])
def test_seeds_that_do_not_fit_beside_the_planned_stage_leave_it_their_time(session, left) -> None:
    session.meter.left = session.meter.left.model_copy(update=left)
    assert set_aside(session, [], []).seconds == 20 + 10 + 30


def test_what_is_not_done_needs_nothing(session, monkeypatch) -> None:
    for name in ("language_need", "elsewhere_need", "seeds_need"):
        monkeypatch.setattr(spare, name, lambda *given: None)
    assert set_aside(session, [], []).seconds == 20


def test_timed_calls_leave_what_all_but_the_seeds_need(session) -> None:
    session.plan.stages += (Spent(stage=LAYOUTS, seconds=7),)
    assert after_latency(session, []).seconds == 20 + 10 + 30 + 20 + 7
