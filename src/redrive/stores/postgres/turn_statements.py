"""Turns that take the slow path: those that change more than their own execution, and what the group of plain ones refused.

Many are worked out and written in one transaction, one after another. One that finds its execution changed by another
of them waits for the next transaction, so that it is checked against all there is.
"""

from __future__ import annotations

from collections.abc import Sequence

from redrive.ports.store import CommitResult, LostClaim, Stale, StoreError
from redrive.stores.ledger.reach import AskedTurn, Reach, reach_of_turns
from redrive.stores.ledger.turn_rules import apply, possible_repeats
from redrive.stores.postgres.session import Session
from redrive.stores.postgres.unit_statements import inboxes, lock, look_for, write


async def commit_all(session: Session, asked: Sequence[AskedTurn]) -> tuple[list[CommitResult | StoreError | None], int, int]:
    """The answer to each turn (`LostClaim` and `Stale` are returned, not raised; None: it has to wait), the changes, and the time."""
    work = await lock(session, reach_of_turns(asked))
    await look_for(session, work, possible_repeats(work, asked))
    answers: list[CommitResult | StoreError | None] = []
    for claim, turn in asked:
        try:
            answers.append(CommitResult() if apply(work, claim, turn) else None)
        except (LostClaim, Stale) as refused:
            answers.append(refused)
    await write(session, work)
    seen = Reach()
    for (claim, turn), answer in zip(asked, answers, strict=True):
        if isinstance(answer, CommitResult):
            seen.read(claim.id, turn.seen)
    left = await inboxes(session, seen.inboxes)
    again = {execution.id for execution in work.again}
    for i, (claim, turn) in enumerate(asked):
        if isinstance(answers[i], CommitResult) and claim.id in again:
            answers[i] = CommitResult(waits_for_place=True)
        elif isinstance(answers[i], CommitResult):
            answers[i] = CommitResult(inbox=tuple(message for message in left.get(claim.id, ()) if message.seq > turn.seen))
    return answers, work.changes, work.now_us
