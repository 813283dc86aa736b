from __future__ import annotations

from pathlib import Path

import pytest

from tiny import load_in_float32


@pytest.fixture(scope="session")
def real_engine(real_model: Path):
    return load_in_float32(real_model)
