from __future__ import annotations

from trimtab.engine.fake import FakeEngine
from trimtab.types import Completion, Decoding, Failed, Message, OutputContract, Request

LABELS = OutputContract(kind="label", labels=("person", "company"))


def request(*turns: str, max_tokens: int = 50, contract: OutputContract | None = None) -> Request:
    roles = ["user", "assistant"] * len(turns)
    shown = [Message(role=r, content=t) for r, t in zip(roles, turns, strict=False)]  # type: ignore[arg-type]
    return Request(
        messages=(Message(role="system", content="be good"), *shown),
        decoding=Decoding(max_tokens=max_tokens, contract=contract),
    )


def answer(engine: FakeEngine, asked: Request) -> Completion:
    [(_, result)] = list(engine.generate([asked]))
    assert isinstance(result, Completion)
    return result


def test_it_answers_with_the_nearest_demonstration() -> None:
    demonstrations = ("Jane Smith", "person", "Acme Holdings Ltd", "company")
    engine = FakeEngine()
    assert answer(engine, request(*demonstrations, "Globex Holdings Ltd")).text == "company"
    assert answer(engine, request(*demonstrations, "John Smith")).text == "person"


def test_zero_shot() -> None:
    engine = FakeEngine()
    assert answer(engine, request("x")).text == "{}"
    assert answer(engine, request("x", contract=LABELS)).text == "person"
    assert answer(engine, request("", contract=OutputContract(kind="json"))).text == "{}"


def test_a_constrained_answer_fits_and_satisfies_says_when_nothing_changes() -> None:
    engine = FakeEngine(lambda messages, decoding: messages[-1].content)
    json_contract = OutputContract(kind="json")
    for contract, text in [
        (LABELS, "a company"),
        (LABELS, "company"),
        (json_contract, "[1]"),
        (json_contract, '{"a": 1}'),
        (OutputContract(kind="text"), "anything"),
    ]:
        free = answer(engine, request(text))
        constrained = answer(engine, request(text, contract=contract))
        assert engine.satisfies(contract, free) == (free == constrained)
    assert answer(engine, request("a company", contract=LABELS)).text == "company"


def test_tokens_are_words_and_long_answers_are_cut() -> None:
    engine = FakeEngine(lambda messages, decoding: "one two\nthree")
    whole = answer(engine, request("a b"))
    assert (whole.text, whole.finish) == ("one two\nthree", "stop")
    assert (whole.tokens_in, whole.tokens_out) == (4, 3)
    cut = answer(engine, request("a b", max_tokens=2))
    assert (cut.text, cut.finish, cut.tokens_out) == ("one two", "length", 2)
    assert not engine.satisfies(OutputContract(kind="text"), cut)


def test_chosen_calls_fail_and_all_are_counted() -> None:
    lost = Failed(boundary="server", message="told to")
    engine = FakeEngine(fail=lambda asked: lost if asked.messages[-1].content == "b" else None)
    results = dict(engine.generate([request("a"), request("b"), request("c")]))
    assert results[1] == lost
    assert isinstance(results[0], Completion)
    assert isinstance(results[2], Completion)
    assert engine.time_call(request("b")) == lost
    assert engine.calls == 4


def test_only_time_call_measures() -> None:
    engine = FakeEngine()
    timed = engine.time_call(request("a"))
    assert isinstance(timed, Completion)
    assert timed.latency_s is not None
    assert timed.latency_s > 0
    assert answer(engine, request("a")).latency_s is None
