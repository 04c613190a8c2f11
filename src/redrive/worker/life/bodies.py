"""When bodies begin, and which of them are told to stop."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from redrive.worker.life import precedence
from redrive.worker.life.actions import Begin, Run, SetAlarm, Stop
from redrive_interpreter.history.rows import Answered, AttemptStarted, Retrying
from redrive_interpreter.keys import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redrive.worker.life.actions import Action
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive.worker.life.life import Life
    from redrive.worker.life.turn import Draft
    from redrive_interpreter.history.requests import RunStep
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.waits import Wait


def after_commit(life: Life, live: ActiveExecution, draft: Draft, actions: list[Action], now: datetime) -> None:
    """Begin what *draft*, which is stored, asks for; or hold it, or wait until its next attempt is due."""
    if not (draft.performs or draft.fed):
        return
    machine = live.machine
    hold = machine is None or bool(live.facts or live.due or live.inbox) or (DEADLINE in machine.timers and _is_overtaken(live, now))
    for fact in draft.fed:
        if type(fact) is AttemptStarted and live.bodies and (begun := live.bodies.get(fact.key)) is not None:
            if hold:
                live.announced = [*(live.announced or ()), begun]
            else:
                actions.append(Begin(begun))
    if not draft.performs:
        return
    pending: Mapping[Key, Wait] = machine.pending if machine is not None else {}
    told = {fact.key for fact in live.facts if isinstance(fact, (Answered, Retrying))} if live.facts else ()
    for key, perform in draft.performs.items():
        if key not in pending or key in told:
            continue  # asked again by a replay, and answered in the same turn, or while it was stored
        if perform.due is not None and perform.due > now:
            if live.waiting is None:
                live.waiting = {}
            live.waiting[key] = perform
            actions.append(SetAlarm(perform.due, key))
        elif hold:
            _hold(live, key, perform)
        elif life.draining:
            live.unbegun = True
        elif not (live.bodies and key in live.bodies):
            _run(live, key, perform, actions)


def attempt_due(life: Life, live: ActiveExecution, key: str, actions: list[Action], now: datetime) -> bool:
    """Begin the next attempt of the step *key*, which is due now; or hold it: whether it is held, for a turn."""
    assert live.waiting is not None
    perform = live.waiting.pop(key)
    if live.driving or live.machine is None or _is_overtaken(live, now):
        _hold(live, key, perform)
        return True
    if life.draining:
        live.unbegun = True
    else:
        _run(live, key, perform, actions)
    return False


def begin_held(life: Life, live: ActiveExecution, actions: list[Action]) -> None:
    """Begin the bodies that waited for a turn to be computed, but for those that it has cut."""
    if live.announced:
        announced, live.announced = live.announced, None
        actions += [Begin(run) for run in announced]
    if live.held:
        held, live.held = live.held, None
        for key, perform in held.items():
            wanted = live.machine is not None and key in live.machine.pending and not (live.bodies and key in live.bodies)
            if wanted and life.draining:
                live.unbegun = True
            elif wanted:
                _run(live, key, perform, actions)


def settle_announced(live: ActiveExecution, actions: list[Action]) -> None:
    """At-most-once steps of a paused execution: a body whose start is stored begins now, one whose start is not stored never does."""
    announced, live.announced = live.announced or (), None
    actions += [Begin(run) for run in announced]
    for fact in live.facts or ():
        if isinstance(fact, AttemptStarted):
            drop(live, fact.key, actions)


def drop(live: ActiveExecution, key: str, actions: list[Action]) -> None:
    """The answer of the step *key* is not wanted any more."""
    if live.waiting:
        live.waiting.pop(key, None)
    run = live.bodies.get(key) if live.bodies else None
    if run is not None:
        stop(live, run, actions)


def stop(live: ActiveExecution, run: Run, actions: list[Action]) -> None:
    """Tell the body of *run* to stop; it gives no fact any more."""
    if live.bodies and live.bodies.get(run.perform.key) is run:
        del live.bodies[run.perform.key]
        if not live.bodies:
            live.bodies = None
    actions.append(Stop(run))


def stop_all(live: ActiveExecution, actions: list[Action]) -> None:
    """Tell all bodies to stop."""
    runs, live.bodies = live.bodies, None
    actions += [Stop(run) for run in (runs or {}).values()]


def withhold(live: ActiveExecution, key: str, actions: list[Action]) -> None:
    """See to it that the body of the step *key* does not begin, unless it has."""
    run = live.bodies.get(key) if live.bodies else None
    if run is not None and run.withdraw():
        live.unbegun = True
        stop(live, run, actions)


def stop_and_remember(live: ActiveExecution, actions: list[Action]) -> None:
    """Tell all bodies to stop, and keep in mind which had begun."""
    for key, run in (live.bodies or {}).items():
        if run.withdraw():
            live.unbegun = True
        else:
            live.uncertain = {**(live.uncertain or {}), key: None}
    stop_all(live, actions)


def is_at_rest(live: ActiveExecution) -> bool:
    """Whether *live*, all of whose bodies were told to stop, asks for some, and none of them had begun."""
    if not (live.unbegun or live.waiting or live.held) or live.driving or live.facts or live.machine is None or live.uncertain is None:
        return False
    pending = live.machine.pending
    return not any(key in pending for key in live.uncertain)


def _run(live: ActiveExecution, key: str, perform: RunStep, actions: list[Action]) -> None:
    run = Run(perform, live.details and live.details.get(key))
    if live.bodies is None:
        live.bodies = {}
    live.bodies[key] = run
    actions.append(run)


def _hold(live: ActiveExecution, key: str, perform: RunStep) -> None:
    if live.held is None:
        live.held = {}
    live.held[key] = perform


def _is_overtaken(live: ActiveExecution, now: datetime) -> bool:
    """Whether there is something to take before a body of *live* begins."""
    machine = live.machine
    if machine is None or live.facts or live.due or live.inbox:
        return True
    return DEADLINE in machine.timers and precedence.note_deadline(live, machine, now) is not None
