"""The first frame of a branch: it starts the branch and ends its scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redrive_interpreter.machine.ending import leave
from redrive_interpreter.machine.fibers import Fiber, Frame, Reply

if TYPE_CHECKING:
    from redrive_interpreter.machine.run_state import RunState
    from redrive_interpreter.machine.scopes import Scope


class StartFrame(Frame):
    """Performs *branch* (a command, an invocation, a generator) when first resumed, and ends its scope after it."""

    __slots__ = ("_begun", "_branch")

    def __init__(self, scope: Scope, branch: Any) -> None:
        super().__init__(None, scope, True)
        self._branch = branch
        self._begun = False

    @classmethod
    def over(cls, scope: Scope) -> StartFrame:
        """A frame with nothing left to do but to end *scope*."""
        frame = cls(scope, None)
        frame._begun = True
        return frame

    def resume(self, run: RunState, fiber: Fiber, value: Any, error: BaseException | None) -> Reply:
        if self._begun or error is not None:
            return leave(run, fiber, self, value, error)
        self._begun = True
        branch, self._branch = self._branch, None
        return run.perform(fiber, branch)
