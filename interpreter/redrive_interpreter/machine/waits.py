"""Waits of fibers: the methods that every wait has. Each noun's module defines its own waits.

``cut`` gives back whether `Cancelled` can be thrown at once; if not, the run throws it when the wait ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from redrive_interpreter.commands.command import Command
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.requests import Request
    from redrive_interpreter.history.rows import Answered, TimerFired
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.fibers import Fiber
    from redrive_interpreter.machine.run_state import RunState


EndedBy: TypeAlias = Literal["body", "store", "timer", "signal", "child", "task", "branches", "scope"]
"""Names for what ends a wait: a step's body, the store's reply to a request, …; ``scope`` is the end of tasks or children of a
scope."""


class Wait:
    """Something a fiber waits for; *key* is that of the *command* which asked for it.

    A host reads `key`, `command`, `ended_by`, `retry_due`, `is_cut`, `can_be_cut` and `requests`; the rest is the kernel's.
    """

    __slots__ = ("command", "fiber", "key")
    ended_by: ClassVar[EndedBy] = "scope"
    retry_due: datetime | None = None
    """The time of a step's next attempt, while it waits for one."""

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber) -> None:
        self.key: Key = key
        self.command: Command[Any] = command
        self.fiber: Fiber = fiber

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        """Stop waiting if that may be done now."""
        raise NotImplementedError

    def abandon(self, run: RunState) -> None:
        """Tell the host what it need not do any more, because the run is over."""

    def answered(self, run: RunState, fact: Answered) -> None:
        """Take *fact*, the answer to this wait's command. Waits that no answer ends ignore it."""

    def fired(self, run: RunState, fact: TimerFired) -> None:
        """End the wait because its timer was due; *fact* is recorded already."""

    def requests(self) -> list[Request]:
        """The requests that the host must carry out so that this wait can end."""
        return []

    @property
    def is_cut(self) -> bool:
        """Whether a cancel has come that the run throws when this wait ends."""
        return self.fiber.cancel is not None and not self.fiber.thrown

    @property
    def can_be_cut(self) -> bool:
        """Whether a cancel would still reach this wait: none has come, and it is not an undo."""
        return self.fiber.cancel is None

    @property
    def fibers(self) -> Sequence[Fiber]:
        """The fibers that must end before this wait does."""
        return ()


class ShieldedWait(Wait):
    """A wait at the end of a scope for its tasks or children: a cancel is passed to the children and waits for them."""

    __slots__ = ()

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        run.family.cut(run, self.fiber, cancel)
        return False
