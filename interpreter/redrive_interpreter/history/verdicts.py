"""The verdict on a run after a turn: suspended or finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, final

import attrs

from redrive_interpreter.outcomes import Err, Ok, Status

if TYPE_CHECKING:
    from redrive_interpreter.commands.command import Command
    from redrive_interpreter.keys import Key


@final
@attrs.frozen
class Suspended:
    """The run waits: *pending* holds the commands that have no answer yet, by key, oldest first."""

    pending: Mapping[Key, Command[Any]]


def _status_of(self: Finished) -> Status:
    return "completed" if isinstance(self.outcome, Ok) else "failed"


@final
@attrs.frozen
class Finished:
    """The run is over. *bug*: its own code was at fault, so that fixed code may go on."""

    outcome: Ok[Any] | Err
    status: Status = attrs.field(default=attrs.Factory(_status_of, takes_self=True), kw_only=True)
    bug: bool = attrs.field(default=False, kw_only=True)


Verdict: TypeAlias = Suspended | Finished
