"""Steps: the command that asks for a function to take effect once, and the options of that function."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, ParamSpec, Self, TypeVar, cast, get_args, get_origin, overload

import attrs

from redrive_interpreter import kinds
from redrive_interpreter.commands.annotations import NOTHING_AROUND, meaning, names_around
from redrive_interpreter.commands.command import Command, building, built_inside, changed, performing
from redrive_interpreter.commands.durations import Duration, positive_duration
from redrive_interpreter.commands.retry import Retry, policies_of
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.keys import check_id

if TYPE_CHECKING:
    from typing_extensions import TypeForm

P = ParamSpec("P")
T = TypeVar("T")

_NOT_GIVEN: Final[Any] = object()
# Code whose calls need a closer look: variadic, and that of generators, which no step can run.
_UNPLAIN: Final = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class StepId(Frozen, Generic[T]):
    """A step's id with the type of its result: ``StepId("charge", Charge)``."""

    __slots__ = ("name", "type")
    name: str
    type: Any

    @overload
    def __init__(self: StepId[None], name: str, result: None = None, /) -> None: ...
    @overload
    def __init__(self, name: str, result: builtins.type[T], /) -> None: ...
    @overload
    def __init__(self, name: str, result: TypeForm[T], /) -> None: ...
    def __init__(self, name: str, result: Any = None, /) -> None:
        put(self, "name", check_id(name, "step id"))
        put(self, "type", result)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"StepId({self.name!r}, {getattr(self.type, '__name__', None) or self.type!r})"


@attrs.frozen(kw_only=True, slots=False, eq=False)
class StepSpec:
    """The options of a step that do not depend on its arguments.

    *retry* empty means one attempt. *timeout* is for one attempt, *heartbeat* the longest silence within one.
    *key* replaces the idempotency key. *injected* are the parameters that the worker fills in. *typed* is the result's type where
    a `StepId` or a registry declares it, *read* the signature once it was read, *scope* the names around the body that its
    annotations use. *undoing* holds the options of an undo that is a plain function.
    """

    id: str
    body: Callable[..., Any]
    retry: tuple[Retry, ...] = ()
    timeout: timedelta | None = None
    heartbeat: timedelta | None = None
    undo: Callable[..., Any] | Step[Any] | None = None
    undo_id: str | None = None
    raises: tuple[type[BaseException], ...] = ()
    at_most_once: bool = False
    key: str | None = None
    injected: frozenset[str] = frozenset()
    undoing: StepSpec | None = attrs.field(default=None, repr=False)
    typed: Any = attrs.field(default=_NOT_GIVEN, repr=False)
    scope: Mapping[str, Any] = attrs.field(default=NOTHING_AROUND, repr=False)
    read: Signature | None = attrs.field(default=None, repr=False)

    @property
    def signature(self) -> Signature:
        """The body's parameters and types; read at first use, for a step may be built many times and run once."""
        if self.read is None:
            put(self, "read", _signature(self.id, self.body, self.scope))
        assert self.read is not None
        return self.read

    @property
    def result_type(self) -> Any:
        """The type of the value that a workflow gets, ``Any`` if nothing declares it.

        Raises `CodecError` if the annotation names something that cannot be found.
        """
        if self.typed is _NOT_GIVEN:
            put(self, "typed", self.body if inspect.isclass(self.body) else _awaited(self.signature.returns))
        return self.typed

    def undo_step(self, result: object) -> Step[Any] | None:
        """The step that undoes a step of this spec whose result was *result*; None if there is nothing to undo."""
        undo = self.undo
        if undo is None or isinstance(undo, Step):
            return undo  # pyright: ignore[reportUnknownVariableType]
        if self.undoing is None:
            return cast("Step[Any]", undo(result))
        return ready_step(self.undoing, *self.undoing.signature.arrange((result,), {}))


class Step(Command[T]):
    """Ask that a function take effect once; the answer is the value that it returned.

    ``Step("charge", fn, order)`` for any callable; ``@step`` for functions. Two are equal if id and arguments are.
    """

    __slots__ = ("args", "fn", "kwargs", "spec", "step_id")
    kind: ClassVar[str] = kinds.STEP
    step_id: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    spec: StepSpec

    @overload
    def __init__(self, id: str | StepId[T], fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def __init__(self, id: str | StepId[T], fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    def __init__(self, id: str | StepId[T], fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        building(self)
        if isinstance(id, StepId):
            spec = StepSpec(id=id.name, body=fn, typed=id.type, scope=names_around(fn, 1))
        else:
            spec = StepSpec(id=check_id(id, "step id"), body=fn, scope=names_around(fn, 1))
        if kwargs or not _plainly_fits(fn, len(args)):
            check_body(fn, f"step {spec.id}")
            args, kwargs = spec.signature.arrange(args, kwargs)
        put(self, "step_id", spec.id)
        put(self, "fn", fn)
        put(self, "args", args)
        put(self, "kwargs", kwargs)
        put(self, "spec", spec)

    def options(
        self,
        *,
        id: str | None = None,
        retry: Retry | tuple[Retry, ...] | None = None,
        timeout: Duration | None = None,
        undo: Callable[[T], object] | Step[Any] | None = None,
        key: str | None = None,
    ) -> Self:
        """The same step with some options changed.

        *undo* may be a ready step, which then also undoes an attempt whose outcome is unknown.
        """
        fields: dict[str, Any] = {}
        step_id = self.step_id
        if id is not None:
            fields["id"] = step_id = check_id(id, "step id")
        if retry is not None:
            fields["retry"] = policies_of(retry, f"step {step_id}")
        if timeout is not None:
            fields["timeout"] = positive_duration(timeout, f"step {step_id} timeout")
        if undo is not None:
            fields["undo"], fields["undo_id"] = undo, undo_id_of(undo, f"step {step_id}")
            fields["undoing"] = undoing_of(undo, f"step {step_id}", 1)
        if key is not None:
            fields["key"] = check_id(key, "idempotency key")
        return changed(self, step_id=step_id, spec=attrs.evolve(self.spec, **fields))

    @property
    def default_id(self) -> str:
        return self.step_id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Step):
            return NotImplemented
        return self.step_id == other.step_id and self.args == other.args and self.kwargs == other.kwargs

    def __hash__(self) -> int:
        return hash(self.step_id)  # by id alone: a list among the arguments must not break it

    def __repr__(self) -> str:
        shown = [repr(self.step_id), *map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"Step({', '.join(shown)})"


def ready_step(spec: StepSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step[Any]:
    """The step of *spec* with arguments known to fit. Replay makes one per row: it must stay cheap."""
    made: Step[Any] = object.__new__(Step)  # pyright: ignore[reportUnknownVariableType]
    inside = performing.get()
    if inside is not None:
        built_inside(inside, made, f"Step {spec.id!r}")
    put(made, "command_id", None)
    put(made, "step_id", spec.id)
    put(made, "fn", spec.body)
    put(made, "args", args)
    put(made, "kwargs", kwargs)
    put(made, "spec", spec)
    return made


def check_body(fn: object, where: str) -> None:
    """Raises `InvalidDefinition` for what no attempt can call: steps, workflows, generator functions, what is not callable."""
    if not callable(fn):
        raise InvalidDefinition(f"{where}: {fn!r} cannot be called")
    if isinstance(getattr(fn, "spec", None), StepSpec):
        raise InvalidDefinition(f"{where}: {fn!r} is a step already; yield it, or give its .body")
    plain = inspect.unwrap(fn)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise InvalidDefinition(
            f"{where}: {fn!r} is a generator function or a workflow, and a step does one thing; did you mean @workflow?"
        )


def undo_id_of(undo: object, where: str) -> str | None:
    """The step id of *undo*: a step, a ready step or a plain named function."""
    if undo is None:
        return None
    step_id = getattr(undo, "step_id", None)
    if isinstance(step_id, str):
        return step_id
    if callable(undo):
        check_body(undo, f"{where}: undo")
    name = getattr(undo, "__name__", None)
    if not callable(undo) or not isinstance(name, str) or name == "<lambda>":
        raise InvalidDefinition(f"{where}: undo={undo!r} has no name to be stored under; put @step on it, or give a ready step")
    return check_id(name, "undo step id")


def undoing_of(undo: Any, where: str, depth: int) -> StepSpec | None:
    """The spec of *undo* where it is a plain function. Its annotations are resolved by the names in scope here and now."""
    if undo is None or isinstance(getattr(undo, "step_id", None), str):
        return None
    return StepSpec(id=undo_id_of(undo, where) or "", body=undo, scope=names_around(undo, depth + 1))


def _awaited(hint: Any) -> Any:
    """*hint*, or its result type where it is awaitable."""
    origin = get_origin(hint)
    if origin is Coroutine and len(get_args(hint)) == 3:
        return get_args(hint)[2]
    if origin is Awaitable and get_args(hint):
        return get_args(hint)[0]
    return Any if hint in (Coroutine, Awaitable) else hint


def _plainly_fits(fn: object, count: int) -> bool:
    """Whether *count* positional arguments surely fit *fn*, without reading its signature."""
    if type(fn) is not FunctionType:
        return False
    code = fn.__code__
    return code.co_argcount == count and not code.co_kwonlyargcount and not code.co_flags & _UNPLAIN and not hasattr(fn, "__wrapped__")


# A workflow that builds `Step("quote", lambda: …)` makes a new function each time from the same code. Signatures
# are kept by that code and what the annotations mean; few, for each holds on to one of those functions.
_KEPT: Final = 512
_signatures: dict[tuple[str, CodeType, tuple[Any, ...]], Signature] = {}


def _signature(id: str, fn: Callable[..., Any], scope: Mapping[str, Any]) -> Signature:
    plain = type(fn) is FunctionType and not (fn.__defaults__ or fn.__kwdefaults__ or hasattr(fn, "__wrapped__"))
    meant = meaning(fn, scope) if plain else None
    if meant is None:
        return Signature(fn, f"step {id}", scope)
    known = _signatures.get((id, fn.__code__, meant))
    if known is None:
        if len(_signatures) >= _KEPT:
            _signatures.clear()
        known = _signatures[id, fn.__code__, meant] = Signature(fn, f"step {id}", scope)
    return known
