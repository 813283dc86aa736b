"""What the report says of the forecast's further answers, and of looks at the sealed test."""

from html import escape

from trimtab.report import values
from trimtab.report.html import render_html
from trimtab.report.looks import judged_by, looked, readings
from trimtab.report.view import outlook
from trimtab.types import Interval, RowsNeeded, Sequential

from . import decisions


def interval(estimate, half):
    return Interval(
        estimate=estimate, low=estimate - half, high=estimate + half, n=4, method="test"
    )


def forecast(**changes):
    return decisions.complete().forecast.model_copy(update=changes)


def plain(sentences):
    return [sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in sentences]


def test_a_forecast_of_an_older_run_says_only_its_price():
    said = plain(outlook(forecast(), "USD"))
    assert said == ["The labels that are missing for the goal cost USD 630 [unknown, unknown]."]


def test_every_answer_comes_with_its_interval():
    rival = RowsNeeded(target=0.61, rows=340, low=210, high=None, chance=0.9)
    said = plain(
        outlook(
            forecast(
                chance=0.62,
                label_cost_low=310.0,
                at_reach=interval(0.88, 0.04),
                to_beat_prompt=rival,
                loss=((960, 1.25, 1.1, 1.4),),
            ),
            "USD",
        )
    )
    assert (
        "quality would be 0.88 [0.84, 0.92]; the goal is reached by then with a probability of"
        in said[0]
    )
    assert "62 %" in said[0]
    assert said[1].endswith("cost USD 630 [310, unknown].")
    assert "dev score of 0.61 is passed at 340 rows [210, beyond reach]" in said[2]
    assert said[3] == "Dev loss with more rows: 960 rows 1.25 [1.1, 1.4]."


def test_a_prompt_out_of_reach_is_told():
    rival = RowsNeeded(target=0.61, rows=None, low=None, high=None, chance=0.01)
    said = outlook(forecast(label_cost=None, to_beat_prompt=rival), "USD")
    assert "passed at no number of rows" in said[0]


def decided(rows_saved, outcome, **changes):
    decision = decisions.complete()
    found = Sequential(
        outcome=outcome,
        rows_used=200,
        rows_saved=rows_saved,
        looks=3,
        e_superior=55.0,
        e_futile=0.1,
        interval=interval(0.17, 0.08),
        **changes,
    )
    comparison = decision.comparison.model_copy(
        update={"sequential": found, "fixed_rows": interval(0.17, 0.05) if rows_saved else None}
    )
    return decision.model_copy(update={"comparison": comparison})


def test_a_test_that_ended_early_says_what_it_saved():
    decision = decided(100, "superior")
    said = looked(decision)
    assert "looked at 3 times" in said and "100 rows" in said and "+0.17 [+0.12" in said
    assert "too narrow here" in said
    assert said in render_html(decision)


def test_a_test_that_ran_to_its_end_says_so():
    assert "not clear before its last rows" in looked(decided(0, "open"))


def test_a_test_without_looks_says_nothing():
    assert looked(decisions.complete()) == ""


def unwidened(decision):
    plain = {"widened_by": {}, "rows_alone": None, "rows_alone_p": None}
    return decision.model_copy(update={"comparison": decision.comparison.model_copy(update=plain)})


def test_a_p_is_told_beside_the_test_that_gave_it():
    found = decisions.complete().comparison.model_copy(
        update={"test": "exact McNemar", "p_value": 0.3, "rows_alone_p": 0.004}
    )
    said = judged_by(found).replace(values.SPACE, " ")
    assert said == "exact McNemar, p = 0.004 over rows alone, p = 0.3 in all"
    plain = found.model_copy(update={"widened_by": {}})
    assert judged_by(plain).replace(values.SPACE, " ") == "exact McNemar, p = 0.3"


def test_both_readings_of_a_full_test_stand_side_by_side():
    decision = decided(0, "superior", clear_after=45)
    said = looked(decision)
    assert "was clear after 45 rows" in said and "all its rows decide" in said
    fixed, bets, wide = readings(decision)
    assert [each.decides for each in (fixed, bets, wide)] == [False, False, True]
    assert wide.name == "With prompt layout"
    assert wide.difference == values.interval(decision.comparison.difference, signed=True)
    assert readings(unwidened(decision))[0].decides
    alone = decision.comparison.rows_alone or decision.comparison.difference
    assert fixed.difference == values.interval(alone, signed=True)
    assert bets.difference.replace(values.SPACE, " ") == "+0.17 [+0.09, +0.25]"
    assert "against no gain 55 (asked 240)" in bets.says
    assert "against a gain that matters 0.1 (asked 40)" in bets.says
    page = render_html(decision)
    assert escape(bets.says) in page and escape(fixed.says) in page


def test_where_the_test_ended_early_the_bets_decide():
    fixed, bets = readings(unwidened(decided(100, "superior")))
    assert (fixed.decides, bets.decides) == (False, True)
    assert "too narrow" in fixed.says
    assert readings(decisions.complete()) == []
