"""How a run begins: the fact that is the first row of every history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive_interpreter.errors import CodecError, InvalidDefinition, UndecodableValue, UnexpectedFact
from redrive_interpreter.history.rows import Started
from redrive_interpreter.keys import DEADLINE
from redrive_interpreter.machine.fibers import Fiber, Frame
from redrive_interpreter.machine.scopes import Scope

if TYPE_CHECKING:
    from redrive_interpreter.machine.run_state import RunState


def _start(run: RunState, fact: Started) -> None:
    if run.started is not None:
        raise UnexpectedFact("the run has started already")
    workflow, codec = run.workflow, run.codec
    if fact.input is None:
        data = codec.dump_call(workflow.signature, fact.args, fact.kwargs, workflow.name)
        fact = attrs.evolve(fact, args=(), kwargs={}, input=data, workflow=fact.workflow or workflow.name)
    try:
        if run.recorded is None or run.recorded.beyond:  # in later turns today's code may take fewer arguments
            workflow.signature.check_spread(fact.input)
        args, kwargs = codec.load_call(workflow.signature, fact.input, workflow.name)
        assert workflow.fn is not None
        gen = workflow.fn(*args, **kwargs)
    except (CodecError, InvalidDefinition, TypeError) as error:
        raise UndecodableValue(f"the input of {workflow.name!r} does not fit its code: {error}") from error
    run.started, run.run_id = fact, fact.run
    run.took(fact)
    run.mailbox.carry(fact.unread)
    if fact.children:
        run.family.carry(fact.children)
    if run.started.deadline is not None:  # a copy that begins here has a deadline of its own
        run.set_timer(DEADLINE, run.started.deadline)
    scope = Scope("", workflow)
    run.root = Fiber(scope, ())
    run.root.push(Frame(gen, scope, True))
    run.schedule(run.root)


FACTS: Final[dict[type, Any]] = {Started: _start}
