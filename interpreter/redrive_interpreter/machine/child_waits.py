"""Children: starting one, waiting for its end, cancelling it, and the fact that one ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.child_workflows import CancelChild, ChildRef, RunChild, StartChild, WaitChild
from redrive_interpreter.errors import ExecutionConflict, ExecutionNotFound
from redrive_interpreter.history.requests import CancelExecution, StartExecution
from redrive_interpreter.history.rows import ChildFinished
from redrive_interpreter.machine.answer_waits import AnswerWait, ask_host
from redrive_interpreter.machine.chance import uuid_of
from redrive_interpreter.machine.comparing import same_but_for
from redrive_interpreter.machine.fibers import WAITING
from redrive_interpreter.machine.timer_waits import seconds
from redrive_interpreter.machine.waits import EndedBy, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.command import Command
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.rows import Asked, TimerFired
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.comparing import Comparison
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState


class ChildWait(Wait):
    """A wait for a child's end. *owned*: the command started the child, so a cut cancels it and waits for its end."""

    __slots__ = ("child", "owned")
    ended_by: ClassVar[EndedBy] = "child"

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber, child: str, owned: bool) -> None:
        super().__init__(key, command, fiber)
        self.child: str = child
        self.owned: bool = owned

    def fired(self, run: RunState, fact: TimerFired) -> None:
        run.settle(self)
        run.family.timed_out(run, self)

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        run.clear_timer(self.key)
        if self.owned:
            run.family.last_attempt(self.child)
            run.request(CancelExecution(self.key, self.child, cancel[0]))
            return False
        run.settle(self)
        run.family.forget(self)
        return True


def _start(run: RunState, fiber: Fiber, command: Any, then: Callable[[Key, str], Reply]) -> Reply:
    key = fiber.scope.key_of(command)
    invocation = command.invocation
    workflow = invocation.workflow
    run_id = run.run_id
    id = command.child_id or str(uuid_of(run_id, f"child:{key}"))
    call = run.codec.dump_call(workflow.signature, invocation.args, invocation.kwargs, workflow.name)
    input = {"id": id, "call": call, "on_parent_close": command.on_parent_close, "seconds": seconds(command.wait_timeout)}
    run.ask(key, command.kind, workflow.name, input, command.undo_id, command)
    if run.family.has(id):
        return None, ExecutionConflict(id, "it was started by another command of this workflow")
    request = StartExecution(key, id, workflow.name, call, command, command.on_parent_close, run=run_id)
    run.family.add(request, run.now)
    run.request(request)
    wait = AnswerWait(key, command, fiber, id, request, lambda: then(key, id))
    wait.refusing = lambda: run.family.remove(id)
    return run.wait(fiber, wait)


def _start_child(run: RunState, fiber: Fiber, command: StartChild[Any]) -> Reply:
    run_id = run.run_id

    def started(key: Key, id: str) -> Reply:
        ref = ChildRef.of(id, command.invocation.workflow)
        if command.undo is not None:
            run.saga.completed(key, command.undo, run.codec.dump(ref, ChildRef, f"child {id}"), ChildRef, run_id)
        return ref, None

    return _start(run, fiber, command, started)


def _run_child(run: RunState, fiber: Fiber, command: RunChild[Any]) -> Reply:
    def started(key: Key, id: str) -> Reply:
        wait = ChildWait(key, command, fiber, id, owned=True)
        reply = run.family.wait(run, wait)
        if reply is WAITING:
            if fiber.cancel is not None and not fiber.thrown:
                wait.cut(run, fiber.cancel)  # a cancel that waited for the start is now passed to the child
            elif command.wait_timeout is not None:
                run.set_timer(key, run.now + command.wait_timeout)
        return reply

    return _start(run, fiber, command, started)


def _wait_child(run: RunState, fiber: Fiber, command: WaitChild[Any]) -> Reply:
    key = fiber.scope.key_of(command)
    run.ask(key, kinds.WAIT_CHILD, command.ref.id, {"seconds": seconds(command.timeout)}, None, command)
    if not run.family.has(command.ref.id):
        return None, ExecutionNotFound(command.ref.id, "it is no child of this execution")
    due = None if command.timeout is None else run.now + command.timeout
    reply = run.family.wait(run, ChildWait(key, command, fiber, command.ref.id, owned=False))
    if reply is WAITING and due is not None:
        run.set_timer(key, due)
    return reply


def _cancel_child(run: RunState, fiber: Fiber, command: CancelChild) -> Reply:
    key = fiber.scope.key_of(command)
    run.ask(key, kinds.CANCEL_CHILD, command.ref.id, {"reason": command.reason}, None, command)
    run.family.last_attempt(command.ref.id)
    return ask_host(run, fiber, command, command.ref.id, CancelExecution(key, command.ref.id, command.reason, answer=True))


def _ended(run: RunState, fact: ChildFinished) -> None:
    if run.family.knows(fact.id):
        run.took(fact)
        run.family.ended(run, fact)


def _same_start(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    signature = command.invocation.workflow.signature
    return same_but_for("call", row.input, input) and codec.same_call(signature, row.input["call"], input["call"], row.label)


HANDLERS: Final[dict[Any, Any]] = {StartChild: _start_child, RunChild: _run_child, WaitChild: _wait_child, CancelChild: _cancel_child}
FACTS: Final[dict[type, Any]] = {ChildFinished: _ended}
COMPARISONS: Final[dict[str, Comparison]] = {"as a child's start": _same_start}
