"""What each fact does to a machine: one function a fact, and the table of them.

A fact about something settled changes nothing and leaves no row; one about something never asked is
`UnexpectedFact`, raised before anything has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive_interpreter.errors import CodecError, InvalidDefinition, UnexpectedFact, Unreadable
from redrive_interpreter.history import rows as r
from redrive_interpreter.history.rebuilt_errors import step_error
from redrive_interpreter.keys import DEADLINE, Key
from redrive_interpreter.machine.fibers import Fiber, Frame, Waiting
from redrive_interpreter.machine.scopes import Scope
from redrive_interpreter.machine.waits import AnswerWait, ChildWait, SignalWait, StepWait, TimerWait, Wait
from redrive_interpreter.outcomes import Err, Ok

if TYPE_CHECKING:
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.machine.machine import Machine

NOTHING: Final[frozenset[Key]] = frozenset()


def _took(m: Machine[Any], fact: r.Fact) -> None:
    if fact.at > m.now:
        m.now = fact.at
    m.counted += 1
    if m.recorded is None:
        m.rows.append(fact)
    elif m.recorded.forks:
        m.recorded.pass_forks(m)


def _known(m: Machine[Any], key: Key, fact: r.Fact) -> Wait | None:
    """The wait that *fact* is about; None if it is over. Raises `UnexpectedFact` if there never was one."""
    wait = m.pending.get(key)
    if wait is None and not m.is_settled(key) and key != DEADLINE:
        raise UnexpectedFact(f"{type(fact).__name__} for {key!r}, which was never asked")
    return wait


def _start(m: Machine[Any], fact: r.Started) -> None:
    if m.started is not None:
        raise UnexpectedFact("the run has started already")
    workflow, codec = m.workflow, m.codec
    if fact.input is None:
        data = codec.dump_call(workflow.signature, fact.args, fact.kwargs, workflow.name)
        fact = attrs.evolve(fact, args=(), kwargs={}, input=data, workflow=fact.workflow or workflow.name)
    try:
        if m.recorded is None or m.recorded.beyond:  # later on the code may well take less than it did
            workflow.signature.check_spread(fact.input)
        args, kwargs = codec.load_call(workflow.signature, fact.input, workflow.name)
        assert workflow.fn is not None
        gen = workflow.fn(*args, **kwargs)
    except (CodecError, InvalidDefinition, TypeError) as error:
        raise Unreadable(f"the input of {workflow.name!r} does not fit its code: {error}") from error
    m.started, m.run = fact, fact.run
    _took(m, fact)
    m.mailbox.carry(fact.unread)
    if fact.children:
        m.family.carry(fact.children)
    if m.started.deadline is not None:  # a copy that begins here has its own
        m.set_timer(DEADLINE, m.started.deadline)
    scope = Scope("", workflow)
    m.root = Fiber(scope, ())
    m.root.push(Frame(gen, scope, True))
    m.schedule(m.root)


def _answer(m: Machine[Any], fact: r.Answered) -> None:
    wait = m.pending.get(fact.key) or _known(m, fact.key, fact)
    if type(wait) is StepWait:
        _took(m, fact)
        m.settle(wait)
        _step_answered(m, wait, fact)
    elif isinstance(wait, AnswerWait):
        _took(m, fact)
        m.settle(wait)
        if isinstance(fact.outcome, Ok):
            reply = wait.then()
            if not isinstance(reply, Waiting):
                value, error = reply
                m.wake(wait.fiber, value, error)
        else:
            m.wake(wait.fiber, None, m.threw(wait.refused(m.codec, fact.outcome.error)))


def _step_answered(m: Machine[Any], wait: StepWait, fact: r.Answered) -> None:
    step, outcome = wait.command, fact.outcome
    if type(outcome) is Ok:
        if wait.undoing is not None:
            wait.undoing.answered(m, wait, None)
            return
        spec = step.spec
        value = m.scalar(outcome.value, spec.result_type, wait.key)
        if spec.undo is not None:
            m.saga.completed(wait.key, spec.undo, outcome.value, spec.result_type, wait.run)
        m.wake(wait.fiber, value)
        return
    assert isinstance(outcome, Err)
    error = m.threw(step_error(m.codec, outcome.error, wait.key, step.spec.raises))
    if wait.undoing is not None:
        wait.undoing.answered(m, wait, error)
        return
    if fact.in_doubt or wait.doubt:
        m.saga.doubt(wait.key, step.spec.undo, wait.run)
    m.wake(wait.fiber, None, error)


def _attempt_started(m: Machine[Any], fact: r.AttemptStarted) -> None:
    wait = _known(m, fact.key, fact)
    if type(wait) is StepWait:
        _took(m, fact)
        wait.attempt, wait.started, wait.due = fact.attempt, True, None


def _retry(m: Machine[Any], fact: r.Retrying) -> None:
    wait = _known(m, fact.key, fact)
    if type(wait) is not StepWait:
        return
    _took(m, fact)
    wait.attempt, wait.due, wait.started = fact.attempt + 1, fact.due, False
    wait.doubt = wait.doubt or fact.in_doubt
    if wait.fiber.cancel is not None and not wait.fiber.thrown and wait.undoing is None:
        m.settle(wait)  # S10: no further attempt
        if wait.doubt:
            m.saga.doubt(wait.key, wait.command.spec.undo, wait.run)
        m.wake(wait.fiber, None)
    else:
        for request in wait.requests():
            m.request(request)


def _timer(m: Machine[Any], fact: r.TimerFired) -> None:
    wait = _known(m, fact.key, fact)
    if fact.key not in m.timers or wait is None:
        return
    _took(m, fact)
    m.now = max(m.now, m.timers.pop(fact.key))
    if isinstance(wait, TimerWait):
        m.settle(wait)
        m.wake(wait.fiber, None)
    elif isinstance(wait, SignalWait):
        m.settle(wait)
        m.mailbox.timed_out(m, wait)
    elif isinstance(wait, ChildWait):
        m.settle(wait)
        m.family.timed_out(m, wait)


def _signal(m: Machine[Any], fact: r.Signalled) -> None:
    if m.verdict_ is None:
        _took(m, fact)
        m.mailbox.arrived(m, fact)


def _cancel(m: Machine[Any], fact: r.CancelRequested) -> None:
    _interrupt(m, fact, (fact.reason, fact.by))


def _deadline(m: Machine[Any], fact: r.DeadlinePassed) -> None:
    due = m.timers.get(DEADLINE)
    if due is not None:
        m.now = max(m.now, due)
        _interrupt(m, fact, ("the deadline has passed", "deadline"))


def _interrupt(m: Machine[Any], fact: r.CancelRequested | r.DeadlinePassed, cancel: tuple[str, CancelledBy]) -> None:
    if m.verdict_ is not None or m.root is None or m.root.cancel is not None:
        return
    _took(m, fact)
    if type(fact) is r.DeadlinePassed:
        del m.timers[DEADLINE]
    m.clear_timer(DEADLINE)
    if fact.unbegun is None:
        m.cut(m.root, cancel)
        return
    m.unbegun = frozenset(fact.unbegun)
    m.cut(m.root, cancel)
    for task in (m.tasks or {}).values():  # E3: nothing new begins in them either
        if task.outcome is None:
            m.cut(task.fiber, cancel)
    m.unbegun = NOTHING


def _child(m: Machine[Any], fact: r.ChildFinished) -> None:
    if m.family.knows(fact.id):
        _took(m, fact)
        m.family.ended(m, fact)


def _retry_rollback(m: Machine[Any], fact: r.RollbackRetried) -> None:
    if m.saga.stuck is not None:
        _took(m, fact)
        m.verdict_ = None
        m.saga.stuck.resume(m)


TAKE: Final[Mapping[type, Callable[[Any, Any], None]]] = {
    r.Started: _start,
    r.Answered: _answer,
    r.AttemptStarted: _attempt_started,
    r.Retrying: _retry,
    r.TimerFired: _timer,
    r.Signalled: _signal,
    r.CancelRequested: _cancel,
    r.DeadlinePassed: _deadline,
    r.ChildFinished: _child,
    r.RollbackRetried: _retry_rollback,
}
