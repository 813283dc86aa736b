"""Every group gets on, whatever the others do; the background has what is left, or a tenth."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.engine.local.turns import Group, Turns

BARE, OTHER_PROMPT, TUNED = (Group(*g, False) for g in ((None, ()), (None, (1,)), ("a", ())))
SHADOW, TUNED_SHADOW = Group(None, (2,), True), Group("b", (), True)
PASS_S = 0.02


class Clock:
    """Passes of equal length, and switches that take their time where the adapter is another."""

    def __init__(self, switch_s: float = 0.0) -> None:
        self.turns = Turns()
        self.switch_s = switch_s
        self.adapter: str | None = None
        self.seconds: Counter[Group] = Counter()
        self.switches = 0

    def step(self, groups: list[Group]) -> Group:
        group = self.turns.next(groups)
        switching = self.switch_s if group.adapter != self.adapter else 0.0
        self.switches += group.adapter != self.adapter
        self.adapter = group.adapter
        self.turns.took(switching, PASS_S)
        self.seconds[group] += switching + PASS_S
        return group


def test_where_switching_is_free_the_passes_go_round() -> None:
    clock = Clock()
    groups = [BARE, OTHER_PROMPT, TUNED]
    assert [clock.step(groups) for _ in range(6)] == groups * 2


def test_who_is_alone_has_every_pass() -> None:
    clock = Clock(switch_s=1)
    assert {clock.step([TUNED_SHADOW]) for _ in range(50)} == {TUNED_SHADOW}
    assert clock.switches == 1


def test_a_turn_is_worth_its_switch_and_no_longer() -> None:
    clock = Clock(switch_s=0.5)
    steps = [clock.step([BARE, TUNED]) for _ in range(1000)]
    runs = [steps[0]]
    lengths = [0]
    for step in steps:
        if step != runs[-1]:
            runs.append(step)
            lengths.append(0)
        lengths[-1] += 1
    assert set(lengths[1:-1]) <= {100, 101}
    assert clock.switches * 0.5 <= sum(clock.seconds.values()) / 4


@pytest.mark.parametrize("switch_s", [0.0, 0.4])
def test_the_background_has_a_tenth_under_load_and_never_stands_still(switch_s) -> None:
    clock = Clock(switch_s)
    for _ in range(50_000):
        clock.step([BARE, TUNED_SHADOW])
    share = clock.seconds[TUNED_SHADOW] / sum(clock.seconds.values())
    assert 0.05 < share < 0.11


def test_the_background_gives_way_at_once() -> None:
    clock = Clock(switch_s=1)
    for _ in range(3):
        assert clock.step([TUNED_SHADOW]) == TUNED_SHADOW
    assert clock.step([TUNED_SHADOW, BARE]) == BARE


def test_a_shadow_does_not_come_before_its_own_call() -> None:
    clock = Clock()
    assert clock.step([SHADOW, BARE]) == BARE
    assert [clock.step([BARE, SHADOW]) for _ in range(20)].count(SHADOW) == 2


@given(
    st.lists(
        st.sets(st.sampled_from([BARE, OTHER_PROMPT, TUNED, SHADOW, TUNED_SHADOW]), min_size=1)
    ),
    st.sampled_from([0.0, 0.3]),
)
def test_any_group_that_is_there_may_be_chosen_and_none_that_is_not(moments, switch_s) -> None:
    clock = Clock(switch_s)
    for groups in moments:
        present = sorted(groups, key=str)
        chosen = clock.step(present)
        assert chosen in groups
        if any(not group.background for group in groups) and switch_s == 0.0:
            assert not chosen.background or clock.turns._owed
