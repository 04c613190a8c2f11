"""One server for all tests of a process, started by the first that needs it; a schema for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.postgres.server import STOCK_MISSING, Server, named, serve, stock_programs

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Without fsync: quick, and good for everything but power loss."""
    server = named()
    if server is not None:
        yield server
        return
    with serve(fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def stock() -> Iterator[Server]:
    """A server with default settings, built as the system's packages are: PostgreSQL 14 to 17 compile costly statements (JIT)."""
    found = stock_programs()
    if found is None:
        pytest.skip(STOCK_MISSING)
    with serve(fsync=True, stock=found) as server:
        yield server


@pytest.fixture
def schema(postgres: Server) -> Iterator[str]:
    """The name of a schema that nobody else uses; the store makes it."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    yield name
    postgres.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
