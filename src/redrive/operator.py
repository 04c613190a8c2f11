"""What people do about executions that cannot help themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redrive.patience import patiently
from redrive.ports.store import NewMessage
from redrive_interpreter.keys import check_name

if TYPE_CHECKING:
    from redrive.service import AsyncDurableService


class Operator:
    """The operator's side of a service: ``service.operator``."""

    def __init__(self, service: AsyncDurableService) -> None:
        self._service = service

    async def retry_rollback(self, id: str) -> None:
        """Try again the undos that failed, and those that were left; never forward from there.

        Raises `ExecutionNotFound`, or `ExecutionFinished` unless the execution is ``compensation_failed``.
        """
        service = self._service
        service._check_open()
        await patiently(lambda: service.store.send(check_name(id, "execution id"), NewMessage(kind="retry_rollback")))
        service._look()
