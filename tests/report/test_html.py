import re
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.report.html import SECTIONS, render_html
from trimtab.report.numbers import key_numbers
from trimtab.types import Decision

from . import decisions
from .pages import Page

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7731*13}}{% for x in y %}",
    "</style></pre></svg><b>",
    "[red]markup[/red]",
    "\x1b[2Jescape\u202e",
)
ATTACK = " ".join(ATTACKS)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_html(decisions.complete()))


def attacked(value: object) -> object:
    """`value` with the attack in every free text, keys of mappings included."""
    if isinstance(value, str):
        return value if value in KEPT or not value else f"{value} {ATTACK}"
    if isinstance(value, dict):
        return {
            key if key in KEPT_KEYS else f"{key} {ATTACK}": item
            if key in KEPT_FIELDS
            else attacked(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [attacked(item) for item in value]
    return value


KEPT = {"prompt", "fine-tune", "dev", "test", "train"}
KEPT_FIELDS = {
    "made",
    "word",
    "status",
    "basis",
    "severity",
    "created",
    "time",
    "failure_boundaries",
    "budget",
    "winner",
    "ended",
    "state",
    "variant",
    "source",
    "compared",
    "unit",
    "volume",
}
KEPT_KEYS = (
    set(Decision.model_json_schema()["properties"])
    | {
        name
        for noun in Decision.model_json_schema()["$defs"].values()
        for name in noun.get("properties", {})
    }
    | {"budget", "minutes", "calls", "money", "quality", "validity", "p95_latency_seconds"}
    | {"smallest_difference", "money_per_1000_calls"}
    | set(decisions.consistency().arms[0].variance)
    | set(decisions.language().tokens_per_word)
)


@pytest.mark.parametrize("decision", [decisions.complete(), decisions.sparse()])
def test_every_section_is_there_once_and_the_page_is_well_formed(decision):
    page = Page(render_html(decision))
    assert page.problems == []
    assert len(page.ids) == len(set(page.ids))
    assert set(SECTIONS) <= set(page.ids)
    assert page.tags["h1"] == 1
    assert page.tags["main"] == page.tags["header"] == page.tags["nav"] == page.tags["footer"] == 1
    links = {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")}
    assert links == set(SECTIONS)


def test_the_sections_come_in_their_declared_order(page):
    sections = [name for name in page.ids if name in SECTIONS]
    assert sections == list(SECTIONS)


def test_nothing_is_loaded_and_no_script_runs(page):
    assert "script" not in page.tags
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert "://" not in value
    html = render_html(decisions.complete())
    assert "url(" not in html
    assert "@import" not in html
    assert "://" not in html


def test_hostile_text_is_shown_and_never_interpreted():
    calm = decisions.complete()
    hostile = Decision.model_validate(attacked(calm.model_dump()))
    verdict = hostile.verdict.model_copy(update={"winner": hostile.variants[-1].id})
    hostile = hostile.model_copy(update={"verdict": verdict})
    html = render_html(hostile)
    page = Page(html)
    assert page.problems == []
    assert page.tags == Page(render_html(calm)).tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "{{7731*13}}" in page.text
    assert str(7731 * 13) not in html
    assert "<script>alert(1)</script>" in page.text
    assert "[red]markup[/red]" in page.text
    assert "\x1b" not in html
    assert "\u202e" not in html
    case = next(part for part in page.parts if part.startswith("112 N. Michigan"))
    assert ATTACKS[1] in case


def test_the_key_numbers_are_those_of_the_decision(page):
    for expected in (
        "0.61 [0.57, 0.65]",
        "0.78 [0.74, 0.82]",
        "+0.17 [+0.12, +0.22]",
        "p < 0.001; rows alone [+0.14, +0.20], the rest comes of prompt layout",
        "USD 0.12 [0.11, 0.13] prompt",
        "USD 0.032 [0.028, 0.035] fine-tune",
        "0.61 s / 1.02 s [0.87 s, 1.17 s] prompt",
        "58 ms / 97 ms [82 ms, 0.11 s] fine-tune",
        "79,900 calls a month",
        "97 % likely to pay at the stated 300,000 calls a month",
        "1,740 [1,100, beyond 3,840]; 480 now",
        "better on 118 rows, worse on 31, equal on 48",
        "Smallest detectable difference with this many rows: 0.05",
        "USD 19.02 [6.10, 34.40]",
        "3 of 203",
    ):
        assert expected in page.text, expected


def test_verdict_gates_and_words_of_the_decision_are_shown(page):
    decision = decisions.complete()
    verdict = decision.verdict
    told = [verdict.headline, verdict.rule_sha256, *verdict.reasons, *verdict.would_change]
    told += [text for g in verdict.gates for text in (g.question, g.evidence, g.threshold)]
    told += [finding.message for finding in decision.audit]
    told += [score.name for score in decision.dev_scores]
    told += [*decision.test_openings, decision.forecast.statement, *decision.money.assumptions]
    for text in told:
        assert text in page.text, text


@pytest.mark.parametrize("word", ["prompt", "fine-tune", "collect-data", "inconclusive"])
def test_each_verdict_word_has_its_heading(word):
    decision = decisions.complete()
    verdict = decision.verdict.model_copy(update={"word": word})
    html = render_html(decision.model_copy(update={"verdict": verdict}))
    heading = re.search(r"<h1>(.*?)</h1>", html).group(1)
    assert heading.lower().replace(" ", "-") == word


def test_status_is_told_by_a_word_and_not_by_colour_alone(page):
    for word in ("✓ pass", "✗ fail", "? unknown"):
        assert word in page.text


def test_how_to_use_the_winner_quotes_the_run():
    decision = decisions.complete().model_copy(update={"run": "a b; rm -rf ~"})
    page = Page(render_html(decision))
    assert "trimtab predict 'runs/a b; rm -rf ~' < inputs.jsonl > answers.jsonl" in page.text
    assert "trimtab.load('runs/a b; rm -rf ~')" in page.text


def test_a_sparse_decision_says_why_each_part_is_missing():
    text = Page(render_html(decisions.sparse())).text
    for expected in (
        "Not measured: no variant was scored on the sealed test; the budget was spent first",
        "Not measured: no variant was scored on the dev rows.",
        "Not measured: no fine-tune was trained",
        "No forecast",
        "Money not known",
        "Not calculated",
        "The sealed test was never opened.",
        "There is nothing to use yet",
        "The environment was not recorded.",
    ):
        assert expected in text, expected
    assert "Stopped early. The budget was spent: 1 minute." in text


def test_a_sparse_decision_shows_no_number_that_was_not_measured():
    shown = [line.value for number in key_numbers(decisions.sparse()) for line in number.lines]
    assert set(shown) == {"not measured", "unknown"}
    assert "None" not in Page(render_html(decisions.sparse())).text


def test_never_breaking_even_is_said_in_words():
    decision = decisions.complete()
    money = decision.money.model_copy(update={"break_even_calls": None, "p_pays": 0.0})
    text = Page(render_html(decision.model_copy(update={"money": money}))).text
    assert "never at these costs" in text
    assert "< 1 % likely to pay" in text


def test_an_environment_value_that_is_not_known_is_said_so():
    decision = decisions.complete().model_copy(update={"environment": {"gpu": None}})
    assert "gpu unknown" in Page(render_html(decision)).text


def test_one_arm_alone_is_reported():
    decision = decisions.complete().model_copy(
        update={"fine_tune": None, "comparison": None, "money": None, "cases": ()}
    )
    page = Page(render_html(decision))
    assert page.problems == []
    assert "Fine-tune not measured: it did not reach the test." in page.text
    assert "0.61 [0.57, 0.65]" in page.text


def test_long_answers_are_cut_with_the_rest_counted():
    decision = decisions.complete()
    case = decision.cases[0].model_copy(update={"tune_answer": "y" * 3000})
    html = render_html(decision.model_copy(update={"cases": (case,)}))
    assert "y" * 801 not in html
    assert "(2,200 more characters)" in html


def test_a_report_is_a_pure_function_of_its_decision():
    assert render_html(decisions.complete()) == render_html(decisions.complete())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=60), when=st.datetimes(timezones=st.just(UTC)))
def test_any_text_of_a_user_keeps_the_page_well_formed(text: str, when: datetime):
    decision = decisions.complete()
    verdict = decision.verdict.model_copy(update={"headline": text})
    case = decision.cases[0].model_copy(update={"input": text, "tune_answer": text})
    html = render_html(
        decision.model_copy(
            update={
                "task": text,
                "created": when,
                "verdict": verdict,
                "cases": (case,),
                "environment": {text: [text]},
                "settings": {"instructions": text},
            }
        )
    )
    assert Page(html).problems == []
    html.encode()


def test_a_source_that_widens_nothing_visible_is_not_said_to():
    complete = decisions.complete()
    found = complete.comparison
    alone = found.model_copy(update={"rows_alone": found.difference})
    (told,) = next(
        number.lines
        for number in key_numbers(complete.model_copy(update={"comparison": alone}))
        if number.label == "Fine-tune minus best prompt"
    )
    assert "nothing more comes of prompt layout" in told.note
