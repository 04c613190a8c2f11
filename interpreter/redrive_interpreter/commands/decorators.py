"""``@step``: functions that become steps when they are called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, get_args, overload

from redrive_interpreter.commands.annotations import names_around
from redrive_interpreter.commands.durations import Duration, positive_duration
from redrive_interpreter.commands.retry import Retry, policies_of, raised_types
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.commands.steps import Step, StepSpec, check_body, ready_step, undo_id_of, undoing_of
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.keys import check_id

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
B = TypeVar("B")
T_co = TypeVar("T_co", covariant=True)
U_co = TypeVar("U_co", covariant=True)
B_co = TypeVar("B_co", covariant=True)


class StepFunction(Generic[P, B_co]):
    """A function under ``@step``. Calling it builds a `Step` and runs nothing; ``body`` is the plain function."""

    __slots__ = ("__dict__", "__weakref__", "_arity", "spec")
    body: Callable[P, B_co]
    spec: StepSpec

    def __init__(self, body: Callable[P, B_co], spec: StepSpec, /) -> None:
        functools.update_wrapper(self, body)
        self.body = body
        self.spec = spec
        self._arity = spec.signature.arity

    @property
    def step_id(self) -> str:
        return self.spec.id

    @overload
    def __call__(self: StepFunction[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> Step[T]: ...
    @overload
    def __call__(self: StepFunction[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Step[T]: ...
    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Step[B_co]: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Step[Any]:
        if kwargs or len(args) != self._arity:
            args, kwargs = self.spec.signature.arrange(args, kwargs)
        return ready_step(self.spec, args, kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        refuse_method(self.body, owner, "step")

    def __repr__(self) -> str:
        return f"<step {self.spec.id!r}>"


class Returns(Protocol[P, T_co, U_co]):
    """A callable that returns a T which is also a U: both overloads must hold."""

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T_co: ...
    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> U_co: ...  # type: ignore[overload-cannot-match]


class StepDecorator(Generic[U]):
    """The decorator that ``step(…)`` returns. The undo takes a U, so the step's result must be one."""

    __slots__ = ("_id", "_options")

    def __init__(self, id: str | None, options: dict[str, Any]) -> None:
        self._id = id
        self._options = options

    def __call__(self, fn: Returns[P, B, U | Awaitable[U]], /) -> StepFunction[P, B]:
        return cast("StepFunction[P, B]", _define(fn, self._id, self._options, 2))


@overload
def step(fn: Callable[P, B], /) -> StepFunction[P, B]: ...
@overload
def step(
    id: str | None = None,
    /,
    *,
    undo: Callable[[U], object],
    retry: Retry | tuple[Retry, ...] | None = None,
    timeout: Duration | None = None,
    heartbeat: Duration | None = None,
    key: str | None = None,
    raises: list[type[Exception]] | tuple[type[Exception], ...] = (),
    at_most_once: bool = False,
) -> StepDecorator[U]: ...
@overload
def step(
    id: str | None = None,
    /,
    *,
    undo: None = None,
    retry: Retry | tuple[Retry, ...] | None = None,
    timeout: Duration | None = None,
    heartbeat: Duration | None = None,
    key: str | None = None,
    raises: list[type[Exception]] | tuple[type[Exception], ...] = (),
    at_most_once: bool = False,
) -> StepDecorator[object]: ...
def step(fn: Any = None, /, **options: Any) -> Any:
    """Make a step of a function, sync or async: bare, with an id, or with options.

    *timeout* is for one attempt, *heartbeat* the longest silence within one. *undo* takes the result. Errors of
    *raises* are rebuilt with their fields where the step is yielded. *at_most_once*: never begun twice.
    Raises `InvalidDefinition` for generators, methods and functions whose result type is a type variable.
    """
    if fn is None or isinstance(fn, str):
        return StepDecorator[Any](fn, options)
    return _define(fn, None, options, 2)


class _Injected:
    """The default of a parameter that the worker fills in."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "inject()"


_INJECTED = _Injected()


def inject() -> Any:
    """The default of a step's parameter that the worker fills in by its type: ``payments: Payments = inject()``."""
    return _INJECTED


def refuse_method(fn: object, owner: type, what: str) -> None:
    """Raises `InvalidDefinition` if *fn* was defined in the body of *owner*: it would be called without ``self``."""
    if getattr(fn, "__qualname__", "") == f"{owner.__qualname__}.{getattr(fn, '__name__', '')}":
        raise InvalidDefinition(
            f"{what} {fn.__qualname__} is a method: {_INSTEAD}"  # type: ignore[attr-defined]
        )


_INSTEAD = "use inject() for what it needs of its object, or put @staticmethod above the decorator"


def refuse_self(fn: object, what: str) -> None:
    """`refuse_method` at decoration, when only the parameter's name can tell."""
    qualname = getattr(fn, "__qualname__", "")
    owner = qualname.rpartition(".")[0]
    code = getattr(fn, "__code__", None)
    if owner and not owner.endswith("<locals>") and code is not None and code.co_varnames[:1] in (("self",), ("cls",)):
        raise InvalidDefinition(f"{what} {qualname} is a method: {_INSTEAD}")


def _define(fn: Any, id: str | None, options: dict[str, Any], depth: int) -> StepFunction[..., Any]:
    if isinstance(fn, (staticmethod, classmethod)):
        raise InvalidDefinition("put @staticmethod above @step; a classmethod cannot be a step")
    check_body(fn, "@step")
    refuse_self(inspect.unwrap(fn), "step")
    step_id = check_id(_name(fn) if id is None else id, "step id")
    spec = _spec(fn, step_id, depth + 1, **options)
    return StepFunction(fn, spec)


def _spec(
    fn: Callable[..., Any],
    id: str,
    depth: int,
    *,
    undo: Any = None,
    retry: Any = None,
    timeout: Any = None,
    heartbeat: Any = None,
    key: str | None = None,
    raises: Any = (),
    at_most_once: bool = False,
) -> StepSpec:
    where = f"step {id}"
    injected = _injected(fn, where)
    signature = Signature(fn, where, names_around(fn, depth), injected)
    _refuse_generic(fn, signature, where)
    return StepSpec(
        id=id,
        body=fn,
        retry=policies_of(retry, where),
        timeout=positive_duration(timeout, f"{where} timeout"),
        heartbeat=positive_duration(heartbeat, f"{where} heartbeat"),
        undo=undo,
        undo_id=undo_id_of(undo, where),
        undoing=undoing_of(undo, where, depth),
        raises=raised_types(raises, f"{where} raises"),
        at_most_once=bool(at_most_once),
        key=None if key is None else check_id(key, "idempotency key"),
        injected=injected,
        read=signature,
    )


def _name(fn: object) -> str:
    name = getattr(fn, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise InvalidDefinition(f"@step: {fn!r} has no name; give an id: step('charge')(…)")
    return name


def _injected(fn: Callable[..., Any], where: str) -> frozenset[str]:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    names: set[str] = set()
    for parameter in parameters:
        if isinstance(parameter.default, _Injected):
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise InvalidDefinition(f"{where}: {parameter.name} = inject() is positional-only; put a * before it")
            names.add(parameter.name)
        elif names and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL):
            raise InvalidDefinition(f"{where}: {parameter.name} comes after an injected parameter; put the injected ones last, behind a *")
    return frozenset(names)


def _refuse_generic(fn: Callable[..., Any], signature: Signature, where: str) -> None:
    if inspect.isclass(fn):
        return
    hints = signature.hints_if_known()
    for name, hint in hints.items():
        if _has_type_variable(hint):
            shown = "its result" if name == "return" else f"parameter {name}"
            raise InvalidDefinition(
                f"{where} is generic ({shown} has a type variable), so its values have no type to be stored by: "
                'write Step(StepId("…", int), fn, …) where it is used'
            )


def _has_type_variable(hint: Any) -> bool:
    return isinstance(hint, (TypeVar, ParamSpec)) or any(_has_type_variable(arg) for arg in get_args(hint))
