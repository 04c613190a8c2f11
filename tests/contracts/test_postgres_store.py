"""The PostgreSQL store keeps what the store port promises."""

from __future__ import annotations

from datetime import timedelta

import pytest

from redrive.stores.postgres import PostgresStore
from redrive.testing.contracts import Lab, StoreContract
from tests.contracts.clocks import Clock
from tests.postgres.server import Server


class PostgresLab(Lab):
    """Its clock is the server's, which the test stops by another `now_us` in the schema."""

    def __init__(self, server: Server, schema: str) -> None:
        super().__init__()
        self.server, self.schema = server, schema
        self.clock = Clock()

    def connect(self) -> PostgresStore:
        return PostgresStore(self.server.url(schema=self.schema))

    async def open(self) -> PostgresStore:  # type: ignore[override]
        store = self.connect()
        await store.open()
        self._opened.append(store)
        self.set_clock()
        return store

    def pass_time(self, by: timedelta) -> None:
        self.clock.now += by
        self.set_clock()

    def set_clock(self) -> None:
        now_us = int(self.clock.now.timestamp()) * 1_000_000 + self.clock.now.microsecond
        body = f"LANGUAGE sql VOLATILE AS $$ SELECT {now_us}::bigint $$"
        self.server.execute(f'CREATE OR REPLACE FUNCTION "{self.schema}".now_us() RETURNS bigint {body}')


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def lab(self, postgres: Server, schema: str) -> Lab:
        return PostgresLab(postgres, schema)
