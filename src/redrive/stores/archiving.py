"""What an execution is in an archive, and in the columns that the stores have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import attrs

from redrive.ports.archive import Archived, ArchivedEvent, ArchivedHandler, ArchivedRun, Chunk
from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.rewrites import Audit
from redrive.ports.store import Event, Message
from redrive.stores.ledger.parking import parks_of
from redrive.stores.snapshots import creator_of
from redrive.stores.times import from_us, maybe_from_us, maybe_us, to_us

Row = tuple[Any, ...]


@attrs.frozen(kw_only=True)
class Parts:
    """The rows of other tables that belong to one execution, each without its number: chunks (number, upto, at, rows, input),
    messages (seq, kind, name, data, at), dedup keys, parks (build, kind, reason, parked, tries, retry), and signals set aside
    (seq, name, data, sent, error, at)."""

    chunks: Sequence[Row]
    inbox: Sequence[Row]
    landed: Sequence[Row]
    parked: Sequence[Row]
    aside: Sequence[Row]


@attrs.frozen
class Archiving:
    """How a store keeps texts: *stored* makes one of a text, *read* the text of one."""

    stored: Callable[[str], str]
    read: Callable[[str], str]

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def archived(self, row: Row, parts: Parts) -> Archived:
        """*row* begins with the number, and has the columns of `columns` up to the outcome."""
        _, id, workflow, run, number, first_run, status, fence, recoveries, unread, cancelled_run = row[:11]
        wake_us, created_us, updated_us, stored_us, deadline_us, *creator, attributes, outcome = row[11:]
        return Archived(
            id=self.read(id),
            workflow=self.read(workflow),
            run=self.read(run),
            number=number,
            first_run=first_run,
            status=status,
            fence=fence,
            recoveries=recoveries,
            unread=unread,
            cancelled_run=cancelled_run,
            wake_at=maybe_from_us(wake_us),
            created_at=from_us(created_us),
            updated_at=from_us(updated_us),
            stored_at=from_us(stored_us),
            deadline=maybe_from_us(deadline_us),
            creator=creator_of(creator, self.read),
            attributes=attributes,
            outcome=outcome,
            runs=list(_runs(parts.chunks)),
            inbox=[self._message(*message) for message in parts.inbox],
            landed=sorted(self.read(dedup) for (dedup,) in parts.landed),
            parks=parks_of(parts.parked, self.read),
            aside=[self._aside(self.read(id), *row) for row in parts.aside],
        )

    def event(self, seq: int, name: str, payload: str, execution: str, at_us: int) -> ArchivedEvent:
        return ArchivedEvent(seq=seq, name=self.read(name), payload=payload, execution=self.read(execution), at=from_us(at_us))

    def handlers(self, rows: Sequence[Row], held: Sequence[Row]) -> list[ArchivedHandler]:
        """Of rows (id, event, done), and those of what is held: handler, seq, event, payload, execution, at, dead, attempts, first,
        due, error."""
        by_handler: dict[str, list[HeldEvent]] = {}
        for row in held:
            by_handler.setdefault(self.read(row[0]), []).append(self._held(*row))
        named = [(self.read(id), self.read(event), done) for id, event, done in rows]
        return [ArchivedHandler(id=id, event=event, done=done, held=by_handler.get(id, [])) for id, event, done in named]

    def _held(self, *row: Any) -> HeldEvent:
        handler, seq, name, payload, execution, at_us, dead, attempts, first_us, due_us, error = row
        return HeldEvent(
            handler=self.read(handler),
            event=Event(seq=seq, name=self.read(name), payload=payload, execution=self.read(execution), at=from_us(at_us)),
            attempts=attempts,
            first_at=maybe_from_us(first_us),
            due=maybe_from_us(due_us),
            error=self.read(error),
            dead=bool(dead),
        )

    def _aside(self, id: str, seq: int, name: str, data: str, sent_us: int, error: str, at_us: int) -> Aside:
        name, error, sent_at, at = self.read(name), self.read(error), from_us(sent_us), from_us(at_us)
        return Aside(seq=seq, execution=id, name=name, data=data, sent_at=sent_at, error=error, at=at)

    def _message(self, seq: int, kind: str, name: str, data: str, stored_us: int) -> Message:
        return Message(seq=seq, kind=kind, name=self.read(name), data=data, stored_at=from_us(stored_us))

    def audit(self, seq: int, execution: str, at_us: int, *texts: str) -> Audit:
        """Of execution, at, operator, verb, reason, detail, key."""
        operator, verb, reason, detail, key = map(self.read, texts)
        words = {"verb": verb, "reason": reason, "detail": detail, "key": key}
        return Audit(seq=seq, execution=self.read(execution), at=from_us(at_us), by=operator, **words)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def columns(self, it: Archived) -> Row:
        """id, workflow, run, number, first_run, status, fence, recoveries, unread, cancelled_run, wake, created, updated, stored,
        deadline, creator's id, run and key, attributes, outcome."""
        creator = (None, None, None) if it.creator is None else tuple(map(self.stored, (it.creator.id, it.creator.run, it.creator.key)))
        counts = (it.number, it.first_run, it.status, it.fence, it.recoveries, it.unread, it.cancelled_run)
        times = (maybe_us(it.wake_at), to_us(it.created_at), to_us(it.updated_at), to_us(it.stored_at), maybe_us(it.deadline))
        return (*map(self.stored, (it.id, it.workflow, it.run)), *counts, *times, *creator, it.attributes, it.outcome)

    def chunks(self, n: int, it: Archived) -> Iterator[Row]:
        """n, number, upto, at, rows, input."""
        for run in it.runs:
            for at, chunk in enumerate(run.chunks):
                yield (n, run.number, chunk.upto, to_us(chunk.at), chunk.rows, None if at else run.input)

    def messages(self, n: int, it: Archived) -> Iterator[Row]:
        """n, seq, kind, name, data, at."""
        for message in it.inbox:
            yield (n, message.seq, message.kind, self.stored(message.name), message.data, to_us(message.stored_at))

    def landed(self, n: int, it: Archived) -> Iterator[Row]:
        """n, dedup."""
        for dedup in it.landed:
            yield (n, self.stored(dedup))

    def parked(self, n: int, it: Archived) -> Iterator[Row]:
        """n, build, kind, reason, parked, tries, retry."""
        for park in it.parks:
            yield (n, self.stored(park.build), park.kind, self.stored(park.reason), to_us(park.at), park.tries, maybe_us(park.retry_at))

    def aside(self, n: int, it: Archived) -> Iterator[Row]:
        """n, seq, name, data, sent, error, at."""
        for one in it.aside:
            yield (n, one.seq, self.stored(one.name), one.data, to_us(one.sent_at), self.stored(one.error), to_us(one.at))

    def audits(self, audits: Sequence[Audit]) -> Iterator[Row]:
        """seq, execution, at, operator, verb, reason, detail, key."""
        for one in audits:
            texts = map(self.stored, (one.by, one.verb, one.reason, one.detail, one.key))
            yield (one.seq, self.stored(one.execution), to_us(one.at), *texts)

    def held(self, handlers: Sequence[ArchivedHandler]) -> Iterator[Row]:
        """handler, seq, event, payload, execution, at, dead, attempts, first, due, error."""
        for one in (one for handler in handlers for one in handler.held):
            event = one.event
            what = (self.stored(event.name), event.payload, self.stored(event.execution), to_us(event.at))
            how = (one.dead, one.attempts, maybe_us(one.first_at), maybe_us(one.due), self.stored(one.error))
            yield (self.stored(one.handler), event.seq, *what, *how)


def newest_message(it: Archived) -> int:
    """The seq of the last message in the inbox, 0 if it is empty."""
    return it.inbox[-1].seq if it.inbox else 0


def _runs(chunks: Sequence[Row]) -> Iterator[ArchivedRun]:
    for number, of_run in groupby(chunks, key=lambda row: row[0]):
        rows = list(of_run)
        stored = [Chunk(upto=upto, at=from_us(at_us), rows=text) for _, upto, at_us, text, _ in rows]
        yield ArchivedRun(number=number, input=rows[0][4], chunks=stored)
