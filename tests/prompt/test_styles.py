"""All styles of a prompt say the same: each text stands in it once, unchanged and in its order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.prompt import variants
from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.render import render, render_bare, render_with_target, shared_messages
from trimtab.prompt.styles import STYLES, styled, styles_of
from trimtab.types import Message, Prompt

from .factories import row, task

ROWS = [row(f"{name} {kind}") for name in ("Ann", "Bob", "Cid") for kind in ("Ltd", "Smith")]
POOL = NearestPool(ROWS)
FIXED = Prompt(system="Whose name?", demonstrations=tuple(ROWS[:3]))
ZERO = variants.zero_shot(task(), "m", 16)
OWN = ZERO.model_copy(
    update={
        "prompt": Prompt(system="", template=(Message(role="user", content="Name: {{ input }}"),))
    }
)

EVERY = pytest.mark.parametrize("style", STYLES)
prompts = st.builds(
    Prompt,
    system=st.just("Whose name?"),
    demonstrations=st.lists(st.sampled_from(ROWS), max_size=4, unique=True).map(tuple),
    nearest=st.integers(0, 3),
    nearest_first=st.booleans(),
)


def text_of(messages):
    return "\n".join(message.content for message in messages)


def test_there_are_ten_and_the_default_is_the_first():
    assert len(STYLES) == 10
    assert next(iter(STYLES)) == Prompt(system="").style
    layouts = {render(FIXED.model_copy(update={"style": name}), "Zoë", None) for name in STYLES}
    assert len(layouts) == 10


@EVERY
@given(prompt=prompts)
def test_every_text_stands_in_it_once_and_in_the_plain_order(style, prompt):
    plain = render(prompt, "Zoë Fox", POOL)
    shown = render(prompt.model_copy(update={"style": style}), "Zoë Fox", POOL)
    whole = text_of(shown)
    at = -1
    for message in plain:
        # Answers repeat, so they are looked for after the input that they belong to.
        found = whole.index(message.content, at + 1)
        if message.role != "assistant":
            assert whole.count(message.content) == 1
        assert found > at
        at = found
    asked = [m for m in plain if m.role == "user"]
    assert sum(whole.count(m.content) for m in asked) == len(asked)
    assert whole.count("person") == len(asked) - 1
    assert shown[-1].role == "user"
    assert "Zoë Fox" in shown[-1].content


@EVERY
def test_turns_alternate_and_only_the_first_message_is_the_systems(style):
    prompt = FIXED.model_copy(update={"style": style, "nearest": 2})
    roles = [message.role for message in render(prompt, "Zoë", POOL)]
    if roles[0] == "system":
        roles = roles[1:]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


@EVERY
@given(left=st.text(max_size=8), right=st.text(max_size=8))
def test_shared_messages_do_not_depend_on_the_input(style, left, right):
    prompt = FIXED.model_copy(update={"style": style})
    shared = shared_messages(prompt)
    a, b = (render(prompt, text, None) for text in (left, right))
    assert a[:shared] == b[:shared]
    assert len(a) > shared


@EVERY
def test_training_sees_what_inference_sees(style):
    prompt = FIXED.model_copy(update={"style": style})
    trained = render_with_target(prompt, ROWS[4], POOL)
    assert trained[:-1] == render(prompt, ROWS[4].input, POOL)
    assert trained[-1] == Message(role="assistant", content=ROWS[4].target)


@EVERY
def test_the_bare_prompt_is_the_prompt_without_its_input(style):
    prompt = FIXED.model_copy(update={"style": style, "nearest": 2})
    full, bare = (text_of(each(prompt, "Zoë Fox", POOL)) for each in (render, render_bare))
    assert bare == full.replace("Zoë Fox", "")


def test_styled_names_the_style_and_plain_is_what_it_was():
    labelled = styled(ZERO, "labelled")
    assert labelled.name == "zero-shot, labelled style"
    assert labelled.id != ZERO.id
    assert styled(labelled, "plain") == ZERO
    assert styled(styled(ZERO, "lines"), "labelled") == labelled
    assert len({styled(ZERO, name).id for name in STYLES}) == 10


def test_a_style_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"no style 'loud'.*plain, labelled"):
        styled(ZERO, "loud")


def test_a_prompt_of_the_users_own_stays_as_it_is():
    assert styles_of(OWN) == ("plain",)
    assert styled(OWN, "plain").id == OWN.id
    with pytest.raises(ValueError, match="no style 'labelled'"):
        styled(OWN, "labelled")


def test_no_layout_ends_in_a_line_break_that_templates_would_drop():
    assert not any(style.question("x").endswith("\n") for style in STYLES.values())
