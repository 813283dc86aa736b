import errno
import json
import os
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import DataError, DiskFull
from trimtab.task.data import dataset_hash
from trimtab.task.near import near_duplicate_clusters
from trimtab.task.split import MIN_TRAIN, SealedTest, held_out, labels_to_train, make_split
from trimtab.types import Example, content_hash


def example(text: str, target: str = "t", group: str | None = None) -> Example:
    return Example(id=content_hash(text, target), input=text, target=target, group=group)


def split_of(rows, dev=10, test=20, seed=0):
    clusters = near_duplicate_clusters([row.input for row in rows])
    return make_split(rows, dev=dev, test=test, seed=seed, clusters=clusters)


ROWS = [example(f"row {i}") for i in range(100)]


def test_sizes_are_as_asked_and_rows_are_disjoint():
    split = split_of(ROWS)
    parts = [{r.id for r in split.train}, {r.id for r in split.dev}, set(split.test.ids)]
    assert [len(part) for part in parts] == [70, 10, 20]
    assert set.union(*parts) == {row.id for row in ROWS}


@pytest.mark.parametrize(("n", "dev", "test"), [(100, 20, 30), (500, 50, 100), (5000, 100, 300)])
def test_default_sizes(n, dev, test):
    split = split_of([example(f"row {i}") for i in range(n)], dev=None, test=None)
    assert (len(split.dev), len(split.test)) == (dev, test)


def test_too_few_rows_says_how_many_are_needed():
    with pytest.raises(DataError, match="49 distinct rows are too few: 50 are needed"):
        split_of(ROWS[:49])
    assert len(split_of(ROWS[:50]).train) == MIN_TRAIN
    with pytest.raises(DataError, match="30 distinct rows are too few: 50"):
        split_of(ROWS[:30] * 3)


def test_the_order_of_the_file_does_not_matter_but_the_seed_does():
    rows = [example(f"row {i}", group=f"g{i // 3}") for i in range(100)]
    one, two, other = split_of(rows), split_of(rows[::-1]), split_of(rows, seed=1)
    assert [r.id for r in one.train] == [r.id for r in two.train]
    assert one.test.ids == two.test.ids
    assert set(one.test.ids) != set(other.test.ids)


def test_a_new_row_moves_few_others():
    before = set(split_of(ROWS).test.ids)
    after = set(split_of([*ROWS, example("one more")]).test.ids)
    assert len(before - after) <= 1


def test_later_copies_are_dropped():
    first = ROWS[0].model_copy(update={"source": "a:1"})
    split = split_of([first, *ROWS])
    used = [*split.train, *split.dev]
    assert len(used) + len(split.test) == 100
    assert [r.source for r in used if r.id == first.id] in ([], ["a:1"])


def test_copies_count_once_even_where_clusters_miss_them():
    rows = [*ROWS, *ROWS]
    split = make_split(rows, dev=10, test=20, seed=0, clusters=range(len(rows)))
    assert (len(split.train), len(split.dev), len(split.test)) == (70, 10, 20)


def test_copies_tie_the_groups_that_they_are_in():
    rows = [example(f"row {i}", group=f"g{i}") for i in range(98)]
    rows += [example("row 0", group="g1"), example("row 99", group="g1")]
    split = split_of(rows)
    tied = {content_hash(f"row {i}", "t") for i in (0, 1, 99)}
    parts = ({r.id for r in split.train}, {r.id for r in split.dev}, set(split.test.ids))
    assert sum(bool(tied & part) for part in parts) == 1


def test_groups_too_large_to_fill_a_split_are_refused():
    rows = [example(f"row {i}", group=f"g{i % 2}") for i in range(100)]
    with pytest.raises(DataError, match=r"only 0 of 20 test rows .* largest such set holds 50"):
        split_of(rows)


def test_conflicting_targets_stay_together():
    rows = [
        example(f"Row  {i // 2}" if i % 2 else f"row {i // 2}", f"t{i % 2}") for i in range(200)
    ]
    split = split_of(rows)
    for part in ({r.id for r in split.dev}, set(split.test.ids), {r.id for r in split.train}):
        for k in range(100):
            pair = {content_hash(f"row {k}", "t0"), content_hash(f"Row  {k}", "t1")}
            assert len(pair & part) in (0, 2)


row_lists = st.tuples(
    # 80 single rows fill every split; the others tie inputs and groups to each other at random
    st.just([(i, "x", None) for i in range(80)]),
    st.lists(
        st.tuples(st.integers(60, 120), st.sampled_from("xy"), st.none() | st.integers(0, 20)),
        max_size=60,
    ),
).map(lambda parts: parts[0] + parts[1])


@settings(max_examples=50, deadline=None)
@given(row_lists, st.integers(0, 3))
def test_nothing_straddles(facts, seed):
    rows = [
        example(f"row {i}", target, None if group is None else f"g{group}")
        for i, target, group in facts
    ]
    split = split_of(rows, seed=seed)
    place = {r.id: "train" for r in split.train} | {r.id: "dev" for r in split.dev}
    place |= dict.fromkeys(split.test.ids, "test")
    assert set(place) == {row.id for row in rows}
    assert len(place) == len(split.train) + len(split.dev) + len(split.test)
    for key in ("input", "group"):
        seen: dict[str, str] = {}
        for row in rows:
            value = getattr(row, key)
            if value is not None:
                assert seen.setdefault(value, place[row.id]) == place[row.id]


def test_each_opening_is_logged_before_the_rows_are_given(tmp_path):
    sealed = SealedTest(ROWS[:3])
    log = tmp_path / "run" / "test_openings.jsonl"
    assert sealed.open(log, "confirmation") == tuple(ROWS[:3])
    sealed.open(log, "again")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["confirmation", "again"]
    assert lines[0]["rows"] == 3
    assert lines[0]["content"] == dataset_hash(ROWS[:3])
    assert lines[0]["time"].endswith("+00:00")


def test_an_opening_that_cannot_be_logged_gives_no_rows(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        SealedTest(ROWS).open(tmp_path / "log.jsonl", "x")


def test_the_sealed_rows_have_no_other_public_way_out():
    sealed = SealedTest([example("secret text")])
    split = split_of([example(f"secret text {i}") for i in range(60)])
    assert "secret" not in repr(sealed) + str(sealed) + repr(split)
    public = {name for name in dir(sealed) if not name.startswith("_")}
    assert public == {"ids", "open"}
    with pytest.raises(TypeError):
        iter(sealed)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("have", "wanted", "labels"),
    [
        (140, 140, 0),
        (140, 350, 299),  # 200 rows; 499 leave 49 for dev and 99 for the test
        (140, 70, 0),
        (90, 100, 10),  # dev and test are at their least: 20 and 30
        (600, 2_000, 1_544),  # 856 rows; dev and test are at their most: 100 and 300
    ],
)
def test_labels_that_are_missing_join_dev_and_test_too(have, wanted, labels):
    assert labels_to_train(have, wanted, None, None) == labels


@given(
    have=st.integers(1, 3_000), wanted=st.integers(1, 3_000), dev=st.none() | st.integers(10, 90)
)
def test_so_many_labels_are_enough_and_hardly_more(have, wanted, dev):
    labels = labels_to_train(have, wanted, dev, None)
    start = next(n for n in count(have) if n - sum(held_out(n, dev, None)) >= have)
    left = start + labels - sum(held_out(start + labels, dev, None))
    assert left >= wanted or have > wanted
    assert labels <= max(0, wanted - have) / 0.7 + 2
