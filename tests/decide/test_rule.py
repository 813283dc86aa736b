import shutil
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.decide import rule
from trimtab.decide.rule import RULE, decide, rule_sha256
from trimtab.store.history import Change, TaskHistory
from trimtab.task.split import labels_to_train
from trimtab.types import Finding

from .factories import (
    comparison,
    evidence,
    forecast,
    interval,
    latency,
    money,
    plateau,
    score,
    task,
)

NO_GAIN = {"fine_tune": score("fine-tune", 0.60), "comparison": comparison(0.0, 0.02)}
NARROW_GAIN = {"fine_tune": score("fine-tune", 0.62), "comparison": comparison(0.02, 0.04)}
UNSHOWN_GAIN = {"fine_tune": score("fine-tune", 0.70), "comparison": comparison(0.10, 0.15)}
PROMPT_MEETS = {"prompt": score("prompt", 0.90)}
BELOW_GOAL = {"fine_tune": score("fine-tune", 0.75), "comparison": comparison(0.15)}
CHEAPER = {
    "prompt": score("prompt", 0.6, money_interval=interval(0.001, 0.0)),
    "fine_tune": score("fine-tune", 0.6, money_interval=interval(0.0005, 0.0)),
    "money": money(prompt=0.001, tune=0.0005),
}
STOP = Finding(check="leakage", severity="stop", message="a test row is in train", count=1)


def moved(day):
    return TaskHistory(date(2025, 9, 1), (Change(day, ("metric",)),))


BRANCHES = {
    # 1: nothing to compare
    "no prompt": (evidence(prompt=None, comparison=None), "inconclusive"),
    "stopped before the fine-tune": (
        evidence(fine_tune=None, comparison=None, money=None, stopped_by="15 minutes"),
        "inconclusive",
    ),
    "nothing in common": (evidence(comparison=None), "inconclusive"),
    "prompt fails too often": (
        evidence(prompt=score("prompt", 0.6, n=94, failures=6)),
        "inconclusive",
    ),
    "fine-tune fails too often": (
        evidence(fine_tune=score("fine-tune", 0.9, n=94, failures=6)),
        "inconclusive",
    ),
    "failures at the cap": (
        evidence(fine_tune=score("fine-tune", 0.9, n=95, failures=5)),
        "fine-tune",
    ),
    # 2: the prompt is enough
    "prompt meets, no gain": (
        evidence(**PROMPT_MEETS, comparison=comparison(0.0, 0.02)),
        "prompt",
    ),
    "prompt meets, gain unclear": (
        evidence(**PROMPT_MEETS, comparison=comparison(0.03, 0.05)),
        "prompt",
    ),
    "prompt meets, gain does not pay": (
        evidence(**PROMPT_MEETS, comparison=comparison(0.06), money=money(p_pays=0.5)),
        "prompt",
    ),
    "prompt meets, gain of unknown pay": (
        evidence(**PROMPT_MEETS, comparison=comparison(0.06), money=None),
        "prompt",
    ),
    "prompt meets, gain pays": (
        evidence(**PROMPT_MEETS, fine_tune=score("fine-tune", 0.96), comparison=comparison(0.06)),
        "prompt",
    ),
    "prompt alone is enough": (
        evidence(
            **PROMPT_MEETS,
            task=task(models={"tune": None}),
            fine_tune=None,
            comparison=None,
            money=None,
        ),
        "prompt",
    ),
    # 3: a gain, and nothing against it
    "everything for it": (evidence(), "fine-tune"),
    "goal not reached yet": (evidence(**BELOW_GOAL), "fine-tune"),
    "gain of exactly what matters": (evidence(comparison=comparison(0.03, 0.02)), "fine-tune"),
    "as good and cheaper": (
        evidence(**{**NO_GAIN, **CHEAPER}),
        "fine-tune",
    ),
    "as good and not cheaper by enough": (
        evidence(**{**NO_GAIN, "money": money(prompt=0.001, tune=0.00081)}),
        "prompt",
    ),
    "as good and faster": (
        evidence(
            **{
                **NO_GAIN,
                "prompt": score("prompt", 0.6, latency=latency(sure=0.1)),
                "fine_tune": score("fine-tune", 0.6, latency=latency(1.0, mean=0.5, sure=0.1)),
            }
        ),
        "fine-tune",
    ),
    "cheaper but worse": (
        evidence(comparison=comparison(-0.1), **CHEAPER),
        "prompt",
    ),
    "cheaper but perhaps worse": (
        evidence(comparison=comparison(-0.02, 0.03), **CHEAPER),
        "inconclusive",
    ),
    # 4: more labels
    "forecast reaches the goal": (
        evidence(**{**NARROW_GAIN, "forecast": forecast(1_900, 1_100)}),
        "collect-data",
    ),
    "forecast reaches it, upkeep unknown": (
        evidence(
            **{
                **BELOW_GOAL,
                "forecast": forecast(1_900, 1_100),
                "task": task(upkeep={"owner": None}),
            }
        ),
        "collect-data",
    ),
    "forecast reaches it but it cannot pay": (
        evidence(
            **{
                **NARROW_GAIN,
                "forecast": forecast(1_900),
                "money": money(break_even=None, p_pays=0.0),
            }
        ),
        "prompt",
    ),
    "the one at hand cannot pay, one at the goal can": (
        evidence(
            **{
                **NARROW_GAIN,
                "forecast": forecast(1_900),
                "money": money(break_even=None, p_pays=0.0),
                "money_ahead": money(p_pays=0.51),
            }
        ),
        "collect-data",
    ),
    "the one at hand pays, and labels for the goal would not": (
        evidence(
            **{
                **NARROW_GAIN,
                "forecast": forecast(1_900),
                "money_ahead": money(p_pays=0.5),
            }
        ),
        "inconclusive",
    ),
    "one at the goal could pay, but nobody can go back": (
        evidence(
            **{
                **NARROW_GAIN,
                "forecast": forecast(1_900),
                "money_ahead": money(),
                "task": task(upkeep={"rollback": False}),
            }
        ),
        "prompt",
    ),
    "too little data only": (evidence(n_train=90), "collect-data"),
    "text needs 500 rows": (
        evidence(n_train=499, task=task(output={"kind": "text"}, metric="exact")),
        "collect-data",
    ),
    "too little data to show the gain that was measured": (
        evidence(**UNSHOWN_GAIN, n_train=90),
        "collect-data",
    ),
    "the same, on enough data": (evidence(**UNSHOWN_GAIN), "inconclusive"),
    "too little data, and too small a gain": (evidence(**NARROW_GAIN, n_train=90), "prompt"),
    "too little data, as good by the estimate and cheaper": (
        evidence(
            comparison=comparison(-0.02, 0.06),
            **CHEAPER,
            n_train=90,
        ),
        "collect-data",
    ),
    "too little data, more likely to pay than not": (
        evidence(**UNSHOWN_GAIN, n_train=90, money=money(p_pays=0.51)),
        "collect-data",
    ),
    "too little data, and no more likely to pay than not": (
        evidence(**UNSHOWN_GAIN, n_train=90, money=money(p_pays=0.5)),
        "prompt",
    ),
    "too little data, and nobody can go back": (
        evidence(**UNSHOWN_GAIN, n_train=90, task=task(upkeep={"rollback": False})),
        "prompt",
    ),
    "too little data, and prompting may not be exhausted": (
        evidence(**UNSHOWN_GAIN, n_train=90, plateau=plateau("rising", 0.3)),
        "prompt",
    ),
    "just enough data": (evidence(n_train=100), "fine-tune"),
    # 5: cannot tell
    "interval straddles": (evidence(**NARROW_GAIN), "inconclusive"),
    "significant but perhaps too small": (
        evidence(comparison=comparison(0.025, 0.02)),
        "inconclusive",
    ),
    "upkeep unknown": (evidence(task=task(upkeep={"owner": None})), "inconclusive"),
    "volume unknown": (evidence(money=None), "inconclusive"),
    "general ability not asked": (
        evidence(task=task(constraints={"general_ability": None})),
        "inconclusive",
    ),
    "general ability needed, not measured": (
        evidence(task=task(constraints={"general_ability": "needed"})),
        "inconclusive",
    ),
    "prompt search cut short": (evidence(prompt_search_complete=False), "inconclusive"),
    "nobody approved": (evidence(rows_approved=0), "inconclusive"),
    "rows exist that were not trained on": (
        evidence(**{**NARROW_GAIN, "forecast": forecast(700)}),
        "inconclusive",
    ),
    # 6: prompt, though it misses the goal
    "no gain": (evidence(**NO_GAIN), "prompt"),
    "gain does not pay": (evidence(money=money(p_pays=0.66)), "prompt"),
    "gain below break-even": (evidence(money=money(break_even=400_000.0)), "prompt"),
    "task moves": (evidence(history=moved(date(2026, 5, 20))), "prompt"),
    "task is young": (evidence(task=task(traffic={"stable_since": "2026-05-20"})), "inconclusive"),
    "no way back": (evidence(task=task(upkeep={"rollback": False})), "prompt"),
    "rows not approved": (evidence(rows_approved=899), "prompt"),
    "fine-tune too slow": (
        evidence(fine_tune=score("fine-tune", 0.9, latency=latency(5.2))),
        "prompt",
    ),
    "fine-tune perhaps too slow": (
        evidence(fine_tune=score("fine-tune", 0.9, latency=latency(5.0))),
        "inconclusive",
    ),
    "prompt perhaps too slow": (
        evidence(
            prompt=score("prompt", 0.90, latency=latency(5.0)), comparison=comparison(0.0, 0.02)
        ),
        "prompt",
    ),
    "data unsound": (evidence(findings=(STOP,)), "prompt"),
    "a failed gate outweighs an unknown one": (
        evidence(money=money(p_pays=0.1), task=task(upkeep={"owner": None})),
        "prompt",
    ),
    "too few rows for any fine-tune": (
        evidence(fine_tune=None, comparison=None, money=None, n_train=60),
        "prompt",
    ),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_every_branch_and_boundary(name):
    found, word = BRANCHES[name]
    verdict = decide(found)
    assert verdict.word == word, verdict.headline
    assert verdict.headline.endswith(".")
    assert verdict.would_change
    winner = found.fine_tune if word == "fine-tune" else found.prompt
    assert verdict.winner == (winner.variant if winner else None)


def test_the_headline_gives_both_scores():
    headline = decide(evidence()).headline
    assert "0.90" in headline and "0.60" in headline and "300,000 calls a month" in headline


def test_a_winner_below_the_goal_says_so():
    verdict = decide(evidence(**BELOW_GOAL, forecast=forecast(None)))
    assert verdict.word == "fine-tune"
    assert "0.85 is not reached yet" in verdict.headline
    assert "would reach 0.85" in verdict.headline


def test_a_prompt_that_misses_what_is_asked_says_so_plainly():
    slow = evidence(**{**NO_GAIN, "prompt": score("prompt", 0.60, latency=latency(6.0))})
    headline = decide(slow).headline
    assert headline.endswith(
        "But this prompt does not do what the task asks: its quality is 0.6, and at least 0.85 is "
        "asked; the time in seconds that 95 of 100 calls keep to is 6 (95%: 5.9 to 6.1), and at "
        "most 5 is asked."
    )
    waiting = decide(evidence(task=task(constraints={"general_ability": None})))
    assert waiting.word == "inconclusive"
    assert "The best prompt, to use until then, does not do what the task asks" in waiting.headline


def test_a_prompt_that_may_miss_a_limit_says_so():
    near, free = score("prompt", 0.9, latency=latency(4.95)), comparison(0.0, 0.02)
    headline = decide(evidence(prompt=near, comparison=free)).headline
    assert (
        "Not shown to be met: the time in seconds that 95 of 100 calls keep to is 4.95" in headline
    )
    assert "does not do" not in headline


@pytest.mark.parametrize("word", ["prompt", "fine-tune"])
def test_a_winner_that_keeps_everything_has_no_warning(word):
    found = {"prompt": evidence(**PROMPT_MEETS, comparison=comparison(0.0, 0.02))}
    headline = decide(found.get(word, evidence())).headline
    assert "does not do" not in headline and "Not shown" not in headline


def test_a_fine_tune_that_was_not_planned_is_explained():
    why = "the budget pays for no training"
    missing = {"fine_tune": None, "comparison": None, "money": None, "no_tuning": why}
    for found in (evidence(**missing), evidence(**missing, **PROMPT_MEETS, n_train=60)):
        assert f"no fine-tune was measured: {why}" in decide(found).headline


def test_the_labels_to_collect_come_with_their_interval():
    verdict = decide(evidence(**{**NARROW_GAIN, "forecast": forecast(1_900, 1_100)}))
    labels = [labels_to_train(800, rows, None, None) for rows in (1_900, 1_100)]
    expected = f"{labels[0]:,} more rows (95%: {labels[1]} to more than can be foretold)"
    assert expected in verdict.headline


def test_too_few_rows_are_counted():
    shown = decide(evidence(n_train=90)).headline
    assert shown.startswith("Label 10 more rows: ")
    assert ", but a fine-tune should not rest on 90 rows; 100 are the least" in shown
    priced = task(labelling={"cost_per_example": 0.5})
    unshown = decide(evidence(**UNSHOWN_GAIN, n_train=90, task=priced)).headline
    assert unshown.startswith("Label 10 more rows (5 USD): ")
    assert ", a gain that the test does not show; a fine-tune should not rest on 90" in unshown


def test_a_straddling_interval_names_the_rows_that_settle_it():
    """Detectable 0.06 at n = 200, so 0.03 needs 200 x 4 rows."""
    assert any("800 test rows" in line for line in decide(evidence(**NARROW_GAIN)).would_change)


def test_no_fewer_rows_than_were_read_are_asked_for():
    """0.04 could be seen and 0.05 matters, but the difference is 0.03: rows are not what lacks."""
    goals = {"quality": 0.85, "smallest_difference": 0.05}
    near = comparison(0.03, 0.028, detectable=0.04)
    asked = evidence(fine_tune=score("fine-tune", 0.63), comparison=near, task=task(goals=goals))
    verdict = decide(asked)
    assert verdict.word == "inconclusive"
    assert "more test rows than 200: the difference lies near 0.05" in verdict.headline


def test_what_no_rows_take_away_is_told():
    wide = NARROW_GAIN["comparison"].model_copy(update={"widened_by": {"prompt layout": 0.06}})
    verdict = decide(evidence(fine_tune=score("fine-tune", 0.62), comparison=wide))
    assert "800 test rows" in verdict.headline
    assert "what the prompt layout adds stays, whatever the rows" in verdict.headline


def test_labels_that_join_dev_and_test_are_asked_for_too():
    """A tenth of the rows join dev and a fifth the test."""
    asked = evidence(
        **NARROW_GAIN,
        n_train=140,
        forecast=forecast(800).model_copy(update={"rows_now": 140}),
    )
    verdict = decide(asked)
    assert verdict.word == "collect-data"
    assert f"Label about {labels_to_train(140, 800, None, None):,} more rows" in verdict.headline
    assert "a fine-tune on 800 rows would reach it" in verdict.headline


def test_an_unknown_gate_is_named_with_what_settles_it():
    verdict = decide(evidence(task=task(constraints={"general_ability": None})))
    assert "Is general ability kept" in verdict.headline
    assert any("set constraints.general_ability" in line for line in verdict.would_change)


def test_a_stopped_run_names_its_budget():
    verdict = decide(evidence(fine_tune=None, comparison=None, money=None, stopped_by="15 minutes"))
    assert "15 minutes" in verdict.headline


def test_the_volume_at_which_it_flips_is_named():
    assert any("below 100,000 calls" in line for line in decide(evidence()).would_change)
    below = decide(evidence(money=money(break_even=400_000.0)))
    assert any("above 400,000 calls" in line for line in below.would_change)


def test_the_value_at_which_it_flips_breaks_even():
    """(12/12 + 2)/300,000 + 0.0006 - 0.0004 = 0.00021 a call, over a gain of 0.3: 0.0007."""
    verdict = decide(evidence(money=money(break_even=None, p_pays=0.0, tune=0.0006)))
    assert any("worth 0.0007 USD" in line for line in verdict.would_change)


def test_failures_only_count_apart():
    """Four failed calls of 100 leave the scores, and so the verdict, as they were."""
    few = evidence(fine_tune=score("fine-tune", 0.9, n=96, failures=4))
    assert decide(few).word == decide(evidence()).word
    assert "scores 0.90" in decide(few).headline
    assert any("4 of its calls failed" in line for line in decide(few).reasons)


def test_a_wide_difference_says_what_widened_it():
    """One odd layout may widen an interval tenfold; nobody should take that for too few rows."""
    wide = comparison(0.3).model_copy(update={"widened_by": {"prompt layout": 0.493}})
    told = next(line for line in decide(evidence(comparison=wide)).reasons if "minus" in line)
    assert told.endswith("the interval allows for more than rows: prompt layout ±0.493")


def test_the_code_that_decides_and_the_text_change_the_hash(monkeypatch, tmp_path):
    original = rule_sha256()
    assert len(original) == 64
    assert decide(evidence()).rule_sha256 == original
    shutil.copytree(Path(rule.__file__).parent, tmp_path / "decide")
    monkeypatch.setattr(rule, "__file__", str(tmp_path / "decide/rule.py"))
    assert rule_sha256() == original
    for module in ("thresholds.py", "gates.py", "gains.py", "cost.py", "money.py"):
        path = tmp_path / "decide" / module
        text = path.read_text("utf-8")
        path.write_text(text + "X = 1\n", "utf-8")
        assert rule_sha256() != original, module
        path.write_text(text, "utf-8")
    monkeypatch.setattr(rule, "RULE", RULE.replace("every blocking gate", "most gates"))
    assert rule_sha256() != original


def test_the_rule_reads_as_text():
    assert "{" not in RULE
    for word in ("prompt", "fine-tune", "collect-data", "inconclusive"):
        assert f". {word}" in RULE


UPKEEP = {"owner": None}
NOT_ASKED = {"general_ability": None}
ANY_EVIDENCE = st.builds(
    evidence,
    task=st.sampled_from(
        [task(), task(upkeep=UPKEEP), task(constraints=NOT_ASKED), task(models={"tune": None})]
    ),
    prompt=st.sampled_from([None, score("prompt", 0.6), score("prompt", 0.9)]),
    fine_tune=st.sampled_from(
        [None, score("fine-tune", 0.7), score("fine-tune", 0.9, n=80, failures=20)]
    ),
    comparison=st.none() | st.builds(comparison, st.floats(-0.3, 0.3), st.floats(0.01, 0.1)),
    money=st.none() | st.builds(money, p_pays=st.floats(0, 1)),
    forecast=st.none() | st.builds(forecast, st.none() | st.integers(300, 3_000)),
    n_train=st.integers(20, 2_000),
    rows_approved=st.sampled_from([0, 500, 1_000]),
    prompt_search_complete=st.booleans(),
)


@given(ANY_EVIDENCE)
@settings(max_examples=300, deadline=None)
def test_a_fine_tune_wins_only_with_a_gain_and_every_blocking_gate(found):
    verdict = decide(found)
    gains = [g for g in verdict.gates if g.name.startswith("gain-") and g.status == "pass"]
    blocked = [g.name for g in verdict.gates if g.blocks and g.status != "pass"]
    if verdict.word == "fine-tune":
        assert gains and not blocked
        assert found.comparison.difference.low > -found.task.goals.smallest_difference
        assert verdict.winner == "id-fine-tune"
    else:
        assert verdict.winner in (None, "id-prompt")
    if found.prompt is None:
        assert verdict.word == "inconclusive"
    if verdict.word == "collect-data":
        assert "more rows" in verdict.headline
    assert verdict.would_change
