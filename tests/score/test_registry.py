import pytest

from trimtab.errors import TaskError
from trimtab.score.base import Answered
from trimtab.score.registry import kind_scorer, scorer_for, scoring_files
from trimtab.task.spec import METRICS, NEEDS, Scoring, Task
from trimtab.types import OutputContract

from .judges import MODEL, judge

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
OUTPUTS = {
    "label": ({"kind": "label", "labels": ["yes", "no"]}, "yes", "maybe"),
    "json": ({"kind": "json", "schema": SCHEMA}, '{"city":"Ames"}', "{"),
    "text": ({"kind": "text"}, "5", " \n"),
}
SECTIONS = {
    "cost_score": {"costs": {}},
    "number": {"number": {}},
    "pattern": {"pattern": r"\d"},
    "chrf": {"chrf": True},
    "function": {"function": "scorer.py:judge"},
    "judge": {"judge": {"model": MODEL, "rubric": "right?", "reviews": "r.jsonl"}},
}


def task(kind, metric, scoring=None):
    return Task(
        name="t",
        instructions="Do.",
        data={"path": "rows.jsonl"},
        output=OUTPUTS[kind][0],
        metric=metric,
        scoring=scoring or {},
        goals={"quality": 0.9},
    )


@pytest.fixture
def folder(tmp_path):
    code = "def judge(answer, target, input):\n    return answer == target\n"
    (tmp_path / "scorer.py").write_text(code)
    (tmp_path / "r.jsonl").write_text("{}\n")
    return tmp_path


def test_every_metric_that_needs_a_section_is_tried_here():
    assert set(SECTIONS) == set(NEEDS)


@pytest.mark.parametrize(
    ("kind", "metric"), [(kind, metric) for kind in METRICS for metric in METRICS[kind]]
)
def test_every_metric_of_the_task_file_is_in_right_and_in_invalid_results(
    kind, metric, built_ins, folder
):
    if metric == "chrf":
        pytest.importorskip("sacrebleu")
    _, right, invalid = OUTPUTS[kind]
    asked = task(kind, metric, SECTIONS.get(metric))
    scorer = scorer_for(asked, folder, judge(folder, lambda *_: "Grade: 5"))
    scored, broken = scorer.score_rows([Answered("q", right, right), Answered("q", right, invalid)])
    assert scored.valid
    assert scored.metrics[metric] == pytest.approx(1)
    assert not broken.valid
    assert broken.problem
    assert broken.metrics == dict.fromkeys(scored.metrics, 0.0)


def test_all_that_is_asked_for_is_measured_whichever_metric_decides(built_ins, folder):
    sections = SECTIONS["function"] | SECTIONS["judge"] | SECTIONS["cost_score"]
    scorer = scorer_for(
        task("label", "accuracy", sections), folder, judge(folder, lambda *_: "Grade: 5")
    )
    (scored,) = scorer.score_rows([Answered("q", "yes", "no")])
    assert scored.metrics == {"accuracy": 0, "cost_score": 0, "function": 0, "judge": 1}


def test_a_section_that_does_not_fit_is_refused_also_outside_the_file(built_ins, folder):
    with pytest.raises(TaskError, match=r"^metric: .*scoring\.costs"):
        scorer_for(task("label", "cost_score"), folder)


def test_files_that_scores_rest_on_are_hashed(folder):
    asked = task("label", "function", SECTIONS["function"] | SECTIONS["judge"])
    before = scoring_files(asked, folder)
    assert set(before) == {"scoring.function", "scoring.judge.reviews"}
    assert scoring_files(asked, folder) == before
    (folder / "scorer.py").write_text("def judge(answer, target, input):\n    return 1\n")
    after = scoring_files(asked, folder)
    assert after["scoring.function"] != before["scoring.function"]
    assert after["scoring.judge.reviews"] == before["scoring.judge.reviews"]
    (folder / "r.jsonl").unlink()
    with pytest.raises(TaskError, match=r"scoring\.judge\.reviews: .*r\.jsonl cannot be read"):
        scoring_files(asked, folder)
    assert scoring_files(task("label", "accuracy"), folder) == {}


CONTRACTS = {kind: OutputContract.model_validate(output[0]) for kind, output in OUTPUTS.items()}


def test_a_kind_without_scorer_names_the_installed_ones(registered):
    registered("trimtab", {"label": "trimtab.score.label:from_contract"})
    with pytest.raises(TaskError, match=r"no scorer .* 'text' \(installed: .*label"):
        kind_scorer(CONTRACTS["text"], Scoring())


def test_two_scorers_for_one_kind_are_refused(built_ins, registered):
    registered("other", {"text": "trimtab.score.label:from_contract"})
    with pytest.raises(TaskError, match="several scorers claim 'text'"):
        kind_scorer(CONTRACTS["text"], Scoring())


def test_a_scorer_that_cannot_be_loaded_is_named(registered):
    registered("trimtab", {"text": "no_such_module:nothing"})
    with pytest.raises(TaskError, match="no_such_module:nothing"):
        kind_scorer(CONTRACTS["text"], Scoring())
