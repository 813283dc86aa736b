import pytest

from trimtab.prompt import variants
from trimtab.prompt.wording import FORMATS, formats_of, short_text, system_text
from trimtab.types import Message, Prompt

from .factories import ADAPTER, TEXT, row, task

ROWS = [row(f"{name} Smith") for name in ("Ann", "Bob", "Cid", "Dot")]
TASK = task()
ZERO = variants.zero_shot(TASK, "m", 16)
STATIC = variants.static(TASK, "m", [ROWS[2], ROWS[0], row("A")], 16, "diverse")
NEAREST = variants.nearest(TASK, "m", 2, 16)
ALL = (
    ZERO,
    STATIC,
    NEAREST,
    variants.constrained(NEAREST),
    variants.tuned(TASK, "m", ADAPTER, 16),
    variants.reasoning(NEAREST),
    variants.retrying(NEAREST),
    variants.retrying(NEAREST, 1),
    variants.worded(NEAREST, TASK, "schema"),
    variants.reordered(NEAREST, "nearest-first"),
    variants.reordered(STATIC, "reversed"),
)
OWN = ZERO.model_copy(
    update={"prompt": Prompt(system="", template=(Message(role="user", content="{{ input }}"),))}
)


def test_names_and_arms():
    assert [(variant.name, variant.arm) for variant in ALL] == [
        ("zero-shot", "prompt"),
        ("3 chosen demonstrations (diverse)", "prompt"),
        ("2 nearest demonstrations", "prompt"),
        ("2 nearest demonstrations, constrained", "prompt"),
        ("fine-tune on 400 rows", "fine-tune"),
        ("2 nearest demonstrations, thinking first", "prompt"),
        ("2 nearest demonstrations, 2 retries", "prompt"),
        ("2 nearest demonstrations, 1 retry", "prompt"),
        ("2 nearest demonstrations, format schema", "prompt"),
        ("2 nearest demonstrations, nearest-first", "prompt"),
        ("3 chosen demonstrations (diverse), reversed", "prompt"),
    ]
    assert len({variant.id for variant in ALL}) == len(ALL)


def test_the_prompt_arm_gets_the_full_text_and_the_tuned_model_the_short_one():
    assert {variant.prompt.system for variant in ALL[:4]} == {system_text(TASK)}
    assert ALL[4].prompt == variants.tuned_prompt(TASK)
    assert ALL[4].prompt.system == short_text(TASK)


def test_a_fine_tune_takes_the_searched_instructions_without_demonstrations():
    worded = variants.worded(variants.reordered(NEAREST, "nearest-first"), TASK, "schema")
    found = variants.searched_prompt(TASK, variants.constrained(worded))
    assert found == Prompt(system=system_text(TASK, "schema"))
    tuned = variants.tuned(TASK, "m", ADAPTER, 16, found)
    assert tuned.prompt == found
    assert tuned.name == "fine-tune on 400 rows, searched instructions"
    assert tuned.id != ALL[4].id
    assert variants.searched_prompt(TASK, OWN) == OWN.prompt


@pytest.mark.parametrize("best", [ZERO, STATIC, NEAREST, ALL[3], ALL[4]])
def test_the_tasks_own_instructions_were_not_searched(best):
    assert variants.searched_prompt(TASK, best) is None


@pytest.mark.parametrize(
    ("changed", "field", "value"),
    [
        (variants.constrained(NEAREST), "constrained", True),
        (variants.reasoning(NEAREST), "reason", True),
        (variants.retrying(NEAREST, 3), "retries", 3),
    ],
)
def test_each_way_to_answer_changes_nothing_else(changed, field, value):
    assert getattr(changed, field) == value
    before = getattr(NEAREST, field)
    assert changed.model_copy(update={"name": NEAREST.name, field: before}) == NEAREST


@pytest.mark.parametrize("name", FORMATS)
def test_worded_changes_the_system_text_alone(name):
    variant = variants.worded(STATIC, TASK, name, ROWS[1])
    assert variant.prompt.system == system_text(TASK, name, ROWS[1])
    assert variant.prompt.demonstrations == STATIC.prompt.demonstrations


def test_words_are_the_default_and_the_formats_differ():
    texts = {name: system_text(TASK, name, ROWS[1]) for name in formats_of(TASK.output)}
    assert texts["words"] == system_text(TASK)
    assert len(set(texts.values())) == 4
    assert formats_of(TEXT) == ("words", "example")


def test_a_prompt_of_the_users_own_is_kept_as_written():
    with pytest.raises(ValueError, match="kept as written"):
        variants.worded(OWN, TASK, "schema")
    assert variants.orders_of(OWN) == ()


@pytest.mark.parametrize(
    ("order", "shown"),
    [
        ("chosen", ["Cid Smith", "Ann Smith", "A"]),
        ("reversed", ["A", "Ann Smith", "Cid Smith"]),
        ("easy-first", ["A", "Cid Smith", "Ann Smith"]),
    ],
)
def test_fixed_demonstrations_in_each_order(order, shown):
    assert order in variants.orders_of(STATIC)
    variant = variants.reordered(STATIC, order)
    assert [each.input for each in variant.prompt.demonstrations] == shown
    assert (variant.id == STATIC.id) == (order == "chosen")


def test_the_nearest_come_last_or_first():
    first, second = (variants.reordered(NEAREST, each) for each in variants.orders_of(NEAREST))
    assert first.id == NEAREST.id
    assert second.prompt.nearest_first
    assert not NEAREST.prompt.nearest_first


@pytest.mark.parametrize(("variant", "order"), [(ZERO, "chosen"), (NEAREST, "reversed")])
def test_an_order_that_is_not_there_is_refused(variant, order):
    with pytest.raises(ValueError, match="no order"):
        variants.reordered(variant, order)
