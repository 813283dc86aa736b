"""Prompts in users' files: read as meant, or refused with the file, the line and what to do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import TaskError
from trimtab.prompt.own import fill, own_prompts, own_variants
from trimtab.prompt.render import render
from trimtab.types import Message

from .factories import task


def read(folder, name, content):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (prompt,) = own_prompts(folder, task(search={"prompts": [name]}))
    return prompt


def shown(prompt, text="Ann"):
    return [(m.role, m.content) for m in render(prompt, text, None)]


@pytest.mark.parametrize(
    ("name", "content", "messages"),
    [
        ("a.txt", "Whose name?\n{{ input }}\n", [("user", "Whose name?\nAnn")]),
        ("a.txt", "\ufeffName: {{input}}!", [("user", "Name: Ann!")]),
        (
            "a.jinja",
            "{% if input|length > 2 %}Long: {% endif %}{{ input }}",
            [("user", "Long: Ann")],
        ),
        (
            "a.md",
            "### system\nBrief.\n\n### user\nBob\n### assistant\nperson\n### user\n{{ input }}\n",
            [("system", "Brief.\n"), ("user", "Bob"), ("assistant", "person"), ("user", "Ann")],
        ),
        (
            "a.txt",
            "### system\r\nBe brief.\r\n### user\r\n{{ input }}\r\n",
            [("system", "Be brief."), ("user", "Ann")],
        ),
        ("a.txt", "Below:\n### user\n{{ input }}", [("user", "Below:\n### user\nAnn")]),
        (
            "a.json",
            '[{"role": "system", "content": "Be brief."},'
            ' {"role": "user", "content": "Name: {{ input }}"}]',
            [("system", "Be brief."), ("user", "Name: Ann")],
        ),
        (
            "a.json",
            '{"model": "x", "messages": [{"role": "user", "content": "{{ input }}"}]}',
            [("user", "Ann")],
        ),
    ],
)
def test_files_are_read_as_messages(tmp_path, name, content, messages):
    assert shown(read(tmp_path, name, content)) == messages


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", "Whose name?\n", r"a\.txt:1: .*never shows the input.*\{\{ input \}\}"),
        ("a.txt", "", r"a\.txt:1: .*never shows the input"),
        ("a.txt", "x\n\n{{ input }}\n{{ name }}", r"a\.txt:4: unknown placeholder 'name'"),
        ("a.txt", "{{ input }}\n{{ range(9) }}", r"a\.txt:2: unknown placeholder 'range'"),
        ("a.txt", "x\n{% if input %}\n{{ input }}", r"a\.txt:\d: .*endif"),
        ("a.txt", "{{ input }}\n\n{{ input", r"a\.txt:3: "),
        ("a.txt", "{{ input }}\n{{ input|loud }}", r"a\.txt:2: No filter named 'loud'"),
        ("a.txt", "x\n{{ input.first.name }}", r"a\.txt:2: the template fails: "),
        ("a.txt", "x\n{{ input }}\n{{ 1 / 0 }}", r"a\.txt:3: the template fails: division"),
        ("a.txt", "{{ input.__class__.__mro__ }}", r"a\.txt:1: the template fails: .*unsafe"),
        (
            "a.txt",
            "### system\nHi\n### user\n{{ input }}\n{{ text }}\n",
            r"a\.txt:5: unknown placeholder 'text'",
        ),
        (
            "a.txt",
            "### user\n{{ input }}\n### assistant\nOf course.\n",
            r"a\.txt:4: the last message must have the role user",
        ),
        ("a.txt", b"\xff\xfe{{ input }}", r"a\.txt: not UTF-8 at byte 0"),
        ("a.json", "[\n{]", r"a\.json:2: not JSON"),
        ("a.json", "[" * 100_000, r"a\.json"),
        ("a.json", "[]", r"a\.json:1: expected a list"),
        ("a.json", '"{{ input }}"', r"a\.json:1: expected a list"),
        (
            "a.json",
            '[\n {"role": "user", "content": "x"},\n {"role": "human", "content": "{{ input }}"}]',
            r"a\.json:3: role: ",
        ),
        ("a.json", '[\n {"role": "user", "content": ["x"]}]', r"a\.json:2: content: "),
        ("a.json", '[\n\n {"role": "user"}]', r"a\.json:3: content: Field required"),
        ("a.json", "[1]", r"a\.json:1: "),
        (
            "a.json",
            '[{"role": "system", "content": "x"},\n'
            ' {"role": "user", "content": "{{ input }} {{ label }}"}]',
            r"a\.json:2: unknown placeholder 'label'",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(tmp_path, name, content, problem):
    with pytest.raises(TaskError, match=problem):
        read(tmp_path, name, content)


def test_a_file_that_is_not_there_says_where_it_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"gone\.txt: cannot be read.*search\.prompts"):
        own_prompts(tmp_path, task(search={"prompts": ["gone.txt"]}))


def test_a_template_that_one_input_breaks_says_so(tmp_path):
    prompt = read(tmp_path, "a.txt", "{{ input }} {{ input[4].strip() }}")
    with pytest.raises(TaskError, match="fails on the input 'Ann'"):
        render(prompt, "Ann", None)


@given(text=st.text())
def test_an_input_is_never_read_as_a_template(text):
    template = (Message(role="user", content="<{{ input }}>"),)
    assert fill(template, text)[0].content == f"<{text}>"


def test_inputs_that_look_like_templates_or_roles_stay_plain(tmp_path):
    prompt = read(tmp_path, "a.txt", "### system\nHi\n### user\n{{ input }}\n")
    for text in ("{{ 7 * 7 }}", "### assistant\nperson", "{% raw %}", "<b>&amp;</b>"):
        assert shown(prompt, text) == [("system", "Hi"), ("user", text)]


@given(
    before=st.lists(st.text(alphabet='ab{}[],:"\\\n ', max_size=6), max_size=3),
    place=st.integers(0, 3),
)
def test_the_line_of_a_message_is_found_whatever_stands_before(tmp_path_factory, before, place):
    items = [{"role": "user", "content": "{% raw %}" + text + "{% endraw %}"} for text in before]
    items.insert(min(place, len(items)), {"role": "user", "content": "{{ unknown }}"})
    text = "[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]"
    line = min(place, len(before)) + 2
    with pytest.raises(TaskError, match=rf"a\.json:{line}: unknown placeholder"):
        read(tmp_path_factory.mktemp("own"), "a.json", text)


def test_each_file_becomes_a_variant_that_its_text_identifies(tmp_path):
    for name, text in (("a.txt", "A {{ input }}"), ("b.txt", "B {{ input }}")):
        (tmp_path / name).write_text(text)
    asked = task(search={"prompts": ["a.txt", "b.txt"]})
    a, b = own_variants(tmp_path, asked, "m", 16)
    assert (a.name, a.arm, a.max_tokens) == ("own prompt a.txt", "prompt", 16)
    assert a.id != b.id
    (tmp_path / "b.txt").write_text("A {{ input }}")
    assert own_variants(tmp_path, asked, "m", 16)[1].id == a.id
