import json
import random
from collections import Counter
from pathlib import Path

import pytest

from trimtab.engine.fake import FakeEngine
from trimtab.errors import DataError
from trimtab.prompt.ask import to_requests
from trimtab.prompt.demonstrations import (
    MANY_SHOT,
    ORDERS,
    STRATEGIES,
    demonstration_sets,
    most_that_fit,
    ordered,
)
from trimtab.prompt.variants import static
from trimtab.prompt.wording import system_text
from trimtab.types import Completion, Message

from .factories import LABELS, TEXT, json_contract, row, task

WORDS = ("river", "stone", "cloud", "maple", "ember", "frost", "harbor", "meadow")
NAMES = [
    row(f"{first} {second} {i}", "company" if i % 10 == 0 else "person")
    for i, (first, second) in enumerate((a, b) for a in WORDS for b in WORDS)
]
FIELDS = json_contract({name: {"type": "string"} for name in "abcdef"})


def sets(rows, k, contract, seed=0):
    chosen = demonstration_sets(rows, k, contract, seed)
    return dict(zip(STRATEGIES, chosen, strict=True))


@pytest.mark.parametrize("k", [1, 4, 8])
def test_sets_are_distinct_rows_and_do_not_depend_on_the_order_of_the_file(k):
    first = demonstration_sets(NAMES, k, LABELS, seed=3)
    mixed = random.Random(0).sample(NAMES, len(NAMES))
    assert demonstration_sets(mixed, k, LABELS, seed=3) == first
    assert [len({example.id for example in chosen}) for chosen in first] == [k] * 3


def test_another_seed_gives_other_sets():
    assert demonstration_sets(NAMES, 4, LABELS, 1) != demonstration_sets(NAMES, 4, LABELS, 2)


def test_labels_are_balanced_where_rows_are_not():
    for k in (4, 8):
        labels = Counter(example.target for example in sets(NAMES, k, LABELS)["balanced"])
        assert labels == {"person": k // 2, "company": k // 2}


def test_a_label_with_too_few_rows_leaves_its_share_to_others():
    rows = [example for example in NAMES if example.target == "person"] + [row("one", "company")]
    labels = Counter(example.target for example in sets(rows, 5, LABELS)["balanced"])
    assert labels == {"person": 4, "company": 1}


def test_json_rows_cover_rare_fields():
    common = [row(f"common {i}", json.dumps({"a": "1", "b": "2"})) for i in range(90)]
    rare = [row(f"rare {name}", json.dumps({"a": "1", name: "3"})) for name in "cde"]
    seen = {
        name
        for example in sets(common + rare, 4, FIELDS)["balanced"]
        for name in json.loads(example.target)
    }
    assert seen == set("abcde")


def test_json_cover_starts_anew_once_all_fields_are_shown():
    rows = [row(f"all {i}", json.dumps(dict.fromkeys("abcdef", "1"))) for i in range(5)]
    poor = [row(f"poor {i}", json.dumps({"a": "1"})) for i in range(5)]
    targets = [example.target for example in sets(rows + poor, 3, FIELDS)["balanced"]]
    assert targets == [rows[0].target] * 3


def test_text_targets_spread_over_their_lengths():
    rows = [row(f"text {i:03}", "x" * (i + 1)) for i in range(100)]
    lengths = [len(example.target) for example in sets(rows, 4, TEXT)["balanced"]]
    assert all(25 * i < length <= 25 * (i + 1) for i, length in enumerate(lengths))


def test_diverse_rows_come_from_different_kinds_of_input():
    kinds = ("red apple pie", "quick fox jumps", "12345 67890")
    rows = [row(f"{kind} {chr(97 + i)}") for kind in kinds for i in range(20)]
    starts = {example.input.split()[0] for example in sets(rows, 3, LABELS)["diverse"]}
    assert starts == {"red", "quick", "12345"}


def test_an_input_without_words_is_not_chosen_again_and_again():
    rows = [row(text) for text in (" ", "oak elm", "elm oak", "fir yew", "ash oak")]
    for chosen in demonstration_sets(rows, 5, LABELS, seed=0):
        assert {example.id for example in chosen} == {example.id for example in rows}


def test_bad_targets_long_inputs_and_repeated_inputs_are_never_used():
    bad = [row(f"bad {i}", "robot") for i in range(30)]
    long = [row("long " * 50 + str(i)) for i in range(2)]
    twins = [row(example.input.upper(), "company") for example in NAMES]
    rows = NAMES[:40] + twins[:40] + bad + long
    for chosen in demonstration_sets(rows, 40, LABELS, seed=0):
        assert all(example.target in LABELS.labels for example in chosen)
        assert all(len(example.input) < 100 for example in chosen)
        assert len({example.input.casefold() for example in chosen}) == 40


@pytest.mark.parametrize("rows", [[], NAMES[:3], [row(f"bad {i}", "robot") for i in range(9)]])
def test_too_few_usable_rows_are_an_error_that_says_how_many(rows):
    with pytest.raises(DataError, match=rf"of {len(rows)} training rows"):
        demonstration_sets(rows, 4, LABELS, seed=0)


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_changes_no_demonstration(order):
    shown = ordered(NAMES[:8], order)
    assert sorted(each.id for each in shown) == sorted(each.id for each in NAMES[:8])


def test_easy_first_goes_from_short_to_long():
    lengths = [len(each.input + each.target) for each in ordered(NAMES, "easy-first")]
    assert lengths == sorted(lengths)
    assert lengths != lengths[::-1]


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="no order 'loud'"):
        ordered(NAMES, "loud")


class Room(FakeEngine):
    """An engine that knows its context; its tokens are words."""

    def __init__(self, context):
        super().__init__()
        self.context = context


@pytest.mark.parametrize("context", [0, 20, 37, 38, 100, 400])
def test_as_many_as_fit_whichever_they_are(context):
    rows = [row(" ".join(["word"] * (1 + i % 5)), "person") for i in range(40)]
    fits = most_that_fit(Room(context), "one two", rows, max_tokens=10)
    longest = sorted((len(each.input.split()) + 1 for each in rows), reverse=True)
    needed = 2 + 5 + 10
    assert needed + sum(longest[:fits]) <= context or fits == 0
    assert fits == len(rows) or needed + sum(longest[: fits + 1]) > context


def test_no_more_than_stated_and_no_more_than_there_are():
    assert most_that_fit(Room(10**6), "s", NAMES, 10) == min(MANY_SHOT, len(NAMES))
    assert most_that_fit(Room(10**6), "s", NAMES, 10, most=5) == 5
    assert most_that_fit(Room(10**6), "s", NAMES[:3], 10) == 3
    assert most_that_fit(Room(10**6), "s", [], 10) == 0


def test_an_unknown_context_is_taken_as_an_ordinary_one():
    rows = [row(" ".join(["word"] * 1000) + f" {i}") for i in range(20)]
    assert most_that_fit(Room(None), "s", rows, 10) == 7


def test_what_fits_is_answered_and_one_more_is_not(tiny_engine):
    rows = [row(f"{'John Smith and Sons ' * (1 + i % 3)}{i}") for i in range(60)]
    asked = task()
    fits = most_that_fit(tiny_engine, system_text(asked), rows, 8)
    assert 0 < fits < MANY_SHOT
    longest = sorted(rows, key=lambda each: tiny_engine.count_tokens(turns(each)), reverse=True)
    for shown, answered in ((longest[:fits], True), (longest[: fits + 1], False)):
        variant = static(asked, "m", shown, 8, "longest")
        text = row(f"{'John Smith and Sons ' * 3}99")
        (request,) = to_requests(variant, [text], None, LABELS, Path())
        ((_, answer),) = tiny_engine.generate([request])
        assert isinstance(answer, Completion) == answered


def turns(example):
    return (
        Message(role="user", content=example.input),
        Message(role="assistant", content=example.target),
    )
