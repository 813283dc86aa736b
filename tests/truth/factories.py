"""A made-up world: every variant's score on each of 200 rows, written down."""

from __future__ import annotations

from benchmarks.truth.record import Prompted
from benchmarks.truth.teams import Team
from benchmarks.truth.world import World

from trimtab.prompt.recipe import Recipe
from trimtab.prompt.search import DEMONSTRATIONS, INSTRUCTIONS
from trimtab.prompt.variants import constrained
from trimtab.task.spec import Task
from trimtab.tune.arm import Trained
from trimtab.types import (
    Completion,
    CurvePoint,
    Example,
    Interval,
    Prompt,
    Record,
    Scored,
    Variant,
)

ROWS = 200
TASK = Task.model_validate(
    {
        "name": "made-up",
        "instructions": "Say yes or no.",
        "data": {"path": "rows.jsonl"},
        "output": {"kind": "label", "labels": ["yes", "no"]},
        "metric": "accuracy",
        "goals": {"quality": 0.9},
    }
)
_UNMEASURED = Interval(estimate=None, low=None, high=None, n=0, method="not measured")


def world(prompts, tuned, *, nearest=None, tokens=(300, 20)):
    """`prompts` are shares of right rows: of the instructions, then of 4 and 8 demonstrations.

    `tuned` gives the share by training size, `nearest` that of 4 nearest ones by the rows they
    need. `tokens` are those of a prompt's and of a fine-tune's call.
    """
    rows = [Example(id=f"e{i}", input=f"input {i}", target="yes") for i in range(ROWS)]
    records = {}
    fixed = []
    stages = (INSTRUCTIONS, DEMONSTRATIONS, DEMONSTRATIONS)
    for place, (stage, share) in enumerate(zip(stages, prompts, strict=False)):
        demonstrations = tuple(rows[: 4 * place])
        recipe = Recipe(demonstrations=demonstrations, chosen="random" if place else "")
        fixed.append(prompted(stage, recipe, f"prompt {place}"))
        records |= answers(fixed[-1].variant, share, tokens[0])
    trained = []
    for size, share in tuned.items():
        variant = variant_of(f"tuned {size}", "fine-tune")
        trained.append(Trained(point=point(size), variant=variant, tried=()))
        for way in (variant, constrained(variant)):
            records |= answers(way, share, tokens[1])
    of_nearest = {}
    for needs, share in (nearest or {}).items():
        found = prompted(DEMONSTRATIONS, Recipe(nearest=4), "4 nearest", nearest=4)
        of_nearest[needs] = ([found], answers(found.variant, share, tokens[0]))
    return World(TASK, rows, fixed, of_nearest, [], trained, records)


def team(**changes):
    """Wants 0.9, has 600 rows, and gains 30,000 USD a month by answers that are all right."""
    settings = {"number": 1, "rows": 600, "goal": 0.9, "least": 0.03, "calls": 3e5, "value": 0.1}
    return Team(**(settings | changes))


def prompted(stage, recipe, name, **prompt):
    return Prompted(stage=stage, recipe=recipe, variant=variant_of(name, "prompt", **prompt))


def variant_of(name, arm, **prompt):
    return Variant(
        name=name, arm=arm, model="m", prompt=Prompt(system=name, **prompt), max_tokens=4
    )


def point(size):
    return CurvePoint(
        rows=size,
        seed=0,
        learning_rate=0.001,
        epoch=1,
        epochs=1,
        train_tokens=20 * size,
        seconds=1.0,
        dev_loss=1.0,
        dev_quality=_UNMEASURED,
        variant="",
    )


def answers(variant, share, tokens):
    """The first rows are right, scattered so that no two variants differ more than they must."""
    return {variant.id: {f"e{i}": answer(variant, i, share, tokens) for i in range(ROWS)}}


def answer(variant, place, share, tokens):
    right = float((place * 71) % ROWS < share * ROWS)
    return Record(
        variant=variant.id,
        example=f"e{place}",
        completion=Completion(text="yes", finish="stop", tokens_in=tokens, tokens_out=1),
        outcome=Scored(metrics={"accuracy": right}, valid=True, parsed="yes"),
    )
