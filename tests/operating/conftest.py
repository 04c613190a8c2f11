"""What operators do is tried on every store, and with a provider that remembers by which keys it was called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operating.shop import Provider, provider


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store that several services may share."""
    if request.param == "memory":
        return f"memory://{tmp_path.name}-{request.node.name}"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'executions.db'}"
    server, schema = request.getfixturevalue("postgres"), request.getfixturevalue("schema")
    return str(server.url(schema=schema))


@pytest.fixture
def bank() -> Iterator[Provider]:
    provider.forget()
    yield provider
    provider.forget()
