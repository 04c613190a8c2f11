"""Finding: searches by the rules of the ledger, in one transaction each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from redrive.ports.finding import Behind, Count, FoundPage, StoredFilter
from redrive.stores.ledger import search
from redrive.stores.ledger.search import Row, Tally
from redrive.stores.search_statements import Dialect, Statement
from redrive.stores.sqlite.beginning import index
from redrive.stores.sqlite.column_values import from_text, to_text
from redrive.stores.sqlite.jobs import Transaction
from redrive.stores.sqlite.queries import SQL
from redrive.stores.sqlite.read_rows import snapshot_of_row
from redrive.stores.statements import read_queries

DIALECT: Final = Dialect(
    sources=read_queries(Path(__file__).with_name("search.sql").read_text(encoding="utf-8")),
    stored=to_text,
    join="CROSS JOIN executions e ON e.n = s.n",
    waits="(SELECT waits FROM history h WHERE h.n = e.n AND h.number = e.number ORDER BY upto DESC LIMIT 1)",
    newline="char(10)",
    position="instr",
    last="substr(e.error_type, -{})",
)


def find(tx: Transaction, filter: StoredFilter, after: str | None, limit: int) -> FoundPage:
    asking = search.search(filter, after, limit)
    rows: list[Row] | None = None
    while True:
        try:
            scan = next(asking) if rows is None else asking.send(rows)
        except StopIteration as end:
            ns, cursor = end.value
            break
        rows = [Row(key, n, bool(fits)) for key, n, fits in _ask(tx, DIALECT.scan(scan))]
    found = {row[0]: snapshot_of_row(tx, row) for row in tx.execute(SQL["snapshots"], (json.dumps(ns),)).fetchall()} if ns else {}
    return FoundPage([found[n] for n in ns], cursor)


def count(tx: Transaction, filter: StoredFilter, by: str | None, most: int) -> Mapping[str, Count]:
    asking = search.count(filter, by, most)
    answer: Any = None
    while True:
        try:
            asked = next(asking) if answer is None else asking.send(answer)
        except StopIteration as end:
            counted: Mapping[str, Count] = end.value
            return counted if by is None else {from_text(group): n for group, n in counted.items()}
        if isinstance(asked, Tally):
            answer = _ask(tx, DIALECT.tally(asked))
        else:
            answer = [text if by != "workflow" else from_text(text) for (text,) in _ask(tx, DIALECT.groups(asked))]


def behind(tx: Transaction, attribute: str | None, limit: int) -> list[Behind]:
    if attribute is not None:
        named = tx.execute(SQL["behind_attribute"], (to_text(attribute), limit))
        return [Behind(from_text(id), n, attribute, data) for id, n, data in named]
    (upto,) = tx.execute(SQL["counter"], ("behind",)).fetchone()
    if upto == 0:
        return []
    found: list[Behind] = []
    while not found and (rows := tx.execute(SQL["behind"], (upto, limit)).fetchall()):
        found = [Behind(from_text(id), n) for id, n, is_behind in rows if is_behind]
        upto = rows[-1][1] - 1
    return found or [Behind("", 0)]


def catch_up(tx: Transaction, found: Sequence[tuple[Behind, tuple[str, ...]]]) -> None:
    for one, texts in found:
        if one.attribute is None:
            tx.execute(SQL["set_waits"], (to_text(texts[0]), one.place))
        elif tx.execute(SQL["is_behind"], (one.place, to_text(one.attribute))).fetchone():
            index(tx, one.place, one.attribute, texts)
    waits = [one.place for one, _ in found if one.attribute is None]
    if waits:
        tx.execute(SQL["set_counter"], (max(0, min(waits) - 1), "behind"))


def _ask(tx: Transaction, statement: Statement) -> list[tuple[Any, ...]]:
    text, values = statement
    return tx.execute(text.replace("redrive.", ""), values).fetchall()
