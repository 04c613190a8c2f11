"""An execution as the outside sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from datetime import datetime

    from redrive.ports.parks import Park
    from redrive.ports.store import Creator, Json
    from redrive.status import ExecutionStatus


@attrs.frozen(kw_only=True)
class Snapshot:
    """An execution as the outside sees it. *outcome* as in `Turn`, *parks* by build;
    *cancel* is the data of a cancel that lies in the inbox. *waits* is as in `Turn`; *error_type* is the class of the error that it
    ended with."""

    id: str
    workflow: str
    status: ExecutionStatus
    run: str
    number: int
    length: int
    input: Json
    created_at: datetime
    updated_at: datetime
    wake_at: datetime | None
    deadline: datetime | None
    owner: str | None
    recoveries: int
    attributes: Json
    outcome: Json | None
    unread: int
    parks: tuple[Park, ...] = ()
    creator: Creator | None
    cancel: Json | None = None
    waits: str = ""
    ended_at: datetime | None = None
    error_type: str | None = None
    queue: str | None = None
    partition: str = ""

    @property
    def parked(self) -> dict[str, str]:
        """Build → reason."""
        return {park.build: park.reason for park in self.parks}
