"""The search in the report: the statement, the ranking, what the race saved."""

from __future__ import annotations

import pytest

from trimtab.report import search
from trimtab.report.html import render_html
from trimtab.report.plots.search import plateau_curve
from trimtab.types import Searched

from . import decisions
from .pages import Page

FOUND = decisions.searched()


def changed(**update) -> Searched:
    return FOUND.model_copy(update=update)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_statement_comes_first_and_says_where_stages_are_missing() -> None:
    told = search.exhausted_told(FOUND)
    assert told.startswith("The last 60% of what the search used bought +0.4 points")
    assert told.endswith("exhausted.")
    cut = search.exhausted_told(changed(complete=False))
    assert "before all hand-made prompts were tried" in cut


def test_prompts_that_saw_all_rows_come_first_by_quality() -> None:
    assert [trial.quality for trial in search.ranked_trials(FOUND)] == [0.52, 0.06, 0.21, 0.55]


def test_what_the_race_saved_and_may_have_lost() -> None:
    told = plain(search.race_told(FOUND))
    assert "4 prompts were tried; 1 were stopped" in told
    assert "saved 32 of 208 calls" in told
    assert "at most 10 %" in told
    assert "+46.0 points" in told


def test_why_each_ended() -> None:
    assert [search.why_ended(trial) for trial in FOUND.trials] == [
        "saw all rows",
        "saw all rows",
        "behind 4 nearest demonstrations",
        "the budget was spent",
    ]


def test_the_page_shows_statement_curve_ranking_and_layouts() -> None:
    page = Page(render_html(decisions.complete()))
    assert page.problems == []
    for expected in (
        "Was prompting exhausted?",
        "where 3 would matter: exhausted",
        "behind 4 nearest demonstrations",
        "2 of 10 layouts on 20 dev rows",
        "automatic search by mutations",
    ):
        assert expected in page.text, expected


@pytest.mark.parametrize(
    "update",
    [{"sensitivity": None}, {"plateau": None}, {"trials": ()}, {"notes": (), "headroom": None}],
)
def test_parts_that_are_missing_are_said_to_be(update) -> None:
    decision = decisions.complete().model_copy(update={"search": changed(**update)})
    page = Page(render_html(decision))
    assert page.problems == []
    assert "None" not in page.text


def test_the_curve_needs_something_to_draw() -> None:
    assert plateau_curve(decisions.sparse(), "x", 700) is None
    empty = decisions.complete().model_copy(update={"search": changed(trials=())})
    assert plateau_curve(empty, "x", 700) is None
    drawn = plateau_curve(decisions.complete(), "x", 700)
    assert drawn.count("<circle") == 4 + 2, "four trials and two marks of the legend"
