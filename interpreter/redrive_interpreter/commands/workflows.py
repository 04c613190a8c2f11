"""``@workflow``: generator functions that become invocations when they are called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    NoReturn,
    ParamSpec,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from redrive_interpreter.commands.annotations import names_around
from redrive_interpreter.commands.command import Branch, Built, Command, Flow, built_inside, performing, refuse_use
from redrive_interpreter.commands.decorators import refuse_method, refuse_self
from redrive_interpreter.commands.durations import Duration, positive_duration
from redrive_interpreter.commands.messages import Source, apart, signal_of
from redrive_interpreter.commands.queue_values import PartitionBy, Partitioning, Queue, queue_name
from redrive_interpreter.commands.retry import raised_types
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.keys import check_id

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["Branch", "Flow", "Invocation", "Workflow", "WorkflowDecorator", "workflow"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Policy: TypeAlias = 'Literal["rollback"] | None'
_NOT_GIVEN: Final[Any] = object()


class Invocation(Frozen, Generic[R_co]):
    """A workflow with its arguments: nothing runs until it is started, started as a child, or yielded (run inline)."""

    __slots__ = ("args", "kwargs", "workflow")
    workflow: Workflow[..., R_co]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __init__(self, workflow: Workflow[..., R_co], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        put(self, "workflow", workflow)
        put(self, "args", args)
        put(self, "kwargs", {} if kwargs is None else kwargs)

    def __iter__(self) -> Generator[Command[Any], Any, R_co]:
        return cast("R_co", (yield cast("Command[Any]", self)))

    def __bool__(self) -> NoReturn:
        refuse_use(self, "has no truth value")

    if not TYPE_CHECKING:

        def __await__(self) -> NoReturn:
            refuse_use(self, "is not awaited")

    def __hash__(self) -> int:
        return hash(self.workflow)

    def __repr__(self) -> str:
        shown = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.workflow.name}({', '.join(shown)})"


class Workflow(Generic[P, R_co]):
    """A workflow by its name. Equal by name: the code is found through the service that runs it.

    ``Workflow("orders.process", returns=str)`` stands for one whose code cannot be imported here; its *fn* is None.
    *signals* None means that none were declared, and any is taken. *timeout* is the execution's, over all its runs.
    *queue* is the one that its executions are in unless their start says otherwise, *partition* finds theirs.
    """

    name: str
    fn: Callable[P, Generator[Any, Any, R_co]] | None
    signature: Signature
    raises: tuple[type[BaseException], ...]
    signals: tuple[Source[Any], ...] | None
    timeout: timedelta | None
    on_failure: Policy
    on_cancel: Policy
    queue: Queue | str | None
    partition: Partitioning | None
    _result: Any

    @overload
    def __init__(
        self: Workflow[..., R],
        name: str,
        /,
        *,
        returns: type[R],
        raises: Iterable[type[BaseException]] = (),
        signals: Iterable[Source[Any]] | None = None,
        timeout: Duration | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Workflow[..., R],
        name: str,
        /,
        *,
        returns: TypeForm[R],
        raises: Iterable[type[BaseException]] = (),
        signals: Iterable[Source[Any]] | None = None,
        timeout: Duration | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Workflow[..., Any],
        name: str,
        /,
        *,
        raises: Iterable[type[BaseException]] = (),
        signals: Iterable[Source[Any]] | None = None,
        timeout: Duration | None = None,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        /,
        *,
        returns: Any = Any,
        raises: Iterable[type[BaseException]] = (),
        signals: Iterable[Source[Any]] | None = None,
        timeout: Duration | None = None,
    ) -> None:
        self._fill(name, None, Signature(None, f"workflow {name}"), raises=raises, signals=signals, timeout=timeout)
        self._result = type(None) if returns is None else returns

    def _fill(
        self,
        name: str,
        fn: Callable[..., Any] | None,
        signature: Signature,
        *,
        raises: Iterable[type[BaseException]] = (),
        signals: Iterable[Source[Any]] | None = None,
        timeout: Duration | None = None,
        on_failure: Policy = None,
        on_cancel: Policy = None,
        queue: Queue | str | None = None,
        partition: PartitionBy | None = None,
    ) -> None:
        where = f"workflow {name}"
        self.name = check_id(name, "workflow name")
        self.fn = fn
        self.signature = signature
        self._result = _NOT_GIVEN
        self.raises = raised_types(raises if isinstance(raises, type) else tuple(raises), f"{where} raises")
        self.signals = None if signals is None else apart(name, tuple(signal_of(signal) for signal in signals))
        self.timeout = positive_duration(timeout, f"{where} timeout")
        for option in (on_failure, on_cancel):
            if option not in (None, "rollback"):
                raise InvalidDefinition(f"{where}: on_failure and on_cancel are 'rollback' or None, not {option!r}")
        self.on_failure = on_failure
        self.on_cancel = on_cancel
        queue_name(queue, where)
        self.queue = queue
        if partition is not None and queue is None:
            raise InvalidDefinition(f"{where}: partition= divides a queue: give queue= too")
        self.partition = None if partition is None else Partitioning(partition, fn, where)

    @classmethod
    def _of(cls, fn: Callable[..., Any], name: str | None, depth: int, options: dict[str, Any]) -> Workflow[..., Any]:
        made = cast("Workflow[..., Any]", object.__new__(Workflow))
        name = _checked(fn, name)
        functools.update_wrapper(made, fn)
        made._fill(name, fn, Signature(fn, f"workflow {name}", names_around(fn, depth)), **options)
        return made

    @property
    def result_type(self) -> Any:
        """The R of the function's ``Flow[R]``, ``Any`` if it has none. Raises `CodecError` if it cannot be found."""
        if self._result is _NOT_GIVEN:
            hint = self.signature.returns
            self._result = get_args(hint)[2] if get_origin(hint) is Generator and len(get_args(hint)) == 3 else Any
        return self._result

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Invocation[R_co]:
        if kwargs or len(args) != self.signature.arity:
            args, kwargs = self.signature.arrange(args, kwargs)  # type: ignore[assignment]
        made = Invocation(self, args, kwargs)
        inside = performing.get()
        if isinstance(inside, Built):
            built_inside(inside, made, self.name)
        return made

    def __eq__(self, other: object) -> bool:
        return self.name == other.name if isinstance(other, Workflow) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __set_name__(self, owner: type, name: str) -> None:
        refuse_method(self.fn, owner, "workflow")

    def __repr__(self) -> str:
        return f"<workflow {self.name!r}>"


class WorkflowDecorator:
    """The decorator that ``workflow(…)`` returns."""

    __slots__ = ("_name", "_options")

    def __init__(self, name: str | None, options: dict[str, Any]) -> None:
        self._name = name
        self._options = options

    def __call__(self, fn: Callable[P, Generator[Command[Any], Any, R]], /) -> Workflow[P, R]:
        return cast("Workflow[P, R]", Workflow._of(fn, self._name, 2, self._options))  # pyright: ignore[reportPrivateUsage]


@overload
def workflow(fn: Callable[P, Generator[Command[Any], Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(
    name: str | None = None,
    /,
    *,
    on_failure: Policy = None,
    on_cancel: Policy = None,
    raises: Iterable[type[BaseException]] = (),
    signals: Iterable[Source[Any]] | None = None,
    timeout: Duration | None = None,
    queue: Queue | str | None = None,
    partition: PartitionBy | None = None,
) -> WorkflowDecorator: ...
def workflow(fn: Any = None, /, **options: Any) -> Any:
    """Make a workflow of a generator function: bare, with a name, or with options.

    *on_failure* and *on_cancel* ``"rollback"`` run the undos of its scope, inline too; the rest belongs to
    executions: *timeout* (over all runs), the *signals* it takes, the errors it *raises*, the *queue* that they are in
    and the function that finds their *partition*, of one to five of the workflow's parameters by their names.
    Raises `InvalidDefinition` for anything but a generator function, and for a local one without a name.
    """
    if fn is None or isinstance(fn, str):
        return WorkflowDecorator(fn, options)
    return Workflow._of(fn, None, 2, options)  # pyright: ignore[reportPrivateUsage]


def _checked(fn: Any, name: str | None) -> str:
    if isinstance(fn, (staticmethod, classmethod)):
        raise InvalidDefinition("put @staticmethod above @workflow; a classmethod cannot be a workflow")
    if isinstance(fn, Workflow):
        raise InvalidDefinition(f"{fn!r} is a workflow already")
    if not callable(fn):
        raise InvalidDefinition(f"@workflow: {fn!r} cannot be called")
    plain = inspect.unwrap(fn)
    while isinstance(plain, functools.partial):
        plain = inspect.unwrap(plain.func)
    shown = getattr(plain, "__qualname__", repr(plain))
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        raise InvalidDefinition(f"workflow {shown} is async: write a plain def, and `yield from` where you would await")
    if not inspect.isgeneratorfunction(plain):
        raise InvalidDefinition(f"workflow {shown} is not a generator function: it has no yield (write `yield from ()` if it needs none)")
    refuse_self(plain, "workflow")
    if name is None:
        name = getattr(fn, "__qualname__", None)
        if not isinstance(name, str) or "<lambda>" in name:
            raise InvalidDefinition(f"workflow {shown} has no name of its own: give one, @workflow('orders.process')")
        if "<locals>" in name:
            raise InvalidDefinition(f"workflow {shown} is local to a function: give it a name, @workflow('orders.process')")
    return check_id(name, "workflow name")
