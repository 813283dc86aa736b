from __future__ import annotations

import pytest

from trimtab.measure import consistency

_SIZES = consistency.SIZES  # as it is without the tests' own limit


@pytest.fixture
def all_sizes(monkeypatch) -> None:
    """Finalists are asked again on as many rows as in use."""
    monkeypatch.setattr(consistency, "SIZES", _SIZES)
