"""A pass holds every token of its rows, the common beginning once, and nothing else."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from trimtab.tune.packing import pack
from trimtab.tune.rows import TrainingRow

CPU = torch.device("cpu")
tokens = st.lists(st.integers(3, 6), min_size=1, max_size=6)


@st.composite
def batches(draw) -> list[TrainingRow]:
    """Rows over few tokens, so that they often begin alike by chance too."""
    beginning = draw(st.lists(st.integers(3, 6), max_size=4))
    ends = draw(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5))
    return [TrainingRow([*beginning, *prompt], answer) for prompt, answer in ends]


@given(batches())
def test_the_grid_shows_every_row_whole(rows) -> None:
    packed = pack(rows, CPU)
    for row, places in zip(rows, packed.rows.grid, strict=True):
        own = places[: len(row)]
        assert packed.ids[own].tolist() == row.prompt + row.answer
        assert packed.positions[own].tolist() == list(range(len(row)))


@given(batches())
def test_every_token_of_the_stream_is_found_in_the_grid(rows) -> None:
    packed = pack(rows, CPU)
    found = packed.rows.grid.flatten()[packed.rows.places]
    assert found.tolist() == list(range(len(packed.ids)))


@given(batches())
def test_each_answer_token_is_predicted_from_the_token_before_it(rows) -> None:
    packed = pack(rows, CPU)
    at = iter(zip(packed.predicts.tolist(), packed.targets.tolist(), strict=True))
    for row, places in zip(rows, packed.rows.grid.tolist(), strict=True):
        for position, token in enumerate(row.answer, start=len(row.prompt)):
            assert next(at) == (places[position - 1], token)
    assert next(at, None) is None


@given(batches())
def test_what_is_shared_stands_once(rows) -> None:
    packed = pack(rows, CPU)
    shared = packed.rows.shared
    assert len(packed.ids) == sum(map(len, rows)) - shared * (len(rows) - 1)
    assert shared < min(len(row.prompt) for row in rows)
    assert len({tuple(row.prompt[:shared]) for row in rows}) == 1
    following = {row.prompt[shared] for row in rows}
    ends = shared == min(len(row.prompt) for row in rows) - 1
    assert len(rows) == 1 or ends or len(following) > 1, "more could have been shared"
