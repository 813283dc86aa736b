"""Label tables, the judge and its preference in the report."""

from __future__ import annotations

from trimtab.report import view
from trimtab.report.html import render_html
from trimtab.report.labels import label_rows
from trimtab.types import Comparison, Interval, JudgeAgreement, LabelTable

from .decisions import complete, interval

TABLE = LabelTable(
    labels=("<b>urgent</b>", "routine", "spam", "other", "never"),
    counts=(
        (5, 4, 1, 3, 0, 2),
        (0, 9, 0, 0, 0, 0),
        (1, 1, 1, 1, 0, 0),
        (0, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 0),
    ),
    f1=(0.5, 0.9, 0.3, 0.0, None),
    macro_f1=interval(0.425, 0.1),
)


def judged():
    decision = complete()
    prompt = decision.prompt.model_copy(update={"label_table": TABLE})
    kappa = Interval(estimate=0.123, low=-0.01, high=0.25, n=47, method="test")
    preference = Comparison(
        a="a",
        b="b",
        metric="judge's preference",
        n=97,
        difference=interval(0.11, 0.05),
        test="exact McNemar",
        p_value=0.02,
        smallest_detectable=None,
        wins=31,
        losses=20,
        ties=46,
        failures_a=0,
        failures_b=0,
    )
    return decision.model_copy(
        update={
            "prompt": prompt,
            "judge": JudgeAgreement(model="fake:judge", kappa=kappa, equal=0.3, lost=7),
            "preference": preference,
        }
    )


def test_each_label_has_its_most_frequent_mistakes():
    urgent, routine, spam, _, never = label_rows(TABLE)
    assert (urgent.rows, urgent.right) == (15, 5)
    assert urgent.taken_for == "routine 4, other 3, no label 2, others 1"
    assert routine.taken_for == ""
    assert spam.taken_for == "<b>urgent</b> 1, routine 1, other 1"
    assert (never.rows, never.right, never.f1) == (0, 0, None)


def test_the_page_shows_labels_kappa_and_preference():
    page = render_html(judged())
    assert "&lt;b&gt;urgent&lt;/b&gt;" in page and "<b>urgent</b>" not in page
    assert "0.12 [−0.01,\u00a00.25]" in page
    assert "31 of\n  97 rows" in page
    assert "This decides nothing" in page


def test_the_page_without_them_does_not_mention_them():
    page = render_html(complete())
    for words in ("judge model", "the judge prefers", "Taken for", "Macro-F1"):
        assert words not in page


def test_macro_f1_is_a_row_of_both_arms():
    (row,) = [row for row in view.arm_rows(judged()) if row.label == "Macro-F1 over labels"]
    assert row.prompt.startswith("0.42") or row.prompt.startswith("0.43")
    assert row.fine_tune == "not measured"
