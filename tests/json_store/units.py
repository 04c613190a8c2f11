"""Units of work: read before the rules of the ledger run, written after."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from redrive.ports.aside_values import Aside
from redrive.ports.rewrites import Audit
from redrive.ports.store import Event, Message, NewExecution
from redrive.stores.common import EVENTS_KEPT, PRUNE_EVERY, short_key
from redrive.stores.ledger.parking import hurried
from redrive.stores.ledger.reach import Reach
from redrive.stores.ledger.unit_of_work import Chunk, EmittedEvents, StoredMessage, UnitOfWork
from redrive.stores.times import from_us, maybe_us, to_us
from redrive_interpreter.errors import ExecutionNotFound
from tests.json_store.files import Everything, Execution, Transaction

_MICROSECOND = timedelta(microseconds=1)


def known(tx: Transaction, id: str) -> Execution:
    found = tx.get(id)
    if found is None:
        raise ExecutionNotFound(id)
    return found


def lock(tx: Transaction, reach: Reach) -> UnitOfWork:
    work = UnitOfWork(tx.now_us)
    parents = [found.creator.id for id in reach.parents_of if (found := tx.get(id)) is not None and found.creator is not None]
    work.add(found.locked() for id in dict.fromkeys([*reach.ids, *parents]) if (found := tx.get(id)) is not None)
    for id, after in reach.inboxes.items():
        if (execution := work.executions.get(id)) is not None:
            execution.inbox = known(tx, id).after(0 if execution.cancelled_run else after)
    for id, message in reach.messages:
        if message.dedup is not None and (found := tx.get(id)) is not None and short_key(message.dedup) in found.dedup_keys:
            work.dedup_keys.add((id, short_key(message.dedup)))
    work.stored_audits = {(one.execution, one.key) for one in tx.everything.audits} & set(reach.audits)
    return work


def look_for(tx: Transaction, work: UnitOfWork, chunks: Iterable[Chunk]) -> None:
    for chunk in chunks:
        found = known(tx, chunk.id)
        if found.runs[chunk.number - 1][-1] == chunk.rows and (chunk.number < found.number or chunk.end == found.length):
            work.stored_chunks.add(chunk)


def write(tx: Transaction, work: UnitOfWork) -> None:
    for execution, new in work.begun:
        tx.everything.executions += 1
        tx.add(_begun(tx, new))
        execution.changed = True
    for restart in work.restarts:
        _begin_again(known(tx, restart.execution.id), restart.new)
    for refilled in work.refilled:
        known(tx, refilled.execution.id).inbox.clear()
        _store(tx, refilled.messages)
    for execution, chunk in work.chunks:
        runs = known(tx, execution.id).runs
        if chunk.number > len(runs):
            runs.append([])
        runs[chunk.number - 1].append(chunk.rows)
    for execution, seq in work.taken:
        found = known(tx, execution.id)
        found.inbox = found.after(seq)
    for execution, attributes in work.attributes.values():
        known(tx, execution.id).attributes = attributes
    for execution, deadline_us in work.deadlines:
        known(tx, execution.id).deadline_us = deadline_us
    for execution, owner in work.unparked:
        worker = tx.everything.workers.get(owner or "")
        for build in ("*", None if worker is None else worker.build):
            known(tx, execution.id).parks.pop(build or "", None)
    for execution in work.unparked_for_all:
        known(tx, execution.id).parks.clear()
    for execution in work.hurried:
        parks = known(tx, execution.id).parks
        parks.update({build: hurried(parked, tx.now_us) for build, parked in parks.items()})
    _store(tx, work.messages)
    for execution, one in work.aside:
        tx.everything.asides += 1
        seq, id, at = tx.everything.asides, execution.id, from_us(tx.now_us)
        aside = Aside(seq=seq, execution=id, name=one.name, data=one.data, sent_at=one.sent_at, error=one.error, at=at)
        known(tx, id).aside.append(aside)
    for id, act in work.audits:
        seq, at = len(tx.everything.audits) + 1, from_us(tx.now_us)
        words = {"by": act.by, "verb": act.verb, "reason": act.reason, "detail": act.detail, "key": act.key}
        tx.everything.audits.append(Audit(seq=seq, execution=id, at=at, **words))
    for emitted in work.events:
        _emit(tx, emitted)
    for execution in work.changed:
        known(tx, execution.id).save(execution, tx.now_us)
    tx.changes |= work.changes


def _begun(tx: Transaction, new: NewExecution) -> Execution:
    return Execution(
        n=tx.everything.executions,
        id=new.id,
        workflow=new.workflow,
        run=new.run,
        input=new.input,
        attributes=new.attributes,
        created_us=tx.now_us,
        updated_us=tx.now_us,
        stored_us=tx.now_us,
        deadline_us=maybe_us(new.deadline),
        creator=new.creator,
        runs=[[new.started]],
    )


def _begin_again(found: Execution, new: NewExecution) -> None:
    found.input, found.attributes, found.creator, found.deadline_us = new.input, new.attributes, new.creator, maybe_us(new.deadline)
    found.rested = 0
    for forgotten in (found.inbox, found.dedup_keys, found.parks, found.deaths):
        forgotten.clear()
    found.runs.append([new.started])


def _store(tx: Transaction, messages: Iterable[StoredMessage]) -> None:
    for stored in messages:
        found, message = known(tx, stored.execution.id), stored.message
        if stored.dedup is not None:
            found.dedup_keys.append(stored.dedup)
        tx.everything.messages += 1
        seq, at = tx.everything.messages, from_us(stored.stored_us)
        found.inbox.append(Message(seq=seq, kind=message.kind, name=message.name, data=message.data, stored_at=at))


def _emit(tx: Transaction, emitted: EmittedEvents) -> None:
    found, everything = known(tx, emitted.execution.id), tx.everything
    for new in emitted.events:
        key = f"{emitted.run} {new.key}"
        if key not in found.emitted:
            found.emitted.append(key)
            everything.newest_event += 1
            seq, at = everything.newest_event, from_us(tx.now_us)
            everything.events.append(Event(seq=seq, name=new.name, payload=new.payload, execution=found.id, at=at))
    if tx.now_us - everything.pruned_us >= PRUNE_EVERY // _MICROSECOND:
        everything.pruned_us, oldest_us = tx.now_us, tx.now_us - EVENTS_KEPT // _MICROSECOND
        everything.events = [event for event in everything.events if to_us(event.at) > oldest_us or _is_awaited(everything, event)]


def _is_awaited(everything: Everything, event: Event) -> bool:
    return any(handler.event == event.name and handler.done < event.seq for handler in everything.handlers.values())
