"""Turns that go the long way: each checked, then written whole, in a transaction of its own.

Plain turns are written together (`groups`); what they refuse comes here, to be told why, as does what changes more than
its own execution.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from redrive.ports.store import FINAL, Claim, Committed, LostClaim, Message, NewChild, NewMessage, Outgoing, Stale, Turn
from redrive.stores.bell import ENDS, EVENTS, WORK
from redrive.stores.common import OK, child_result, refusal
from redrive.stores.postgres.events import emit
from redrive.stores.postgres.held import Desk, Held, read_inbox
from redrive.stores.postgres.session import Session
from redrive.stores.postgres.values import maybe_us, to_text
from redrive_interpreter.errors import ExecutionFinished


async def commit(session: Session, claim: Claim, turn: Turn) -> tuple[Committed, int, int]:
    """What the turn gives back, the news, and the time. Raises `LostClaim` and `Stale`."""
    desk = Desk(session)
    await lock_for(desk, claim.id, turn)
    committed = await apply(desk, claim, turn)
    return committed, desk.news, desk.now_us


async def lock_for(desk: Desk, id: str, turn: Turn | None, also: Sequence[NewMessage] = ()) -> None:
    """Lock all that *turn* may write to. *also*: messages for the execution itself."""
    ids, messages = {id}, [(id, message) for message in also]
    if turn is not None:
        ids.update(outgoing.target for outgoing in turn.outgoing)
        ids.update(child.execution.id for child in turn.children)
        messages += [(outgoing.target, outgoing.message) for outgoing in turn.outgoing]
    await desk.lock(ids, inbox_of=id, parent_of=id if turn is not None and turn.status in FINAL else None, messages=messages)


async def apply(desk: Desk, claim: Claim, turn: Turn) -> Committed:
    held = desk.held.get(claim.id)
    if held is None or held.fence != claim.fence:
        raise LostClaim(f"execution {claim.id!r} belongs to another worker now")
    unseen = tuple(message for message in desk.inbox if message.seq > turn.seen)
    if turn.rows and await _is_repeat(desk, held, claim, turn):
        return Committed(inbox=unseen)
    if held.owner != claim.worker:
        raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
    if claim.number != held.number or turn.expects != held.length:
        raise Stale(f"execution {claim.id!r} has {held.length} rows in run {held.number}, not {turn.expects}")
    ends = turn.status in FINAL or turn.next_run is not None
    if ends and any(message.kind == "cancel" for message in unseen):
        raise Stale(f"execution {claim.id!r} was asked to cancel before it ended")
    if turn.not_after is not None and any(message.stored_at <= turn.not_after for message in unseen):
        raise Stale(f"execution {claim.id!r} got a message before its timer was due")

    strangers = set[str]()
    for child in sorted(turn.children, key=lambda child: to_text(child.execution.id)):
        if not await _bear(desk, child):
            strangers.add(child.execution.id)
    for child in turn.children:
        _tell_of_birth(desk, held, child, refused=child.execution.id in strangers)
    for outgoing in turn.outgoing:
        _post(desk, held, outgoing)
    number = held.number
    await _write(desk, held, turn)
    return await _read_back(desk, held, number, turn)


async def _is_repeat(desk: Desk, held: Held, claim: Claim, turn: Turn) -> bool:
    after = turn.expects + len(turn.rows)
    if claim.number > held.number or (claim.number == held.number and held.length != after):
        return False
    same = await (await desk.session.run("same_chunk", held.n, claim.number, after, ",".join(turn.rows))).fetchall()
    return same == [(True,)]


async def _write(desk: Desk, held: Held, turn: Turn) -> None:
    session = desk.session
    if turn.rows:
        await session.run("append", held.n, held.number, held.length + len(turn.rows), desk.now_us, ",".join(turn.rows))
        held.length += len(turn.rows)
        held.recoveries = 0
    if turn.attributes is not None:
        await session.run("set_attributes", held.n, turn.attributes)
    if turn.taken:
        await session.run("take", held.n, turn.taken)
    await session.run("forget_park", held.n)
    number, left = held.number, _left(desk, held, turn)
    _settle(desk, held, turn, left)
    if turn.next_run is not None:
        held.run, held.workflow, held.number, held.length = turn.next_run.run, turn.next_run.workflow, held.number + 1, 1
        held.recoveries = 0
        await session.run("append", held.n, held.number, 1, desk.now_us, turn.next_run.started)
        await session.run("forget_parks", held.n)
    if turn.status in FINAL:
        _end(desk, held, turn)
    await desk.write()
    if turn.events:
        await emit(session, held.n, held.id, number, turn.events, desk.now_us)
    desk.news |= (EVENTS if turn.events else 0) | (ENDS if turn.status in FINAL else 0)
    if turn.outgoing or turn.children or (turn.status in FINAL and held.creator is not None):
        desk.news |= WORK


async def _read_back(desk: Desk, held: Held, number: int, turn: Turn) -> Committed:
    left = await read_inbox(await desk.session.run("inbox", to_text(held.id)))
    return Committed(inbox=tuple(message for message in left if message.seq > turn.seen))


def _left(desk: Desk, held: Held, turn: Turn) -> Sequence[Message | NewMessage]:
    stored: list[Message | NewMessage] = [message for message in desk.inbox if message.seq > turn.taken]
    return stored + [message for target, message, _ in desk.messages if target is held]


def _settle(desk: Desk, held: Held, turn: Turn, left: Sequence[Message | NewMessage]) -> None:
    """What the turn makes of the execution, with *left* still in the inbox."""
    held.wake_us, held.status, held.unread, held.changed = maybe_us(turn.wake_at), turn.status, turn.unread, True
    if left:
        held.wake_us = desk.now_us if held.wake_us is None else min(held.wake_us, desk.now_us)
    if held.ended:
        held.unread += sum(message.kind == "signal" for message in left)
    elif any(message.kind == "cancel" for message in left):
        held.status = "cancelling"


def _end(desk: Desk, held: Held, turn: Turn) -> None:
    held.owner = held.wake_us = None
    held.outcome = turn.outcome
    parent = None if held.creator is None else desk.held.get(held.creator.id)
    if parent is not None:
        result = NewMessage(kind="child", name=held.id, data=child_result(turn.status, turn.outcome))
        with contextlib.suppress(ExecutionFinished):  # a parent that has ended is not told
            desk.deliver(parent, result)


def _post(desk: Desk, sender: Held, outgoing: Outgoing) -> None:
    answer, target = OK, desk.held.get(outgoing.target)
    if target is None:
        answer = refusal("ExecutionNotFound", outgoing.target)
    else:
        try:
            desk.deliver(target, outgoing.message)
        except ExecutionFinished:
            answer = refusal("ExecutionFinished", outgoing.target)
    if outgoing.answer_to is not None:
        desk.deliver(sender, NewMessage(kind="answer", name=outgoing.answer_to, data=answer))


async def _bear(desk: Desk, child: NewChild) -> bool:
    """Start a child, also anew; False where its id is a stranger's."""
    new = child.execution
    known = desk.held.get(new.id)
    if known is None:
        await desk.begin(new, None)
        return True
    if known.creator is None or known.creator != new.creator:
        return False
    if known.run != new.run and known.status in new.restart:
        await desk.begin_again(known, new, None)
    return True


def _tell_of_birth(desk: Desk, parent: Held, child: NewChild, *, refused: bool) -> None:
    id = child.execution.id
    answer = refusal("ExecutionConflict", id) if refused else OK
    if child.answer_to is not None:
        desk.deliver(parent, NewMessage(kind="answer", name=child.answer_to, data=answer))
    elif refused:
        desk.deliver(parent, NewMessage(kind="child", name=id, data=child_result("failed", answer)))
