"""The PostgreSQL store keeps what the store port promises."""

from __future__ import annotations

from datetime import timedelta

import pytest

from redrive.testing.contracts import Lab, QueueContract, ScheduleContract, StoreContract
from tests.contracts.clocks import Clock
from tests.postgres.clocks import ClockedStore
from tests.postgres.server import Server


class PostgresLab(Lab):
    def __init__(self, server: Server, schema: str, **options: object) -> None:
        super().__init__()
        self._server, self._schema, self._options = server, schema, options
        self._clock = Clock()

    def connect(self) -> ClockedStore:
        return ClockedStore(self._server, self._schema, self._clock, **self._options)

    def pass_time(self, by: timedelta) -> None:
        self._clock.now += by


class TestPostgresStore(StoreContract, ScheduleContract, QueueContract):
    @pytest.fixture
    def lab(self, postgres: Server, schema: str) -> Lab:
        return PostgresLab(postgres, schema)


class TestPostgresStoreBehindAPooler(StoreContract, ScheduleContract, QueueContract):
    """Nothing is kept in the server's sessions, and there are but two of them."""

    @pytest.fixture
    def lab(self, postgres: Server, schema: str) -> Lab:
        return PostgresLab(postgres, schema, pgbouncer="true", connections=2)
