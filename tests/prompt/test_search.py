"""The stages of the search: each builds on the best so far, and says what it left out."""

from __future__ import annotations

from contextlib import suppress

import pytest

from trimtab.errors import BudgetSpent
from trimtab.prompt.demonstrations import STRATEGIES
from trimtab.prompt.race import Race
from trimtab.prompt.recipe import Kitchen
from trimtab.prompt.search import (
    AUTOMATIC,
    DEMONSTRATIONS,
    HEADROOM,
    LAST_SHARE,
    MOST_REPEATS,
    Course,
    PromptSearch,
    Shape,
)
from trimtab.prompt.wording import FORMATS
from trimtab.types import Completion, Message, Prompt, Record, Scored, Variant

from .factories import LABELS, TEXT, row, task

TRAIN = [row(f"train {i}", LABELS.labels[i % 2]) for i in range(40)]
DEV = [row(f"dev {i}") for i in range(20)]
OWN = Variant(
    name="own prompt mine.txt",
    arm="prompt",
    model="m",
    prompt=Prompt(system="", template=(Message(role="user", content="Who? {{ input }}"),)),
    max_tokens=4,
)


def kitchen(*, own=(), train=TRAIN, **rest) -> Kitchen:
    return Kitchen(task(**rest), "m", 4, train, own)


def quality(variant: Variant) -> float:
    """A model for which demonstrations help up to sixteen, the nearest most, and a constraint."""
    prompt = variant.prompt
    shown = len(prompt.demonstrations) + 1.5 * prompt.nearest
    return 0.2 + 0.02 * min(shown, 24) + 0.1 * variant.constrained + 0.05 * variant.reason


class World:
    """Answers so that a variant's mean is its quality; counts rows and ends at a budget."""

    def __init__(self, quality=quality, most=None) -> None:
        self.quality, self.most, self.rows = quality, most, 0

    def __call__(self, variant, rows):
        self.rows += len(rows)
        if self.most is not None and self.rows > self.most:
            raise BudgetSpent("test")
        score = self.quality(variant)
        answer = Completion(text="person", finish="stop", tokens_in=10, tokens_out=1)
        outcome = Scored(metrics={"accuracy": score, "exact": score}, valid=True)
        return [
            Record(variant=variant.id, example=r.id, completion=answer, outcome=outcome)
            for r in rows
        ]


def searched(
    world=None, *, propose=lambda history: None, most_shown=40, share=lambda nearest: 1e9, **rest
):
    made = kitchen(**rest)
    race = Race(
        DEV, made.task.metric, world or World(), made.cook, lambda record: 1.0, made.task.seed
    )
    course = Course()
    with suppress(BudgetSpent):
        PromptSearch(made, lambda: most_shown).run(race, course, propose, share)
    return race, course


def stages(race) -> list[str]:
    return list(dict.fromkeys(entry.stage for entry in race.entries))


def test_each_stage_builds_on_the_winner_so_far() -> None:
    race, course = searched(search={"demonstrations": [4, 8]})
    assert stages(race) == [
        "instructions",
        "output format",
        "demonstrations",
        "order of demonstrations",
        "decoding",
        "more demonstrations",
    ]
    leader = race.leader.recipe
    assert leader.nearest == 16
    assert leader.constrained and leader.reason
    assert course.complete
    assert course.headroom == pytest.approx(0.2 + 0.02 * 24 + 0.15 - 0.3)
    later = race.entries[2:]
    assert all(entry.recipe.constrained for entry in later if entry.stage != "decoding")


def test_every_choice_of_the_hand_made_stages_is_tried() -> None:
    race, _ = searched(search={"demonstrations": [2, 3]})
    recipes = [entry.recipe for entry in race.entries]
    assert {r.format for r in recipes} == set(FORMATS)
    assert {(r.chosen, len(r.demonstrations)) for r in recipes if r.demonstrations} == {
        (chosen, k) for chosen in STRATEGIES for k in (2, 3)
    }
    assert {r.nearest for r in recipes} >= {0, 2, 3}
    assert {r.order for r in recipes} == {"", "nearest-first"}
    assert {(r.constrained, r.reason, r.retry) for r in recipes} >= {
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (False, False, True),
    }


def test_fixed_demonstrations_that_lead_are_multiplied_in_their_own_way() -> None:
    def fixed_best(variant) -> float:
        return 0.2 + 0.05 * len(variant.prompt.demonstrations)

    race, _ = searched(World(fixed_best), search={"demonstrations": [2, 4]})
    leader = race.leader.recipe
    assert len(leader.demonstrations) > 4 and leader.nearest == 0
    assert leader.chosen == STRATEGIES[0], "the first of equals"
    assert {e.recipe.order for e in race.entries} >= {"reversed", "easy-first"}


def test_prompts_of_the_user_run_as_written_and_under_the_decoding_that_leads() -> None:
    race, _ = searched(own=(OWN,), search={"demonstrations": [2]})
    own = [e.variant for e in race.entries if e.stage == "own prompts"]
    assert [v.prompt for v in own] == [OWN.prompt] * 2
    assert [v.constrained for v in own] == [False, True]
    assert own[0].id == OWN.id


def test_text_has_no_constraint_and_nothing_to_try_again() -> None:
    race, course = searched(output=TEXT, search={"demonstrations": [2]})
    assert not any(e.recipe.constrained or e.recipe.retry for e in race.entries)
    assert any(e.recipe.reason for e in race.entries)
    assert course.complete


def test_without_demonstrations_the_rest_still_runs_and_says_so() -> None:
    race, course = searched(search={"demonstrations": []})
    assert not any(e.recipe.shown for e in race.entries)
    assert course.complete
    assert any("no demonstrations" in note for note in course.notes)


def test_doubling_stops_at_the_context_and_at_the_budget() -> None:
    race, course = searched(most_shown=10, search={"demonstrations": [4, 8]})
    assert race.leader.recipe.nearest == 10
    assert any("10 demonstrations fit" in note for note in course.notes)
    race, course = searched(share=lambda nearest: 10.0, search={"demonstrations": [4, 8]})
    assert race.leader.recipe.nearest == 8
    assert any("more than is left of the budget" in note for note in course.notes)


def test_a_prompt_that_is_long_to_test_pays_for_its_test_out_of_the_search() -> None:
    """Sixteen nearest demonstrations would be left as much less as they take at the test."""
    named = {"search": {"demonstrations": [8]}}
    share = {8: 1e9, 16: 1e9, 32: 0.0}
    race, course = searched(share=lambda nearest: share.get(nearest, 1e9), **named)
    assert race.leader.recipe.nearest == 16
    assert any("32 demonstrations: more than is left" in note for note in course.notes)
    asked = []
    _, course = searched(
        World(lambda variant: 0.3 + 0.3 * bool(variant.prompt.nearest)),
        propose=lambda history: asked.append(1),
        share=lambda nearest: 0.0 if nearest == 8 else 1e9,
        **named,
    )
    assert not asked
    assert any("best prompt's long sealed test" in note for note in course.notes)


def test_demonstrations_that_too_few_rows_are_fit_for_are_noted() -> None:
    """Of forty rows with ten inputs ten can be shown beside each other."""
    repeated = [row(f"train {i % 10}", LABELS.labels[0]) for i in range(40)]
    race, course = searched(train=repeated, search={"demonstrations": [4, 20]})
    assert {e.recipe.shown for e in race.entries if e.stage == DEMONSTRATIONS} == {4}
    assert any("20 demonstrations: " in note for note in course.notes)


@pytest.mark.parametrize(("gain", "tried"), [(HEADROOM - 0.001, False), (HEADROOM + 0.001, True)])
def test_the_automatic_search_begins_only_where_prompts_moved_the_score(gain, tried) -> None:
    asked = []

    def propose(history):
        asked.append(len(history))

    _, course = searched(
        World(lambda variant: 0.3 + gain * bool(variant.prompt.nearest)),
        propose=propose,
        search={"demonstrations": [2]},
    )
    assert bool(asked) == tried
    assert course.headroom == pytest.approx(gain)
    if not tried:
        assert any("gained 1.9 points" in note for note in course.notes)


def test_nothing_is_proposed_where_every_row_is_right() -> None:
    _, course = searched(World(lambda v: 1.0 if v.prompt.nearest else 0.1))
    assert any("every dev row is answered rightly" in note for note in course.notes)


def proposer(history):
    """Another text for the instructions each time."""
    leader = next(each.recipe for each in history if each.leads)
    return leader.but(instructions=f"Try {len(history)}.", edit=f"try {len(history)}")


def test_the_automatic_search_ends_when_its_last_part_brought_nothing() -> None:
    race, course = searched(propose=proposer, search={"demonstrations": [2]})
    assert stages(race)[-1] == AUTOMATIC
    assert race.seconds - race.leader.seconds >= LAST_SHARE * race.seconds
    before = race.entries[-2].seconds
    assert before - race.leader.seconds < LAST_SHARE * before, "and not later"
    assert any("brought no better prompt" in note for note in course.notes)


def test_an_automatic_search_that_finds_more_goes_on_from_there() -> None:
    def learns(variant) -> float:
        return quality(variant) + 0.2 * ("Try 1" in variant.prompt.system)

    race, _ = searched(World(learns), propose=proposer, search={"demonstrations": [2]})
    assert race.leader.stage == AUTOMATIC
    assert race.seconds - race.leader.seconds >= LAST_SHARE * race.seconds


def test_repeated_proposals_end_it() -> None:
    asked = []

    def same(history):
        asked.append(1)
        return history[0].recipe

    _, course = searched(propose=same, search={"demonstrations": [2]})
    assert len(asked) <= MOST_REPEATS
    assert course.notes


@pytest.mark.parametrize("most", [0, 10, 30, 100, 250])
def test_a_spent_budget_leaves_what_was_found(most) -> None:
    race, course = searched(World(most=most), propose=proposer, search={"demonstrations": [2]})
    assert race.entries[-1].ended == "budget"
    assert all(entry.ended in ("finished", "behind") for entry in race.entries[:-1])
    assert (race.leader is None) == (most < 20)
    assert course.complete == (AUTOMATIC in stages(race) or "more" in race.entries[-1].stage)


@pytest.mark.parametrize("counts", [[], [1], [4, 8], [2, 3, 5]])
@pytest.mark.parametrize("own", [(), (OWN,)])
@pytest.mark.parametrize("output", [LABELS, TEXT])
def test_no_more_hand_made_candidates_run_than_were_planned(counts, own, output) -> None:
    rest = {"search": {"demonstrations": counts}, "output": output}
    race, _ = searched(own=own, **rest)
    ran = [e for e in race.entries if e.stage not in ("more demonstrations", AUTOMATIC)]
    planned = PromptSearch(kitchen(own=own, **rest), lambda: 0).shapes()
    # Trying again asks little that was not asked before, and is not planned.
    assert len([e for e in ran if not e.recipe.retry]) <= len(planned) + 1
    dearest = max(planned, key=lambda shape: shape.nearest)
    assert all(e.recipe.nearest <= dearest.nearest for e in ran)


@pytest.mark.parametrize(
    ("counts", "most_shown", "nearest"),
    [([], 40, 0), ([4], 40, 8), ([4, 8], 40, 16), ([4, 8], 10, 10), ([4, 8], 6, 8)],
)
def test_the_dearest_prompt_has_its_demonstrations_doubled_once(counts, most_shown, nearest):
    search = PromptSearch(kitchen(search={"demonstrations": counts}), lambda: most_shown)
    assert search.dearest() == Shape(0, nearest, True)


def test_the_plan_of_fixed_demonstrations_is_by_their_number() -> None:
    shapes = PromptSearch(kitchen(search={"demonstrations": [3, 6]}), lambda: 0).shapes()
    for k in (3, 6):
        assert shapes.count(Shape(k, 0, True)) == len(STRATEGIES)


def test_the_outline_names_what_will_be_tried() -> None:
    lines = PromptSearch(kitchen(own=(OWN,)), lambda: 0).outline()
    told = "\n".join(lines)
    for expected in ("as written", "schema", "4, 8 of them", "thinking first", "1 prompts of your"):
        assert expected in told, expected
