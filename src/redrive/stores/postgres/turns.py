"""Turns that go the long way: those that change more than their own execution, and what the group of plain ones refused.

Many are worked out and written in one transaction, one after another. One that finds its execution changed by another
of them waits for the next transaction, so that it is checked against all there is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from redrive.ports.store import FINAL, Claim, Committed, LostClaim, NewChild, NewMessage, Outgoing, Stale, StoreError, Turn
from redrive.status import CANCELLING, FAILED
from redrive.stores.bell import ENDS, EVENTS, WORK
from redrive.stores.common import OK, child_result, refusal
from redrive.stores.postgres.desk import Desk
from redrive.stores.postgres.held import Held
from redrive.stores.postgres.session import Session
from redrive.stores.postgres.values import maybe_us
from redrive_interpreter.errors import ExecutionFinished

AskedTurn: TypeAlias = tuple[Claim, Turn]


async def commit_all(session: Session, asked: Sequence[AskedTurn]) -> tuple[list[Committed | StoreError | None], int, int]:
    """What each turn gives back (`LostClaim` and `Stale` are given, not raised; None: it has to wait), the news, and the time."""
    desk = Desk(session)
    await _lock(desk, asked)
    answers: list[Committed | StoreError | None] = []
    for claim, turn in asked:
        try:
            answers.append(await apply(desk, claim, turn))
        except (LostClaim, Stale) as refused:
            answers.append(refused)
    await desk.write()
    done = [(claim.id, turn.seen) for (claim, turn), answer in zip(asked, answers, strict=True) if isinstance(answer, Committed)]
    left = await desk.inboxes(_oldest(done))
    for i, (claim, turn) in enumerate(asked):
        if isinstance(answers[i], Committed):
            answers[i] = Committed(inbox=tuple(message for message in left.get(claim.id, ()) if message.seq > turn.seen))
    return answers, desk.news, desk.now_us


def targets_of(turn: Turn) -> tuple[list[str], list[tuple[str, NewMessage]]]:
    """The other executions that *turn* may write to, and what it sends them."""
    sent = [(outgoing.target, outgoing.message) for outgoing in turn.outgoing]
    return [id for id, _ in sent] + [child.execution.id for child in turn.children], sent


async def _lock(desk: Desk, asked: Sequence[AskedTurn]) -> None:
    # What was seen is not read again, but where all is counted that is left at the end.
    own = _oldest((claim.id, 0 if turn.status in FINAL else turn.seen) for claim, turn in asked)
    ids, messages = [*own], list[tuple[str, NewMessage]]()
    for _, turn in asked:
        more, sent = targets_of(turn)
        ids += more
        messages += sent
    unbegun = {id: 0 for id, message in messages if message.unbegun is not None}
    await desk.lock(ids, inboxes=own | unbegun, parents_of=[claim.id for claim, turn in asked if turn.status in FINAL], messages=messages)


def _oldest(places: Iterable[tuple[str, int]]) -> dict[str, int]:
    """By id the lowest of its seqs."""
    found: dict[str, int] = {}
    for id, seq in places:
        found[id] = min(seq, found.get(id, seq))
    return found


async def apply(desk: Desk, claim: Claim, turn: Turn, *, alone: bool = False) -> Committed | None:
    """Work *turn* out. What it gives back is in the inbox once all is written. Refuses before it changes anything.

    With *alone*, no other turn has to do with its execution, else it may have to wait: None.
    """
    held = desk.held.get(claim.id)
    if held is None or held.fence != claim.fence:
        raise LostClaim(f"execution {claim.id!r} belongs to another worker now")
    if held.changed and not alone:
        return None
    unseen = [message for message in held.inbox if message.seq > turn.seen]
    if turn.rows and await _is_repeat(desk, held, claim, turn):
        return Committed()
    if held.owner != claim.worker:
        raise LostClaim(f"execution {claim.id!r} is not {claim.worker!r}'s any more")
    if claim.number != held.number or turn.expects != held.length:
        raise Stale(f"execution {claim.id!r} has {held.length} rows in run {held.number}, not {turn.expects}")
    ends = turn.status in FINAL or turn.next_run is not None
    if (ends or turn.expects == 1) and any(message.kind == "cancel" for message in unseen):
        raise Stale(f"execution {claim.id!r} was asked to cancel before it {'ended' if ends else 'began'}")
    if turn.not_after is not None and any(message.stored_at <= turn.not_after for message in unseen):
        raise Stale(f"execution {claim.id!r} got a message before its timer was due")

    for child in turn.children:
        await _bear(desk, held, child)
    for outgoing in turn.outgoing:
        await _post(desk, held, outgoing)
    _change(desk, held, turn)
    desk.news |= (EVENTS if turn.events else 0) | (ENDS if turn.status in FINAL else 0)
    if turn.outgoing or turn.children or (turn.status in FINAL and held.creator is not None):
        desk.news |= WORK
    return Committed()


async def _is_repeat(desk: Desk, held: Held, claim: Claim, turn: Turn) -> bool:
    after = turn.expects + len(turn.rows)
    if claim.number > held.number or (claim.number == held.number and held.length != after):
        return False
    same = await (await desk.session.run("same_chunk", held.n, claim.number, after, ",".join(turn.rows))).fetchall()
    return same == [(True,)]


def _change(desk: Desk, held: Held, turn: Turn) -> None:
    if turn.rows:
        held.length += len(turn.rows)
        held.recoveries = 0
        desk.append(held, held.number, held.length, ",".join(turn.rows))
    if turn.attributes is not None:
        desk.set_attributes(held, turn.attributes)
    if turn.taken:
        desk.take(held, turn.taken)
    if turn.events:
        desk.emit(held, held.number, turn.events)
    if turn.aside:
        desk.keep_aside(held, turn.aside)
    desk.unpark(held, for_all=turn.next_run is not None)
    _settle(desk, held, turn)
    if turn.next_run is not None:
        held.run, held.workflow, held.number, held.length = turn.next_run.run, turn.next_run.workflow, held.number + 1, 1
        held.recoveries = 0
        desk.append(held, held.number, 1, turn.next_run.started)
    if turn.status in FINAL:
        held.end(turn.outcome)
        _tell_the_parent(desk, held, turn)


def _settle(desk: Desk, held: Held, turn: Turn) -> None:
    """What the turn makes of the execution, with what is left in the inbox."""
    left = held.left(turn.taken)
    held.wake_us, held.status, held.unread, held.changed = maybe_us(turn.wake_at), turn.status, turn.unread, True
    if held.newest > turn.taken or held.new:
        held.wake_us = desk.now_us if held.wake_us is None else min(held.wake_us, desk.now_us)
    if held.ended:
        held.unread += sum(message.kind == "signal" for message in left)
    elif any(message.kind == "cancel" for message in left):
        held.status = CANCELLING


def _tell_the_parent(desk: Desk, held: Held, turn: Turn) -> None:
    parent = None if held.creator is None else desk.held.get(held.creator.id)
    if parent is not None:
        result = NewMessage(kind="child", name=held.id, data=child_result(turn.status, turn.outcome))
        with contextlib.suppress(ExecutionFinished):  # a parent that has ended is not told
            desk.deliver(parent, result)


async def send(desk: Desk, held: Held, message: NewMessage) -> bool:
    """`Desk.deliver`; but what never began, and waits for code, is cancelled without any."""
    parent = None if held.creator is None else held.creator.id
    if message.unbegun is None or not held.never_began or (parent is not None and parent not in desk.held):
        return desk.deliver(held, message)
    held.owner, held.fence, held.cancelled_run = "", held.fence + 1, held.number
    claim = Claim(id=held.id, worker="", fence=held.fence, workflow=held.workflow, run=held.run, number=held.number, length=1)
    await apply(desk, claim, message.unbegun, alone=True)
    desk.unpark(held, for_all=True)
    desk.news |= WORK
    return True


async def _post(desk: Desk, sender: Held, outgoing: Outgoing) -> None:
    answer, target = OK, desk.held.get(outgoing.target)
    if target is None:
        answer = refusal("ExecutionNotFound", outgoing.target)
    else:
        try:
            await send(desk, target, outgoing.message)
        except ExecutionFinished:
            answer = refusal("ExecutionFinished", outgoing.target)
    if outgoing.answer_to is not None:
        desk.deliver(sender, NewMessage(kind="answer", name=outgoing.answer_to, data=answer))


async def _bear(desk: Desk, parent: Held, child: NewChild) -> None:
    new, answer = child.execution, OK
    known = desk.held.get(new.id)
    if known is None:
        desk.begin(new, None)
    elif known.creator is None or known.creator != new.creator:
        answer = refusal("ExecutionConflict", new.id)
        if child.answer_to is None:
            desk.deliver(parent, NewMessage(kind="child", name=new.id, data=child_result(FAILED, answer)))
    elif known.run != new.run and known.status in new.restart:
        await desk.begin_again(known, new, None)
    if child.answer_to is not None:
        desk.deliver(parent, NewMessage(kind="answer", name=child.answer_to, data=answer))
