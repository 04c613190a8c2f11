"""Searches as SQL, for the databases: a statement for each `Scan`, `Tally` and `Groups`, made of the sources in a store's ``search.sql``.

Each source names its index, so that a plan cannot be another one in a table that has grown. What a source gives is joined to the
executions one by one, and looked at there: that is what is counted as read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from redrive.ports.finding import EVERYTHING
from redrive.stores.ledger.search import ATTRIBUTE, END, after_prefix
from redrive.stores.times import to_us

if TYPE_CHECKING:
    from redrive.ports.finding import StoredCondition, StoredFilter
    from redrive.stores.ledger.search import Groups, Lead, Order, Place, Scan, Source, Tally

Statement: TypeAlias = "tuple[str, tuple[Any, ...]]"
"""SQL with question marks, and what stands for them."""

_MARK = re.compile(r"\?(\d*)")
_KEYS: dict[Order, str] = {"n": "e.n", "created": "e.created_us", "ended": "coalesce(e.ended_us, 0)"}
_GROUPS = {"workflow": "e.workflow", "error_type": "coalesce(e.error_type, '')"}


@attrs.frozen
class Dialect:
    """How a database says it.

    *sources* are the statements of its ``search.sql``; *stored* makes the stored text of one. *join* joins the executions to ``s.n``, one
    look into the index for each. *waits* is what one waits for, in lines; *position* the function for the place of a text in another
    one, *last* the end of ``e.error_type``, so many characters, which is as it stands in JSON if *errors_are_json*.
    """

    sources: Mapping[str, str]
    stored: Callable[[str], str]
    join: str
    waits: str
    newline: str
    position: str
    last: str
    errors_are_json: bool = False

    # ── statements ──────────────────────────────────────────────────────────────────────────────
    def scan(self, scan: Scan) -> Statement:
        """Rows of key, number, and whether it fits; newest first."""
        lead, as_it_comes = scan.lead, scan.lead.comes_in(scan.order)
        led, values = self._led(lead, scan.place if as_it_comes else END, scan.most, ordered=as_it_comes)
        if as_it_comes and lead.rest == EVERYTHING:
            return f"SELECT key, n, TRUE FROM ({led}) AS s ORDER BY 1 DESC, 2 DESC", values
        fits, more = self._fits(lead.rest)
        text = f"SELECT {_KEYS[scan.order]}, e.n, {fits} FROM ({led}) AS s {self.join} ORDER BY 1 DESC, 2 DESC"
        return text, (*more, *values)

    def tally(self, tally: Tally) -> Statement:
        """Rows of group, how many fit, how many were read."""
        led, values = self._led(tally.lead, END, tally.most, ordered=False)
        group = self.waits if tally.by == "waiting_on" else _GROUPS.get(tally.by or "", "''")
        if tally.lead.rest == EVERYTHING and tally.by is None:
            return f"SELECT '', count(*), count(*) FROM ({led}) AS s", values
        fits, more = self._fits(tally.lead.rest)
        rows = f"SELECT {group} AS g, {fits} AS fits FROM ({led}) AS s {self.join}"
        return f"SELECT coalesce(g, ''), count(*) FILTER (WHERE fits), count(*) FROM ({rows}) AS r GROUP BY 1", (*more, *values)

    def groups(self, groups: Groups) -> Statement:
        if groups.by == "workflow":
            return self.sources["workflows"], (groups.most,)
        name = self.stored(groups.by.removeprefix(ATTRIBUTE))
        return self.sources["texts"], (name, name, groups.most)

    def _led(self, lead: Lead, place: Place, most: int, *, ordered: bool) -> Statement:
        parts = [self._source(source, place, most) for source in lead.sources]
        union = " UNION ALL ".join(f"SELECT * FROM ({text}) AS s{i}" for i, (text, _) in enumerate(parts))
        values = tuple(value for _, values in parts for value in values)
        if len(parts) == 1:
            return union, values
        order = " ORDER BY key DESC, n DESC" if ordered else ""
        return f"SELECT * FROM ({union}) AS u{order} LIMIT ?", (*values, most)

    def _source(self, source: Source, place: Place, most: int) -> Statement:
        match source.kind:
            case "attribute" | "range":
                name, *texts = source.values
                values: tuple[Any, ...] = (self.stored(name), *texts)
            case "created" | "ended":
                values = (*source.values, place.key)
            case _:
                values = tuple(self.stored(value) for value in source.values)
        if source.order() is not None:
            values = (*values, place.n)
        return _in_order(self.sources[f"from_{source.kind}"], (*values, most))

    # ── conditions ──────────────────────────────────────────────────────────────────────────────
    def _fits(self, filter: StoredFilter) -> Statement:
        conditions = list(self._conditions(filter))
        if not conditions:
            return "TRUE", ()
        text = " AND ".join(f"({condition})" for condition, _ in conditions)
        return f"coalesce({text}, FALSE)", tuple(value for _, values in conditions for value in values)

    def _conditions(self, filter: StoredFilter) -> Iterator[Statement]:
        stored = self.stored
        for column, text in (("workflow", filter.workflow), ("creator_id", filter.parent)):
            if text is not None:
                yield f"e.{column} = ?", (stored(text),)
        if filter.statuses is not None:
            yield f"e.status IN ({', '.join('?' * len(filter.statuses))})", tuple(sorted(filter.statuses))
        if filter.id_prefix is not None:
            yield "e.id >= ? AND e.id < ?", (stored(filter.id_prefix), stored(after_prefix(filter.id_prefix)))
        if filter.root is not None:
            yield "e.root_id = ? OR e.id = ?", (stored(filter.root),) * 2
        if filter.waiting_on is not None:
            looks = " OR ".join(f"{self.position}(w, ?) > 0" for _ in filter.waiting_on)
            lines = f"SELECT {self.newline} || {self.waits} || {self.newline} AS w"
            yield f"SELECT {looks} FROM ({lines}) AS waits", tuple(f"\n{stored(line)}\n" for line in filter.waiting_on)
        for column, after, before in (
            ("created_us", filter.created_after, filter.created_before),
            ("ended_us", filter.ended_after, filter.ended_before),
        ):
            if after is not None:
                yield f"e.{column} >= ?", (to_us(after),)
            if before is not None:
                yield f"e.{column} < ?", (to_us(before),)
        if filter.error_type is not None:
            error = json.dumps(filter.error_type)[1:-1] if self.errors_are_json else filter.error_type
            yield f"e.error_type = ? OR {self.last.format(len(error) + 1)} = ?", (error, f".{error}")
        for condition in filter.conditions:
            yield from self._condition(condition)

    def _condition(self, condition: StoredCondition) -> Iterator[Statement]:
        """A value for a row, not an EXISTS: that might be made a table of all of them."""
        look = "SELECT 1 FROM redrive.attributes a WHERE a.n = e.n AND a.name = ? AND"
        name = self.stored(condition.attribute)
        if condition.low is not None:
            yield f"({look} a.value >= ? AND a.value < ? LIMIT 1) IS NOT NULL", (name, condition.low, condition.below)
        for texts in condition.each:
            yield f"({look} a.value IN ({', '.join('?' * len(texts))}) LIMIT 1) IS NOT NULL", (name, *texts)


def _in_order(text: str, values: tuple[Any, ...]) -> Statement:
    """*text* with a question mark for each value; where one has a number, it stands for the value of that number."""
    found: list[Any] = []
    rest = iter(values)

    def take(mark: re.Match[str]) -> str:
        found.append(values[int(mark[1]) - 1] if mark[1] else next(rest))
        return "?"

    return _MARK.sub(take, text), tuple(found)
