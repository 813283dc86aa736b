"""Dataset versions come back as they were, once each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.store.data_versions import (
    compare_data,
    keep_version,
    list_versions,
    read_version,
    version_path,
)
from trimtab.task.data import dataset_hash, read_examples
from trimtab.types import Example, OutputContract, content_hash

LABELS = OutputContract(kind="label", labels=("a", "b"))


def example(text: str, target: str = "a", **changes: object) -> Example:
    return Example(id=content_hash(text, target), input=text, target=target, **changes)  # type: ignore[arg-type]


def test_a_version_comes_back_and_can_be_decided_on(tmp_path) -> None:
    rows = [example("one", group="g", approved_by="reviewer-1"), example("two", "b")]
    kept = keep_version(tmp_path, rows, "reviewer-1", "why")
    found = read_version(tmp_path, kept.hash[:6], LABELS)
    assert dataset_hash(found) == kept.hash == dataset_hash(rows)
    assert dataset_hash(read_examples(version_path(tmp_path, kept.hash), LABELS)) == kept.hash


def test_the_same_content_is_kept_once_whatever_its_order(tmp_path) -> None:
    rows = [example("one"), example("two")]
    first = keep_version(tmp_path, rows, "reviewer-1", "first")
    assert keep_version(tmp_path, rows[::-1], "reviewer-2", "again") == first
    second = keep_version(tmp_path, [*rows, example("three")], "reviewer-1", "more")
    assert [v.parent for v in list_versions(tmp_path)] == [None, first.hash]
    assert second.rows == 3


def test_rows_from_reviews_are_counted(tmp_path) -> None:
    rows = [example("one", source="reviewed.jsonl:3"), example("two", source="rows.jsonl:1")]
    assert keep_version(tmp_path, rows, "reviewer-1", "why").reviewed == 1


def test_an_unknown_version_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="0 dataset versions"):
        read_version(tmp_path, "ffff", LABELS)


def test_a_pruned_version_is_listed_no_more(tmp_path) -> None:
    kept = keep_version(tmp_path, [example("one")], "reviewer-1", "why")
    version_path(tmp_path, kept.hash).unlink()
    assert list_versions(tmp_path) == []


def test_added_removed_and_changed() -> None:
    before = [example("one"), example("two"), example("three")]
    after = [example("one"), example("two", "b"), example("four")]
    found = compare_data(before, after)
    assert found.added == (example("four").id,)
    assert found.removed == (example("three").id,)
    assert found.changed == (example("two", "b").id,)


_ROWS = st.lists(st.tuples(st.sampled_from("pqrs"), st.sampled_from("ab")), max_size=8)


@given(_ROWS, _ROWS)
def test_the_numbers_of_rows_add_up(before, after) -> None:
    old, new = ({example(*row).id: example(*row) for row in rows} for rows in (before, after))
    found = compare_data(list(old.values()), list(new.values()))
    assert len(old) - len(found.removed) + len(found.added) == len(new)
    turned = compare_data(list(new.values()), list(old.values()))
    assert (len(turned.added), len(turned.removed)) == (len(found.removed), len(found.added))
    assert len(turned.changed) == len(found.changed)
