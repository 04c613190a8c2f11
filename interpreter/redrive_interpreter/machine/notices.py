"""Commands that tell the outside something and wait for no answer: Emit, Note, SetAttribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.messaging import Emit
from redrive_interpreter.commands.notes import Note, SetAttribute
from redrive_interpreter.history.requests import Publish
from redrive_interpreter.history.rows import AttributeSet, Noted
from redrive_interpreter.machine.comparing import same_value

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.history.rows import Asked
    from redrive_interpreter.machine.comparing import Comparison
    from redrive_interpreter.machine.fibers import Fiber, Reply
    from redrive_interpreter.machine.run_state import RunState


def _emit(run: RunState, fiber: Fiber, command: Emit) -> Reply:
    key = fiber.scope.key_of(command)
    event = command.event
    payload = run.codec.dump(command.payload, event.type, f"event {event.name}")
    run.ask(key, kinds.EMIT, event.name, payload, None, command)
    if run.fresh:
        run.request(Publish(key, event.name, payload, event.type, event.path))
    return None, None


def _note(run: RunState, fiber: Fiber, command: Note) -> Reply:
    data = {name: run.codec.dump(value, Any, command.kind) for name, value in command.data.items()}
    run.add_row(Noted(text=command.text, data=data, key=fiber.scope.key_of(command)))
    return None, None


def _set_attribute(run: RunState, fiber: Fiber, command: SetAttribute) -> Reply:
    attribute = command.attribute
    value = run.codec.dump(command.value, attribute.type, f"attribute {attribute.name}")
    run.add_row(AttributeSet(name=attribute.name, value=value, given=(command.value,) if attribute.search else None))
    return None, None


def _same_event(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    return same_value(codec, command.event.type, row.input, input, row.label)


HANDLERS: Final[dict[Any, Any]] = {Emit: _emit, Note: _note, SetAttribute: _set_attribute}
COMPARISONS: Final[dict[str, Comparison]] = {"as an event": _same_event}
