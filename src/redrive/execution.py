"""A handle on one execution: wait for its result, signal it, cancel it, look at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from redrive.entrances import checked_reason, checked_run, checked_workflow
from redrive.signals import NOT_GIVEN
from redrive_interpreter.errors import ExecutionConflict, ExecutionNotFound
from redrive_interpreter.history.rows import Started

if TYPE_CHECKING:
    from redrive.info import ExecutionInfo
    from redrive.inspecting import Inspection
    from redrive.operating.what_ifs import WhatIf
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.conditions import Attribute, Condition
    from redrive_interpreter.commands.durations import Duration
    from redrive_interpreter.commands.messages import Payload, Signal
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Row

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class AsyncExecution(Generic[R_co]):
    """One execution, by its id. *workflow* gives the types of its result and errors, where it is known.

    Unless it is *checked*, the first use of those types asks whether that is what the execution runs.
    """

    __slots__ = ("_checked", "_service", "id", "workflow")

    def __init__(self, service: AsyncDurableService, id: str, workflow: Workflow[..., R_co] | None, *, checked: bool = False) -> None:
        self._service = service
        self._checked = checked or checked_workflow("execution", workflow) is None
        self.id = id
        self.workflow = workflow

    async def result(self, timeout: float | timedelta | None = None) -> R_co:
        """Wait for its end, at most *timeout* seconds, and give back its result; follows ContinueAs.

        Raises `ExecutionFailed`, `ExecutionCancelled`, `CompensationFailed`, `ExecutionNotFound`, or `TimeoutError`, which
        says what the execution waits for; `ExecutionConflict` if it runs another workflow than the handle says.
        """
        from redrive.results import result_of

        return await result_of(self, timeout)  # type: ignore[no-any-return]

    @overload
    async def signal(self, signal: Signal[None], /, *, key: str | None = None) -> bool: ...
    @overload
    async def signal(self, signal: Signal[T], payload: Payload[T], /, *, key: str | None = None) -> bool: ...
    @overload
    async def signal(self, signal: str, payload: object, /, *, key: str | None = None) -> bool: ...
    async def signal(self, signal: Any, payload: Any = NOT_GIVEN, /, *, key: str | None = None) -> bool:
        """Send *signal*; False if one with this *key* was sent before. See `AsyncDurableService.signal`.

        Raises `ExecutionConflict` if it runs another workflow than the handle says.
        """
        await self._check()
        return await self._service._signal(self.id, signal, payload, key, self.workflow)

    async def cancel(self, reason: str = "") -> None:
        """Ask it to cancel; the first reason counts. Raises `ExecutionNotFound`, `ExecutionFinished`."""
        await self._service._cancel(self.id, checked_reason("cancel", reason))

    async def info(self) -> ExecutionInfo:
        """How it stands: status, what it waits for, what was undone, its result.

        Raises `ExecutionNotFound`, or `ExecutionConflict` if it runs another workflow than the handle says.
        """
        await self._check()
        return await self._service._info(self.id, self.workflow)

    async def inspect(self, row: int | None = None, *, run: int = -1) -> Inspection:
        """Where it stood in its source after *row* of a run (the last row by default), with the locals of all its generators.

        The history is replayed here, in a thread, by the workflow of this handle or the one that the service lists; no worker
        is needed, and nothing is changed. Where the code here does not follow the history, `Inspection.problem` says so.
        Raises `ExecutionNotFound`, and `ValueError` for a row that the run does not have.
        """
        service = self._service
        return await service._inspection.inspect(await service._read(self.id), row, run, self.workflow, service.workflows)

    async def what_if(self, answers: Mapping[Any, object], *, stubs: Mapping[Any, object] | None = None) -> WhatIf:
        """Replay its history with other *answers*, in memory: what would it ask, and how would it end? Nothing is stored.

        *answers* gives steps other results, or exceptions: by key, by ready step, or by `StepId`. What it asks anew is answered by
        *stubs*, by step or key: a value, an exception, or a function of the step's arguments. `WhatIf.save` makes a test of it. Raises
        `OperationRefused`, `ExecutionNotFound`, `Diverged` where the code here does not follow the history.
        """
        from redrive.operating.stored_acts import imagine

        return await imagine(self._service, self.id, answers, stubs or {})

    async def history(self, run: int = -1) -> list[Row]:
        """The rows of a run: 1 is the first, -1 the newest. Raises `ExecutionNotFound`."""
        return await self._service._history(self.id, checked_run(run))

    async def attributes(self) -> dict[str, Any]:
        """The attributes that it was started with or has set, by name. Raises `ExecutionNotFound`."""
        return self._service._inspection.attributes(await self._service._read(self.id))

    async def attribute(self, attribute: Attribute[T], /) -> T | None:
        """The value that *attribute* has; None if it was never set. Raises `ExecutionNotFound`, `CodecError`."""
        from redrive.attribute_values import current

        return current(self._service, await self._service._read(self.id), attribute)

    @overload
    async def wait_for_attribute(self, attribute: Attribute[T], test: Callable[[T], bool], /, *, timeout: Duration | None = None) -> T: ...
    @overload
    async def wait_for_attribute(self, attribute: Attribute[T], condition: Condition[T], /, *, timeout: Duration | None = None) -> T: ...
    @overload
    async def wait_for_attribute(self, attribute: Attribute[T], value: T, /, *, timeout: Duration | None = None) -> T: ...
    async def wait_for_attribute(self, attribute: Attribute[Any], test: Any, /, *, timeout: Duration | None = None) -> Any:
        """Wait until *attribute* is a value, or fulfils a condition or a function of it, at most *timeout* seconds; gives back the value.

        The value that it has counts, and each that it is set to from now on, also if that is replaced at once. Raises
        `TimeoutError`, `ExecutionFinished` if the execution ends without such a value, `ExecutionNotFound`.
        """
        from redrive.attribute_values import wait_for

        return await wait_for(self._service, self.id, attribute, test, timeout)

    def watch(self, attribute: Attribute[T], /) -> AsyncIterator[T]:
        """The value that *attribute* has, and each that it is set to, until the execution ends: ``async for value in ….watch(state)``.

        Raises `ExecutionNotFound`.
        """
        from redrive.attribute_values import values

        return values(self._service, self.id, attribute)

    async def _check(self) -> None:
        """Refuse to read another workflow's values as *workflow*'s; once, for it stays the same."""
        if self._checked or self.workflow is None:
            return
        snapshot, name = await self._service._read(self.id), self.workflow.name
        if snapshot.workflow != name and (snapshot.number == 1 or await self._first_workflow() not in (name, None)):
            raise ExecutionConflict(self.id, f"it runs workflow {snapshot.workflow!r}, not {name!r}")
        self._checked = True

    async def _first_workflow(self) -> str | None:
        """The workflow it was started as: it may have continued as another one. None: that run was purged."""
        try:
            started = (await self.history(1))[0]
        except ExecutionNotFound:
            return None
        return started.workflow if isinstance(started, Started) else ""

    def __repr__(self) -> str:
        return f"<execution {self.id!r}>"


class Execution(Generic[R_co]):
    """The handle of an execution: asks the store each time, and waits for its answer. It may be made for any id, at any time."""

    __slots__ = ("_call", "_inner")

    def __init__(self, inner: AsyncExecution[R_co], call: Any) -> None:
        self._inner = inner
        self._call = call

    @property
    def id(self) -> str:
        """The execution's id: the one it was started with, or the one that `start` made."""
        return self._inner.id

    @property
    def workflow(self) -> Workflow[..., R_co] | None:
        """The workflow that the handle was made for, if it was given; its types are those of `result`."""
        return self._inner.workflow

    def result(self, timeout: float | timedelta | None = None) -> R_co:
        """Wait for the end of the execution, at most *timeout* seconds, and give back its result; follows ContinueAs.

        Raises `ExecutionFailed`, `ExecutionCancelled`, `CompensationFailed`, `ExecutionNotFound`, or `TimeoutError`, which
        says what the execution waits for; `ExecutionConflict` if it runs another workflow than the handle says.
        """
        return self._call(self._inner.result(timeout))  # type: ignore[no-any-return]

    @overload
    def signal(self, signal: Signal[None], /, *, key: str | None = None) -> bool: ...
    @overload
    def signal(self, signal: Signal[T], payload: Payload[T], /, *, key: str | None = None) -> bool: ...
    @overload
    def signal(self, signal: str, payload: object, /, *, key: str | None = None) -> bool: ...
    def signal(self, signal: Any, payload: Any = NOT_GIVEN, /, *, key: str | None = None) -> bool:
        """Send *signal*; False if one with this *key* was sent before. See `DurableService.signal`.

        Raises `ExecutionConflict` if the execution runs another workflow than the handle says.
        """
        return self._call(self._inner.signal(signal, payload, key=key))  # type: ignore[no-any-return]

    def cancel(self, reason: str = "") -> None:
        """Ask the execution to cancel; the first reason counts. Raises `ExecutionNotFound`, `ExecutionFinished`."""
        self._call(self._inner.cancel(reason))

    def info(self) -> ExecutionInfo:
        """How the execution stands: its status, what it waits for, what was undone, its result.

        Raises `ExecutionNotFound`, or `ExecutionConflict` if it runs another workflow than the handle says.
        """
        return self._call(self._inner.info())  # type: ignore[no-any-return]

    def inspect(self, row: int | None = None, *, run: int = -1) -> Inspection:
        """Where the execution stood in its source after *row* of a run (the last row by default), with the locals of all its generators.

        The history is replayed here, in a thread, by the workflow of this handle or the one that the service lists; no worker
        is needed, and nothing is changed. Where the code here does not follow the history, `Inspection.problem` says so.
        Raises `ExecutionNotFound`, and `ValueError` for a row that the run does not have.
        """
        return self._call(self._inner.inspect(row, run=run))  # type: ignore[no-any-return]

    def what_if(self, answers: Mapping[Any, object], *, stubs: Mapping[Any, object] | None = None) -> WhatIf:
        """Replay its history with other *answers*, in memory: what would it ask, and how would it end? Nothing is stored.

        *answers* gives steps other results, or exceptions: by key, by ready step, or by `StepId`. What it asks anew is answered by
        *stubs*, by step or key: a value, an exception, or a function of the step's arguments. `WhatIf.save` makes a test of it. Raises
        `OperationRefused`, `ExecutionNotFound`, `Diverged` where the code here does not follow the history.
        """
        return self._call(self._inner.what_if(answers, stubs=stubs))  # type: ignore[no-any-return]

    def history(self, run: int = -1) -> list[Row]:
        """The rows of a run: 1 is the first, -1 the newest. Raises `ExecutionNotFound`."""
        return self._call(self._inner.history(run))  # type: ignore[no-any-return]

    def attributes(self) -> dict[str, Any]:
        """The attributes that the execution was started with or has set, by name. Raises `ExecutionNotFound`."""
        return self._call(self._inner.attributes())  # type: ignore[no-any-return]

    def attribute(self, attribute: Attribute[T], /) -> T | None:
        """The value that *attribute* has; None if it was never set. Raises `ExecutionNotFound`, `CodecError`."""
        return self._call(self._inner.attribute(attribute))  # type: ignore[no-any-return]

    @overload
    def wait_for_attribute(self, attribute: Attribute[T], test: Callable[[T], bool], /, *, timeout: Duration | None = None) -> T: ...
    @overload
    def wait_for_attribute(self, attribute: Attribute[T], condition: Condition[T], /, *, timeout: Duration | None = None) -> T: ...
    @overload
    def wait_for_attribute(self, attribute: Attribute[T], value: T, /, *, timeout: Duration | None = None) -> T: ...
    def wait_for_attribute(self, attribute: Attribute[Any], test: Any, /, *, timeout: Duration | None = None) -> Any:
        """Wait until *attribute* is a value, or fulfils a condition or a function of it, at most *timeout* seconds; gives back the value.

        The value that it has counts, and each that it is set to from now on, also if that is replaced at once. Raises
        `TimeoutError`, `ExecutionFinished` if the execution ends without such a value, `ExecutionNotFound`.
        """
        return self._call(self._inner.wait_for_attribute(attribute, test, timeout=timeout))

    def watch(self, attribute: Attribute[T], /) -> Iterator[T]:
        """The value that *attribute* has, and each that it is set to, until the execution ends: ``for value in execution.watch(state)``.

        Raises `ExecutionNotFound`.
        """
        found = self._inner.watch(attribute)
        nothing = object()

        async def following() -> Any:
            return await anext(found, nothing)

        while (value := self._call(following())) is not nothing:
            yield value

    def __repr__(self) -> str:
        return repr(self._inner)
