"""How an execution ends in this worker, or begins anew: lost, parked, given back, ended, computed again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from redrive.worker.life import actions as act
from redrive.worker.life import bodies

if TYPE_CHECKING:
    from redrive.worker.life import events
    from redrive.worker.life.actions import Action
    from redrive.worker.life.active_execution import ActiveExecution
    from redrive.worker.life.events import Event
    from redrive.worker.life.life import Life
    from redrive.worker.life.turn import Draft

NOTHING: Final[tuple[Action, ...]] = ()
WAKES: Final = (act.WAKE,)


def wake(live: ActiveExecution) -> Sequence[Action]:
    """Have the next turn computed, unless something is under way."""
    if live.driving or live.gone:
        return NOTHING
    live.driving = True
    return WAKES


def at_rest(live: ActiveExecution) -> Sequence[Action]:
    """Nothing is under way any more."""
    live.driving = False
    return NOTHING


def close(live: ActiveExecution, actions: list[Action]) -> None:
    """Forget what was computed."""
    machine = live.forget_run()
    if machine is not None:
        actions.append(act.Close(machine))


def leave(live: ActiveExecution, actions: list[Action]) -> None:
    """The execution is not this worker's any more."""
    live.gone, live.driving = True, False
    if live.bodies:
        bodies.stop_all(live, actions)
    close(live, actions)
    actions.append(act.LEAVE)


def retake(live: ActiveExecution, draft: Draft, actions: list[Action], now: datetime) -> None:
    """Forget the turn, and keep what bodies gave: it is taken after what is in the inbox by now."""
    live.facts = [*draft.fed, *(live.facts or ())] or None
    live.retaken = now
    close(live, actions)
    live.interrupt_first = live.overdue
    live.started = live.attributes = live.draft = None


def flush_stops(live: ActiveExecution, actions: list[Action]) -> None:
    """Stop the bodies that a turn kept from beginning."""
    stops, live.stops = live.stops, None
    for run in stops or ():
        bodies.stop(live, run, actions)


def lost(_life: Life, live: ActiveExecution, _: Event, __: datetime) -> Sequence[Action]:
    if live.gone:
        return NOTHING
    actions: list[Action] = [act.LeaseLost(tuple(live.bodies or ()))]
    driving = live.driving
    leave(live, actions)
    live.driving = driving  # what is under way ends by itself
    return actions


def failed(_life: Life, live: ActiveExecution, event: events.Failed, _: datetime) -> Sequence[Action]:
    live.apart = False
    actions: list[Action] = []
    flush_stops(live, actions)
    if live.gone:
        close(live, actions)
        return [*actions, *at_rest(live)]
    actions.append(act.Park(event.error))
    bodies.stop_all(live, actions)
    live.gone = True
    close(live, actions)
    return actions


def parked(_life: Life, live: ActiveExecution, _: Event, __: datetime) -> Sequence[Action]:
    return [act.LEAVE, *at_rest(live)]


def too_long(_life: Life, live: ActiveExecution, _: Event, __: datetime) -> Sequence[Action]:
    actions: list[Action] = []
    flush_stops(live, actions)
    close(live, actions)
    live.slow, live.started = True, None
    return [*actions, act.LOAD]


def abandoned(_life: Life, live: ActiveExecution, _: Event, __: datetime) -> Sequence[Action]:
    actions: list[Action] = []
    close(live, actions)  # unless a thread may still be at it
    live.gone = True
    return [*actions, *at_rest(live)]


def stop_bodies(_life: Life, live: ActiveExecution, _: Event, __: datetime) -> Sequence[Action]:
    actions: list[Action] = []
    bodies.stop_and_remember(live, actions)
    return actions


def no_thread(_life: Life, live: ActiveExecution, event: events.NoThread, _: datetime) -> Sequence[Action]:
    actions: list[Action] = []
    bodies.withhold(live, event.key, actions)
    return actions


def give_back(_life: Life, live: ActiveExecution, _: Event, __: datetime) -> Sequence[Action]:
    actions: list[Action] = []
    bodies.stop_and_remember(live, actions)
    none_began = bodies.is_at_rest(live)
    live.gone = True
    close(live, actions)
    actions.append(act.Release(none_began))
    return actions
