"""Values that add up and hash the same however they came together."""

from hypothesis import given
from hypothesis import strategies as st

from trimtab.types import Spent

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
