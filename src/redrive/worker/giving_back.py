"""Gives executions back to the store, and tells it of which nothing had begun that their histories ask for.

Whoever claims an execution cannot see whether a body that is asked for had begun: one with an undo is then taken as under way,
also where the run is cancelled (S10). So what is known here is told: an execution is at rest if none of its bodies had begun
under this worker, nor may have under one before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from redrive.ports.store import StoreError

if TYPE_CHECKING:
    from redrive.ports.store import Claim, Store
    from redrive.worker.active_execution import ActiveExecution
    from redrive.worker.turn_runner import TurnRunner

log: Final = logging.getLogger("redrive.worker")


def stop(live: ActiveExecution) -> None:
    """Tell the bodies of *live* to stop, and keep in mind which had begun."""
    for key, attempt in list((live.attempts or {}).items()):
        if not attempt.withhold():
            live.uncertain = {**(live.uncertain or {}), key: None}
            attempt.stop()
        else:
            live.unbegun = True


def is_at_rest(live: ActiveExecution) -> bool:
    """Whether *live*, all of whose bodies were told to stop, asks for some, and none of them had begun."""
    if not (live.unbegun or live.waiting or live.held) or live.driving or live.facts or live.machine is None or live.uncertain is None:
        return False
    pending = live.machine.pending
    return not any(key in pending for key in live.uncertain)


def put_away(lives: Iterable[ActiveExecution]) -> tuple[list[Claim], list[Claim]]:
    """Stop *lives* and forget their machines; the claims of those that are at rest, and of the others."""
    at_rest: list[Claim] = []
    others: list[Claim] = []
    for live in lives:
        stop(live)
        (at_rest if is_at_rest(live) else others).append(live.claim)
        live.gone = True
        live.put_away()
    return at_rest, others


async def give_back(store: Store, lives: Iterable[ActiveExecution]) -> None:
    """Put *lives* away, and make them nobody's."""
    at_rest, others = put_away(lives)
    if others:
        await store.release(others)
    if at_rest:
        await store.release(at_rest, at_rest=True)


async def let_go(runner: TurnRunner, live: ActiveExecution) -> None:
    """Give one execution back that this worker drives."""
    try:
        await runner.patiently(lambda: runner.store.release([live.claim]), live.id)
    except StoreError as error:
        log.error("execution %r: %s", live.id, error)
        runner.doubt()
