"""`Switch`: choose a branch by a value, and remember which."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, Never, TypeVar

from redrive_interpreter import kinds
from redrive_interpreter.commands.command import Branch, Command, building, changed, check_branch
from redrive_interpreter.errors import InvalidDefinition, InvalidId
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.keys import check_id

T = TypeVar("T")
V = TypeVar("V")
A = TypeVar("A")
I = TypeVar("I")  # noqa: E741

OTHERWISE: Final = "otherwise"
"""The label under which the branch that `Switch.otherwise` gives is stored."""


class Case(Frozen):
    """One case of a `Switch`: *test* is a value, or where *predicate* a function of it."""

    __slots__ = ("branch", "label", "predicate", "test")
    label: str
    test: Any
    branch: Branch[Any]
    predicate: bool

    def __init__(self, label: str, test: Any, branch: Branch[Any], predicate: bool) -> None:
        put(self, "label", label)
        put(self, "test", test)
        put(self, "branch", branch)
        put(self, "predicate", predicate)

    def matches(self, value: object) -> bool:
        return bool(self.test(value)) if self.predicate else bool(self.test == value)


class Switch(Command[T], Generic[V, T]):
    """Run the branch of the first case that matches *value*; its answer is the branch's.

    The label of the case is stored before the branch is entered, and looked up on replay. No match and no
    `otherwise` is `NoBranch`.
    """

    __slots__ = ("cases", "default", "id", "value")
    kind: ClassVar[str] = kinds.SWITCH
    id: str
    value: Any
    cases: tuple[Case, ...]
    default: Branch[Any] | None

    def __init__(self: Switch[I, Never], id: str, value: I, /) -> None:
        building(self)
        put(self, "id", check_id(id, "switch id"))
        put(self, "value", value)
        put(self, "cases", ())
        put(self, "default", None)

    def when(self, case: V | Callable[[V], bool], branch: Branch[A], /, label: str | None = None) -> Switch[V, T | A]:
        """The same switch with one more case: a value, or a predicate, labelled by its name or *label*.

        Raises `InvalidDefinition` where a label is needed: for lambdas, duplicates and values that are no
        text, number or enum member.
        """
        check_branch(branch, f"switch {self.id}")
        predicate = callable(case) and not isinstance(case, enum.Enum)
        if isinstance(case, type):
            raise InvalidDefinition(f"switch {self.id}: {case!r} is a class; give a predicate, lambda v: isinstance(v, …), and a label=")
        text = self._label(case, predicate) if label is None else check_id(label, f"switch {self.id}: label")
        if text == OTHERWISE or any(text == known.label for known in self.cases):
            raise InvalidDefinition(f"switch {self.id}: the label {text!r} is taken; give this case another one, label=")
        return self._with(cases=(*self.cases, Case(text, case, branch, predicate)))

    def otherwise(self, branch: Branch[A], /) -> Switch[V, T | A]:
        """The same switch, with the branch to run where no case matches."""
        check_branch(branch, f"switch {self.id}")
        if self.default is not None:
            raise InvalidDefinition(f"switch {self.id} has an otherwise already")
        return self._with(default=branch)

    def select(self) -> tuple[str, Branch[Any]] | None:
        """The label and branch of the first case that matches; None if there is none."""
        for case in self.cases:
            if case.matches(self.value):
                return case.label, case.branch
        return None if self.default is None else (OTHERWISE, self.default)

    def branch_of(self, label: str) -> Branch[Any] | None:
        """The branch stored under *label*; None if the code has no such case."""
        if label == OTHERWISE:
            return self.default
        return next((case.branch for case in self.cases if case.label == label), None)

    @property
    def default_id(self) -> str:
        return self.id

    def _with(self, **fields: Any) -> Switch[Any, Any]:
        made: Switch[Any, Any] = changed(self, **fields)
        return made

    def _label(self, case: object, predicate: bool) -> str:
        if predicate:
            name = getattr(case, "__name__", "<lambda>")
            label = "" if name == "<lambda>" else name
        elif isinstance(case, enum.Enum):
            label = case.name
        elif isinstance(case, str):
            label = case
        elif case is None or isinstance(case, (bool, int, float)):
            label = repr(case)
        else:
            label = ""
        try:
            return check_id(label, "label")
        except InvalidId:
            raise InvalidDefinition(f"switch {self.id}: the case {case!r} has no name to be stored under; give it a label=") from None
