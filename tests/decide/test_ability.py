"""The gate on general ability follows what was measured, and only where it is needed."""

from __future__ import annotations

import pytest

from trimtab.decide.ability import general_ability
from trimtab.decide.rule import decide
from trimtab.types import Interval, Retained, Retention

from .factories import evidence, task

NEEDED = task(constraints={"general_ability": "needed"})


def part(section: str, status: str, estimate: float) -> Retained:
    difference = Interval(
        estimate=estimate, low=estimate - 0.02, high=estimate + 0.02, n=100, method="test"
    )
    return Retained(
        section=section, base=0.5, tuned=0.5 + estimate, difference=difference, status=status
    )


def retention(status: str, complete: bool = True) -> Retention:
    return Retention(
        variant="id-fine-tune",
        name="fine-tune",
        margin=0.05,
        complete=complete,
        status=status,
        overall=part("all items", status, -0.01),
        sections=(part("arithmetic", "fail" if status == "fail" else "pass", -0.2),),
        failures=0,
        bits_per_byte=None,
        divergence_task=None,
        divergence_general=None,
    )


@pytest.mark.parametrize(
    ("status", "word"), [("pass", "fine-tune"), ("fail", "prompt"), ("unknown", "inconclusive")]
)
def test_where_it_is_needed_the_measurement_decides(status, word) -> None:
    case = evidence(task=NEEDED, retention=retention(status))
    gate = general_ability(case)
    assert (gate.status, gate.basis, gate.blocks) == (status, "measured", True)
    assert bool(gate.settle) == (status == "unknown")
    assert decide(case).word == word


def test_where_it_is_not_needed_a_loss_is_told_and_blocks_nothing() -> None:
    case = evidence(retention=retention("fail", complete=False))
    gate = general_ability(case)
    assert (gate.status, gate.basis) == ("pass", "asked")
    assert "a third of the retention suite" in gate.evidence
    assert "lost: arithmetic 0.500 before and 0.300 after tuning" in gate.evidence
    assert decide(case).word == "fine-tune"


def test_needed_and_not_measured_is_unknown() -> None:
    gate = general_ability(evidence(task=NEEDED))
    assert gate.status == "unknown"
    assert "was not measured" in gate.evidence
    assert "budget" in gate.settle


def test_what_was_measured_settles_nothing_that_nobody_asked() -> None:
    asked = task(constraints={"general_ability": None})
    gate = general_ability(evidence(task=asked, retention=retention("pass")))
    assert (gate.status, gate.basis) == ("unknown", "none")
    assert "constraints.general_ability" in gate.settle
