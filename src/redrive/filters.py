"""Which executions: one filter for finding, counting, operators, the command line and HTTP, and how a store is asked for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from redrive.codec.searchable import fitting
from redrive.ports.finding import StoredCondition, StoredFilter
from redrive.status import STATUSES
from redrive.wait_lines import alternatives, line
from redrive_interpreter import kinds
from redrive_interpreter.commands.conditions import Condition
from redrive_interpreter.commands.decorators import StepFunction
from redrive_interpreter.commands.durations import moment
from redrive_interpreter.commands.messages import Signal
from redrive_interpreter.commands.workflows import Workflow
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.keys import check_name

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    from redrive.ports.store import ExecutionStatus
else:

    class TypedDict(dict):
        """A dict to the program; `closed` is for the type checkers, and importing typing_extensions costs more than all of this."""

        def __init_subclass__(cls, **options: object) -> None:
            super().__init_subclass__()


class _Criteria(TypedDict, total=False):
    status: ExecutionStatus | Iterable[ExecutionStatus]
    id_prefix: str
    parent: str
    root: str
    queue: str
    partition: str
    build: str
    waiting_on: Signal[Any] | StepFunction[..., Any] | str
    attributes: Iterable[Condition[Any]]
    created_after: datetime
    created_before: datetime
    ended_after: datetime
    ended_before: datetime
    error_type: str


class Criteria(_Criteria, total=False, closed=True):
    """A `Filter` without the workflow."""


class Filter(_Criteria, total=False, closed=True):
    """Which executions: those for which everything that is given holds.

    *workflow* is that of their newest run, *status* one or several. *parent* is the id of the execution that started them, *root* that
    at the top of their family, which belongs to it. *waiting_on* is a signal, a step or words: ``"timer"``, ``"child:shop.pay"``, or
    a name alone. *attributes* are conditions: ``[state.is_("paid"), total.at_least(100)]``. Of a time, *after* is included and *before* is
    not. *error_type* is the class of the error that they ended with: ``CardDeclined``, or ``shop.errors.CardDeclined``.
    """

    workflow: Workflow[..., Any] | str


_TEXTS: Final = ("parent", "root", "queue", "partition", "build", "error_type")
_TIMES: Final = ("created_after", "created_before", "ended_after", "ended_before")
_KNOWN: Final = ("workflow", "status", "id_prefix", "waiting_on", "attributes", *_TEXTS, *_TIMES)


def stored_filter(filter: Filter | Criteria | Mapping[str, Any]) -> StoredFilter:
    """*filter* as a store is asked for it; None is as if it were not given. Raises `InvalidDefinition` for what cannot be asked."""
    given = {name: value for name, value in filter.items() if value is not None}
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name in _TEXTS:
            made[name] = check_name(value, name)
        elif name in _TIMES:
            made[name] = moment(value, name)
        elif name == "id_prefix":
            made[name] = value if value == "" else check_name(value, name)
        elif name == "workflow":
            made[name] = value.name if isinstance(value, Workflow) else check_name(value, name)
        elif name == "status":
            made["statuses"] = _statuses(value)
        elif name == "waiting_on":
            made[name] = lines_for(value)
        elif name == "attributes":
            made["conditions"] = tuple(map(stored_condition, conditions_of(value)))
        else:
            raise InvalidDefinition(f"a filter has no {name!r}{_close(name, _KNOWN)}")
    return StoredFilter(**made)


def conditions_of(given: Any) -> tuple[Condition[Any], ...]:
    """Raises `InvalidDefinition` for what are none."""
    several = isinstance(given, Iterable) and not isinstance(given, (str, Mapping))
    conditions = tuple(cast("Iterable[Any]", given)) if several else (cast("Any", given),)
    for condition in conditions:
        if not isinstance(condition, Condition):
            raise InvalidDefinition(f"attributes= of a filter takes conditions, like [state.is_('paid')], not {given!r:.100}")
    return conditions


def stored_condition(condition: Condition[Any]) -> StoredCondition:
    """*condition* by the texts that fit it. Raises `InvalidDefinition` for a value that cannot be searched."""
    try:
        texts = fitting(condition.comparison, condition.values)
    except ValueError as error:
        raise InvalidDefinition(f"attribute {condition.attribute.name!r}: {error}") from None
    return StoredCondition(condition.attribute.name, texts.each, texts.low, texts.below)


def lines_for(waited_for: object) -> tuple[str, ...]:
    """The lines of `redrive.wait_lines` that a filter's *waiting_on* means. Raises `InvalidDefinition`."""
    match waited_for:
        case Signal():
            return (line(kinds.WAIT_SIGNAL, waited_for.name),)
        case StepFunction():
            return line(kinds.STEP, waited_for.step_id), line(kinds.UNDO, waited_for.step_id)
        case str():
            return alternatives(check_name(waited_for, "waiting_on"))
        case _:
            raise InvalidDefinition(f"waiting_on= takes a signal, a step or words like 'timer', not {waited_for!r:.100}")


def _statuses(given: Any) -> frozenset[Any]:
    statuses = frozenset({given} if isinstance(given, str) else given)
    for status in statuses:
        if status not in STATUSES:
            raise InvalidDefinition(f"there is no status {status!r}{_close(str(status), STATUSES)}")
    return statuses


def _close(word: str, words: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, list(words), 1)
    return f"; did you mean {found[0]!r}?" if found else ""
