"""Signals: waiting for one, sending one, and the fact that one arrived. The mailbox keeps signals that no wait has taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.messages import texts_of
from redrive_interpreter.commands.messaging import NOTHING, SendSignal, WaitSignal
from redrive_interpreter.history.requests import DeliverSignal
from redrive_interpreter.history.rows import Signalled
from redrive_interpreter.machine.answer_waits import ask_host
from redrive_interpreter.machine.comparing import same_but_for, same_value
from redrive_interpreter.machine.timer_waits import due_at, time_input
from redrive_interpreter.machine.waits import EndedBy, Wait

if TYPE_CHECKING:
    from datetime import datetime

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.rows import Asked, TimerFired
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.comparing import Comparison
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState


class SignalWait(Wait):
    """A wait for a signal called *name*, stored up to *due*. *texts* are the stored names that it may come under: its own, and
    the bare name."""

    __slots__ = ("due", "name", "texts")
    ended_by: ClassVar[EndedBy] = "signal"
    command: WaitSignal[Any]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, key: Key, command: WaitSignal[Any], fiber: Fiber, name: str, due: datetime | None) -> None:
        super().__init__(key, command, fiber)
        self.name: str = name
        self.texts: tuple[str, ...] = texts_of(command.signal)
        self.due: datetime | None = due

    def fired(self, run: RunState, fact: TimerFired) -> None:
        run.settle(self)
        run.mailbox.timed_out(run, self)

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        run.settle(self)
        run.mailbox.forget(self)
        run.clear_timer(self.key)
        return True


def _wait_signal(run: RunState, fiber: Fiber, command: WaitSignal[Any]) -> Reply:
    key = fiber.scope.key_of(command)
    name = command.signal.name
    input = time_input(command.until, command.timeout)
    if command.default is not NOTHING:
        input["default"] = True  # that there is one; the value may be of a type that cannot be stored
    if command.signal.path is not None:
        input["signal"] = list(command.signal.path)
    run.ask(key, kinds.WAIT_SIGNAL, name, input, None, command)
    return run.mailbox.take(run, SignalWait(key, command, fiber, name, due_at(run, command.until, command.timeout)))


def _send_signal(run: RunState, fiber: Fiber, command: SendSignal) -> Reply:
    key = fiber.scope.key_of(command)
    signal = command.signal
    payload = run.codec.dump(command.payload, signal.type, f"signal {signal.name}")
    input: dict[str, Any] = {"to": command.target, "payload": payload}
    if signal.path is not None:
        input["signal"] = list(signal.path)
    run.ask(key, kinds.SEND_SIGNAL, signal.name, input, None, command)
    return ask_host(run, fiber, command, command.target, DeliverSignal(key, command.target, signal.name, payload, signal.path))


def _arrived(run: RunState, fact: Signalled) -> None:
    if run.finished is None:
        run.took(fact)
        run.mailbox.arrived(run, fact)


def _same_signal(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    same = bool(row.input["to"] == input["to"] and row.input.get("signal", input.get("signal")) == input.get("signal"))
    return same and same_value(codec, command.signal.type, row.input["payload"], input["payload"], row.label)


def _same_wait(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    """Whether the inputs are equal but for the parts of the signal's name, which older releases did not store."""
    return "signal" not in row.input and same_but_for("signal", row.input, input)


HANDLERS: Final[dict[Any, Any]] = {WaitSignal: _wait_signal, SendSignal: _send_signal}
FACTS: Final[dict[type, Any]] = {Signalled: _arrived}
COMPARISONS: Final[dict[str, Comparison]] = {"as a signal": _same_signal, "as a wait for one": _same_wait}
