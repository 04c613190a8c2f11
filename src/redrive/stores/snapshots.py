"""Snapshots from the columns that the databases have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from redrive.ports.parks import Park
from redrive.ports.store import CommitResult, Creator, Json, NewExecution, Snapshot, StartResult
from redrive.ports.workers import KnownWorker
from redrive.status import PENDING
from redrive.stores.ledger.claim_rules import claim_of
from redrive.stores.times import from_us, maybe_from_us, maybe_us, to_us


def snapshot_of(columns: Sequence[Any], parks: tuple[Park, ...], cancel: Json | None, read: Callable[[str], str]) -> Snapshot:
    """The snapshot of *columns*, which are in the order in which they are taken apart here; *read* gives the text of a stored one."""
    id, workflow, status, run, number, length, input, created_us, updated_us, wake_us, deadline_us, owner, recoveries = columns[:13]
    attributes, outcome, unread, *creator = columns[13:19]
    waits, ended_us, error_type, queue, partition = columns[19:]
    return Snapshot(
        id=read(id),
        workflow=read(workflow),
        status=status,
        run=read(run),
        number=number,
        length=length,
        input=input,
        created_at=from_us(created_us),
        updated_at=from_us(updated_us),
        wake_at=maybe_from_us(wake_us),
        deadline=maybe_from_us(deadline_us),
        owner=None if owner is None else read(owner),
        recoveries=recoveries,
        attributes=attributes,
        outcome=outcome,
        unread=unread,
        parks=parks,
        cancel=cancel,
        creator=creator_of(creator, read),
        waits=read(waits or ""),
        ended_at=maybe_from_us(ended_us),
        error_type=error_type,
        queue=None if queue is None else read(queue),
        partition=read(partition or ""),
    )


def begun_of(new: NewExecution, owner: str | None, now_us: int, committed: CommitResult | None) -> StartResult:
    """The result of starting an execution that is new, with the snapshot and the claim of before its first turn."""
    wake_us = maybe_us(new.deadline) if new.queue is not None else now_us if new.not_before is None else to_us(new.not_before)
    times = (now_us, now_us, wake_us, maybe_us(new.deadline))
    creator = (None, None, None) if new.creator is None else (new.creator.id, new.creator.run, new.creator.key)
    names = (new.id, new.workflow, PENDING, new.run, 1, 1, new.input)
    rest = (*creator, "", None, None, new.queue, new.partition)
    snapshot = snapshot_of((*names, *times, owner, 0, new.attributes, None, 0, *rest), (), None, str)
    claim = None if owner is None else claim_of(snapshot, owner, 1)
    return StartResult(created=True, snapshot=snapshot, claim=claim, committed=committed)


def known_worker(id: str, alive: bool, expires_us: int, workflows: str, details: Sequence[Any] | None) -> KnownWorker:
    """A worker; *workflows* is the JSON array of those it lists, *details* its build, start, heartbeat, and how much it owns."""
    build, started_us, beat_us, owned = details or ("", 0, None, 0)
    return KnownWorker(
        id=id,
        alive=alive,
        expires_at=from_us(expires_us),
        workflows=frozenset(json.loads(workflows)),
        build=build,
        started_at=maybe_from_us(started_us or None),
        heartbeat_at=maybe_from_us(beat_us),
        executions=owned,
    )


def creator_of(columns: Sequence[str | None], read: Callable[[str], str]) -> Creator | None:
    """The creator of an execution, from the columns of its id, run and key; None if nobody did."""
    id, run, key = columns
    if id is None or run is None or key is None:
        return None
    return Creator(id=read(id), run=read(run), key=read(key))
