"""What a transaction of the long way has before it, and what it will write: each kind by one statement, however many.

1.  It locks all that it may write to, in one order, and looks.
2.  Turns, messages and starts are worked out here, and change what is held.
3.  It begins what is new, writes the rest, and looks into inboxes again. Nothing is seen before the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from redrive.ports.aside import NewAside
from redrive.ports.store import Message, NewEvent, NewExecution, NewMessage
from redrive.status import CANCELLING, COMPENSATION_FAILED, PARKED, PAUSED, PENDING, RUNNING
from redrive.stores.bell import WORK
from redrive.stores.postgres.events import Emitted, emit
from redrive.stores.postgres.held import Held, read_message
from redrive.stores.postgres.session import Again, Session
from redrive.stores.postgres.values import SEPARATOR, from_text, joined, maybe_text, maybe_us, numbers, to_key, to_text, to_us
from redrive_interpreter.errors import ExecutionFinished

_NONE: Final[Mapping[str, int]] = MappingProxyType({})


@attrs.define(eq=False)
class Desk:
    session: Session
    now_us: int = 0
    news: int = 0
    held: dict[str, Held] = attrs.Factory(dict[str, Held])
    _landed: set[tuple[str, str]] = attrs.Factory(set[tuple[str, str]])
    _births: list[tuple[Held, NewExecution]] = attrs.Factory(list[tuple[Held, NewExecution]])
    _messages: list[tuple[Held, NewMessage, int]] = attrs.Factory(list[tuple[Held, NewMessage, int]])
    _chunks: list[tuple[Held, int, int, str]] = attrs.Factory(list[tuple[Held, int, int, str]])
    _taken: list[tuple[Held, int]] = attrs.Factory(list[tuple[Held, int]])
    _attributes: list[tuple[Held, str]] = attrs.Factory(list[tuple[Held, str]])
    _unparked: list[tuple[Held, str | None]] = attrs.Factory(list[tuple[Held, str | None]])
    _unparked_for_all: list[Held] = attrs.Factory(list[Held])
    _hurried: list[Held] = attrs.Factory(list[Held])
    _events: list[Emitted] = attrs.Factory(list[Emitted])
    _aside: list[tuple[Held, NewAside]] = attrs.Factory(list[tuple[Held, NewAside]])

    async def lock(
        self,
        ids: Iterable[str],
        *,
        inboxes: Mapping[str, int] = _NONE,
        parents_of: Iterable[str] = (),
        messages: Iterable[tuple[str, NewMessage]] = (),
    ) -> None:
        """Lock what exists of *ids*, and the parents of some; look into *inboxes*, each from behind a seq on, and which of
        *messages* landed before. Where a cancel was accepted, all of an inbox is read.

        Raises `Again` if what did not exist does by then.
        """
        session = self.session
        keys = [(to_text(id), to_key(message.dedup)) for id, message in messages if message.dedup is not None]
        rows = await session.run("lock", _list(ids), _list(parents_of))
        now = await session.run("now")
        found = await session.run("inboxes_after", _list(inboxes), numbers(inboxes.values()))
        landed = None
        if keys:
            landed = await session.run("landed", SEPARATOR.join(id for id, _ in keys), SEPARATOR.join(key for _, key in keys))
        self.held = {held.id: held for held in map(Held.of, await rows.fetchall())}
        ((self.now_us,),) = await now.fetchall()
        for id, *message in await found.fetchall():
            held = self.held.get(from_text(id))
            if held is None:
                raise Again("an execution was started since its lock was asked for")
            held.inbox.append(read_message(*message))
        if landed is not None:
            self._landed = {(from_text(id), key) for id, key in await landed.fetchall()}

    # ── working it out ──────────────────────────────────────────────────────────────────────────
    def deliver(self, held: Held, message: NewMessage) -> bool:
        """Store *message* in an inbox and make the execution due; False for a repeat. Refuses before it changes anything."""
        cancel, again = message.kind == "cancel", message.kind == "retry_rollback"
        key = None if message.dedup is None else (held.id, to_key(message.dedup))
        if (cancel and held.cancelled_run == held.number) or key in self._landed:
            return False
        if again and not held.ended:
            return False
        if held.ended and not (again and held.status == COMPENSATION_FAILED):
            raise ExecutionFinished(held.id, f"it is {held.status}")
        if key is not None:
            self._landed.add(key)
        held.stored_us = max(self.now_us, held.stored_us)
        held.new.append(message)
        self._messages.append((held, message, held.stored_us))
        # A signal must not start what is to start later.
        if held.status != PENDING or cancel:
            held.wake_us = self.now_us if held.wake_us is None else min(held.wake_us, self.now_us)
        if again:
            held.status, held.outcome, held.has_outcome = RUNNING, None, True
        elif cancel and held.status == PARKED:
            self._hurried.append(held)
        elif cancel and held.status != PAUSED:
            held.status = CANCELLING
        if cancel:
            held.cancelled_run = held.number
        held.changed = True
        self.news |= WORK
        return True

    def begin(self, new: NewExecution, owner: str | None) -> Held:
        held = self.held[new.id] = Held.unborn(new, owner, self.wake_us(new), self.now_us)
        self._births.append((held, new))
        return held

    async def begin_again(self, held: Held, new: NewExecution, owner: str | None) -> None:
        for forget in ("forget_inbox", "forget_landed", "forget_parks"):
            await self.session.run(forget, str(held.n))
        self._landed = {(id, key) for id, key in self._landed if id != held.id}
        held.begin_again(new, owner, self.wake_us(new))
        await self.session.run("begin_again", held.n, maybe_us(new.deadline), *_creator(new), new.attributes, held.number)
        await self.session.run("begin_history", held.n, held.number, self.now_us, new.started, new.input)

    def append(self, held: Held, number: int, upto: int, rows: str) -> None:
        self._chunks.append((held, number, upto, rows))

    def take(self, held: Held, seq: int) -> None:
        self._taken.append((held, seq))

    def set_attributes(self, held: Held, attributes: str) -> None:
        self._attributes.append((held, attributes))

    def unpark(self, held: Held, *, for_all: bool) -> None:
        """Forget that its owner's build could not go on with it, or that no worker had it; with *for_all*, all parks."""
        if for_all:
            self._unparked_for_all.append(held)
        else:
            self._unparked.append((held, held.owner))

    def emit(self, held: Held, number: int, events: Sequence[NewEvent]) -> None:
        self._events.append((held, number, events))

    def keep_aside(self, held: Held, new: Sequence[NewAside]) -> None:
        self._aside += [(held, one) for one in new]

    def wake_us(self, new: NewExecution) -> int:
        return self.now_us if new.not_before is None else to_us(new.not_before)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    async def write(self) -> None:
        """Raises `Again` if somebody else has started what was to be started here."""
        session = self.session
        await self._give_birth()
        if self._chunks:
            ns, upto = _ns(held for held, *_ in self._chunks), numbers(upto for _, _, upto, _ in self._chunks)
            run_numbers, rows = numbers(number for _, number, _, _ in self._chunks), joined(rows for *_, rows in self._chunks)
            await session.run("append", ns, run_numbers, upto, self.now_us, rows)
        if self._taken:
            await session.run("take", _ns(held for held, _ in self._taken), numbers(seq for _, seq in self._taken))
        for held, attributes in self._attributes:
            await session.run("set_attributes", held.n, attributes)
        if self._unparked:
            owners = SEPARATOR.join(to_text(owner or "") for _, owner in self._unparked)
            await session.run("forget_park", _ns(held for held, _ in self._unparked), owners)
        if self._hurried:
            await session.run("hurry", _ns(self._hurried), self.now_us)
        if self._unparked_for_all:
            await session.run("forget_parks", _ns(self._unparked_for_all))
        if self._messages:
            await self._store_messages()
        if self._aside:
            await self._store_aside()
        changed = [held for held in self.held.values() if held.changed]
        if changed:
            await self._save(changed)
        if self._events:
            await emit(session, self._events, self.now_us)
        self._chunks, self._taken, self._attributes, self._messages, self._events, self._aside = [], [], [], [], [], []
        self._unparked, self._unparked_for_all, self._hurried = [], [], []

    async def inboxes(self, after: Mapping[str, int]) -> dict[str, list[Message]]:
        """What lies in inboxes by now, at least what is behind a seq in each."""
        found: dict[str, list[Message]] = {}
        for id, *message in await (await self.session.run("inboxes_after", _list(after), numbers(after.values()))).fetchall():
            found.setdefault(from_text(id), []).append(read_message(*message))
        return found

    async def _give_birth(self) -> None:
        births, self._births = self._births, []
        if not births:
            return
        helds, news = [held for held, _ in births], [new for _, new in births]
        creators = [_creator(new) for new in news]
        made = await self.session.run(
            "insert_executions",
            SEPARATOR.join(to_text(new.id) for new in news),
            SEPARATOR.join(to_text(new.workflow) for new in news),
            SEPARATOR.join(to_text(new.run) for new in news),
            joined(maybe_text(held.owner) for held in helds),
            numbers(held.fence for held in helds),
            numbers(self.wake_us(new) for new in news),
            self.now_us,
            numbers(maybe_us(new.deadline) for new in news),
            *(joined(creator[part] for creator in creators) for part in range(3)),
            SEPARATOR.join(new.attributes for new in news),
            SEPARATOR.join(new.started for new in news),
            SEPARATOR.join(new.input for new in news),
        )
        for id, n in await made.fetchall():
            self.held[from_text(id)].n = n
        if any(held.is_unborn for held in helds):
            raise Again("an execution was started by two at once")

    async def _store_messages(self) -> None:
        landed = [(held, to_key(message.dedup)) for held, message, _ in self._messages if message.dedup is not None]
        if landed:
            await self.session.run("insert_landed", _ns(held for held, _ in landed), SEPARATOR.join(key for _, key in landed))
        messages = [message for _, message, _ in self._messages]
        await self.session.run(
            "insert_messages",
            _ns(held for held, _, _ in self._messages),
            ",".join(message.kind for message in messages),
            SEPARATOR.join(to_text(message.name) for message in messages),
            SEPARATOR.join(message.data for message in messages),
            numbers(stored_us for *_, stored_us in self._messages),
        )

    async def _store_aside(self) -> None:
        new = [one for _, one in self._aside]
        await self.session.run(
            "keep_aside",
            _ns(held for held, _ in self._aside),
            SEPARATOR.join(to_text(one.name) for one in new),
            SEPARATOR.join(one.data for one in new),
            numbers(to_us(one.sent_at) for one in new),
            SEPARATOR.join(to_text(one.error) or "?" for one in new),
            self.now_us,
        )

    async def _save(self, changed: Sequence[Held]) -> None:
        await self.session.run(
            "save",
            _ns(changed),
            SEPARATOR.join(to_text(held.workflow) for held in changed),
            SEPARATOR.join(to_text(held.run) for held in changed),
            numbers(held.number for held in changed),
            numbers(held.length for held in changed),
            ",".join(held.status for held in changed),
            joined(maybe_text(held.owner) for held in changed),
            numbers(held.fence for held in changed),
            numbers(held.wake_us for held in changed),
            numbers(held.recoveries for held in changed),
            numbers(held.unread for held in changed),
            numbers(held.stored_us for held in changed),
            numbers(held.cancelled_run for held in changed),
            self.now_us,
            numbers(int(held.has_outcome) for held in changed),
            joined(held.outcome for held in changed),
        )
        for held in changed:
            held.changed = held.has_outcome = False


def _list(ids: Iterable[str]) -> str:
    return SEPARATOR.join({to_text(id): None for id in ids})


def _ns(helds: Iterable[Held]) -> str:
    return ",".join(str(held.n) for held in helds)


def _creator(new: NewExecution) -> tuple[str | None, str | None, str | None]:
    if new.creator is None:
        return (None, None, None)
    return (to_text(new.creator.id), to_text(new.creator.run), to_text(new.creator.key))
