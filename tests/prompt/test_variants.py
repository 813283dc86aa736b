from pathlib import Path

from trimtab.prompt import variants
from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.render import render
from trimtab.prompt.wording import short_text, system_text

from .factories import ADAPTER, LABELS, row, task

ROWS = [row(f"{name} Smith") for name in ("Ann", "Bob", "Cid", "Dot")]
POOL = NearestPool(ROWS)
TASK = task()
RUN = Path("run")
ZERO = variants.zero_shot(TASK, "m", 16)
ALL = (
    ZERO,
    variants.static(TASK, "m", ROWS[:3], 16, "diverse"),
    variants.nearest(TASK, "m", 2, 16),
    variants.constrained(variants.nearest(TASK, "m", 2, 16)),
    variants.tuned(TASK, "m", ADAPTER, 16),
)


def test_names_and_arms():
    assert [(variant.name, variant.arm) for variant in ALL] == [
        ("zero-shot", "prompt"),
        ("3 chosen demonstrations (diverse)", "prompt"),
        ("2 nearest demonstrations", "prompt"),
        ("2 nearest demonstrations, constrained", "prompt"),
        ("fine-tune on 400 rows", "fine-tune"),
    ]
    assert len({variant.id for variant in ALL}) == len(ALL)


def test_the_prompt_arm_gets_the_full_text_and_the_tuned_model_the_short_one():
    assert {variant.prompt.system for variant in ALL[:-1]} == {system_text(TASK)}
    assert ALL[-1].prompt == variants.tuned_prompt(TASK)
    assert ALL[-1].prompt.system == short_text(TASK)


def test_constrained_changes_nothing_but_the_decoding():
    free, bound = ALL[2], ALL[3]
    assert bound.model_copy(update={"name": free.name, "constrained": False}) == free
    assert not free.constrained


def test_one_request_for_each_example_with_what_the_variant_says():
    for variant in ALL:
        requests = variants.to_requests(variant, ROWS, POOL, LABELS, RUN)
        assert [request.messages for request in requests] == [
            render(variant.prompt, example.input, POOL) for example in ROWS
        ]
        for request in requests:
            assert request.decoding.max_tokens == 16
            assert request.decoding.contract == (LABELS if variant.constrained else None)
            assert request.adapter == ("run/adapters/a" if variant.adapter else None)


def test_greedy_repeats_are_the_same_requests():
    first, second = (variants.to_requests(ZERO, ROWS, None, LABELS, RUN, seed) for seed in (1, 2))
    assert first == second


def test_sampled_requests_have_seeds_of_their_own_that_can_be_repeated():
    sampled = ZERO.model_copy(update={"temperature": 0.7})
    draws = [
        [each.decoding for each in variants.to_requests(sampled, ROWS, None, LABELS, RUN, seed)]
        for seed in (1, 2, 1)
    ]
    assert draws[0] == draws[2]
    seeds = [decoding.seed for draw in draws[:2] for decoding in draw]
    assert len(set(seeds)) == 2 * len(ROWS)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert {decoding.temperature for draw in draws for decoding in draw} == {0.7}
