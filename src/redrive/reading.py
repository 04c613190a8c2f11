"""The reading side of a service, for the handles of executions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from redrive.patience import patiently
from redrive_interpreter.errors import ExecutionNotFound

if TYPE_CHECKING:
    from redrive.info import ExecutionInfo
    from redrive.ports.store import Snapshot
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Row


class ReadsExecutions:
    """The side of a service that handles read by."""

    @property
    def _own(self) -> AsyncDurableService:
        return cast("AsyncDurableService", self)

    async def _info(self, id: str, workflow: Workflow[..., Any] | None) -> ExecutionInfo:
        service, snapshot = self._own, await self._read(id)
        aside = await patiently(lambda: service.store.set_aside(id, 100))
        return await service._inspection.info(snapshot, service.workflows.get(snapshot.workflow) or workflow, service._worker, aside)

    async def _history(self, id: str, run: int = -1) -> list[Row]:
        self._own._check_open()
        return await self._own._inspection.rows(id, run)

    async def _attributes(self, id: str) -> dict[str, Any]:
        return self._own._inspection.attributes(await self._read(id))

    async def _read(self, id: str) -> Snapshot:
        service = self._own
        service._check_open()
        snapshot: Snapshot | None = await patiently(lambda: service.store.read(id))
        if snapshot is None:
            raise ExecutionNotFound(id)
        return snapshot
