"""The executions, inboxes and dedup keys that a request has to do with: a store locks and reads them before the rules run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from redrive.ports.store import FINAL, Claim, NewExecution, NewMessage, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.ports.stored_schedules import Firing

AskedTurn: TypeAlias = tuple[Claim, Turn]
AskedStart: TypeAlias = tuple[NewExecution, str | None, Turn | None]
"""An execution to start, the worker that would own it, and its first turn."""
AddressedMessage: TypeAlias = tuple[str, NewMessage]


@attrs.define
class Reach:
    """*ids* may be written to; *inboxes* are read, each behind a seq, but whole where a cancel was accepted. The creators of
    *parents_of* are locked too; of *messages* it is looked up whether their dedup keys are stored. Ids need not exist."""

    ids: list[str] = attrs.Factory(list[str])
    inboxes: dict[str, int] = attrs.Factory(dict[str, int])
    parents_of: list[str] = attrs.Factory(list[str])
    messages: list[AddressedMessage] = attrs.Factory(list[AddressedMessage])
    audits: list[tuple[str, str]] = attrs.Factory(list[tuple[str, str]])
    """Executions and keys of audits that may be stored already."""
    schedules: list[str] = attrs.Factory(list[str])
    """Schedules that are locked besides those of the executions in *parents_of*; after all executions, in the order of their ids."""
    dedups: list[tuple[str, str]] = attrs.Factory(list[tuple[str, str]])
    """Queues and dedup keys whose holders are looked up."""
    lanes: dict[tuple[str, str], bool] = attrs.Factory(dict[tuple[str, str], bool])
    """Queues and partitions that are joined or left; True where a ticket that waits may be taken away."""
    queues: set[str] = attrs.Factory(set[str])
    """Queues whose free places are counted."""
    may_leave: set[str] = attrs.Factory(set[str])
    """Executions whose ticket may be deleted or moved."""

    def add_start(self, new: NewExecution) -> None:
        if new.queue is not None:
            self.lanes.setdefault((new.queue, new.partition), False)
            self.dedups += [] if new.dedup is None else [(new.queue, new.dedup)]

    def read(self, id: str, after: int = 0) -> None:
        self.inboxes[id] = min(after, self.inboxes.get(id, after))

    def add_message(self, id: str, message: NewMessage) -> None:
        self.ids.append(id)
        self.messages.append((id, message))
        if message.kind in ("cancel", "retry_rollback"):
            self.may_leave.add(id)
        if message.unbegun is not None:
            self.read(id)
            self.parents_of.append(id)

    def add_effects(self, turn: Turn) -> None:
        """The other executions that *turn* may write to."""
        for outgoing in turn.outgoing:
            self.add_message(outgoing.target, outgoing.message)
        for child in turn.children:
            self.ids.append(child.execution.id)
            self.add_start(child.execution)


def reach_of_message(id: str, message: NewMessage) -> Reach:
    reach = Reach()
    reach.add_message(id, message)
    return reach


def reach_of_turns(asked: Sequence[AskedTurn]) -> Reach:
    reach = Reach()
    for claim, turn in asked:
        reach.ids.append(claim.id)
        # Messages that were seen are not read again, except where all that are left at the end are counted.
        reach.read(claim.id, 0 if turn.status in FINAL else turn.seen)
        if turn.status in FINAL:
            reach.parents_of.append(claim.id)
            reach.may_leave.add(claim.id)
            if claim.queue is not None:
                reach.lanes.setdefault((claim.queue, claim.partition), False)
        reach.messages += [(claim.id, message) for message in turn.held]
        reach.add_effects(turn)
    return reach


def reach_of_firings(firings: Sequence[Firing]) -> Reach:
    reach = Reach()
    for firing in firings:
        for new in firing.starts:
            reach.ids.append(new.id)
            reach.add_start(new)
        reach.ids += firing.running
        reach.schedules.append(firing.schedule)
    return reach


def reach_of_starts(asked: Sequence[AskedStart]) -> Reach:
    reach = Reach()
    for new, _, first in asked:
        reach.ids.append(new.id)
        reach.read(new.id)
        reach.add_start(new)
        if new.first_message is not None:
            reach.messages.append((new.id, new.first_message))
        if new.creator is not None:
            reach.ids.append(new.creator.id)
        if first is not None:
            reach.add_effects(first)
    return reach
