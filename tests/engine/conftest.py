from __future__ import annotations

from collections.abc import Iterator

import pytest

from .endpoint import Endpoint


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    yield server
    server.close()
