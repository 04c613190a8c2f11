"""Finding: searches by the rules of the ledger, each question a statement of its own: what comes and goes between two is no matter."""

from __future__ import annotations

import itertools
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from redrive.ports.finding import EVERYTHING, MOST_COUNTED, Behind, Count, FoundPage, StoredFilter
from redrive.stores.ledger import search
from redrive.stores.ledger.search import Row, Tally
from redrive.stores.postgres.limits import LONG
from redrive.stores.postgres.parameters import SEPARATOR, from_text, joined, numbers, to_text
from redrive.stores.postgres.queries import in_schema
from redrive.stores.postgres.read_statements import snapshot
from redrive.stores.postgres.session import Session, Sessions
from redrive.stores.search_statements import Dialect, Statement
from redrive.stores.statements import read_queries

DIALECT: Final = Dialect(
    sources=read_queries(Path(__file__).with_name("search.sql").read_text(encoding="utf-8")),
    stored=to_text,
    join="JOIN redrive.executions e ON e.n = ANY (ARRAY[s.n])",
    waits="e.waits",
    newline="chr(10)",
    position="strpos",
    last="right(e.error_type, {})",
    errors_are_json=True,
)
_MARK: Final = re.compile(r"\?")


class FindsInPostgres(ABC):
    """The part of the PostgreSQL store that finds executions: see `FindsExecutions`."""

    @abstractmethod
    def _asking(self) -> tuple[Sessions, str]:
        """The sessions of the open store, and its schema. Raises `StoreError`."""

    async def find(self, filter: StoredFilter = EVERYTHING, *, after: str | None = None, limit: int = 100) -> FoundPage:
        return await find(*self._asking(), filter, after, limit)

    async def count(self, filter: StoredFilter = EVERYTHING, by: str | None = None, most: int = MOST_COUNTED) -> Mapping[str, Count]:
        return await count(*self._asking(), filter, by, most)

    async def behind(self, attribute: str | None, limit: int) -> Sequence[Behind]:
        return await behind(self._asking()[0], attribute, limit)

    async def catch_up(self, found: Sequence[tuple[Behind, tuple[str, ...]]]) -> None:
        await self._asking()[0].transact(partial(catch_up, found=found))


async def find(sessions: Sessions, schema: str, filter: StoredFilter, after: str | None, limit: int) -> FoundPage:
    asking = search.search(filter, after, limit)
    rows: list[Row] | None = None
    while True:
        try:
            scan = next(asking) if rows is None else asking.send(rows)
        except StopIteration as end:
            ns, cursor = end.value
            break
        rows = [Row(*row) for row in await _ask(sessions, schema, DIALECT.scan(scan))]
    found = {row[0]: snapshot(row[1:]) for row in await sessions.rows("found", numbers(ns), seconds=LONG)} if ns else {}
    return FoundPage([found[n] for n in ns if n in found], cursor)


async def count(sessions: Sessions, schema: str, filter: StoredFilter, by: str | None, most: int) -> Mapping[str, Count]:
    asking = search.count(filter, by, most)
    answer: Any = None
    while True:
        try:
            asked = next(asking) if answer is None else asking.send(answer)
        except StopIteration as end:
            counted: Mapping[str, Count] = end.value
            return {_group(group, by): n for group, n in counted.items()}
        if isinstance(asked, Tally):
            answer = await _ask(sessions, schema, DIALECT.tally(asked))
        else:
            found = await _ask(sessions, schema, DIALECT.groups(asked))
            answer = [text if by != "workflow" else from_text(text) for (text,) in found]


async def behind(sessions: Sessions, attribute: str | None, limit: int) -> list[Behind]:
    if attribute is not None:
        rows = await sessions.rows("behind_attribute", to_text(attribute), limit)
        return [Behind(from_text(id), n, attribute, data) for id, n, data in rows]
    ((upto,),) = await sessions.rows("behind_from")
    if upto == 0:
        return []
    found: list[Behind] = []
    while not found and (rows := await sessions.rows("behind", upto, limit)):
        found = [Behind(from_text(id), n) for id, n, is_behind in rows if is_behind]
        upto = rows[-1][1] - 1
    return found or [Behind("", 0)]


async def catch_up(session: Session, found: Sequence[tuple[Behind, tuple[str, ...]]]) -> None:
    waits = [(one.place, texts[0]) for one, texts in found if one.attribute is None]
    for n, text in sorted(waits):
        await session.run("set_waits", n, to_text(text))
    if waits:
        await session.run("behind_upto", max(0, min(n for n, _ in waits) - 1))
    named = {(one.place, one.attribute): texts for one, texts in found if one.attribute is not None}
    if named:
        names = SEPARATOR.join(to_text(name) for _, name in named)
        held = await (await session.run("hold_behind", numbers(n for n, _ in named), names)).fetchall()
        still = {n for (n,) in held}
        rows = [(n, name, text) for (n, name), texts in named.items() if n in still for text in texts or (None,)]
        if rows:
            ns, names = numbers(n for n, _, _ in rows), SEPARATOR.join(to_text(name) for _, name, _ in rows)
            await session.run("index", ns, names, joined(text for *_, text in rows))


async def _ask(sessions: Sessions, schema: str, statement: Statement) -> list[tuple[Any, ...]]:
    text, values = statement
    query = _query(text, schema)

    async def ask(session: Session) -> list[tuple[Any, ...]]:
        return await (await session.connection.execute(query, values)).fetchall()

    return await sessions.ask(ask, LONG)


@lru_cache(maxsize=256)
def _query(text: str, schema: str) -> bytes:
    count = itertools.count(1)
    return in_schema(_MARK.sub(lambda _: f"${next(count)}", text), schema)


def _group(group: str, by: str | None) -> str:
    if by == "error_type":
        return str(json.loads(f'"{group}"'))
    return group if by is not None and by.startswith(search.ATTRIBUTE) else from_text(group)
