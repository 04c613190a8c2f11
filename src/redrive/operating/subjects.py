"""The execution that an operator acts on, and its edited history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs

from redrive.errors import OperationRefused
from redrive_interpreter.history.rows import Ended

if TYPE_CHECKING:
    from redrive.operating.causes_of_ends import Make
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.workflows import Workflow
    from redrive_interpreter.history.rows import Fact, Row
    from redrive_interpreter.keys import Key
    from redrive_interpreter.outcomes import Err, Ok


@attrs.frozen(kw_only=True)
class Subject:
    """The execution that is operated on: its *rows*, its *status*, the code that replays it, the time, and the ids of acts to be.

    *ends* are the children of it that have ended by now, with status and outcome, as far as they are known. *run* is the run that
    begins where something is performed again.
    """

    id: str
    status: str
    rows: Sequence[Row]
    workflow: Workflow[..., Any]
    codec: Codec
    now: datetime
    run: UUID
    make: Make | None = None
    ends: Mapping[str, tuple[str, Ok[Any] | Err]] = attrs.Factory(dict[str, tuple[str, "Ok[Any] | Err"]])

    @property
    def ended(self) -> Ended | None:
        last = self.rows[-1]
        return last if isinstance(last, Ended) else None

    def refuse(self, verb: str, problem: str, instead: str = "") -> OperationRefused:
        return OperationRefused(self.id, verb, problem, instead)


@attrs.frozen(kw_only=True)
class Edited:
    """A history that replaces another: *rows* are the new ones, of which the first *kept* are old ones.

    *back* goes into the inbox again; *removed* are the old rows that are not in the new ones, *added* the new ones that were not in
    the old. *in_doubt* are steps that may have taken effect without a result, *again* those that had succeeded and will be performed
    again if the code asks for them, *undone* those whose undo is forgotten with them. *run* is in force behind the rows.
    """

    verb: str
    rows: list[Row]
    back: list[Fact] = attrs.Factory(list["Fact"])
    removed: list[Row] = attrs.Factory(list["Row"])
    added: list[Row] = attrs.Factory(list["Row"])
    in_doubt: tuple[Key, ...] = ()
    again: tuple[Key, ...] = ()
    undone: tuple[Key, ...] = ()
    run: UUID
    reopens: bool = False
