"""A prompt outside Trimtab, filled by Jinja alone, is the prompt that was measured."""

import json

import jinja2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.prompt.export import EXPORTS, as_jinja, as_messages, as_text
from trimtab.prompt.nearest import NearestPool, same_input_key
from trimtab.prompt.own import own_prompts
from trimtab.prompt.render import render
from trimtab.prompt.styles import STYLES
from trimtab.types import Message, Prompt

from .factories import row, task

TRICKY = [
    "{",
    "{{",
    "{{ input }}",
    "{% if x %}",
    "{# hm",
    "}}",
    "\r\n",
    "\n",
    "\n### user\n",
    "\\",
    '"',
]
texts = st.lists(st.sampled_from(TRICKY) | st.text(max_size=4), max_size=4).map("".join)
rows = st.builds(row, texts, texts)
prompts = st.builds(
    Prompt,
    system=texts,
    demonstrations=st.lists(rows, max_size=3, unique_by=lambda r: same_input_key(r.input)).map(
        tuple
    ),
    nearest=st.integers(0, 3),
    nearest_first=st.booleans(),
    style=st.sampled_from(list(STYLES)),
)
pools = st.lists(rows, min_size=1, max_size=5, unique_by=lambda r: r.id).map(NearestPool)


def transcript(messages):
    return "".join(f"### {each.role}\n{each.content}\n" for each in messages)


def retrieved(prompt, text, pool):
    """What fills `demonstrations`: what the prompt shows without the fixed ones."""
    shown = render(prompt.model_copy(update={"style": "plain"}), text, pool)[1:-1]
    pairs = [(shown[i].content, shown[i + 1].content) for i in range(0, len(shown), 2)]
    return [{"input": i, "output": o} for i, o in pairs[len(prompt.demonstrations) :]]


def filled(template, prompt, text, pool):
    return jinja2.Template(template).render(
        input=text, demonstrations=retrieved(prompt, text, pool)
    )


@given(prompt=prompts, text=texts, pool=pools)
def test_every_export_gives_the_measured_messages(prompt, text, pool):
    assume(same_input_key(text) not in {same_input_key(d.input) for d in prompt.demonstrations})
    measured = render(prompt, text, pool)
    sent = json.loads(filled(as_jinja(prompt), prompt, text, pool))
    assert [Message.model_validate(each) for each in sent] == list(measured)
    assert filled(as_text(prompt), prompt, text, pool) + "\n" == transcript(measured)
    if prompt.nearest and STYLES[prompt.style].turns:
        return
    items = json.loads(as_messages(prompt))
    contents = [
        jinja2.Template(each["content"]).render(
            input=text, demonstrations=retrieved(prompt, text, pool)
        )
        for each in items
    ]
    assert contents == [message.content for message in measured]
    assert [each["role"] for each in items] == [message.role for message in measured]


@pytest.mark.parametrize(("to", "name"), [("messages", "a.json"), ("text", "a.txt")])
@given(
    prompt=prompts.map(lambda prompt: prompt.model_copy(update={"nearest": 0})),
    text=texts,
)
def test_an_export_can_be_read_back_as_a_prompt_of_ones_own(
    tmp_path_factory, to, name, prompt, text
):
    assume(same_input_key(text) not in {same_input_key(d.input) for d in prompt.demonstrations})
    folder = tmp_path_factory.mktemp("own")
    (folder / name).write_bytes(EXPORTS[to](prompt).encode())
    (own,) = own_prompts(folder, task(search={"prompts": [name]}))
    assert render(own, text, None) == render(prompt, text, None)


@given(contents=st.lists(texts, min_size=1, max_size=3), text=texts)
def test_a_prompt_of_the_users_own_is_exported_as_it_is(contents, text):
    literal = [each.replace("{", "(").replace("\r", "") for each in contents]
    template = tuple(Message(role="user", content=f"{each}{{{{ input }}}}") for each in literal)
    prompt = Prompt(system="", template=template)
    measured = render(prompt, text, None)
    sent = json.loads(jinja2.Template(as_jinja(prompt)).render(input=text))
    assert [each["content"] for each in sent] == [each.content for each in measured]
    assert jinja2.Template(as_text(prompt)).render(input=text) + "\n" == transcript(measured)


@pytest.mark.parametrize("style", [name for name in STYLES if STYLES[name].turns])
def test_a_fixed_list_cannot_show_other_messages_for_each_input(style):
    with pytest.raises(InputError, match="--to jinja or --to text"):
        as_messages(Prompt(system="s", nearest=2, style=style))


def test_a_template_reads_as_the_prompt_does():
    prompt = Prompt(system="Whose name?", demonstrations=(row("Ann Ltd", "company"),), nearest=2)
    assert as_text(prompt) == (
        "### system\nWhose name?\n### user\nAnn Ltd\n### assistant\ncompany\n"
        "{% for demonstration in demonstrations -%}\n"
        "### user\n{{ demonstration.input }}\n### assistant\n{{ demonstration.output }}\n"
        "{% endfor -%}\n"
        "### user\n{{ input }}\n"
    )
