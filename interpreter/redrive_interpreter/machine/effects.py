"""What each command does when a fiber yields it: one handler a command, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from inspect import GEN_CREATED, getgeneratorstate
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redrive_interpreter import kinds
from redrive_interpreter.commands import basics, child_workflows, parallel, switches
from redrive_interpreter.commands.basics import NOTHING
from redrive_interpreter.commands.workflows import Invocation
from redrive_interpreter.errors import ExecutionConflict, ExecutionNotFound, Misuse, NoBranch
from redrive_interpreter.history.requests import CancelExecution, Perform, Publish, SendTo, StartExecution
from redrive_interpreter.history.rows import AttributeSet, Noted
from redrive_interpreter.keys import Key, escape
from redrive_interpreter.machine.branches import Group
from redrive_interpreter.machine.chance import random_of, uuid_of
from redrive_interpreter.machine.fibers import WAITING, Fiber, Frame, Reply, SettleFrame, TaskState
from redrive_interpreter.machine.places import close_frames
from redrive_interpreter.machine.readiness import passed_over
from redrive_interpreter.machine.saga import Undoing, plan
from redrive_interpreter.machine.scopes import Scope
from redrive_interpreter.machine.start_frame import StartFrame
from redrive_interpreter.machine.waits import AnswerWait, ChildWait, GroupWait, JoinWait, SignalWait, StepWait, TimerWait
from redrive_interpreter.raised import shown

if TYPE_CHECKING:
    from redrive_interpreter.machine.machine import Machine

# Tasks come after the branches of a combinator that the same fiber is in, oldest first.
_AFTER_BRANCHES: Final = 1 << 32
Handler: TypeAlias = "Callable[[Machine[Any], Fiber, Any], Reply]"


# ── steps, time, messages ───────────────────────────────────────────────────────────────────────
def _step(m: Machine[Any], fiber: Fiber, command: basics.Step[Any]) -> Reply:
    spec = command.spec
    step_id = command.step_id
    key = fiber.scope.key(command.command_id or step_id)
    input = m.codec.dump_call(spec.signature, command.args, command.kwargs, step_id)
    run = m.run  # before the row is found: a fork may begin right behind it
    m.ask(key, kinds.STEP, step_id, input, spec.undo_id, command)
    wait = StepWait(key, command, fiber, input, m.now, run)
    if m.recorded is None:
        m.request(Perform(key, command, input, 1, None, m.now, run=run))
    fiber.wait = wait
    m.pending[key] = wait
    return WAITING


def _due(m: Machine[Any], command: Any) -> datetime | None:
    """When the command's ``until`` or ``timeout``/``duration`` is due; None: never."""
    if command.until is not None:
        until: datetime = command.until
        return until
    after = command.duration if isinstance(command, basics.Sleep) else command.timeout
    return None if after is None else m.now + after


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _seconds(span: Any) -> float | None:
    return None if span is None else span.total_seconds()


def _sleep(m: Machine[Any], fiber: Fiber, command: basics.Sleep) -> Reply:
    key = _key(fiber, command)
    m.ask(key, kinds.SLEEP, "", {"seconds": _seconds(command.duration), "until": _stamp(command.until)}, None, command)
    due = _due(m, command)
    assert due is not None
    if due <= m.now:
        return None, None
    wait = TimerWait(key, command, fiber)
    m.set_timer(key, due)
    return m.wait(fiber, wait)


def _wait_signal(m: Machine[Any], fiber: Fiber, command: basics.WaitSignal[Any]) -> Reply:
    key = _key(fiber, command)
    name = command.signal.name
    input: dict[str, Any] = {"seconds": _seconds(command.timeout), "until": _stamp(command.until)}
    if command.default is not NOTHING:
        input["default"] = True  # whether there is one; the value itself may be of a type that nothing can store
    if command.signal.path is not None:
        input["signal"] = list(command.signal.path)
    m.ask(key, kinds.WAIT_SIGNAL, name, input, None, command)
    return m.mailbox.take(m, SignalWait(key, command, fiber, name, _due(m, command)))


def _emit(m: Machine[Any], fiber: Fiber, command: basics.Emit) -> Reply:
    key = _key(fiber, command)
    event = command.event
    payload = m.codec.dump(command.payload, event.type, f"event {event.name}")
    m.ask(key, kinds.EMIT, event.name, payload, None, command)
    if m.fresh:
        m.request(Publish(key, event.name, payload, event.type, event.path))
    return None, None


def _send_signal(m: Machine[Any], fiber: Fiber, command: basics.SendSignal) -> Reply:
    key = _key(fiber, command)
    signal = command.signal
    payload = m.codec.dump(command.payload, signal.type, f"signal {signal.name}")
    input: dict[str, Any] = {"to": command.target, "payload": payload}
    if signal.path is not None:
        input["signal"] = list(signal.path)
    m.ask(key, kinds.SEND_SIGNAL, signal.name, input, None, command)
    request = SendTo(key, command.target, signal.name, payload, signal.path)
    return _ask_host(m, fiber, command, command.target, request, lambda: (None, None))


def _ask_host(m: Machine[Any], fiber: Fiber, command: Any, target: str, request: Any, then: Callable[[], Reply]) -> Reply:
    m.request(request)
    return m.wait(fiber, AnswerWait(request.key, command, fiber, target, request, then))


# ── sagas ───────────────────────────────────────────────────────────────────────────────────────
def _rollback(m: Machine[Any], fiber: Fiber, command: basics.Rollback) -> Reply:
    key = _key(fiber, command)
    entries = m.saga.within(fiber.scope.prefix)
    entries = plan(m, key, kinds.ROLLBACK, {"reason": command.reason, "on_error": command.on_error}, entries)
    undoing = Undoing(key, fiber, entries, command.on_error == "continue", lambda machine, keys: machine.wake(fiber, keys))
    return WAITING if undoing.next(m) else (tuple(undoing.done), None)


def _commit(m: Machine[Any], fiber: Fiber, command: basics.Commit) -> Reply:
    m.ask(_key(fiber, command), kinds.COMMIT, "", {"reason": command.reason}, None, command)
    m.saga.forget(fiber.scope.prefix)
    return None, None


# ── branches ────────────────────────────────────────────────────────────────────────────────────
def _switch(m: Machine[Any], fiber: Fiber, command: switches.Switch[Any, Any]) -> Reply:
    key = fiber.scope.key(command.command_id or command.id)
    recorded = m.recorded.peek(key) if m.recorded is not None else None
    if recorded is not None:
        label: str | None = recorded.label or None
    else:
        try:
            chosen = command.select()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a predicate is the user's
            return None, error
        label = None if chosen is None else chosen[0]
    m.ask(key, kinds.SWITCH, label or "", None, None, command)
    if label is None:
        return None, NoBranch(command.id, shown(command.value))
    branch = command.branch_of(label)
    if branch is None:
        assert m.recorded is not None  # else the label is one of the code's own
        raise m.recorded.does_not_fit(m, key, f"the history took the case {label!r}, which the code no longer has")
    frame = StartFrame(Scope(f"{key}/{escape(label)}/"), branch)
    fiber.push(frame)
    return None, None


def _group(m: Machine[Any], fiber: Fiber, command: Any, group: Group, input: dict[str, Any]) -> Reply:
    row = m.ask(group.key, command.kind, "", input, None, command)
    group.limit = row.input.get("limit")  # N3: a Map goes on as wide as it began
    if not group.branches or group.enough == 0:
        return group.nothing_to_do()
    fiber.wait = GroupWait(group.key, command, fiber, group)
    m.schedule(group)
    return WAITING


def _all(m: Machine[Any], fiber: Fiber, command: parallel.All[Any]) -> Reply:
    names = command.names
    combine: Callable[[list[Any]], Any] = tuple if command.shape == "tuple" else list
    if names is not None:
        combine = lambda results: dict(zip(names, results, strict=True))  # noqa: E731
    group = Group(
        _key(fiber, command), fiber, command.branches, names, race=False, limit=command.limit, enough=command.enough, combine=combine
    )
    return _group(m, fiber, command, group, _width(command))


def _race(m: Machine[Any], fiber: Fiber, command: parallel.Race[Any]) -> Reply:
    if not command.branches:
        raise Misuse("a Race needs at least one branch")
    group = Group(_key(fiber, command), fiber, command.branches, command.names, race=True, limit=None, enough=None, combine=list)
    reply = _group(m, fiber, command, group, _width(command))
    group.passed_over = passed_over(m, group.key, command.branches)  # before any branch starts
    return reply


def _map(m: Machine[Any], fiber: Fiber, command: parallel.Map[Any]) -> Reply:
    branches = _Applied(command.fn, command.items)
    group = Group(_key(fiber, command), fiber, branches, None, race=False, limit=command.limit, enough=command.enough, combine=list)
    return _group(m, fiber, command, group, {"count": len(branches), "limit": command.limit, "enough": command.enough})


class _Applied(list[Any]):
    """The branches of a Map, each built when it starts: ten thousand items are not ten thousand commands at once."""

    def __init__(self, fn: Callable[[Any], Any], items: tuple[Any, ...]) -> None:
        super().__init__(items)
        self._fn = fn

    def __getitem__(self, index: Any) -> Any:
        return self._fn(super().__getitem__(index))


def _width(command: Any) -> dict[str, Any]:
    names = command.names
    return {
        "count": len(command.branches),
        "names": None if names is None else list(names),
        "limit": getattr(command, "limit", None),
        "enough": getattr(command, "enough", None),
    }


def _settle(m: Machine[Any], fiber: Fiber, command: parallel.Settle[Any]) -> Reply:
    fiber.push(SettleFrame(None, fiber.scope, False))
    return m.perform(fiber, command.branch)


def _spawn(m: Machine[Any], fiber: Fiber, command: parallel.Spawn[Any]) -> Reply:
    key = _key(fiber, command)
    m.ask(key, kinds.SPAWN, "", None, None, command)
    scope = fiber.scope
    if m.tasks is None:
        m.tasks = {}
    child = Fiber(Scope(f"{key}/"), (*fiber.order, _AFTER_BRANCHES + len(m.tasks)))
    task = TaskState(key, child)
    child.task = task
    m.tasks[key] = task
    if scope.tasks is None:
        scope.tasks = []
    scope.tasks.append(task)
    child.push(StartFrame(child.scope, command.branch))
    fiber.value = parallel.Task(key)
    m.schedule(fiber)
    m.schedule(child)
    return WAITING


def _join(m: Machine[Any], fiber: Fiber, command: parallel.Join[Any]) -> Reply:
    task = None if m.tasks is None else m.tasks.get(command.task.key)
    if task is None:
        raise Misuse(f"Join of {command.task.key!r}, which this run never spawned")
    key = _key(fiber, command)
    m.ask(key, kinds.JOIN, task.key, None, None, command)
    task.joined = True
    if task.outcome is not None:
        value, error = task.outcome
        return value, error
    task.waiters.append(fiber)
    fiber.wait = JoinWait(key, command, fiber, task)
    return WAITING


def _inline(m: Machine[Any], fiber: Fiber, invocation: Invocation[Any]) -> Reply:
    workflow = invocation.workflow
    if workflow.fn is None:
        raise Misuse(f"workflow {workflow.name!r} is known by name only; start it as a child, it cannot run inline")
    scope = Scope(fiber.scope.key(workflow.name) + "/", workflow)
    fiber.push(Frame(workflow.fn(*invocation.args, **invocation.kwargs), scope, True))
    return None, None


def _generator(m: Machine[Any], fiber: Fiber, generator: Any) -> Reply:
    if getgeneratorstate(generator) != GEN_CREATED:
        raise Misuse(f"the generator {generator.__qualname__} has been begun already: call its function again for another run of it")
    fiber.push(Frame(generator, fiber.scope, False))
    return None, None


# ── children ────────────────────────────────────────────────────────────────────────────────────
def _start(m: Machine[Any], fiber: Fiber, command: Any, then: Callable[[Key, str], Reply]) -> Reply:
    key = _key(fiber, command)
    invocation = command.invocation
    workflow = invocation.workflow
    run = m.run
    id = command.child_id or str(uuid_of(run, f"child:{key}"))
    call = m.codec.dump_call(workflow.signature, invocation.args, invocation.kwargs, workflow.name)
    input = {"id": id, "call": call, "on_parent_close": command.on_parent_close, "seconds": _seconds(command.wait_timeout)}
    m.ask(key, command.kind, workflow.name, input, command.undo_id, command)
    if m.family.has(id):
        return None, ExecutionConflict(id, "it was started by another command of this workflow")
    request = StartExecution(key, id, workflow.name, call, command, command.on_parent_close, run=run)
    m.family.add(request, m.now)
    m.request(request)
    wait = AnswerWait(key, command, fiber, id, request, lambda: then(key, id))
    wait.refusing = lambda: m.family.remove(id)
    return m.wait(fiber, wait)


def _start_child(m: Machine[Any], fiber: Fiber, command: child_workflows.StartChild[Any]) -> Reply:
    run = m.run

    def started(key: Key, id: str) -> Reply:
        ref = child_workflows.ChildRef.of(id, command.invocation.workflow)
        if command.undo is not None:
            m.saga.completed(key, command.undo, m.codec.dump(ref, child_workflows.ChildRef, f"child {id}"), child_workflows.ChildRef, run)
        return ref, None

    return _start(m, fiber, command, started)


def _run_child(m: Machine[Any], fiber: Fiber, command: child_workflows.RunChild[Any]) -> Reply:
    def started(key: Key, id: str) -> Reply:
        wait = ChildWait(key, command, fiber, id, owned=True)
        reply = m.family.wait(m, wait)
        if reply is WAITING:
            if fiber.cancel is not None and not fiber.thrown:
                wait.cut(m, fiber.cancel)  # a cancel that waited for the start now goes on to the child
            elif command.wait_timeout is not None:
                m.set_timer(key, m.now + command.wait_timeout)
        return reply

    return _start(m, fiber, command, started)


def _wait_child(m: Machine[Any], fiber: Fiber, command: child_workflows.WaitChild[Any]) -> Reply:
    key = _key(fiber, command)
    m.ask(key, kinds.WAIT_CHILD, command.ref.id, {"seconds": _seconds(command.timeout)}, None, command)
    if not m.family.has(command.ref.id):
        return None, ExecutionNotFound(command.ref.id, "it is no child of this execution")
    due = None if command.timeout is None else m.now + command.timeout
    reply = m.family.wait(m, ChildWait(key, command, fiber, command.ref.id, owned=False))
    if reply is WAITING and due is not None:
        m.set_timer(key, due)
    return reply


def _cancel_child(m: Machine[Any], fiber: Fiber, command: child_workflows.CancelChild) -> Reply:
    key = _key(fiber, command)
    m.ask(key, kinds.CANCEL_CHILD, command.ref.id, {"reason": command.reason}, None, command)
    m.family.last_attempt(command.ref.id)
    request = CancelExecution(key, command.ref.id, command.reason, answer=True)
    return _ask_host(m, fiber, command, command.ref.id, request, lambda: (None, None))


def _continue_as(m: Machine[Any], fiber: Fiber, command: child_workflows.ContinueAs[Any]) -> Reply:
    if fiber is not m.root or any(frame.opens for frame in fiber.frames[1:]):
        raise Misuse("ContinueAs works only in the workflow that the execution runs, not in a branch or one run inline")
    invocation = command.invocation
    call = m.codec.dump_call(invocation.workflow.signature, invocation.args, invocation.kwargs, invocation.workflow.name)
    m.ask(_key(fiber, command), kinds.CONTINUE_AS, invocation.workflow.name, call, None, command)
    m.continues = invocation
    scope = fiber.frames[0].scope
    close_frames(m, fiber)
    fiber.frames.append(StartFrame.over(scope))
    return None, None


# ── the deterministic, and the record ───────────────────────────────────────────────────────────
def _note(m: Machine[Any], fiber: Fiber, command: basics.Note) -> Reply:
    data = {name: m.codec.dump(value, Any, command.kind) for name, value in command.data.items()}
    m.add_row(Noted(text=command.text, data=data, key=_key(fiber, command)))
    return None, None


def _set_attribute(m: Machine[Any], fiber: Fiber, command: basics.SetAttribute) -> Reply:
    attribute = command.attribute
    m.add_row(AttributeSet(name=attribute.name, value=m.codec.dump(command.value, attribute.type, f"attribute {attribute.name}")))
    return None, None


def _patch(m: Machine[Any], fiber: Fiber, command: basics.Patch) -> Reply:
    if m.patches is None:
        m.patches = {}
    answer = m.patches.get(command.patch_id)
    if answer is None:
        key = Key(f"__patch:{command.patch_id}")
        answer = m.recorded is None or m.recorded.patched(key)
        if answer:
            m.ask(key, kinds.PATCH, command.patch_id, None, None, command)
        m.patches[command.patch_id] = answer
    return answer, None


def _info(m: Machine[Any], fiber: Fiber, command: basics.Info) -> Reply:
    return m.info, None


def _now(m: Machine[Any], fiber: Fiber, command: basics.Now) -> Reply:
    return m.now, None


def _new_id(m: Machine[Any], fiber: Fiber, command: basics.NewId) -> Reply:
    return uuid_of(m.run, fiber.scope.key(f"__new_id:{command.name}")), None


def _random(m: Machine[Any], fiber: Fiber, command: basics.Random) -> Reply:
    return random_of(m.run, fiber.scope.key("__random")), None


def _key(fiber: Fiber, command: Any) -> Key:
    return fiber.scope.key(command.command_id or command.default_id)


HANDLERS: Final[Mapping[type, Handler]] = {
    basics.Step: _step,
    basics.Sleep: _sleep,
    basics.WaitSignal: _wait_signal,
    basics.Emit: _emit,
    basics.SendSignal: _send_signal,
    basics.Rollback: _rollback,
    basics.Commit: _commit,
    basics.Note: _note,
    switches.Switch: _switch,
    basics.Patch: _patch,
    basics.Info: _info,
    basics.Now: _now,
    basics.NewId: _new_id,
    basics.Random: _random,
    basics.SetAttribute: _set_attribute,
    parallel.All: _all,
    parallel.Race: _race,
    parallel.Map: _map,
    parallel.Settle: _settle,
    parallel.Spawn: _spawn,
    parallel.Join: _join,
    child_workflows.StartChild: _start_child,
    child_workflows.RunChild: _run_child,
    child_workflows.WaitChild: _wait_child,
    child_workflows.CancelChild: _cancel_child,
    child_workflows.ContinueAs: _continue_as,
    Invocation: _inline,
    GeneratorType: _generator,
}


def handler_of(thing: Any) -> Handler:
    """The handler of something whose very type is not in the table. Raises `Misuse` if it is no command."""
    for cls, handler in HANDLERS.items():
        if isinstance(thing, cls):
            return handler
    raise Misuse(f"the workflow yielded {shown(thing)}, which is not a command{_hint(thing)}")


def _hint(thing: Any) -> str:
    if hasattr(thing, "__await__"):
        return "; workflows do not await: yield a Step instead"
    if isinstance(thing, (list, tuple)):
        return "; to run several at once, yield All(…)"
    if callable(thing):
        return "; call it to build the command"
    return ""
