"""The rules of finding, the same in every store: which index leads, in what order, how much is read. Pure: a search yields `Scan`s.

1.  Executions come newest first: by their number, which rises with their start; where the filter is about starts or ends, by that time.
2.  A *source* is an index, or a list of some, that has all that fit. One that has few rows is read whole and sorted: it leads, whatever
    the order. Else the first of those that are in the order is walked, in growing steps.
3.  A page reads `MOST_READ` rows at most: the looks at sources that were not few, and the walk.
4.  A cursor is the place of the last row that was looked at, in the order of the filter.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import attrs

from redrive.ports.finding import EVERYTHING, Count, StoredCondition, StoredFilter
from redrive.status import CANCELLED, COMPENSATION_FAILED, FAILED, LIVE, ROUTINE, STATUSES, ExecutionStatus
from redrive.stores.times import to_us
from redrive.wait_lines import oldest
from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from datetime import datetime

MOST_READ: Final = 10_000
"""Rows of a page."""
FEW: Final = 500
"""Rows of a source that is read whole."""
_WALKED: Final = 1_000
"""Rows that a page walks over, at least; where more are asked for, so many times as many as these, up to `_MOST_WALKED`."""
_WALKED_FOR_EACH: Final = 10
_MOST_WALKED: Final = 8_000
_LOOKS: Final = 4
_WITH_ERRORS: Final[frozenset[ExecutionStatus]] = frozenset({FAILED, COMPENSATION_FAILED, CANCELLED})
UNKNOWN: Final = "!"
"""Stands for the texts of an attribute that were never made."""
ATTRIBUTE: Final = "attribute:"
"""What stands before the name of an attribute by which is counted."""
_FEW_VALUES: Final = 8
"""Values of an attribute up to which they are walked together."""
_MOST_GROUPS: Final = 200

Order: TypeAlias = Literal["n", "created", "ended"]
Kind: TypeAlias = Literal["every", "attribute", "range", "created", "ended", "id", "open", "parent", "prefix", "root", "status", "workflow"]
_UNORDERED: Final = frozenset({"range", "prefix"})


class Place(NamedTuple):
    """Where a row stands in an order: by *key*, then by the number of its execution."""

    key: int
    n: int


END: Final = Place(2**62, 2**62)
"""Before all that is newest."""


class Row(NamedTuple):
    """A row that was looked at, and whether it fits what was left of the filter."""

    key: int
    n: int
    fits: bool


@attrs.frozen
class Source:
    """An index, and what to look up in it."""

    kind: Kind
    values: tuple[Any, ...] = ()

    def order(self) -> Order | None:
        """The order in which its rows come; None if in none."""
        if self.kind in _UNORDERED:
            return None
        return self.kind if self.kind in ("created", "ended") else "n"


@attrs.frozen
class Lead:
    """Sources that have all that fits between them, no execution twice; *rest* is what is to be looked at in each row."""

    sources: tuple[Source, ...]
    rest: StoredFilter

    def comes_in(self, order: Order) -> bool:
        return all(source.order() == order for source in self.sources)


@attrs.frozen
class Scan:
    """Look at *most* rows at most of *lead*: those after *place* in *order*, newest first; of a lead that does not come in that
    order, any of them."""

    lead: Lead
    order: Order
    place: Place
    most: int


@attrs.frozen
class Tally:
    """Count *most* rows at most of *lead*, whichever: gives for each group (by *by*) how many fit, and how many were read."""

    lead: Lead
    by: str | None
    most: int


@attrs.frozen
class Groups:
    """The workflows there are, or the texts of an attribute: *most* at most."""

    by: str
    most: int


Tallied: TypeAlias = "Sequence[tuple[str, int, int]]"
Search: TypeAlias = "Generator[Scan, Sequence[Row], tuple[list[int], str | None]]"
Counting: TypeAlias = "Generator[Tally | Groups, Any, Mapping[str, Count]]"


# ── pages ───────────────────────────────────────────────────────────────────────────────────────
def search(filter: StoredFilter, after: str | None, limit: int) -> Search:
    """The numbers of the executions of a page, newest first, and the cursor of the next one. Raises `InvalidDefinition`."""
    order = order_of(filter)
    place = END if after is None else read_cursor(after, order)
    if never_fits(filter):
        return [], None
    leads = leads_of(filter)
    walk = next((lead for lead in leads if lead.comes_in(order)), Lead((Source("every"),), filter))
    if leads != [walk]:
        for lead in leads[:_LOOKS]:
            most = max(1, FEW // len(lead.sources))
            rows = yield Scan(lead, order, END, most)
            if len(rows) < most:
                fits = sorted((row for row in rows if row.fits and row[:2] < place), reverse=True)
                return _page(fits, order, limit, None)
    found: list[Row] = []
    cost = len(walk.sources)
    left = min(max(_WALKED, _WALKED_FOR_EACH * limit), _MOST_WALKED) // cost
    step = limit + 1 if walk.rest == EVERYTHING else max(2 * limit, 50)
    while left > 0:
        most = min(step, left)
        rows = yield Scan(walk, order, place, most)
        found += [row for row in rows if row.fits]
        if len(found) > limit or len(rows) < most:
            return _page(found, order, limit, None)
        place = Place(*rows[-1][:2])
        left -= most
        step *= 3
    return _page(found, order, limit, place)


def _page(found: Sequence[Row], order: Order, limit: int, read: Place | None) -> tuple[list[int], str | None]:
    """*read*: the place up to which was read, where there may be more behind it."""
    if len(found) > limit:
        found, read = found[:limit], Place(*found[limit - 1][:2])
    return [row.n for row in found], None if read is None else write_cursor(read, order)


def order_of(filter: StoredFilter) -> Order:
    if filter.ended_after is not None or filter.ended_before is not None:
        return "ended"
    return "created" if filter.created_after is not None or filter.created_before is not None else "n"


def write_cursor(place: Place, order: Order) -> str:
    return f"{order[0]}{place.n}" if order == "n" else f"{order[0]}{place.key}.{place.n}"


def read_cursor(cursor: str, order: Order) -> Place:
    """Raises `InvalidDefinition`."""
    key, dot, n = cursor[1:].partition(".")
    numbers = [key, n] if dot else [key, key]
    if cursor[:1] != order[0] or bool(dot) != (order != "n") or not all(part.isascii() and part.isdecimal() for part in numbers):
        raise InvalidDefinition(f"{cursor!r} is no cursor of a page of such a filter")
    return Place(*map(int, numbers))


# ── counts ──────────────────────────────────────────────────────────────────────────────────────
def count(filter: StoredFilter, by: str | None, most: int) -> Counting:
    """See `FindsExecutions.count`."""
    if never_fits(filter) or by in ("queue", "build"):
        return {} if by is not None else {"": Count(0)}
    if by == "status":
        wanted = [status for status in STATUSES if filter.statuses is None or status in filter.statuses]
        parts = {str(status): attrs.evolve(filter, statuses=frozenset({status})) for status in wanted}
    elif by == "workflow" and filter.workflow is None:
        names: Sequence[str] = yield Groups(by, _MOST_GROUPS)
        parts = {name: attrs.evolve(filter, workflow=name) for name in names}
    elif by is not None and by.startswith(ATTRIBUTE):
        texts: Sequence[str] = yield Groups(by, _MOST_GROUPS)
        parts = {text: _with(filter, by.removeprefix(ATTRIBUTE), text) for text in texts}
    else:
        return (yield from _count_at_once(filter, by, most))
    found: dict[str, Count] = {}
    for group, part in parts.items():
        counted = yield from _count_at_once(part, None, most)
        if counted[""].n:
            found[group] = counted[""]
    return found


def _with(filter: StoredFilter, attribute: str, text: str) -> StoredFilter:
    return attrs.evolve(filter, conditions=(*filter.conditions, StoredCondition(attribute, ((text,),))))


def _groups(rows: Tallied, by: str | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for group, n, _ in rows:
        name = oldest(group) if by == "waiting_on" else group
        if n and (name or by is None):
            found[name] = found.get(name, 0) + n
    return found


def _count_at_once(filter: StoredFilter, by: str | None, most: int) -> Counting:
    best: dict[str, Count] = {}
    leads = leads_of(filter, by)
    for lead in leads[:_LOOKS] or [Lead((Source("every"),), filter)]:
        rows: Tallied = yield Tally(lead, by, most + 1)
        more = sum(read for _, _, read in rows) > most
        fitting = _groups(rows, by)
        if by is None:
            fitting = {"": sum(fitting.values())}
        counted = {group: Count(min(n, most), more) for group, n in fitting.items()}
        if not more:
            return counted
        if sum(n for n, _ in counted.values()) >= sum(n for n, _ in best.values()):
            best = counted
    return best


def unknown_texts(attributes: str) -> list[tuple[str, tuple[str, ...]]]:
    """The texts of attributes of which nobody has said the types yet: a search does (`catch_up`)."""
    try:
        return [(str(name), (UNKNOWN,)) for name in json.loads(attributes)]
    except (ValueError, TypeError):  # damaged: who reads it is told
        return []


def error_type_of(outcome: str | None) -> str | None:
    """The class of the error that an execution ended with, by its name."""
    if outcome is None or not outcome.startswith('{"err"'):
        return None
    try:
        return str(json.loads(outcome)["err"]["type"])
    except (ValueError, LookupError, TypeError):  # damaged: who reads it is told
        return None


# ── which indexes ───────────────────────────────────────────────────────────────────────────────
def never_fits(filter: StoredFilter) -> bool:
    """Whether nothing can fit: nothing is in a queue or partition, and no build is stored, yet."""
    asked = (filter.queue, filter.partition, filter.build)
    return any(value is not None for value in asked) or _statuses(filter) == frozenset()


def leads_of(filter: StoredFilter, by: str | None = None) -> list[Lead]:
    """The leads that a search may follow, the most selective by its nature first."""
    leads: list[Lead] = []
    if filter.parent is not None:
        leads.append(Lead((Source("parent", (filter.parent,)),), attrs.evolve(filter, parent=None)))
    leads += _of_attributes(filter)
    if filter.root is not None:
        leads.append(Lead((Source("root", (filter.root,)), Source("id", (filter.root,))), attrs.evolve(filter, root=None)))
    if filter.id_prefix is not None:
        leads.append(Lead((Source("prefix", (filter.id_prefix, after_prefix(filter.id_prefix))),), attrs.evolve(filter, id_prefix=None)))
    leads += _of_statuses(filter, by)
    if filter.ended_after is not None or filter.ended_before is not None:
        between = (_us(filter.ended_after, 0), _us(filter.ended_before, END.key))
        leads.append(Lead((Source("ended", between),), attrs.evolve(filter, ended_after=None, ended_before=None)))
    if filter.created_after is not None or filter.created_before is not None:
        between = (_us(filter.created_after, -END.key), _us(filter.created_before, END.key))
        leads.append(Lead((Source("created", between),), attrs.evolve(filter, created_after=None, created_before=None)))
    if filter.workflow is not None:
        leads.append(Lead((Source("workflow", (filter.workflow,)),), attrs.evolve(filter, workflow=None)))
    return leads


def _of_attributes(filter: StoredFilter) -> list[Lead]:
    equal: list[Lead] = []
    others: list[Lead] = []
    for condition in filter.conditions:
        rest = attrs.evolve(filter, conditions=tuple(other for other in filter.conditions if other is not condition))
        if condition.low is not None:
            others.append(Lead((Source("range", (condition.attribute, condition.low, condition.below)),), filter))
        for texts in condition.each:
            sources = tuple(Source("attribute", (condition.attribute, text)) for text in texts)
            if len(texts) <= _FEW_VALUES:
                left = rest if len(condition.each) == 1 else filter
                (equal if len(texts) == 1 else others).append(Lead(sources, left))
    return equal + others


def _of_statuses(filter: StoredFilter, by: str | None) -> list[Lead]:
    """Few executions are in a status that people ask for; for the routine ones there is an index of all that have not ended."""
    statuses = _statuses(filter, by)
    if statuses is None:
        return []
    together = frozenset(LIVE) if statuses & ROUTINE else frozenset[ExecutionStatus]()
    living = (Source("open"),) if together else ()
    notable = tuple(Source("status", (status,)) for status in STATUSES if status in statuses - together)
    rest = attrs.evolve(filter, statuses=None) if together <= statuses else filter
    return [Lead((*living, *notable), rest)]


def _statuses(filter: StoredFilter, by: str | None = None) -> frozenset[ExecutionStatus] | None:
    """The statuses that what fits can have; None: any."""
    statuses = filter.statuses
    if filter.waiting_on is not None or by == "waiting_on":
        statuses = frozenset(LIVE) if statuses is None else statuses & frozenset(LIVE)
    if filter.error_type is not None or by == "error_type":
        statuses = _WITH_ERRORS if statuses is None else statuses & _WITH_ERRORS
    return statuses


def after_prefix(prefix: str) -> str:
    """The first text after all that begin with *prefix*, by code point; a text that none comes after, if there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return "\U0010ffff" * 300
    after = ord(kept[-1]) + 1
    return kept[:-1] + ("\ue000" if 0xD800 <= after < 0xE000 else chr(after))


def _us(at: datetime | None, otherwise: int) -> int:
    return otherwise if at is None else to_us(at)
