"""The answer to `Info`: a workflow's knowledge of its own run."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import attrs

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Parent


@attrs.frozen(kw_only=True)
class RunInfo:
    """The answer to `Info`.

    *run_number* counts the runs of the execution from 1, *rows* is the length of the run's history so far.
    *started_at* is when the execution's first run began, *scheduled_for* the moment a schedule started it for,
    *deadline* when it will be cancelled; all aware, in UTC.
    """

    id: str
    run: UUID
    run_number: int = 1
    workflow: str
    parent: Parent | None = None
    started_at: datetime
    scheduled_for: datetime | None = None
    deadline: datetime | None = None
    rows: int = 0
