from hypothesis import given
from hypothesis import strategies as st

from trimtab.task.codes import connected, digests, numbered


@given(st.lists(st.text(max_size=2)))
def test_numbers_follow_first_appearance(texts):
    first: dict[str, int] = {}
    expected = [first.setdefault(text, len(first)) for text in texts]
    assert numbered(digests(texts)).tolist() == expected


keys = st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 6)), min_size=1, max_size=14)


@given(keys)
def test_connected_is_the_closure_of_equal_keys(pairs):
    group = list(range(len(pairs)))
    for _ in pairs:
        for i, a in enumerate(pairs):
            for j, b in enumerate(pairs):
                if any(x == y >= 0 for x, y in zip(a, b, strict=True)):
                    group[i] = group[j] = min(group[i], group[j])
    assert connected(zip(*pairs, strict=True), len(pairs)).tolist() == numbered(group).tolist()
