"""The cases of each `Switch` that exploration took, and those that it never did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from redrive.testing import labels
from redrive.testing.unyielded import Notes, Watching
from redrive_interpreter import Command, Invocation, Switch, kinds
from redrive_interpreter.commands.switches import OTHERWISE

if TYPE_CHECKING:
    from redrive_interpreter import Codec, Key, Machine, Workflow

Chosen: TypeAlias = tuple[str, str, Switch[Any, Any] | None]
"""The key of a Switch, the label of the case it took, and the command."""


class Looking(Watching):
    """A machine that calls *see* with each case that is chosen."""

    __slots__ = ()

    def __init__(self, workflow: Workflow[..., Any], codec: Codec, see: Callable[[Chosen], object]) -> None:
        super().__init__(workflow, codec, _CaseNotes(see))


class _CaseNotes(Notes):
    def __init__(self, see: Callable[[Chosen], object]) -> None:
        super().__init__()
        self._see = see

    def asked(self, key: Key, kind: str, label: str, command: Any) -> None:
        if kind == kinds.SWITCH:
            self._see((key, label, command))


@attrs.define
class _Known:
    """One Switch: the branch of each case, the cases taken, and the states from which it was reached."""

    branches: dict[str, str] = attrs.field(factory=dict[str, str])
    taken: set[str] = attrs.field(factory=set[str])
    reached: dict[int, None] = attrs.field(factory=dict[int, None])


class Cases:
    """The Switches that one search has met."""

    def __init__(self) -> None:
        self._now: list[Chosen] = []
        self._known: dict[str, _Known] = {}

    def machine(self, workflow: Workflow[..., Any], codec: Codec) -> Machine[Any]:
        return Looking(workflow, codec, self._now.append)

    def forget(self) -> None:
        """Drop the cases chosen since `take`: a replay chose them."""
        self._now.clear()

    def take(self, before: int) -> list[str]:
        """The cases that were chosen on the way from the state *before* (-1: the beginning)."""
        said: list[str] = []
        for key, label, switch in self._now:
            said.append(labels.case_of(key, label))
            known = self._known.setdefault(labels.place(key), _Known())
            known.taken.add(label)
            known.reached[before] = None
            if switch is not None:
                known.branches |= _branches(switch)
        self._now.clear()
        return said

    def untaken(self) -> Iterator[tuple[int, str, str]]:
        """The states in which a case was not chosen, the case, and its branch."""
        for where, known in self._known.items():
            for label, does in known.branches.items():
                if label not in known.taken:
                    for before in known.reached:
                        yield before, labels.case_of(where, label), does


def _branches(switch: Switch[Any, Any]) -> dict[str, str]:
    found = {case.label: _does(case.branch) for case in switch.cases}
    return found if switch.default is None else {**found, OTHERWISE: _does(switch.default)}


def _does(branch: Any) -> str:
    if isinstance(branch, Invocation):
        return str(branch.workflow.name)  # pyright: ignore[reportUnknownMemberType]
    if isinstance(branch, Command):
        return branch.default_id.removeprefix("__")
    return str(getattr(branch, "__name__", "…"))
