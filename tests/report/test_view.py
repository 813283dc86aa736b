import pytest

from trimtab.report import looks, values, view
from trimtab.report.html import render_html
from trimtab.types import Case, Interval, Latency, Spent

from . import decisions


def test_both_arms_show_the_numbers_of_their_own_score():
    rows = {row.label: row for row in view.arm_rows(decisions.complete())}
    quality = rows["Quality (field_f1)"]
    assert quality.prompt.startswith("0.61 ")
    assert quality.fine_tune.startswith("0.78 ")
    assert quality.goal.endswith("0.85")
    assert rows["Failed calls"].prompt == "3 of 203"
    assert rows["Failed calls"].fine_tune == "0 of 200"
    assert rows["Cost of 1,000 calls"].goal == ""
    assert rows["Latency, 95th percentile"].goal.startswith("≤")


def test_an_absent_arm_is_not_measured_in_every_row():
    decision = decisions.complete().model_copy(update={"fine_tune": None})
    assert {row.fine_tune for row in view.arm_rows(decision)} == {"not measured"}


def test_unmeasured_parts_of_a_score_are_not_zero():
    prompt = decisions.complete().prompt.model_copy(
        update={
            "latency": None,
            "agreement": None,
            "tokens_cached": None,
            "money_per_1000": None,
            "money_interval": None,
        }
    )
    decision = decisions.complete().model_copy(update={"prompt": prompt})
    rows = {row.label: row.prompt for row in view.arm_rows(decision)}
    for label in ("Latency, median", "Same answer when sampled again", "of these, cached"):
        assert rows[label] == "not measured"
    assert rows["Cost of 1,000 calls"] == "not measured"


def test_costs_on_dev_are_a_column_only_where_one_is_known():
    decision = decisions.complete()
    unknown = tuple(s.model_copy(update={"money_per_1000": None}) for s in decision.dev_scores)
    known = (unknown[0].model_copy(update={"money_per_1000": 0.1}), *unknown[1:])
    for scores, shown in ((unknown, 0), (known, 1)):
        page = render_html(decision.model_copy(update={"dev_scores": scores}))
        assert page.count('role="columnheader">Cost of 1,000 calls<') == shown


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_latency_and_cost_come_with_their_intervals():
    decision = decisions.complete()
    rows = {row.label: plain(row.prompt) for row in view.arm_rows(decision)}
    p95, money = decision.prompt.latency.p95_interval, decision.prompt.money_interval
    seconds = [plain(values.seconds(x)) for x in (p95.estimate, p95.low, p95.high)]
    assert rows["Latency, 95th percentile"] == "{} [{}, {}]".format(*seconds)
    sums = [plain(values.money(x, "")) for x in (money.low, money.high)]
    assert rows["Cost of 1,000 calls"].endswith("[{}, {}]".format(*sums))
    assert rows["Latency, mean"].count("[") == 1
    assert "seconds from tokens" in view.interval_note(decision)


def test_an_upper_bound_that_is_unknown_is_said():
    timed = decisions.latency(600).model_copy(
        update={"p95_interval": Interval(estimate=1.0, low=0.9, high=None, n=15, method="order")}
    )
    score = decisions.complete().prompt.model_copy(update={"latency": timed})
    assert plain(view.latency(score, "p95")) == "1.00 s [0.90 s, unknown]"
    bare = Latency(p50=1, p95=1, mean=1, n=3)
    assert plain(view.latency(score.model_copy(update={"latency": bare}), "p95")) == "1.00 s"


@pytest.mark.parametrize(("uses", "warned"), [(None, False), (4, False), (5, True), (40, True)])
def test_a_test_that_was_opened_often_is_warned_of(uses, warned):
    decision = decisions.complete().model_copy(update={"test_uses": uses})
    assert bool(view.worn_out(decision)) == warned
    assert (f"{uses} times" in view.worn_out(decision)) == warned
    assert ("Worn-out test" in render_html(decision)) == warned


def test_a_fine_tune_that_was_not_planned_says_why():
    why = "the budget pays for no training"
    decision = decisions.complete().model_copy(update={"fine_tune": None, "no_tuning": why})
    assert view.why_missing(decision, "fine-tune") == why
    assert view.why_missing(decision, "prompt") != why
    assert why in render_html(decision)


def test_variants_are_ranked_by_quality_and_unmeasured_ones_come_last():
    decision = decisions.complete()
    first = decision.dev_scores[0]
    unmeasured = first.model_copy(update={"variant": "x", "quality": decisions.interval(None)})
    shuffled = (unmeasured, *reversed(decision.dev_scores))
    ranked = view.ranked(decision.model_copy(update={"dev_scores": shuffled}))
    estimates = [entry.score.quality.estimate for entry in ranked]
    assert estimates == [0.768, 0.63, 0.60, 0.52, 0.31, 0.29, 0.06, None]
    assert [entry.rank for entry in ranked] == list(range(1, 9))
    assert [entry.rank for entry in ranked if entry.finalist] == [1, 2]


def test_wins_go_to_the_arm_with_the_higher_score_and_never_to_a_missing_one():
    decision = decisions.complete()
    tune = view.wins(decision, "fine-tune", 3)
    assert tune.total == 8
    assert [case.prompt_score for case in tune.shown] == pytest.approx([0.32, 0.34, 0.36])
    prompt = view.wins(decision, "prompt", 3)
    assert [case.prompt_score for case in prompt.shown] == [1.0]
    assert view.unjudged(decision) == 1


def test_a_tie_is_a_win_of_neither_arm():
    tie = Case(
        example="a",
        input="",
        target="",
        prompt_answer="",
        tune_answer="",
        prompt_score=0.5,
        tune_score=0.5,
    )
    decision = decisions.complete().model_copy(update={"cases": (tie,)})
    assert view.wins(decision, "prompt", 3).total == 0
    assert view.wins(decision, "fine-tune", 3).total == 0


def test_uses_join_plan_and_use_and_add_up_repeated_stages():
    planned = [Spent(stage="search", arm="prompt", calls=10), Spent(stage="test", calls=4)]
    spent = [
        Spent(stage="search", arm="prompt", calls=3, money=0.5),
        Spent(stage="search", arm="prompt", calls=4, money=0.25),
        Spent(stage="retry", arm="fine-tune", calls=1),
    ]
    search, test, retry = view.uses(planned, spent)
    assert (search.planned.calls, search.spent.calls, search.spent.money) == (10, 7, 0.75)
    assert test.spent is None
    assert retry.planned is None


def test_totals_by_arm_and_of_all():
    decision = decisions.complete()
    rows = view.with_totals(view.uses(decision.planned, decision.spent))
    totals = {row.stage: row for row in rows if row.is_total}
    assert totals["Prompt arm"].spent.calls == 384
    assert totals["Fine-tune arm"].spent.calls == 384
    assert totals["Total"].spent.calls == 384 + 384 + 400
    assert totals["Total"].planned.train_tokens == 410_000
    assert totals["Total"].spent.seconds == pytest.approx(902.8)


def test_a_plan_without_use_totals_to_not_run():
    rows = view.with_totals(view.uses(decisions.complete().planned, ()))
    assert all(row.spent is None for row in rows)


def test_the_gravest_finding_comes_first():
    severities = [finding.severity for finding in view.findings(decisions.complete())]
    assert severities == ["stop", "warn", "info"]


def test_winner_budget_and_currency():
    decision = decisions.complete()
    assert decision.winner == decisions.TUNED
    assert view.budget(decision).calls == 20_000
    assert view.currency(decision) == "USD"
    assert view.currency(decision.model_copy(update={"money": None})) == "USD"
    assert decisions.sparse().winner is None
    assert view.budget(decisions.sparse()) is None
    assert view.currency(decisions.sparse()) == ""


def test_why_missing_prefers_the_budget():
    assert "1 minute" in view.why_missing(decisions.sparse(), "fine-tune")
    unstopped = decisions.sparse().model_copy(update={"stopped_by": None})
    assert view.why_missing(unstopped, "fine-tune") == "no such variant was built"
    built = unstopped.model_copy(update={"variants": (decisions.TUNED,)})
    assert view.why_missing(built, "fine-tune") == "it did not reach the test"


def test_what_the_interval_allows_for_is_told():
    told = looks.drawn(decisions.complete()).replace(values.SPACE, " ")
    assert told == (
        "The interval allows for prompt layout (± 0.04); over rows alone it is "
        "+0.17 [+0.14, +0.20]. Not in it, because it was not drawn often enough to tell: "
        "training seed."
    )
    assert looks.drawn(decisions.sparse()) == ""
