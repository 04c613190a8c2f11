"""Queues and rates: how much of what is started may be under way, in total and for each partition."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias

from redrive_interpreter.commands.durations import Duration, positive_duration
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.keys import MAX_ID_BYTES, check_id

PartitionBy: TypeAlias = (
    Callable[[Any], str]
    | Callable[[Any, Any], str]
    | Callable[[Any, Any, Any], str]
    | Callable[[Any, Any, Any, Any], str]
    | Callable[[Any, Any, Any, Any, Any], str]
)
"""What gives the partition of a call: a function of one to five of its parameters, by their names."""
MOST_PARAMETERS: Final = 5
LARGEST: Final = 2_000_000_000
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NOTHING: Final = inspect.Parameter.empty


class Rate(Frozen):
    """At most *limit* begin in any window of *per* (seconds, or a timedelta).

    After idleness all of them may begin at once; with *spread* they begin evenly, one each ``per / limit``.
    """

    __slots__ = ("limit", "per", "spread")
    limit: int
    per: timedelta
    spread: bool

    def __init__(self, limit: int, *, per: Duration, spread: bool = False) -> None:
        put(self, "limit", _count(limit, "Rate limit"))
        length = positive_duration(per, "Rate per")
        if length is None:
            raise InvalidDefinition("Rate per=None: give seconds or a timedelta")
        put(self, "per", length)
        if not isinstance(spread, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"Rate spread={spread!r}: give True or False")
        put(self, "spread", spread)


class Queue(Frozen):
    """A named limit on what is under way, held over all workers, kills and restarts.

    At most *concurrency* of it are under way at once, and of each partition *partition_concurrency*; no more than *rate* begin, and
    of each partition *partition_rate*. What is left out is not limited. A workflow or a start names the queue; what is in a
    queue begins when it is admitted and holds its place until it ends.
    """

    __slots__ = ("concurrency", "name", "partition_concurrency", "partition_rate", "rate")
    name: str
    concurrency: int | None
    rate: Rate | None
    partition_concurrency: int | None
    partition_rate: Rate | None

    def __init__(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        rate: Rate | None = None,
        partition_concurrency: int | None = None,
        partition_rate: Rate | None = None,
    ) -> None:
        where = f"Queue {check_id(name, 'queue')!r}"
        put(self, "name", name)
        put(self, "concurrency", _maybe_count(concurrency, f"{where} concurrency"))
        put(self, "rate", _maybe_rate(rate, f"{where} rate"))
        put(self, "partition_concurrency", _maybe_count(partition_concurrency, f"{where} partition_concurrency"))
        put(self, "partition_rate", _maybe_rate(partition_rate, f"{where} partition_rate"))


def queue_name(queue: object, where: str) -> str | None:
    """The name of *queue*, a `Queue`, a name or None. Raises `InvalidDefinition` for anything else."""
    if queue is None or isinstance(queue, Queue):
        return None if queue is None else queue.name
    if isinstance(queue, str):
        return check_id(queue, f"{where} queue")
    raise InvalidDefinition(f"{where}: queue= takes a Queue or its name, not {queue!r}")


def checked_partition(partition: object, where: str) -> str:
    """*partition* if it can be one. Raises `InvalidDefinition` unless it is text of at most 255 bytes without NUL."""
    if not isinstance(partition, str):
        raise InvalidDefinition(f"{where}: a partition is text, not {partition!r}")
    if len(partition.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES or "\0" in partition:
        raise InvalidDefinition(f"{where}: a partition is text of at most {MAX_ID_BYTES} bytes without NUL, not {partition[:40]!r}…")
    return partition


def checked_priority(priority: object, where: str) -> int:
    """*priority* if it can be one. Raises `InvalidDefinition` unless it is a whole number of 32 bits."""
    if type(priority) is not int or abs(priority) > LARGEST:
        raise InvalidDefinition(f"{where}: priority= takes a whole number between -{LARGEST} and {LARGEST}, not {priority!r}")
    return priority


class Partitioning(Frozen):
    """How the partition of a call is found: *by* is called with those of the arguments that it has parameters for."""

    __slots__ = ("by", "defaults", "names")
    by: Callable[..., str]
    names: tuple[str, ...]
    defaults: Mapping[str, Any]

    def __init__(self, by: object, fn: Callable[..., Any] | None, where: str) -> None:
        if not callable(by):
            raise InvalidDefinition(f"{where}: partition= takes a function of its parameters, not {by!r}")
        if fn is None:
            raise InvalidDefinition(f"{where}: without its code there is nothing to call partition= with: give partition= to start")
        try:
            parameters, own = inspect.signature(by).parameters, inspect.signature(fn).parameters
        except (TypeError, ValueError) as error:
            raise InvalidDefinition(f"{where}: partition={by!r} does not say which parameters it has ({error})") from None
        if not 1 <= len(parameters) <= MOST_PARAMETERS or any(one.kind not in _POSITIONAL for one in parameters.values()):
            raise InvalidDefinition(f"{where}: partition= takes one to five of its parameters, by position, not {inspect.signature(by)}")
        if unknown := [name for name in parameters if name not in own or own[name].kind in _VARIADIC]:
            raise InvalidDefinition(f"{where}: partition= asks for {', '.join(unknown)}, and its parameters are {', '.join(own)}")
        put(self, "by", by)
        put(self, "names", tuple(parameters))
        put(self, "defaults", {name: own[name].default for name in parameters if own[name].default is not _NOTHING})

    def of(self, signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str) -> str:
        """The partition of one call. Raises `InvalidDefinition` where the function raises, or gives what is none."""
        values = {**self.defaults, **signature.bind(args, kwargs)}
        try:
            found = self.by(*(values[name] for name in self.names))
        except Exception as error:
            raise InvalidDefinition(f"{where}: partition= raised {type(error).__name__}: {error}") from error
        return checked_partition(found, where)


_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _count(value: object, what: str) -> int:
    if type(value) is not int or not 1 <= value <= LARGEST:
        raise InvalidDefinition(f"{what}={value!r}: give a whole number from 1")
    return value


def _maybe_count(value: object, what: str) -> int | None:
    return None if value is None else _count(value, what)


def _maybe_rate(value: object, what: str) -> Rate | None:
    if value is None or isinstance(value, Rate):
        return value
    raise InvalidDefinition(f"{what}={value!r}: give a Rate, like Rate(100, per=60)")
