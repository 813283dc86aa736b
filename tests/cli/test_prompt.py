"""`trimtab prompt` writes the prompt of a finished run."""

from __future__ import annotations

import json

import jinja2
import pytest

from decisions import write_task
from trimtab import pipeline
from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.render import render
from trimtab.task.open import open_task


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        return pipeline.decide(write_task(root / "task"))


def variant_of(decided, variant_id):
    return next(v for v in decided.decision.variants if v.id == variant_id)


def test_the_winners_prompt_filled_is_what_the_winner_was_asked(trimtab, decided) -> None:
    ended = trimtab("prompt", decided.folder)
    assert ended.code == 0
    winner = variant_of(decided, decided.decision.verdict.winner)
    assert winner.id in ended.err
    pool = NearestPool(open_task(decided.folder.parents[1]).split.train)
    found = render(winner.prompt.model_copy(update={"style": "plain"}), "Anna 007 Ltd", pool)[1:-1]
    pairs = [(found[i].content, found[i + 1].content) for i in range(0, len(found), 2)]
    fixed = len(winner.prompt.demonstrations)
    shown = [{"input": i, "output": o} for i, o in pairs[fixed:]]
    text = jinja2.Template(ended.out).render(input="Anna 007 Ltd", demonstrations=shown)
    measured = render(winner.prompt, "Anna 007 Ltd", pool)
    assert json.loads(text) == [message.model_dump() for message in measured]


def test_another_variant_and_form_are_taken_by_name(trimtab, decided) -> None:
    zero = next(v for v in decided.decision.variants if v.name == "zero-shot")
    ended = trimtab("prompt", decided.folder, "--variant", zero.id, "--to", "messages")
    assert ended.code == 0
    assert [each["role"] for each in json.loads(ended.out)] == ["system", "user"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [(("--to", "yaml"), "messages, text, jinja"), (("--variant", "0"), "has no variant 0")],
)
def test_what_is_not_there_is_refused(trimtab, decided, arguments, problem) -> None:
    ended = trimtab("prompt", decided.folder, *arguments)
    assert ended.code == 2
    assert problem in ended.err
    assert ended.out == ""


def test_prompts_of_ones_own_are_ranked_and_a_changed_one_starts_a_new_run(tmp_path) -> None:
    search = {"demonstrations": [2], "prompts": ["own.txt"]}
    folder = write_task(tmp_path / "task", search=search)
    (folder / "own.txt").write_text("Person or company?\n{{ input }}\n")
    first = pipeline.decide(folder)
    names = [variant.name for variant in first.decision.variants]
    assert any("own prompt own.txt" in name for name in names)
    assert pipeline.decide(folder).folder == first.folder
    (folder / "own.txt").write_text("Company or person?\n{{ input }}\n")
    second = pipeline.decide(folder)
    assert second.folder != first.folder
    assert "own prompts" in second.why


def test_a_bad_prompt_file_is_refused_before_any_call(trimtab, tmp_path) -> None:
    folder = write_task(tmp_path / "task", search={"demonstrations": [2], "prompts": ["own.txt"]})
    (folder / "own.txt").write_text("Person or company?\n{{ name }}\n")
    ended = trimtab("decide", folder)
    assert ended.code == 2
    assert "own.txt:2: unknown placeholder 'name'" in ended.err
    assert not (folder / "runs").exists()
