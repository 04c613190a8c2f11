"""When bodies begin: once their turn is stored, and nothing is known any more that would keep them from it.

A commit hands back what was stored before it: a cancel, say. So where there is news, or the deadline has passed, bodies are
held until the worker has computed the turn of that; those that it does not cut begin then, before it is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.worker import precedence
from redrive_interpreter.history.rows import Answered, AttemptStarted, Retrying
from redrive_interpreter.keys import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redrive.worker.active_execution import ActiveExecution
    from redrive.worker.turn import Draft
    from redrive.worker.turn_runner import TurnRunner
    from redrive_interpreter.history.requests import RunStep
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.waits import Wait


def after(runner: TurnRunner, live: ActiveExecution, draft: Draft) -> None:
    """Begin what *draft*, which is stored, asks for; or hold it, or wait until its next attempt is due."""
    hold = _is_overtaken(runner, live)
    for _, fact in draft.fed:
        if type(fact) is AttemptStarted and live.began is not None:
            begun = live.began.pop(fact.key, None)
            if begun is not None and hold:
                live.announced = [*(live.announced or ()), begun]
            elif begun is not None:
                begun()
    if not draft.performs:
        return
    pending: Mapping[Key, Wait] = live.machine.pending if live.machine is not None else {}
    told = {fact.key for _, fact in live.facts if isinstance(fact, (Answered, Retrying))} if live.facts else ()
    for key, perform in draft.performs.items():
        if key not in pending or key in told:
            continue  # asked again by a replay, and answered in the same turn, or while it was stored
        if perform.due is not None and perform.due > runner.clock.now():
            if live.waiting is None:
                live.waiting = {}
            live.waiting[key] = perform
            runner.timers.set(perform.due, live, key)
        elif hold:
            _hold(live, key, perform)
        elif runner.draining:
            live.unbegun = True
        elif not (live.attempts and key in live.attempts):
            runner.executor.start(live, perform)


def attempt_due(runner: TurnRunner, live: ActiveExecution, key: str) -> None:
    """Begin the next attempt of the step *key*, which is due now; or hold it."""
    assert live.waiting is not None
    perform = live.waiting.pop(key)
    if live.driving or _is_overtaken(runner, live):
        _hold(live, key, perform)
        runner.wake(live)
    elif not runner.draining:
        runner.executor.start(live, perform)


def begin_held(runner: TurnRunner, live: ActiveExecution) -> None:
    """Begin the bodies that waited for a turn to be computed, but for those that it has cut."""
    if live.announced:
        announced, live.announced = live.announced, None
        for begun in announced:
            begun()
    if live.held:
        held, live.held = live.held, None
        for key, perform in held.items():
            wanted = live.machine is not None and key in live.machine.pending and not (live.attempts and key in live.attempts)
            if wanted and runner.draining:
                live.unbegun = True
            elif wanted:
                runner.executor.start(live, perform)


def _hold(live: ActiveExecution, key: str, perform: RunStep) -> None:
    if live.held is None:
        live.held = {}
    live.held[key] = perform


def _is_overtaken(runner: TurnRunner, live: ActiveExecution) -> bool:
    """Whether there is something to take before a body of *live* begins."""
    machine = live.machine
    if live.ready or machine is None:
        return True
    return DEADLINE in machine.timers and precedence.note_deadline(live, machine, runner.clock.now()) is not None
