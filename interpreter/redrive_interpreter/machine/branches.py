"""All, Race and Map: branches side by side, each a fiber with a scope of its own.

Branches start in order, each running until it waits. Once the outcome is decided no further branch starts,
those under way are cut, and the combinator returns when the last of them has ended; what a loser had
completed is undone first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import kinds
from redrive_interpreter.errors import Cancelled
from redrive_interpreter.keys import Key, escape
from redrive_interpreter.machine.fibers import Fiber
from redrive_interpreter.machine.saga import Undoing, plan
from redrive_interpreter.machine.scopes import Scope
from redrive_interpreter.machine.start_frame import StartFrame
from redrive_interpreter.outcomes import Won
from redrive_interpreter.raised import note

if TYPE_CHECKING:
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.machine.machine import Machine

UNFINISHED: Final = object()


class Group:
    """The branches of one combinator. *race*: the first end decides, else the first failure, or *enough* successes."""

    __slots__ = (
        "_active", "_cause", "_combine", "_cut", "_decided", "_late", "_next", "_results", "_succeeded", "_winner",
        "branches", "enough", "key", "limit", "names", "parent", "passed_over", "race",
    )  # fmt: skip

    def __init__(
        self,
        key: Key,
        parent: Fiber,
        branches: Sequence[Any],
        names: Sequence[str] | None,
        *,
        race: bool,
        limit: int | None,
        enough: int | None,
        combine: Callable[[list[Any]], Any],
    ) -> None:
        self.key = key
        self.parent = parent
        self.branches = branches
        self.names = names
        self.race = race
        self.limit = limit
        self.enough = len(branches) if enough is None else min(enough, len(branches))
        self.passed_over: frozenset[int] = frozenset()
        self._combine = combine
        self._results: list[Any] = [UNFINISHED] * len(branches)
        self._active: dict[int, Fiber] = {}
        self._next = 0
        self._succeeded = 0
        self._winner: int | None = None
        self._cause: BaseException | None = None
        self._late: list[BaseException] = []
        self._decided = False
        self._cut = False

    @property
    def fibers(self) -> list[Fiber]:
        return list(self._active.values())

    def start_next(self, machine: Machine[Any]) -> None:
        """Start one branch, if there is one to start and room for it; then come back for the next."""
        if self._decided or self._next >= len(self.branches):
            return
        if self.limit is not None and len(self._active) >= self.limit:
            return
        index = self._next
        self._next += 1
        if index in self.passed_over:
            machine.schedule(self)
            return
        fiber = Fiber(Scope(self._prefix(index)), (*self.parent.order, index))
        fiber.group, fiber.index = self, index
        self._active[index] = fiber
        try:
            fiber.push(StartFrame(fiber.scope, self.branches[index]))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a Map's function is the user's, and is called here
            fiber.push(StartFrame(fiber.scope, None))
            fiber.error = error
        machine.schedule(self)
        machine.schedule(fiber)

    def ended(self, machine: Machine[Any], fiber: Fiber, value: Any, error: BaseException | None) -> None:
        """A branch ended."""
        del self._active[fiber.index]
        if self._decided:
            if error is not None and not isinstance(error, Cancelled):
                self._late.append(error)
        elif error is not None or self.race:
            self._winner, self._cause = (fiber.index if self.race else None), error
            self._results[fiber.index] = value
            self._decide(machine, "race" if self.race else "sibling")
        else:
            self._results[fiber.index] = value
            self._succeeded += 1
            if self._succeeded >= self.enough:
                self._decide(machine, "race")
            else:
                machine.schedule(self)
        if self._decided and not self._active:
            self._close(machine)

    def nothing_to_do(self) -> tuple[Any, BaseException | None]:
        """The outcome of a combinator without branches, or one that needs none of them."""
        self._decided = True
        return self._combine([None] * len(self.branches)), None

    def cut(self) -> list[Fiber]:
        """The fiber that waits for the group is cut; gives the branches that must be cut as well."""
        already, self._decided, self._cut = self._decided, True, True
        return [] if already else self.fibers

    def _prefix(self, index: int) -> str:
        name = str(index) if self.names is None else escape(self.names[index])
        return f"{self.key}/{name}/"

    def _decide(self, machine: Machine[Any], by: CancelledBy) -> None:
        self._decided = True
        for fiber in self.fibers:
            machine.cut(fiber, ("", by))

    def _close(self, machine: Machine[Any]) -> None:
        """All branches have ended: undo what losers did, then give the outcome to the fiber that waits."""
        if self._cause is not None:
            for late in self._late:
                note(self._cause, "then also, in another branch:", late)
        if not self._cut and (self.race or (self._cause is None and self._succeeded < len(self.branches))):
            losers = tuple(self._prefix(i) for i in range(self._next) if self._lost(i))
            entries = machine.saga.within(*losers) if losers else []
            if entries:
                key = Key(f"{self.key}/__losers")
                keys = plan(machine, key, kinds.UNDO_LOSERS, {}, entries)
                if keys:
                    undoing = Undoing(key, self.parent, keys, False, lambda m, _: self._deliver(m))
                    undoing.next(machine)
                    return
        self._deliver(machine)

    def _lost(self, index: int) -> bool:
        return index != self._winner if self.race else self._results[index] is UNFINISHED

    def _deliver(self, machine: Machine[Any]) -> None:
        if self._cause is not None:
            machine.wake_next(self.parent, None, self._cause)
        elif self.race and self._winner is not None:
            name = None if self.names is None else self.names[self._winner]
            machine.wake_next(self.parent, Won(index=self._winner, value=self._results[self._winner], name=name))
        else:
            results = [None if result is UNFINISHED else result for result in self._results]
            machine.wake_next(self.parent, None if self._cut else self._combine(results))
