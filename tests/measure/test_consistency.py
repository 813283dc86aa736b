"""Forms of the input keep its meaning, are the same each time, and cost one call each."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.engine.fake import FakeEngine
from trimtab.measure.bench import SAMPLING_TEMPERATURE
from trimtab.measure.consistency import (
    FORMS,
    MOST_SAMPLES,
    calls_for,
    copied,
    forms,
    layouts,
    reformed,
    samples,
    sizes,
)
from trimtab.prompt.styles import STYLES
from trimtab.types import Example, Message, OutputContract, Prompt

from .factories import LABELS, bench, close, examples, variant

pytestmark = pytest.mark.usefixtures("all_sizes")

JSON = OutputContract(kind="json", schema={"type": "object"})


def row(text: str, target: str = "person") -> Example:
    return Example(id="1", input=text, target=target)


@pytest.mark.parametrize(
    ("form", "text", "changed"),
    [
        ("case", "Main St", "main st"),
        ("case", "main st", "MAIN ST"),
        ("case", "12345", None),
        ("spaces", "a b", "a  b"),
        ("spaces", "alone", None),
        ("spaces", "  a", None),
        ("field order", '{"a": 1, "b": 2, "c": 3}', '{"c": 3, "a": 1, "b": 2}'),
        ("field order", '{"a": 1}', None),
        ("field order", "name: Ann\nage: 3", "age: 3\nname: Ann"),
        ("field order", "name: Ann\nlives here", None),
        ("field order", "[1, 2]", None),
        ("typing error", "12 a bc defg 99999", None),
        ("typing error", "abcde", {"acbde", "abdce"}),
    ],
)
def test_a_form_by_hand(form, text, changed) -> None:
    found = reformed(row(text), form, seed=0)
    if isinstance(changed, set):
        assert found.input in changed
    else:
        assert (found and found.input) == changed


def test_a_typing_error_spares_the_words_of_the_target() -> None:
    text = "Springfield Massachusetts"
    assert reformed(row(text, '{"city":"Springfield"}'), "typing error", 3).input.startswith(
        "Springfield "
    )
    assert reformed(row(text, "springfield massachusetts"), "typing error", 3) is None


@given(text=st.text(), seed=st.integers(0, 5), form=st.sampled_from(sorted(FORMS)))
def test_a_form_is_the_same_each_time_and_keeps_what_it_says_it_keeps(text, seed, form) -> None:
    found = reformed(row(text), form, seed)
    assert found == reformed(row(text), form, seed)
    if found is None:
        return
    assert found.input != text
    assert found.id != "1"
    assert found.target == "person"
    if form == "spaces":
        assert found.input.split() == text.split()
    if form == "typing error":
        assert sorted(found.input) == sorted(text)


@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=5))
def test_fields_in_another_order_are_the_same_fields(fields) -> None:
    found = reformed(row(json.dumps(fields)), "field order", 0)
    if found is not None:
        assert json.loads(found.input) == fields


def test_every_form_says_where_it_does_not_keep_the_meaning() -> None:
    assert all(form.not_where for form in FORMS.values())


def test_a_target_that_repeats_the_input_is_copied_and_a_label_never_is() -> None:
    address = row("12 Main St", '{"street":"Main"}')
    assert copied(address, JSON)
    assert not copied(row("12 Main St", '{"size":"big"}'), JSON)
    assert not copied(row("a company", "company"), LABELS)


def test_sizes_grow_in_rows_and_then_in_variations() -> None:
    assert sizes(40) == [(10, 2), (20, 2), (40, 2), (40, 3), (40, 5), (40, 9)]
    assert sizes(7) == [(7, 2), (7, 3), (7, 5), (7, 9)]
    assert sizes(1000)[-1] == (100, len(STYLES) - 1)
    assert calls_for((10, 2)) == 10 * (2 + 2 + 2)
    assert calls_for((10, 9)) == 10 * (MOST_SAMPLES + len(FORMS) + len(STYLES) - 1)
    calls = [calls_for(size) for size in sizes(1000)]
    assert calls == sorted(set(calls))


def test_a_size_asks_all_that_the_one_before_it_asked() -> None:
    for (rows, variations), (more_rows, more) in pairwise(sizes(1000)):
        assert rows <= more_rows
        assert variations <= more


class Asks(FakeEngine):
    """Keeps each last message and its temperature."""

    def __init__(self) -> None:
        super().__init__(lambda messages, decoding: "person")
        self.seen: list[tuple[str, float]] = []

    def generate(self, requests):
        self.seen += [(r.messages[-1].content, r.decoding.temperature) for r in requests]
        return super().generate(requests)


ROWS = [
    Example(id=str(i), input=f"Name {i} of Somebody", target=LABELS.labels[i % 2]) for i in range(6)
]


def test_samples_are_drawn_warm_and_no_more_than_five(tmp_path) -> None:
    engine = Asks()
    sitting = bench(tmp_path, engine)
    found = samples(sitting, variant(), ROWS, 9)
    assert list(found) == [f"sample {i}" for i in range(1, MOST_SAMPLES + 1)]
    assert all([r.example for r in records] == [r.id for r in ROWS] for records in found.values())
    assert {temperature for _, temperature in engine.seen} == {SAMPLING_TEMPERATURE}
    close(sitting)


def test_forms_are_asked_greedily_and_told_under_the_rows_own_ids(tmp_path) -> None:
    engine = Asks()
    sitting = bench(tmp_path, engine)
    found = forms(sitting, variant(), ROWS, 2, seed=0)
    assert list(found) == ["case", "spaces"]
    assert all([r.example for r in records] == [r.id for r in ROWS] for records in found.values())
    assert {temperature for _, temperature in engine.seen} == {0.0}
    assert {text for text, _ in engine.seen if text.islower()} == {r.input.lower() for r in ROWS}
    calls = len(engine.seen)
    assert forms(sitting, variant(), ROWS, 2, seed=0) == found
    assert len(engine.seen) == calls == 2 * len(ROWS)
    close(sitting)


def test_a_form_that_changes_few_rows_gives_way_to_the_next(tmp_path) -> None:
    sitting = bench(tmp_path, Asks())
    numbers = [row.model_copy(update={"input": f"{i} {i}"}) for i, row in enumerate(ROWS)]
    assert list(forms(sitting, variant(), numbers, 2, seed=0)) == ["spaces"]
    mixed = [*numbers[:2], *ROWS[2:]]
    found = forms(sitting, variant(), mixed, 1, seed=0)
    assert [r.example for r in found["case"]] == [r.id for r in ROWS[2:]]
    close(sitting)


def test_layouts_are_the_other_styles_and_none_of_an_own_prompt(tmp_path) -> None:
    sitting = bench(tmp_path, Asks())
    plain = variant()
    assert list(layouts(sitting, plain, examples(3), 2)) == list(STYLES)[1:3]
    turned = plain.model_copy(
        update={"prompt": plain.prompt.model_copy(update={"style": "labelled"})}
    )
    assert list(layouts(sitting, turned, examples(3), 1)) == ["plain"]
    own = Prompt(system="", template=(Message(role="user", content="{{ input }}"),))
    assert layouts(sitting, variant(prompt=own), examples(3), 2) == {}
    close(sitting)
