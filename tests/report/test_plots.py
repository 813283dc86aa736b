import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.measure.sizes import MOST_SIZES, nested_sizes
from trimtab.report import plots
from trimtab.report.plots import svg

from . import decisions
from .pages import Page

PLOTS = (
    plots.arms,
    plots.learning_curve,
    plots.quality_by_cost,
    plots.quality_by_tokens,
    plots.break_even,
    plots.tornado,
)


def tree(plot, decision, width=760.0):
    drawn = plot(decision, "plot", width)
    assert drawn is not None
    return ET.fromstring(str(drawn))


def texts(root) -> list[str]:
    return [element.text for element in root.iter("text")]


@pytest.mark.parametrize("width", [340.0, 760.0])
@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_is_an_accessible_image_that_stays_inside_its_box(plot, width):
    root = tree(plot, decisions.complete(), width)
    assert root.get("role") == "img"
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    assert set(root.get("aria-labelledby").split()) == ids
    assert root.find("title").text
    assert root.find("desc").text
    height = float(root.get("height"))
    for element in root.iter():
        for names, most in ((("x", "x1", "x2", "cx"), width), (("y", "y1", "y2", "cy"), height)):
            for name in names:
                assert -0.1 <= float(element.get(name, 0)) <= most + 0.1, ET.tostring(element)


@pytest.mark.parametrize("plot", PLOTS)
def test_no_plot_where_there_is_nothing_to_draw(plot):
    assert plot(decisions.sparse(), "plot", 340.0) is None


@pytest.mark.parametrize("width", [340.0, 760.0])
@pytest.mark.parametrize("plot", PLOTS)
def test_labels_do_not_overlap(plot, width):
    root = tree(plot, decisions.complete(), width)
    boxes = []
    for element in root.iter("text"):
        x, y = float(element.get("x")), float(element.get("y"))
        wide = svg.width_of(element.text)
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[element.get("text-anchor")]
        boxes.append((left, y - 9, left + wide, y + 2, element.text))
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert apart, (a, b)


def test_the_arms_plot_puts_each_estimate_at_its_value():
    root = tree(plots.arms, decisions.complete())
    ticks = {e.text: float(e.get("x")) for e in root.iter("text") if e.get("class") == "tick"}
    zero, one = ticks["0.0"], ticks["1.0"]
    circles = [float(e.get("cx")) for e in root.iter("circle")][1:]
    shares = [round((x - zero) / (one - zero), 2) for x in circles]
    assert shares == [0.61, 0.34, 0.63, 0.59, 1.0]
    described = root.find("desc").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "field_f1: best prompt 0.61 [0.57, 0.65], fine-tune 0.78 [0.74, 0.82]" in described


def test_the_learning_curve_names_goal_best_prompt_and_reach():
    root = tree(plots.learning_curve, decisions.complete())
    assert {"goal 0.85", "best prompt on dev 0.63"} <= set(texts(root))
    assert len([e for e in root.iter("path") if "beyond" in e.get("class")]) == 1
    assert len([e for e in root.iter("circle") if e.get("class") == "ring"]) == 1
    chosen = [e for e in root.iter("rect") if e.get("class") == "fine-tune"]
    sweep = [e for e in root.iter("rect") if e.get("class") == "fine-tune hollow"]
    assert (len(chosen), len(sweep)) == (4 + 1, 2 + 1)


def test_seeds_of_one_size_stand_side_by_side():
    decision = decisions.complete()
    point = decision.curve[0]
    twins = tuple(point.model_copy(update={"seed": seed}) for seed in range(3))
    root = tree(plots.learning_curve, decision.model_copy(update={"curve": twins}))
    across = [e.get("x") for e in root.iter("rect") if e.get("class") == "fine-tune"][1:]
    assert len(set(across)) == 3


def test_six_sizes_with_three_seeds_each_stay_apart_on_the_page():
    decision = decisions.complete()
    point = decision.curve[0]
    points = tuple(
        point.model_copy(update={"rows": rows, "seed": seed})
        for rows in nested_sizes(500, MOST_SIZES)
        for seed in range(3)
    )
    forecast = decision.forecast.model_copy(
        update={"curve": ((50, 0.5, 0.4, 0.6), (4000, 1, 1, 1))}
    )
    found = decision.model_copy(update={"curve": points, "forecast": forecast})
    root = tree(plots.learning_curve, found, 760.0)
    marks = [e for e in root.iter("rect") if e.get("class") == "fine-tune"][1:]
    across = sorted(float(e.get("x")) for e in marks)
    assert len(across) == 18
    assert all(after - before > 3 for before, after in pairwise(across))


def test_without_money_only_the_plot_by_tokens_remains():
    decision = decisions.complete()
    free = {"money_per_1000": None}
    decision = decision.model_copy(
        update={
            "prompt": decision.prompt.model_copy(update=free),
            "fine_tune": decision.fine_tune.model_copy(update=free),
        }
    )
    assert plots.quality_by_cost(decision, "plot", 340.0) is None
    assert plots.quality_by_tokens(decision, "plot", 340.0) is not None


def test_with_all_money_known_there_is_no_plot_by_tokens():
    decision = decisions.complete()
    known = tuple(s.model_copy(update={"money_per_1000": 0.1}) for s in decision.dev_scores)
    decision = decision.model_copy(update={"dev_scores": known})
    assert plots.quality_by_tokens(decision, "plot", 340.0) is None
    root = tree(plots.quality_by_cost, decision)
    assert {"3", "4", "5", "6", "7"} & set(texts(root))
    assert not {"1", "2"} & set(texts(root)), "finalists are drawn by their test scores"


def test_the_lines_cross_at_the_break_even():
    root = tree(plots.break_even, decisions.complete())
    marks = {e.get("class"): float(e.get("x1")) for e in root.iter("line")}
    lines = {}
    for element in root.iter("path"):
        steps = re.findall(r"[ML]([\d.]+) ([\d.]+)", element.get("d"))
        lines[element.get("class")] = [(float(x), float(y)) for x, y in steps]
    gaps = [
        (prompt[0], prompt[1] - tune[1])
        for prompt, tune in zip(lines["line prompt"], lines["line fine-tune"], strict=True)
    ]
    crossing = next(b[0] for a, b in pairwise(gaps) if a[1] > 0 >= b[1])
    assert marks["volume break-even"] == pytest.approx(crossing, abs=25)
    assert {"break-even: 79,900", "stated volume: 300,000"} <= set(texts(root))


def test_a_fine_tune_that_never_pays_has_no_break_even_mark():
    decision = decisions.complete()
    money = decision.money.model_copy(update={"break_even_calls": None})
    root = tree(plots.break_even, decision.model_copy(update={"money": money}))
    assert not [e for e in root.iter("line") if e.get("class") == "volume break-even"]
    assert "never pays" in root.find("desc").text


@pytest.mark.parametrize("cost", [0.0, -3.0])
def test_costs_without_a_logarithm_are_drawn_on_a_linear_axis(cost):
    decision = decisions.complete()
    money = decision.money.model_copy(update={"curve": ((10.0, cost, 2.0), (100.0, cost, 2.0))})
    root = tree(plots.break_even, decision.model_copy(update={"money": money}))
    assert "USD a month" in texts(root)
    ticks = {e.text: float(e.get("y")) for e in root.iter("text") if e.get("class") == "tick"}
    line = next(e for e in root.iter("path") if e.get("class") == "line prompt")
    level = float(line.get("d").split()[1])
    assert level == pytest.approx(ticks["0"] - 4, abs=0.2) if cost == 0 else level > ticks["0"]


@given(
    rows=st.lists(st.integers(1, 10**6), min_size=1, max_size=5),
    quality=st.lists(st.none() | st.floats(0, 1), min_size=5, max_size=5),
    goal=st.floats(0.01, 1),
    needed=st.none() | st.integers(1, 10**7),
)
def test_any_curve_can_be_drawn(rows, quality, goal, needed):
    decision = decisions.complete()
    points = tuple(
        decision.curve[0].model_copy(
            update={"rows": n, "dev_quality": decisions.interval(q, None if q is None else 0.1)}
        )
        for n, q in zip(rows, quality, strict=False)
    )
    forecast = decision.forecast.model_copy(
        update={"goal": goal, "rows_needed": needed, "rows_low": None, "curve": ()}
    )
    drawn = plots.learning_curve(
        decision.model_copy(update={"curve": points, "forecast": forecast}), "plot", 340.0
    )
    assert (drawn is None) == all(p.dev_quality.estimate is None for p in points)
    if drawn is not None:
        assert Page(str(drawn)).problems == []
        assert "nan" not in str(drawn)


@given(
    low=st.floats(1e-6, 1e6),
    span=st.floats(1.0001, 1e6),
    most=st.integers(2, 12),
    log=st.booleans(),
)
def test_ticks_are_inside_the_scale_and_not_too_many(low, span, most, log):
    scale = svg.Scale(low, low * span, 0, 100, log=log)
    ticks = scale.ticks(most)
    assert 1 <= len(ticks) <= most + 1
    assert ticks == sorted(ticks)
    for tick in ticks:
        assert low * (1 - 1e-6) <= tick <= low * span * (1 + 1e-6)
        assert -0.01 <= scale(tick) <= 100.01


def test_an_element_escapes_text_and_attributes():
    drawn = str(svg.text((1, 2), "</text><script>", class_='"><b>'))
    root = ET.fromstring(drawn)
    assert root.text == "</text><script>"
    assert root.get("class") == '"><b>'
    assert list(root) == []


def test_the_tornado_ends_each_bar_at_its_probabilities():
    decision = decisions.complete()
    root = tree(plots.tornado, decision)
    ticks = {e.text: float(e.get("x")) for e in root.iter("text") if e.get("class") == "tick"}
    zero, one = ticks["0%"], ticks["100%"]
    bars = [e for e in root.iter("line") if e.get("class") == "fine-tune range"]
    found = [
        tuple(round((float(e.get(x)) - zero) / (one - zero), 2) for x in ("x1", "x2")) for e in bars
    ]
    assert found == [(s.p_low, s.p_high) for s in decision.money.tornado]
    assert "upkeep a month: 1.70 to 5.10 USD" in texts(root)
    without = decision.money.model_copy(update={"tornado": ()})
    assert plots.tornado(decision.model_copy(update={"money": without}), "plot", 340.0) is None
