"""Model ids: which differences stand for other weights."""

from __future__ import annotations

import pytest

from trimtab.engine.base import same_weights

PACKED = "smollm2@bcc81830/float32-packed"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (PACKED, True),
        ("smollm2@bcc81830/bfloat16", True),
        ("smollm2@bcc81831/float32-packed", False),
        ("smollm3@bcc81830/float32-packed", False),
        ("smollm2@bcc81830", False),
        ("openai:host/v1:smollm2@bcc81830/float32", False),
    ],
)
def test_another_precision_is_the_same_model_and_other_weights_are_not(other, same) -> None:
    assert same_weights(PACKED, other) is same
    assert same_weights(other, PACKED) is same


def test_other_engines_ids_must_be_equal() -> None:
    assert same_weights("openai:host/v1:a/b", "openai:host/v1:a/b")
    assert not same_weights("openai:host/v1:a/b", "openai:host/v1:a/c")
