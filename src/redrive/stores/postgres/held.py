"""Executions whose rows a transaction has locked: changed here, then written at once.

A transaction has three parts, each one round trip: lock and look, begin what is new (if anything is), write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from redrive.ports.store import FINAL, Creator, Message, NewExecution, NewMessage
from redrive.stores.bell import WORK
from redrive.stores.postgres.session import Again, Cursor, Session
from redrive.stores.postgres.values import SEPARATOR, from_text, from_us, maybe_text, maybe_us, to_key, to_text, to_us
from redrive_interpreter.errors import ExecutionFinished

UNCHANGED: Final = object()


@attrs.define(eq=False)
class Held:
    """An execution as it is, or will be when the transaction has written."""

    n: int
    id: str
    workflow: str
    run: str
    number: int
    length: int
    status: str
    owner: str | None
    fence: int
    wake_us: int | None
    recoveries: int
    unread: int
    newest: int
    stored_us: int
    cancelled_run: int
    creator: Creator | None
    changed: bool = False
    outcome: Any = UNCHANGED

    @classmethod
    def of(cls, row: Sequence[Any]) -> Held:
        n, id, workflow, run, number, length, status, owner, fence, wake_us, recoveries, unread, newest, stored_us, cancelled_run = row[:15]
        creator_id, creator_run, creator_key = row[15:]
        creator = None
        if creator_id is not None:
            creator = Creator(id=from_text(creator_id), run=from_text(creator_run), key=from_text(creator_key))
        return cls(
            n=n,
            id=from_text(id),
            workflow=from_text(workflow),
            run=from_text(run),
            number=number,
            length=length,
            status=status,
            owner=None if owner is None else from_text(owner),
            fence=fence,
            wake_us=wake_us,
            recoveries=recoveries,
            unread=unread,
            newest=newest,
            stored_us=stored_us,
            cancelled_run=cancelled_run,
            creator=creator,
        )

    @property
    def ended(self) -> bool:
        return self.status in FINAL


@attrs.define(eq=False)
class Desk:
    """What a transaction has before it, and what it will write."""

    session: Session
    now_us: int = 0
    held: dict[str, Held] = attrs.Factory(dict[str, Held])
    inbox: tuple[Message, ...] = ()
    """Of the execution in question."""
    landed: set[tuple[str, str]] = attrs.Factory(set[tuple[str, str]])
    messages: list[tuple[Held, NewMessage, int]] = attrs.Factory(list[tuple[Held, NewMessage, int]])
    news: int = 0

    async def lock(
        self, ids: Iterable[str], *, inbox_of: str | None, parent_of: str | None, messages: Iterable[tuple[str, NewMessage]]
    ) -> None:
        """Lock what exists of *ids*, and the parent of *parent_of*; look which of *messages* landed before."""
        session, wanted = self.session, SEPARATOR.join(sorted({to_text(id) for id in ids}))
        keys = [(to_text(id), to_key(message.dedup)) for id, message in messages if message.dedup is not None]
        rows = await (session.run("lock_with_parent", wanted, to_text(parent_of)) if parent_of is not None else session.run("lock", wanted))
        now = await session.run("now")
        inbox = None if inbox_of is None else await session.run("inbox", to_text(inbox_of))
        landed = None
        if keys:
            landed = await session.run("landed", SEPARATOR.join(id for id, _ in keys), SEPARATOR.join(key for _, key in keys))
        self.held = {held.id: held for held in map(Held.of, await rows.fetchall())}
        ((self.now_us,),) = await now.fetchall()
        if inbox is not None:
            self.inbox = await read_inbox(inbox)
        if landed is not None:
            self.landed = {(from_text(id), key) for id, key in await landed.fetchall()}

    def deliver(self, held: Held, message: NewMessage) -> bool:
        """Store *message* in an inbox and make the execution due; False for a repeat. Refuses before it changes anything."""
        cancel, again = message.kind == "cancel", message.kind == "retry_rollback"
        key = None if message.dedup is None else (held.id, to_key(message.dedup))
        if (cancel and held.cancelled_run == held.number) or key in self.landed:
            return False
        if again and not held.ended:
            return False
        if held.ended and not (again and held.status == "compensation_failed"):
            raise ExecutionFinished(held.id, f"it is {held.status}")
        if key is not None:
            self.landed.add(key)
        held.stored_us = max(self.now_us, held.stored_us)
        self.messages.append((held, message, held.stored_us))
        # A signal must not start what is to start later.
        if held.status != "pending" or cancel:
            held.wake_us = self.now_us if held.wake_us is None else min(held.wake_us, self.now_us)
        if again:
            held.status, held.outcome = "running", None
        elif cancel and held.status not in ("parked", "paused"):
            held.status = "cancelling"
        if cancel:
            held.cancelled_run = held.number
        held.changed = True
        self.news |= WORK
        return True

    async def begin(self, new: NewExecution, owner: str | None) -> Held:
        """Write a new execution. Raises `Again` if there is one with its id by now."""
        owned = maybe_text(owner)
        names = (to_text(new.id), to_text(new.workflow), to_text(new.run), owned, 0 if owner is None else 1)
        times = (self.wake_us(new), self.now_us, maybe_us(new.deadline))
        made = await self.session.run("insert_execution", *names, *times, *_creator(new), new.attributes, new.started, new.input)
        found = await made.fetchall()
        if not found:
            raise Again(f"execution {new.id!r} was started by two at once")
        held = Held(
            n=found[0][0],
            id=new.id,
            workflow=new.workflow,
            run=new.run,
            number=1,
            length=1,
            status="pending",
            owner=owner,
            fence=0 if owner is None else 1,
            wake_us=self.wake_us(new),
            recoveries=0,
            unread=0,
            newest=0,
            stored_us=self.now_us,
            cancelled_run=0,
            creator=new.creator,
        )
        self.held[new.id] = held
        return held

    async def begin_again(self, held: Held, new: NewExecution, owner: str | None) -> None:
        """The next run of what has ended; its fence and the time of its last message stay."""
        session = self.session
        for forget in ("forget_inbox", "forget_landed", "forget_parks"):
            await session.run(forget, held.n)
        self.landed = {(id, key) for id, key in self.landed if id != held.id}
        held.number += 1
        await session.run("begin_again", held.n, maybe_us(new.deadline), *_creator(new), new.attributes, held.number)
        await session.run("begin_history", held.n, held.number, self.now_us, new.started, new.input)
        held.workflow, held.run, held.status, held.owner, held.creator = new.workflow, new.run, "pending", owner, new.creator
        held.fence += 0 if owner is None else 1
        held.length, held.recoveries, held.unread, held.cancelled_run, held.wake_us = 1, 0, 0, 0, self.wake_us(new)
        held.outcome, held.changed = UNCHANGED, True

    def wake_us(self, new: NewExecution) -> int:
        return self.now_us if new.not_before is None else to_us(new.not_before)

    async def write(self) -> None:
        """Write messages, then what they and turns changed in the executions."""
        session = self.session
        for held, message, stored_us in self.messages:
            if message.dedup is not None:
                await session.run("insert_landed", held.n, to_key(message.dedup))
            await session.run("insert_message", held.n, message.kind, to_text(message.name), message.data, stored_us)
        for held in self.held.values():
            if held.changed:
                await self._save(held)
        self.messages.clear()

    async def _save(self, held: Held) -> None:
        names = (to_text(held.workflow), to_text(held.run), held.number, held.length, held.status, maybe_text(held.owner), held.fence)
        counts = (held.wake_us, held.recoveries, held.unread, held.stored_us, held.cancelled_run, self.now_us)
        await self.session.run("save", held.n, *names, *counts)
        if held.outcome is not UNCHANGED:
            await self.session.run("set_outcome", held.n, held.outcome)
        held.changed, held.outcome = False, UNCHANGED


async def read_inbox(cursor: Cursor) -> tuple[Message, ...]:
    return tuple(read_message(*row) for row in await cursor.fetchall())


def read_message(seq: int, kind: str, name: str, data: str, stored_us: int) -> Message:
    return Message(seq=seq, kind=kind, name=from_text(name), data=data, stored_at=from_us(stored_us))


def _creator(new: NewExecution) -> tuple[str | None, str | None, str | None]:
    if new.creator is None:
        return (None, None, None)
    return (to_text(new.creator.id), to_text(new.creator.run), to_text(new.creator.key))
