"""Records that the tests of this folder share."""

from trimtab.types import Completion, Failed, Prompt, Record, Scored, Variant


def variant(name="zero-shot", arm="prompt"):
    return Variant(name=name, arm=arm, model="m", prompt=Prompt(system=name), max_tokens=8)


def answer(example, metrics, *, of="a", repeat=0, valid=True, parsed="x", tokens=(10, 4, 2)):
    tokens_in, tokens_cached, tokens_out = tokens
    completion = Completion(
        text="x",
        finish="stop",
        tokens_in=tokens_in,
        tokens_cached=tokens_cached,
        tokens_out=tokens_out,
    )
    outcome = Scored(metrics=metrics, valid=valid, parsed=parsed)
    return Record(
        variant=of, example=example, repeat=repeat, completion=completion, outcome=outcome
    )


def failure(example, *, of="a", repeat=0, boundary="timeout"):
    outcome = Failed(boundary=boundary, message="no answer")
    return Record(variant=of, example=example, repeat=repeat, completion=None, outcome=outcome)


def answers(scores, *, of="a", metric="m"):
    return [answer(f"e{i}", {metric: score}, of=of) for i, score in enumerate(scores)]
