"""All, Race and Map: branches side by side, each a fiber with a scope of its own.

Branches start in order, each running until it waits. Once the outcome is decided no further branch starts,
those under way are cut, and the combinator returns when the last of them has ended; what a loser had
completed is undone first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.parallel import All, Map, Race
from redrive_interpreter.errors import Cancelled, WorkflowMisuse
from redrive_interpreter.keys import Key, escape
from redrive_interpreter.machine.comparing import same_but_for
from redrive_interpreter.machine.fibers import WAITING, Fiber
from redrive_interpreter.machine.readiness import passed_over
from redrive_interpreter.machine.saga import Undoing, plan
from redrive_interpreter.machine.scopes import Scope
from redrive_interpreter.machine.start_frame import StartFrame
from redrive_interpreter.machine.waits import EndedBy, Wait
from redrive_interpreter.outcomes import Won
from redrive_interpreter.raised import note

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.commands.command import Command
    from redrive_interpreter.errors import CancelledBy
    from redrive_interpreter.history.rows import Asked
    from redrive_interpreter.machine.comparing import Comparison
    from redrive_interpreter.machine.fibers import Reply
    from redrive_interpreter.machine.run_state import RunState

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
        self.key: Key = key
        self.parent: Fiber = parent
        self.branches: Sequence[Any] = branches
        self.names: Sequence[str] | None = names
        self.race: bool = race
        self.limit: int | None = limit
        self.enough: int = len(branches) if enough is None else min(enough, len(branches))
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

    def start_next(self, run: RunState) -> None:
        """Start one branch, if one is left and the limit allows it, and schedule the group to start the next."""
        if self._decided or self._next >= len(self.branches):
            return
        if self.limit is not None and len(self._active) >= self.limit:
            return
        index = self._next
        self._next += 1
        if index in self.passed_over:
            run.schedule(self)
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
        run.schedule(self)
        run.schedule(fiber)

    def ended(self, run: RunState, fiber: Fiber, value: Any, error: BaseException | None) -> None:
        """A branch ended."""
        del self._active[fiber.index]
        if self._decided:
            if error is not None and not isinstance(error, Cancelled):
                self._late.append(error)
        elif error is not None or self.race:
            self._winner, self._cause = (fiber.index if self.race else None), error
            self._results[fiber.index] = value
            self._decide(run, "race" if self.race else "sibling")
        else:
            self._results[fiber.index] = value
            self._succeeded += 1
            if self._succeeded >= self.enough:
                self._decide(run, "race")
            else:
                run.schedule(self)
        if self._decided and not self._active:
            self._close(run)

    def nothing_to_do(self) -> tuple[Any, BaseException | None]:
        """The outcome of a combinator without branches, or one that needs none of them."""
        self._decided = True
        return self._combine([None] * len(self.branches)), None

    def cut(self) -> list[Fiber]:
        """Note that the waiting fiber was cut, and give back the branches to cut as well."""
        already, self._decided, self._cut = self._decided, True, True
        return [] if already else self.fibers

    def _prefix(self, index: int) -> str:
        name = str(index) if self.names is None else escape(self.names[index])
        return f"{self.key}/{name}/"

    def _decide(self, run: RunState, by: CancelledBy) -> None:
        self._decided = True
        for fiber in self.fibers:
            run.cut(fiber, ("", by))

    def _close(self, run: RunState) -> None:
        """Called once all branches have ended: undo what the losers did, then deliver the outcome to the waiting fiber."""
        if self._cause is not None:
            for late in self._late:
                note(self._cause, "then also, in another branch:", late)
        if not self._cut and (self.race or (self._cause is None and self._succeeded < len(self.branches))):
            losers = tuple(self._prefix(i) for i in range(self._next) if self._lost(i))
            entries = run.saga.within(*losers) if losers else []
            if entries:
                key = Key(f"{self.key}/__losers")
                keys = plan(run, key, kinds.UNDO_LOSERS, {}, entries)
                if keys:
                    undoing = Undoing(key, self.parent, keys, False, lambda run, _: self._deliver(run))
                    undoing.next(run)
                    return
        self._deliver(run)

    def _lost(self, index: int) -> bool:
        return index != self._winner if self.race else self._results[index] is UNFINISHED

    def _deliver(self, run: RunState) -> None:
        if self._cause is not None:
            run.wake_next(self.parent, None, self._cause)
        elif self.race and self._winner is not None:
            name = None if self.names is None else self.names[self._winner]
            run.wake_next(self.parent, Won(index=self._winner, value=self._results[self._winner], name=name))
        else:
            results = [None if result is UNFINISHED else result for result in self._results]
            run.wake_next(self.parent, None if self._cut else self._combine(results))


class GroupWait(Wait):
    """The branches of a combinator: a cut cuts them all (`RunState.cut`) and waits for them."""

    __slots__ = ("group",)
    ended_by: ClassVar[EndedBy] = "branches"

    def __init__(self, key: Key, command: Command[Any], fiber: Fiber, group: Group) -> None:
        super().__init__(key, command, fiber)
        self.group: Group = group

    @property
    def fibers(self) -> Sequence[Fiber]:
        return self.group.fibers


def _group(run: RunState, fiber: Fiber, command: Any, group: Group, input: dict[str, Any]) -> Reply:
    row = run.ask(group.key, command.kind, "", input, None, command)
    group.limit = row.input.get("limit")  # N3: a Map goes on as wide as it began
    if not group.branches or group.enough == 0:
        return group.nothing_to_do()
    fiber.wait = GroupWait(group.key, command, fiber, group)
    run.schedule(group)
    return WAITING


def _all(run: RunState, fiber: Fiber, command: All[Any]) -> Reply:
    names = command.names
    combine: Callable[[list[Any]], Any] = tuple if command.shape == "tuple" else list
    if names is not None:
        combine = lambda results: dict(zip(names, results, strict=True))  # noqa: E731
    key, limit, enough = fiber.scope.key_of(command), command.limit, command.enough
    group = Group(key, fiber, command.branches, names, race=False, limit=limit, enough=enough, combine=combine)
    return _group(run, fiber, command, group, _width(command))


def _race(run: RunState, fiber: Fiber, command: Race[Any]) -> Reply:
    if not command.branches:
        raise WorkflowMisuse("a Race needs at least one branch")
    key = fiber.scope.key_of(command)
    group = Group(key, fiber, command.branches, command.names, race=True, limit=None, enough=None, combine=list)
    reply = _group(run, fiber, command, group, _width(command))
    group.passed_over = passed_over(run, group.key, command.branches)  # before any branch starts
    return reply


def _map(run: RunState, fiber: Fiber, command: Map[Any]) -> Reply:
    branches = _Applied(command.fn, command.items)
    key, limit, enough = fiber.scope.key_of(command), command.limit, command.enough
    group = Group(key, fiber, branches, None, race=False, limit=limit, enough=enough, combine=list)
    return _group(run, fiber, command, group, {"count": len(branches), "limit": limit, "enough": enough})


class _Applied(list[Any]):
    """The branches of a Map, each built when it starts: ten thousand items are not ten thousand commands at once."""

    def __init__(self, fn: Callable[[Any], Any], items: tuple[Any, ...]) -> None:
        super().__init__(items)
        self._fn = fn

    def __getitem__(self, index: Any) -> Any:
        return self._fn(super().__getitem__(index))


def _width(command: Any) -> dict[str, Any]:
    names = command.names
    return {
        "count": len(command.branches),
        "names": None if names is None else list(names),
        "limit": getattr(command, "limit", None),
        "enough": getattr(command, "enough", None),
    }


def _same_but_for_the_limit(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    return same_but_for("limit", row.input, input)


HANDLERS: Final[dict[Any, Any]] = {All: _all, Race: _race, Map: _map}
COMPARISONS: Final[dict[str, Comparison]] = {"but for the limit": _same_but_for_the_limit}
