"""What a fiber waits for: the verbs that every wait has. Each noun's module has the waits of its own.

``cut`` gives back whether `Cancelled` can be thrown at once; if not, it is thrown when the wait ends.
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
"""What ends a wait: a step's body, the store's word on a request, …; ``scope`` is the end of what a scope has begun."""


class Wait:
    """Something a fiber waits for; *key* is that of the *command* which asked for it.

    A host reads `key`, `command`, `ended_by`, `retry_due`, `is_cut`, `can_be_cut` and `requests`; the rest is the kernel's.
    """

    __slots__ = ("command", "fiber", "key")
    ended_by: ClassVar[EndedBy] = "scope"
    retry_due: datetime | None = None
    """When the next attempt begins, of a step that waits for it."""

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber) -> None:
        self.key = key
        self.command = command
        self.fiber = fiber

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        """Stop waiting if that may be done now."""
        raise NotImplementedError

    def abandon(self, run: RunState) -> None:
        """The run is over: tell the host what it need not do any more."""

    def answered(self, run: RunState, fact: Answered) -> None:
        """Take *fact*, the answer to this wait's command; a wait that no answer ends leaves it."""

    def fired(self, run: RunState, fact: TimerFired) -> None:
        """This wait's timer was due, and *fact* is recorded."""

    def requests(self) -> list[Request]:
        """What the host must be asked (again) so that this wait can end."""
        return []

    @property
    def is_cut(self) -> bool:
        """Whether a cancel has come that waits for this wait's end, and is thrown then."""
        return self.fiber.cancel is not None and not self.fiber.thrown

    @property
    def can_be_cut(self) -> bool:
        """Whether a cancel would reach this wait: none has come yet, and it is no undo."""
        return self.fiber.cancel is None

    @property
    def fibers(self) -> Sequence[Fiber]:
        """The fibers that must end before this wait does."""
        return ()


class ShieldedWait(Wait):
    """The end of tasks or children at the end of a scope: a cancel waits for them, and goes on to the children."""

    __slots__ = ()

    def cut(self, run: RunState, cancel: tuple[str, CancelledBy]) -> bool:
        run.family.cut(run, self.fiber, cancel)
        return False
