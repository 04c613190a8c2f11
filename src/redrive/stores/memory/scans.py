"""Finding among records: all of them are looked through, by the rules and in the pages of the other stores."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from redrive.ports.finding import EVERYTHING, MOST_COUNTED, Behind, Count, FoundPage, StoredFilter
from redrive.stores.ledger import search
from redrive.stores.ledger.search import ATTRIBUTE, UNKNOWN, Groups, Lead, Order, Place, Row, Scan, Source, Tallied, Tally
from redrive.stores.memory.record import Record
from redrive.stores.times import to_us

if TYPE_CHECKING:
    from redrive.stores.memory.indexes import Indexes
    from redrive.stores.memory.unit_records import Records


class ScansMemory:
    """Part of the memory store: see `FindsExecutions`."""

    _lock: threading.RLock
    _tables: Indexes

    async def find(self, filter: StoredFilter = EVERYTHING, *, after: str | None = None, limit: int = 100) -> FoundPage:
        with self._lock:
            return find(self._tables.records.values(), filter, after, limit)

    async def count(self, filter: StoredFilter = EVERYTHING, by: str | None = None, most: int = MOST_COUNTED) -> Mapping[str, Count]:
        with self._lock:
            return count(self._tables.records.values(), filter, by, most)

    async def behind(self, attribute: str | None, limit: int) -> Sequence[Behind]:
        with self._lock:
            return behind(self._tables.records.values(), attribute)[:limit]

    async def catch_up(self, found: Sequence[tuple[Behind, tuple[str, ...]]]) -> None:
        with self._lock:
            catch_up(self._tables.records, found)


def find(records: Collection[Record], filter: StoredFilter, after: str | None, limit: int) -> FoundPage:
    """A page of those of *records* that fit."""
    asking = search.search(filter, after, limit)
    rows: Sequence[Row] | None = None
    while True:
        try:
            scan = next(asking) if rows is None else asking.send(rows)
        except StopIteration as end:
            ns, cursor = end.value
            break
        rows = _scan(records, scan)
    wanted = set(ns)
    found = {record.n: record for record in records if record.n in wanted}
    return FoundPage([found[n].snapshot() for n in ns], cursor)


def count(records: Collection[Record], filter: StoredFilter, by: str | None, most: int) -> Mapping[str, Count]:
    """How many of *records* fit, by something."""
    asking = search.count(filter, by, most)
    answer: Any = None
    while True:
        try:
            asked = next(asking) if answer is None else asking.send(answer)
        except StopIteration as end:
            counted: Mapping[str, Count] = end.value
            return counted
        answer = _tally(records, asked) if isinstance(asked, Tally) else _groups(records, asked)


def behind(records: Iterable[Record], attribute: str | None) -> list[Behind]:
    """The records with an *attribute* of which nobody has said the type."""
    if attribute is None:
        return []
    return [Behind(it.id, it.n, attribute, it.attributes) for it in records if UNKNOWN in it.texts.get(attribute, ())]


def catch_up(records: Records, found: Sequence[tuple[Behind, tuple[str, ...]]]) -> None:
    for one, texts in found:
        record = records.get(one.id)
        if one.attribute is not None and record is not None and UNKNOWN in record.texts.get(one.attribute, ()):
            record.index(one.attribute, texts)


# ── the parts of a search ───────────────────────────────────────────────────────────────────────
def _scan(records: Iterable[Record], scan: Scan) -> list[Row]:
    places = ((Place(_key(record, scan.order), record.n), record) for record in _led_by(records, scan.lead))
    if scan.lead.comes_in(scan.order):
        found = heapq.nlargest(scan.most, ((place, record) for place, record in places if place < scan.place), key=lambda pair: pair[0])
    else:
        found = list(itertools.islice(places, scan.most))
    rows = [Row(*place, _fits(record, scan.lead.rest)) for place, record in found]
    return sorted(rows, reverse=True)


def _tally(records: Iterable[Record], tally: Tally) -> Tallied:
    read: Counter[str] = Counter()
    fit: Counter[str] = Counter()
    for record in itertools.islice(_led_by(records, tally.lead), tally.most):
        group = _group(record, tally.by)
        read[group] += 1
        fit[group] += _fits(record, tally.lead.rest)
    return [(group, fit[group], count) for group, count in read.items()]


def _groups(records: Iterable[Record], groups: Groups) -> list[str]:
    if groups.by == "workflow":
        return sorted({record.workflow for record in records})[: groups.most]
    name = groups.by.removeprefix(ATTRIBUTE)
    return sorted({text for record in records for text in record.texts.get(name, ())})[: groups.most]


def _led_by(records: Iterable[Record], lead: Lead) -> Iterator[Record]:
    return (record for record in records if any(_is_in(record, source) for source in lead.sources))


def _is_in(it: Record, source: Source) -> bool:
    """Whether *it* is in an index, where it is looked up as *source* says."""
    values = source.values
    match source.kind:
        case "every":
            return True
        case "id":
            return bool(it.id == values[0])
        case "prefix":
            return bool(values[0] <= it.id < values[1])
        case "attribute":
            return values[1] in it.texts.get(values[0], ())
        case "range":
            return any(values[1] <= text < values[2] for text in it.texts.get(values[0], ()))
        case "created":
            return bool(values[0] <= it.created_us < values[1])
        case "ended":
            ended_us = it.ended_us
            return ended_us is not None and values[0] <= ended_us < values[1]
        case "open":
            return not it.ended
        case "status":
            return bool(it.status == values[0])
        case "parent":
            return it.creator is not None and it.creator.id == values[0]
        case "root":
            return bool(it.root == values[0])
        case "workflow":
            return bool(it.workflow == values[0])


def _fits(it: Record, filter: StoredFilter) -> bool:
    if filter == EVERYTHING:
        return True
    ended_us = it.ended_us
    error = it.error_type
    asked = (
        filter.workflow is None or it.workflow == filter.workflow,
        filter.statuses is None or it.status in filter.statuses,
        filter.id_prefix is None or it.id.startswith(filter.id_prefix),
        filter.parent is None or (it.creator is not None and it.creator.id == filter.parent),
        filter.root is None or filter.root in (it.root, it.id),
        filter.waiting_on is None or not set(filter.waiting_on).isdisjoint(it.waits.split("\n")),
        filter.created_after is None or it.created_us >= to_us(filter.created_after),
        filter.created_before is None or it.created_us < to_us(filter.created_before),
        filter.ended_after is None or (ended_us is not None and ended_us >= to_us(filter.ended_after)),
        filter.ended_before is None or (ended_us is not None and ended_us < to_us(filter.ended_before)),
        filter.error_type is None or (error is not None and f".{error}".endswith(f".{filter.error_type}")),
    )
    return all(asked) and all(condition.fits(it.texts.get(condition.attribute, ())) for condition in filter.conditions)


def _key(it: Record, order: Order) -> int:
    if order == "created":
        return it.created_us
    return it.n if order == "n" else it.ended_us or 0


def _group(it: Record, by: str | None) -> str:
    match by:
        case "waiting_on":
            return it.waits
        case "error_type":
            return it.error_type or ""
        case "workflow":
            return it.workflow
        case _:
            return ""
