from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DataError
from trimtab.task.spool import Spool, Texts
from trimtab.types import Example

rows = st.lists(
    st.builds(
        Example,
        id=st.text(max_size=4),
        input=st.text(max_size=20),
        target=st.text(max_size=5),
        group=st.none() | st.text(max_size=3),
        time=st.none() | st.just(datetime(2026, 1, 31, 9, tzinfo=UTC)),
        approved_by=st.none() | st.just("team"),
        source=st.text(max_size=5),
    ),
    max_size=12,
)


@given(rows)
def test_what_goes_in_comes_out(examples):
    with Spool(iter(examples)) as spool:
        assert len(spool) == len(examples)
        assert list(spool) == list(spool) == examples
        assert [spool[i] for i in range(len(spool))] == examples
        assert list(spool[1:3]) == examples[1:3]
        assert list(Texts(spool, lambda row: row.input)) == [row.input for row in examples]


def test_reading_one_row_does_not_disturb_a_pass():
    examples = [Example(id=str(i), input=f"row {i}", target="t") for i in range(10)]
    with Spool(examples) as spool:
        assert [(row.id, spool[-1].id) for row in spool] == [(str(i), "9") for i in range(10)]
        with pytest.raises(IndexError):
            spool[10]


def test_a_problem_of_the_source_is_handed_on():
    def broken():
        yield Example(id="1", input="a", target="t")
        raise DataError("line 2")

    with pytest.raises(DataError, match="line 2"):
        Spool(broken())
