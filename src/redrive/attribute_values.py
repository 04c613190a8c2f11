"""The values that an attribute of an execution has had, one after another: none is missed, for they are read from its history.

An execution that sets nothing is asked for its length only; its rows are read when there are more. Changes in other processes are told
by the store, turns of this process are not (`Store.wait_for_changes`), so the store is also asked now and then: soon after a change, less
often later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from redrive.codec.searchable import texts_of
from redrive.filters import stored_condition
from redrive.patience import patiently
from redrive.status import FINAL
from redrive.stored import Origin
from redrive_interpreter.commands.conditions import Attribute, Condition
from redrive_interpreter.commands.durations import optional_duration
from redrive_interpreter.errors import ExecutionFinished, InvalidDefinition
from redrive_interpreter.history.rows import AttributeSet

if TYPE_CHECKING:
    from redrive.ports.store import Snapshot
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.durations import Duration

T = TypeVar("T")

_SOON: Final = 0.02
_LATE: Final = 0.5
"""Seconds between two looks."""


def current(service: AsyncDurableService, snapshot: Snapshot, attribute: Attribute[T]) -> T | None:
    """The value that *attribute* has; None if it was never set. Raises `CodecError`, `DamagedData`."""
    data = Origin.of(snapshot.id, service.store).attributes(snapshot)
    if attribute.name not in data:
        return None
    return cast("T", service.codec.load(data[attribute.name], attribute.type, f"attribute {attribute.name}"))


async def values(service: AsyncDurableService, id: str, attribute: Attribute[T]) -> AsyncIterator[T]:
    """The value that *attribute* has, and each that it is set to, until the execution has ended. Raises `ExecutionNotFound`."""
    snapshot = await service._read(id)
    where = f"attribute {attribute.name}"
    if attribute.name in Origin.of(id, service.store).attributes(snapshot):
        yield cast("T", current(service, snapshot, attribute))
    number, length, pause = snapshot.number, snapshot.length, _SOON
    while True:
        if snapshot.status in FINAL and (snapshot.number, snapshot.length) == (number, length):
            return
        if (snapshot.number, snapshot.length) == (number, length):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LATE)
        else:
            pause = _SOON
            for run in range(number, snapshot.number + 1):
                rows = Origin.of(id, service.store).rows(await patiently(lambda run=run: service.store.history(id, run)))  # type: ignore[misc]
                for row in rows[length if run == number else 0 :]:
                    if isinstance(row, AttributeSet) and row.name == attribute.name:
                        yield service.codec.load(row.value, attribute.type, where)
                if run == number and run < snapshot.number:
                    length = 0
                elif run == snapshot.number:
                    length = len(rows)
            number = snapshot.number
        snapshot = await service._read(id)


async def wait_for(service: AsyncDurableService, id: str, attribute: Attribute[T], test: Any, timeout: Duration | None) -> T:
    """The first value of *attribute*, from the one that it has on, that *test* is, or fulfils.

    Raises `TimeoutError`, and `ExecutionFinished` if the execution ends without one.
    """
    fits = _test_of(attribute, test)
    limit = optional_duration(timeout, "timeout")
    last = "never set"
    try:
        async with asyncio.timeout(None if limit is None else limit.total_seconds()):
            async for value in values(service, id, attribute):
                if fits(value):
                    return value
                last = repr(value)
    except TimeoutError:
        raise TimeoutError(f"execution {id!r}: attribute {attribute.name!r} is not what is waited for; it is {last}") from None
    raise ExecutionFinished(id, f"it has ended, and attribute {attribute.name!r} was never what is waited for; it is {last}")


def _test_of(attribute: Attribute[T], test: Any) -> Callable[[T], bool]:
    if isinstance(test, Condition):
        condition: Condition[Any] = test  # pyright: ignore[reportUnknownVariableType]
        if condition.attribute != attribute:
            raise InvalidDefinition(f"wait_for_attribute({attribute!r}, …) takes a condition on this attribute, not {test!r}")
        stored = stored_condition(condition)
        return lambda value: stored.fits(texts_of(value))
    if callable(test) and not isinstance(test, type):
        return lambda value: bool(test(value))
    return lambda value: bool(value == test)
