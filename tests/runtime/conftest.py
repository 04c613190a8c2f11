"""Most tests of the runtime run on every embedded store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["memory", "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store that several services may share."""
    if request.param == "memory":
        return f"memory://{tmp_path.name}-{request.node.name}"
    return f"sqlite:///{tmp_path / 'executions.db'}"
