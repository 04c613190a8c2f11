"""The PostgreSQL store keeps what the store port promises."""

from __future__ import annotations

from datetime import timedelta

import pytest

from redrive.testing.contracts import Lab, StoreContract
from tests.contracts.clocks import Clock
from tests.postgres.clocks import ClockedStore
from tests.postgres.server import Server


class PostgresLab(Lab):
    def __init__(self, server: Server, schema: str) -> None:
        super().__init__()
        self._server, self._schema = server, schema
        self._clock = Clock()

    def connect(self) -> ClockedStore:
        return ClockedStore(self._server, self._schema, self._clock)

    def pass_time(self, by: timedelta) -> None:
        self._clock.now += by


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def lab(self, postgres: Server, schema: str) -> Lab:
        return PostgresLab(postgres, schema)
