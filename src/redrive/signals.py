"""Signals on their way to an inbox: checked against what their receiver declares, encoded, and sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from redrive.codec import to_json
from redrive.errors import UndeclaredSignal
from redrive.ports.store import NewMessage
from redrive_interpreter.commands.messages import declared_as, sent_as
from redrive_interpreter.errors import InvalidId

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive_interpreter.commands.messages import Source
    from redrive_interpreter.commands.workflows import Workflow

NOT_GIVEN: Final[Any] = object()
"""The payload of a signal that has none."""


def message_of(signal: Any, payload: Any, key: str | None, workflow: Workflow[..., Any] | None, codec: JsonCodec) -> NewMessage:
    """The message that carries *signal*. Raises `CodecError`, `UndeclaredSignal`, and `TypeError` where a payload is missing."""
    source = _declared(sent_as(signal), isinstance(signal, str), workflow)
    if payload is NOT_GIVEN:
        if source.type is not None and source.type is not Any:
            raise TypeError(f"signal {source.name!r} needs a payload of its type")
        payload = None
    dumped = codec.dump(payload, source.type, f"signal {source.name}", "payload")
    for declared in (workflow.signals or ()) if workflow is not None else ():
        if declared.base == source.base and declared.type is not source.type:
            # Another signal of that name: what its receiver cannot read would park the execution.
            codec.load(dumped, declared.type, f"signal {source.name}", "payload")
    data = to_json(dumped)
    # What is sent again after a broken connection must land once, keyed by its sender or not (W5).
    dedup = f"once:{uuid4().hex}" if key is None else dedup_of(source.stored, key)
    return NewMessage(kind="signal", name=source.stored, data=data, dedup=dedup)


def dedup_of(name: str, key: str) -> str:
    """The dedup key of a signal that is stored as *name*, with its sender's *key*: once for an execution's life, and no other's (N7)."""
    if not isinstance(key, str):
        raise InvalidId("signal key", key, f"is of type {type(key).__name__}, not a str")
    return f"key:{name.replace('%', '%25').replace(':', '%3A')}:{key}"


def _declared(source: Source[Any], by_name: bool, workflow: Workflow[..., Any] | None) -> Source[Any]:
    """The signal as its receiver declares it, which may list others only."""
    if workflow is None or workflow.signals is None:
        return source
    if by_name:
        found = declared_as(source.name, workflow.signals)
    else:
        found = source if any(source.base == declared.base for declared in workflow.signals) else None
    if found is not None:
        return found
    raise UndeclaredSignal(workflow.name, source.name, tuple(signal.name for signal in workflow.signals))
