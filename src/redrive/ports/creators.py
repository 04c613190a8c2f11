"""The creators of executions that no client started: commands and schedules."""

from __future__ import annotations

from typing import Final

import attrs

SCHEDULE: Final = "\0schedule"
"""Stands for schedules among those who start executions: no id holds a NUL."""


@attrs.frozen(kw_only=True)
class Creator:
    """The command that started a child, or the schedule that started an execution: makes its start repeatable, and a stranger's
    id a conflict. *id* is `SCHEDULE` where it is a schedule, whose id is *run*."""

    id: str
    run: str
    key: str

    @classmethod
    def of_schedule(cls, schedule: str) -> Creator:
        return cls(id=SCHEDULE, run=schedule, key="")

    @property
    def schedule(self) -> str | None:
        """The id of the schedule, if it is one."""
        return self.run if self.id == SCHEDULE else None
