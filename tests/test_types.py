"""Values that add up and hash the same however they came together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.types import Adapter, Example, Message, Prompt, Spent, Variant

parts = st.lists(
    st.builds(
        Spent,
        stage=st.sampled_from(["search", "test"]),
        arm=st.sampled_from(["prompt", "fine-tune", None]),
        calls=st.integers(0, 100),
        tokens_in=st.integers(0, 100),
        tokens_out=st.integers(0, 100),
        train_tokens=st.integers(0, 100),
        seconds=st.integers(0, 100),
        money=st.integers(0, 100),
    )
)


@given(parts)
def test_every_amount_is_in_the_sum_of_its_stage_and_in_no_other(spent) -> None:
    sums = Spent.by_stage(spent)
    assert list(sums) == list(dict.fromkeys(part.key for part in spent))
    for key, found in sums.items():
        assert found.key == key
        for name in Spent.model_fields.keys() - {"stage", "arm"}:
            expected = sum(getattr(part, name) for part in spent if part.key == key)
            assert getattr(found, name) == expected


@given(parts)
def test_a_total_keeps_its_own_name(spent) -> None:
    found = sum(spent, Spent(stage="Total"))
    assert found.key == ("Total", None)
    assert found.calls == sum(part.calls for part in spent)


EXAMPLE = Example(id="a1", input="Ann Ltd", target="company", source="rows.jsonl:3")
ADAPTER = Adapter(path="adapters/a", sha256="f" * 64, rows=400, epoch=2, learning_rate=1e-3, seed=0)
ZERO = Variant(name="n", arm="prompt", model="m", prompt=Prompt(system="Whose name?"), max_tokens=8)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "81bed6a7659f"),
        (
            {
                "prompt": Prompt(system="Whose name?", demonstrations=(EXAMPLE,), nearest=2),
                "constrained": True,
            },
            "f4ba24480048",
        ),
        ({"temperature": 0.7, "adapter": ADAPTER}, "04a2da79e7e8"),
    ],
)
def test_variants_of_finished_runs_keep_their_ids(changes, expected) -> None:
    """Computed by the version before prompts had styles, orders and rounds."""
    assert ZERO.model_copy(update=changes).id == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": True},
        {"retries": 1},
        {"prompt": Prompt(system="Whose name?", style="lines")},
        {"prompt": Prompt(system="Whose name?", nearest=2, nearest_first=True)},
        {"prompt": Prompt(system="Whose name?", template=(Message(role="user", content="x"),))},
    ],
)
def test_each_way_to_ask_makes_another_variant(changes) -> None:
    assert ZERO.model_copy(update=changes).id != ZERO.id
    assert (
        ZERO.model_copy(update={**changes, "name": "other"}).id
        == ZERO.model_copy(update=changes).id
    )
