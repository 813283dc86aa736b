"""Automatic proposals: they follow from the history, never repeat, and survive a kill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import TaskError
from trimtab.prompt.mutate import Mutations
from trimtab.prompt.optimise import Attempt, Proposals, Workshop, make_optimiser
from trimtab.prompt.recipe import Kitchen, Recipe, parts_of
from trimtab.types import Completion, Message, Prompt, Record, Scored, Variant

from .factories import LABELS, row, task

TRAIN = [row(f"train {i}", LABELS.labels[i % 2]) for i in range(40)]
OWN = Variant(
    name="own prompt",
    arm="prompt",
    model="m",
    prompt=Prompt(system="", template=(Message(role="user", content="{{ input }}"),)),
    max_tokens=4,
)
INSTRUCTIONS = "Decide whose name it is. Couples are persons.\n- Firms are companies; shops too."


def workshop(**rest) -> Workshop:
    kitchen = Kitchen(task(instructions=INSTRUCTIONS), "m", 4, TRAIN, (OWN,))
    settings = {"seed": 0, "answer": lambda recipe, rows: [], "reflect": None} | rest
    return Workshop(kitchen, **settings)


def attempt(recipe: Recipe, score=0.5, *, leads=False, rows=("a", "b")) -> Attempt:
    variant = workshop().kitchen.cook(recipe).id
    return Attempt(recipe, variant, dict.fromkeys(rows, score), True, leads)


def proposals(optimiser, leader: Recipe, most=300) -> list[Recipe]:
    """All that it proposes while nothing better is found."""
    history, found = [attempt(leader, leads=True)], []
    while len(found) < most and (proposed := optimiser.propose(history)) is not None:
        found.append(proposed)
        history.append(attempt(proposed))
    return found


@given(st.text(alphabet="aB .;!?\n", max_size=60))
def test_the_parts_of_a_text_are_the_text(text) -> None:
    assert "".join(parts_of(text)) == text


def test_parts_are_sentences_and_lines() -> None:
    assert [part.strip() for part in parts_of(INSTRUCTIONS)] == [
        "Decide whose name it is.",
        "Couples are persons.",
        "- Firms are companies;",
        "shops too.",
    ]


LEADERS = {
    "zero-shot": Recipe(constrained=True),
    "nearest": Recipe(nearest=4),
    "fixed": Recipe(demonstrations=tuple(TRAIN[:3]), chosen="random", order="reversed"),
}


@pytest.mark.parametrize("leader", LEADERS.values(), ids=LEADERS)
def test_mutations_are_all_different_and_end(leader) -> None:
    shop = workshop()
    found = proposals(Mutations(shop), leader)
    ids = [shop.kitchen.cook(recipe).id for recipe in [leader, *found]]
    assert len(ids) == len(set(ids)) > 6
    assert len(found) < 300
    names = [shop.kitchen.cook(recipe).name for recipe in found]
    assert len(set(names)) == len(names), "a reader can tell them apart"


@pytest.mark.parametrize("leader", LEADERS.values(), ids=LEADERS)
def test_mutations_keep_the_decoding_and_follow_from_the_history(leader) -> None:
    found = proposals(Mutations(workshop()), leader)
    assert found == proposals(Mutations(workshop()), leader)
    assert all(recipe.constrained == leader.constrained for recipe in found)


def test_each_kind_of_mutation_comes_up_early() -> None:
    early = proposals(Mutations(workshop()), LEADERS["fixed"], most=8)
    assert any(recipe.reminder for recipe in early)
    assert any("without" in recipe.edit for recipe in early)
    assert any("first" in recipe.edit for recipe in early)
    assert any("swap" in recipe.chosen for recipe in early)


def test_a_swap_changes_one_demonstration() -> None:
    leader = LEADERS["fixed"]
    swapped = [r for r in proposals(Mutations(workshop()), leader) if "swap" in r.chosen]
    assert len(swapped) > 5
    for recipe in swapped:
        pairs = zip(recipe.demonstrations, leader.demonstrations, strict=True)
        assert sum(new != old for new, old in pairs) == 1
        assert len({each.id for each in recipe.demonstrations}) == 3


def test_the_users_own_prompt_keeps_its_text() -> None:
    assert proposals(Mutations(workshop()), Recipe(own=0), most=3) == []


class Counting:
    def __init__(self) -> None:
        self.asked = 0

    def propose(self, history):
        self.asked += 1
        return Recipe(edit=f"{self.asked}", instructions="x") if self.asked < 4 else None


def test_proposals_of_an_earlier_sitting_come_again(tmp_path) -> None:
    path, optimiser = tmp_path / "proposals.jsonl", Counting()
    first = Proposals(optimiser, path)
    made = [first.next([]) for _ in range(2)]
    other = Counting()
    again = Proposals(other, path)
    assert [again.next([]) for _ in range(2)] == made
    assert other.asked == 0
    assert again.next([]).edit == "1"
    assert [r.edit for r in Proposals(other, path)._kept] == ["1", "2", "1"]


def test_an_unknown_optimiser_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TaskError, match=r"search.optimiser: 'magic'.*mutations"):
        make_optimiser("magic", workshop())


def test_the_built_in_optimiser_comes_through_the_same_door() -> None:
    assert isinstance(make_optimiser("mutations", workshop()), Mutations)


# --- gepa --------------------------------------------------------------------------------------


def wrong_answers(recipe, rows):
    answer = Completion(text="dog", finish="stop", tokens_in=1, tokens_out=1)
    judged = Scored(metrics={"accuracy": 0.0}, valid=False, problem="no label")
    return [Record(variant="v", example=r.id, completion=answer, outcome=judged) for r in rows]


def gepa(reflect, answer=wrong_answers):
    pytest.importorskip("gepa")
    return make_optimiser("gepa", workshop(answer=answer, reflect=reflect))


def test_gepa_rewrites_the_instructions_after_wrong_answers() -> None:
    seen = []

    def reflect(text):
        seen.append(text)
        return "I looked.\n```\nSay person or company.\n```"

    optimiser = gepa(reflect)
    parent = Recipe(nearest=4, constrained=True)
    proposed = optimiser.propose([attempt(parent, leads=True)])
    assert proposed == parent.but(instructions="Say person or company.", edit="rewritten 1")
    (text,) = seen
    assert INSTRUCTIONS in text
    assert "Wanted: person" in text or "Wanted: company" in text
    assert "no label" in text
    history = [attempt(parent), attempt(proposed, leads=True)]
    assert optimiser.propose(history).edit == "rewritten 2"


def test_gepa_draws_its_parent_from_those_that_are_best_on_some_row() -> None:
    pytest.importorskip("gepa")
    good = [
        Attempt(Recipe(nearest=i), str(i), {"a": a, "b": b}, True, i == 0)
        for i, a, b in [(1, 1.0, 0.0), (2, 0.0, 1.0), (3, 0.0, 0.0)]
    ]
    stopped = Attempt(Recipe(nearest=9), "9", {"a": 1.0}, False, False)
    parents = set()
    for extra in range(12):
        padding = [attempt(Recipe(nearest=3), 0.0)] * extra
        found = gepa(lambda text: "```\nnew\n```").propose([*good, stopped, *padding])
        parents.add(found.nearest)
    assert parents == {1, 2}


@pytest.mark.parametrize("answer", [None, "", "``````"])
def test_a_reflection_that_says_nothing_proposes_nothing(answer) -> None:
    assert gepa(lambda text: answer).propose([attempt(Recipe(), leads=True)]) is None


def test_gepa_learns_nothing_from_right_answers() -> None:
    def right(recipe, rows):
        return [
            each.model_copy(update={"outcome": Scored(metrics={"accuracy": 1.0}, valid=True)})
            for each in wrong_answers(recipe, rows)
        ]

    assert gepa(lambda text: "x", right).propose([attempt(Recipe(), leads=True)]) is None


def test_gepa_without_a_reflection_model_is_refused() -> None:
    pytest.importorskip("gepa")
    with pytest.raises(TaskError, match=r"search\.reflection"):
        make_optimiser("gepa", workshop())
