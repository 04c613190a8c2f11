"""A store whose server's clock is the test's."""

from __future__ import annotations

from redrive.stores.postgres import PostgresStore
from redrive.stores.times import to_us
from tests.contracts.clocks import Clock
from tests.postgres.server import Server


class ClockedStore(PostgresStore):
    """The clock is the function `now_us` of the schema, which is replaced whenever the test moves it."""

    def __init__(self, server: Server, schema: str, clock: Clock, **options: object) -> None:
        super().__init__(server.url(schema=schema, **options))
        self._server, self._clock = server, clock

    async def open(self) -> None:
        await super().open()
        self._clock.moved = self._set
        self._set()

    def _set(self) -> None:
        body = f"LANGUAGE sql VOLATILE AS $$ SELECT {to_us(self._clock.now)}::bigint $$"
        self._server.execute(f'CREATE OR REPLACE FUNCTION "{self.address.schema}".now_us() RETURNS bigint {body}')
