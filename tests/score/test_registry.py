import pytest

from trimtab.errors import TaskError
from trimtab.score.registry import scorer_for
from trimtab.task.spec import METRICS
from trimtab.types import OutputContract

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CONTRACTS = {
    "label": (OutputContract(kind="label", labels=("yes", "no")), "yes", "maybe"),
    "json": (OutputContract(kind="json", schema=SCHEMA), '{"city":"Ames"}', "{"),
    "text": (OutputContract(kind="text"), "Ames", " \n"),
}


@pytest.mark.parametrize(
    ("kind", "metric"), [(kind, metric) for kind in METRICS for metric in METRICS[kind]]
)
def test_every_metric_of_the_task_file_is_in_right_and_in_invalid_results(kind, metric, built_ins):
    contract, right, invalid = CONTRACTS[kind]
    scorer = scorer_for(contract, metric)
    scored = scorer(right, right)
    assert scored.valid
    assert scored.metrics[metric] == 1
    broken = scorer(invalid, right)
    assert not broken.valid
    assert broken.problem
    assert broken.metrics == dict.fromkeys(scored.metrics, 0.0)


def test_a_metric_of_another_kind_is_refused_with_the_fitting_ones(built_ins):
    with pytest.raises(TaskError, match="field_f1, exact"):
        scorer_for(CONTRACTS["json"][0], "accuracy")


def test_a_kind_without_scorer_names_the_installed_ones(registered):
    registered("trimtab", {"label": "trimtab.score.label:from_contract"})
    with pytest.raises(TaskError, match=r"no scorer .* 'text' \(installed: .*label"):
        scorer_for(CONTRACTS["text"][0], "exact")


def test_two_scorers_for_one_kind_are_refused(built_ins, registered):
    registered("other", {"text": "trimtab.score.label:from_contract"})
    with pytest.raises(TaskError, match="several scorers claim 'text'"):
        scorer_for(CONTRACTS["text"][0], "exact")


def test_a_scorer_that_cannot_be_loaded_is_named(registered):
    registered("trimtab", {"text": "no_such_module:nothing"})
    with pytest.raises(TaskError, match="no_such_module:nothing"):
        scorer_for(CONTRACTS["text"][0], "exact")
