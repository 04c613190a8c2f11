"""Equality of states: two states of a run are equal when everything that can follow them is equal.

Equal are two states with the same

- rows, in any order and modulo their times (so that every invariant which asks whether things happened agrees);
- pending commands, attempts and timers, relative to now;
- order of undos, of unread signals, and of what was undone;
- local variables in every frame of the workflow, and the same place in its code: these are all that the code itself
  can remember, shared lists and counters included.

The time of day is compared as well where the code could see it: where its module knows `Now`, `Info` or a datetime, or a local
variable holds one. A variable that cannot be inspected makes its state equal to no other. The order in which independent things
happened is not compared: a predicate that depends on it needs ``merge=False``.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# Values of any type are looked into here.
from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from itertools import count
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, GeneratorType, ModuleType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from redrive.codec import to_json
from redrive_interpreter import Asked, Info, Now, Row, RunStep, Signature, Source, Step, StepFunction, StepSpec, Workflow, dump_row, kinds

if TYPE_CHECKING:
    from redrive.testing.host import Host
    from redrive_interpreter.machine.observing import FiberView, FrameView, OpenChild

_ATOMS: Final = (type(None), bool, int, float, complex, str, bytes, dt.timedelta, Decimal, UUID)
_unlike = count()
_MOST: Final = 10_000


class Fingerprints:
    """Digests of states. Each row is digested once, because states share rows."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[Row, str]] = {}

    def of(self, host: Host, spent: object) -> bytes:
        """The digest of the whole state; *spent* are the events that may not happen again."""
        look = _Look(_knows_time(host))
        frames = [look.fiber(fiber) for fiber in host.machine.fibers()] if host.verdict is None else []
        now = host.now.isoformat() if look.timed else ""
        rows = [sorted(self._row(row) for row in run) for run in host.runs]
        return _digest((rows, self.standing(host), frames, now, spent))

    def standing(self, host: Host) -> str:
        """The pending commands and timers, in order: the part of a state that a replay must restore."""
        machine, now = host.machine, host.now
        if host.verdict is not None:
            return host.verdict.status
        performs = sorted((p.key, p.attempt, _left(p, now), _within(p, now)) for p in host.performs.values())
        timers = sorted((key, str(due - now)) for key, due in machine.timers.items())
        saga = list(machine.undo_log), list(machine.undone), list(machine.in_doubt)
        signals = [(signal.name, signal.path, to_json(signal.payload)) for signal in machine.unread_signals]
        children = [(child.id, *_attempt(child, host), child.id in host.never) for child in machine.open_children]
        return repr((sorted(machine.pending), performs, timers, saga, signals, children))

    def _row(self, row: Row) -> str:
        known = self._rows.get(id(row))
        if known is None or known[0] is not row:
            data = {name: value for name, value in dump_row(row).items() if name not in ("at", "due", "sent", "began")}
            if isinstance(row, Asked) and row.kind == kinds.CHILD_ATTEMPT:
                data["input"] = row.input["due"] is not None
            known = self._rows[id(row)] = row, to_json(data)
        return known[1]


def _left(perform: RunStep, now: dt.datetime) -> str:
    return "" if perform.due is None or perform.due <= now else str(perform.due - now)


def _within(perform: RunStep, now: dt.datetime) -> str:
    limited = any(policy.within is not None for policy in perform.step.spec.retry)
    return str(now - perform.first_at) if limited and perform.first_at is not None else ""


def _attempt(child: OpenChild, host: Host) -> tuple[str, str]:
    """The time until the next attempt of *child*, and, where its policy limits it, the time since the first one."""
    begins = host.begins(child.id)
    limited = any(policy.within is not None for policy in child.retry)
    left = "" if begins is None else str(begins - host.now)
    return left, str(host.now - child.asked_at) if limited and child.asked_at is not None else ""


def _knows_time(host: Host) -> bool:
    fn: Any = host.machine.workflow.fn
    return any(value is Now or value is Info or isinstance(value, dt.datetime) for value in fn.__globals__.values())


def _digest(value: object) -> bytes:
    return blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class _Look:
    """A digest of the frames of a machine. *timed*: a moment was seen, so the time of day matters."""

    def __init__(self, timed: bool) -> None:
        self.timed = timed
        self._seen: dict[int, int] = {}
        self._keep: list[Any] = []

    def fiber(self, fiber: FiberView) -> Any:
        cut = fiber.cancel, fiber.thrown
        return fiber.order, cut, [self._frame(frame) for frame in fiber.frames]

    def _frame(self, frame: FrameView) -> Any:
        if frame.generator is not None:
            return self._generator(frame.generator)
        return frame.name, [self.value(value) for value in frame.remembers]

    def _generator(self, gen: Any) -> Any:
        if type(gen) is not GeneratorType or gen.gi_frame is None:
            return self.value(gen)
        inner = () if gen.gi_yieldfrom is None else self._generator(gen.gi_yieldfrom)
        return gen.gi_code.co_qualname, gen.gi_frame.f_lasti, self.value(dict(gen.gi_frame.f_locals)), inner

    def value(self, value: Any) -> Any:
        """Nested tuples and text that are equal where *value* is."""
        if isinstance(value, enum.Enum):
            return str(value)
        if isinstance(value, _ATOMS):
            return type(value).__name__, repr(value)
        if isinstance(value, (StepFunction, Workflow, Signature, StepSpec, Source)):
            return repr(getattr(value, "name", None) or getattr(value, "step_id", None) or getattr(value, "id", ""))
        if isinstance(value, Step):
            return value.step_id, self.value(value.args), self.value(value.kwargs)
        if isinstance(value, (dt.datetime, dt.date)):
            self.timed = True
            return repr(value)
        if id(value) in self._seen:
            return "again", self._seen[id(value)]
        if len(self._seen) > _MOST:
            return "too much", next(_unlike)
        self._seen[id(value)] = len(self._seen)
        self._keep.append(value)
        return type(value).__qualname__, self._inside(value)

    def _inside(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return [(self.value(key), self.value(item)) for key, item in value.items()]
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        if isinstance(value, (set, frozenset)):
            return sorted(repr(self.value(item)) for item in value)
        if isinstance(value, (type, ModuleType, BuiltinFunctionType, CodeType)):
            return getattr(value, "__qualname__", None) or getattr(value, "__name__", "") or repr(value)
        if isinstance(value, FunctionType):
            return value.__qualname__, [self._cell(cell) for cell in value.__closure__ or ()]
        if isinstance(value, GeneratorType):
            return self._generator(value)
        if isinstance(value, BaseException):
            return [self.value(arg) for arg in value.args], self._fields(value)
        if fields := self._fields(value):
            return fields
        if "iterator" in type(value).__name__ or isinstance(value, (range, enumerate, zip)):
            return self.value(value.__reduce__()[1:])
        return [] if type(value) is object else next(_unlike)

    def _cell(self, cell: CellType) -> Any:
        try:
            return self.value(cell.cell_contents)
        except ValueError:
            return "empty"

    def _fields(self, value: Any) -> list[Any]:
        names = [name for cls in type(value).__mro__ for name in _slots(cls) if name not in ("__dict__", "__weakref__")]
        fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
        fields |= {name: item for name, item in getattr(value, "__dict__", {}).items() if not name.startswith("__")}
        return [(name, self.value(item)) for name, item in sorted(fields.items())]


def _slots(cls: type) -> tuple[str, ...]:
    slots: Any = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
