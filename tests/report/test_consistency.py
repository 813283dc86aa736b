"""Consistency in words: what was measured, source by source, and what was not."""

from trimtab.report import consistency, values
from trimtab.report.html import render_html

from . import decisions

FOUND = decisions.consistency()


def test_the_sentence_names_rows_sources_and_the_difference():
    told = consistency.told(FOUND).replace(values.SPACE, " ")
    assert "on 30 of 64 dev rows: sampled answers (2), other forms of the input (2)" in told
    assert "differs by +0.15 [+0.08, +0.22], fine-tune minus prompt" in told
    alone = FOUND.model_copy(update={"arms": FOUND.arms[:1], "difference": None})
    assert consistency.told(alone).startswith("8 nearest demonstrations, constrained was asked")


def test_each_source_is_a_row_and_what_was_not_measured_says_so():
    rows = {row.label: row for row in consistency.kept_rows(FOUND)}
    assert list(rows) == [
        "Sampled answers",
        "Other forms of the input",
        "Other layouts of the prompt",
        "All compared",
    ]
    assert rows["All compared"].fine_tune.startswith("0.86 ")
    alone = FOUND.model_copy(update={"arms": FOUND.arms[:1]})
    assert all(row.fine_tune == values.UNMEASURED for row in consistency.kept_rows(alone))


def test_scores_without_a_meaning_are_not_measured():
    rows = {row.label: row for row in consistency.score_rows(FOUND)}
    assert rows["Other forms of the input: lowest mean score"].prompt == values.UNMEASURED
    assert rows["Other layouts of the prompt: lowest mean score"].prompt == "0.56"
    assert rows["Each row's lowest score, mean"].prompt == "0.41"


def test_movers_are_standard_deviations():
    rows = {row.label: row.prompt for row in consistency.mover_rows(FOUND)}
    assert rows == {
        "Rows": "0.30",
        "Sampled answers": "0.10",
        "Other layouts of the prompt": "0.06",
    }


def test_single_variations_leave_out_samples():
    labels = [row.label for row in consistency.variation_rows(FOUND)]
    assert "Other forms of the input: case" in labels
    assert not any(label.startswith("Sampled") for label in labels)


def test_the_report_shows_it_or_says_that_it_was_not_measured():
    assert "What moves the score of one answer" in render_html(decisions.complete())
    page = render_html(decisions.sparse())
    assert "no finalist was asked again" in page
