"""A variant's calls: what the first one asks, and what follows on an answer."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.prompt import variants
from trimtab.prompt.ask import REASONING_TOKENS, answer_all, bare_prompt, to_requests
from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.render import render
from trimtab.prompt.wording import ANSWER_NOW, THINK
from trimtab.types import Completion, Failed, Message, Prompt

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


def requests_of(variant, rows=ROWS):
    return to_requests(variant, rows, POOL, LABELS, RUN)


def said(text, seconds=None, attempts=1):
    return Completion(
        text=text,
        finish="stop",
        tokens_in=10,
        tokens_cached=4,
        tokens_out=3,
        latency_s=seconds,
        attempts=attempts,
    )


class Script:
    """Answers each row with its own texts, one a round; remembers what it was asked."""

    def __init__(self, *answers: Sequence[str | Completion | Failed]) -> None:
        self.answers = answers
        self.rounds = []
        self.asked = [[] for _ in answers]

    def __call__(self, requests):
        self.rounds.append(list(requests))
        for key, request in requests.items():
            answer = self.answers[key][len(self.asked[key])]
            self.asked[key].append(request)
            yield key, said(answer) if isinstance(answer, str) else answer


def answers(variant, script):
    requests = dict(enumerate(requests_of(variant, ROWS[: len(script.answers)])))
    return dict(answer_all(variant, LABELS, requests, script))


# --- first requests -------------------------------------------------------------------------


def test_one_request_for_each_example_with_what_the_variant_says():
    for variant in ALL:
        requests = requests_of(variant)
        assert [request.messages for request in requests] == [
            render(variant.prompt, example.input, POOL) for example in ROWS
        ]
        for request in requests:
            assert request.decoding.max_tokens == 16
            assert request.decoding.contract == (LABELS if variant.constrained else None)
            assert request.adapter == ("run/adapters/a" if variant.adapter else None)


def test_greedy_repeats_are_the_same_requests():
    first, second = (to_requests(ZERO, ROWS, None, LABELS, RUN, seed) for seed in (1, 2))
    assert first == second


def test_sampled_requests_have_seeds_of_their_own_that_can_be_repeated():
    sampled = ZERO.model_copy(update={"temperature": 0.7})
    draws = [
        [each.decoding for each in to_requests(sampled, ROWS, None, LABELS, RUN, seed)]
        for seed in (1, 2, 1)
    ]
    assert draws[0] == draws[2]
    seeds = [decoding.seed for draw in draws[:2] for decoding in draw]
    assert len(set(seeds)) == 2 * len(ROWS)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert {decoding.temperature for draw in draws for decoding in draw} == {0.7}


def test_thinking_first_asks_for_thoughts_after_the_input_and_constrains_nothing_yet():
    plain, first = (requests_of(v)[0] for v in (ALL[3], variants.reasoning(ALL[3])))
    assert first.messages[:-1] == plain.messages[:-1]
    assert first.messages[-1].content == f"{plain.messages[-1].content}\n\n{THINK}"
    assert first.decoding.contract is None
    assert first.decoding.max_tokens == REASONING_TOKENS
    assert first.shared_messages == plain.shared_messages


def test_the_bare_prompt_has_the_request_to_think():
    bare = bare_prompt(variants.reasoning(ZERO), "Ann Smith", POOL)
    assert bare[-1].content == f"\n\n{THINK}"
    assert bare_prompt(ZERO, "Ann Smith", POOL)[-1].content == ""


# --- rounds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("constrained", [True, False])
def test_the_answer_after_the_thoughts_is_the_variants_own(constrained):
    variant = variants.reasoning(variants.constrained(ZERO) if constrained else ZERO)
    script = Script([" It ends in Smith. ", "person"])
    final = answers(variant, script)[0]
    first, second = script.asked[0]
    assert second.messages == (
        *first.messages,
        Message(role="assistant", content="It ends in Smith."),
        Message(role="user", content=ANSWER_NOW),
    )
    assert (
        second.decoding
        == requests_of(variants.constrained(ZERO) if constrained else ZERO)[0].decoding
    )
    assert (final.text, final.rounds) == ("person", 2)


def test_an_answer_that_breaks_the_contract_is_shown_with_its_problem():
    script = Script(["a man", "person"])
    final = answers(variants.retrying(ZERO, 2), script)[0]
    first, second = script.asked[0]
    shown, asked = second.messages[len(first.messages) :]
    assert shown == Message(role="assistant", content="a man")
    assert asked.role == "user"
    assert "'a man' is not one of: person, company" in asked.content
    assert second.decoding == first.decoding
    assert (final.text, final.rounds) == ("person", 2)


def test_the_last_answer_stands_when_no_retry_is_left():
    script = Script(["a", "b", "c", "never asked"])
    final = answers(variants.retrying(ZERO, 2), script)[0]
    assert (final.text, final.rounds) == ("c", 3)


@pytest.mark.parametrize("variant", [ZERO, variants.retrying(ZERO, 2)])
def test_a_valid_answer_is_final_at_once(variant):
    script = Script(["person"])
    assert answers(variant, script)[0] == said("person")


def test_without_retries_an_invalid_answer_is_final():
    assert answers(ZERO, Script(["a man"]))[0].text == "a man"


def test_thoughts_that_break_the_contract_are_no_reason_to_try_again():
    script = Script(["thoughts", "a man", "company"])
    final = answers(variants.retrying(variants.reasoning(ZERO), 1), script)[0]
    assert (final.text, final.rounds) == ("company", 3)
    script = Script(["thoughts", "a man", "a woman", "never asked"])
    final = answers(variants.retrying(variants.reasoning(ZERO), 1), script)[0]
    assert (final.text, final.rounds) == ("a woman", 3)


def test_what_the_rounds_took_is_summed():
    script = Script([said("a", 0.5, attempts=3), said("b", 0.25), said("person", 0.25)])
    final = answers(variants.retrying(ZERO, 2), script)[0]
    assert final == Completion(
        text="person",
        finish="stop",
        tokens_in=30,
        tokens_cached=12,
        tokens_out=9,
        latency_s=1.0,
        attempts=5,
        rounds=3,
    )


def test_seconds_are_unknown_where_those_of_one_round_are():
    script = Script([said("a", 0.5), said("person")])
    assert answers(variants.retrying(ZERO), script)[0].latency_s is None


def test_a_round_that_fails_fails_the_whole():
    lost = Failed(boundary="timeout", message="no answer within 1 s", attempts=2)
    script = Script([said("a", attempts=3), lost], ["person"])
    found = answers(variants.retrying(ZERO), script)
    assert found[0] == lost.model_copy(update={"attempts": 5})
    assert found[1].text == "person"


def test_rows_are_asked_together_round_by_round():
    script = Script(["person"], ["a", "b", "person"], ["company"], ["a", "person"])
    found = answers(variants.retrying(ZERO, 2), script)
    assert script.rounds == [[0, 1, 2, 3], [1, 3], [1]]
    assert {key: answer.rounds for key, answer in found.items()} == {0: 1, 1: 3, 2: 1, 3: 2}


def test_empty_thoughts_leave_no_empty_message():
    script = Script(["  ", "person"])
    answers(variants.reasoning(ZERO), script)
    assert all(message.content for message in script.asked[0][1].messages)


@given(
    bad=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    retries=st.integers(0, 3),
    reason=st.booleans(),
    at_a_time=st.integers(1, 5),
)
def test_every_row_gets_one_answer_and_no_call_too_many(bad, retries, reason, at_a_time):
    """However few of the waiting rows each round may call."""
    script = Script(*[["hm"] * reason + ["wrong"] * n + ["person"] for n in bad])

    def some(requests):
        yield from script(dict(list(requests.items())[:at_a_time]))

    variant = variants.retrying(ZERO, retries)
    variant = variants.reasoning(variant) if reason else variant
    requests = dict(enumerate(requests_of(variant, ROWS[: len(bad)])))
    found = list(answer_all(variant, LABELS, requests, some))
    assert sorted(key for key, _ in found) == list(requests)
    for key, answer in found:
        assert answer.rounds == len(script.asked[key]) == reason + min(bad[key], retries) + 1
        assert answer.text == ("person" if bad[key] <= retries else "wrong")


def test_a_template_of_the_users_own_shares_what_comes_before_its_input():
    template = (
        Message(role="system", content="Whose name?"),
        Message(role="user", content="{{ input }}"),
    )
    own = ZERO.model_copy(update={"prompt": Prompt(system="", template=template)})
    (request,) = requests_of(own, ROWS[:1])
    assert request.shared_messages == 1
    assert request.messages[-1].content == "Ann Smith"
