"""Stubs: the answers to steps and children of a run that drives itself, and the signals that it gets."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, cast

from redrive import step_arguments
from redrive.step_context import entered
from redrive_interpreter import Command, Err, Key, Ok, RunChild, Source, Step, StepInterrupted, StepTimeout, WaitChild, step_results
from redrive_interpreter.commands.messages import texts_of

if TYPE_CHECKING:
    from redrive.testing.host import Host
    from redrive_interpreter import RunStep, Source

_NOTHING = object()


class InTurn:
    """Outcomes one after another; the last one repeats."""

    def __init__(self, outcomes: tuple[object, ...]) -> None:
        self._left: Iterator[object] = iter(outcomes)
        self._last: object = None

    def next(self) -> object:
        self._last = next(self._left, self._last)
        return self._last


def in_turn(*outcomes: object) -> InTurn:
    """A stub whose first call gives the first of *outcomes*, and so on; the last one repeats. Exceptions are raised."""
    if not outcomes:
        raise ValueError("in_turn needs at least one outcome")
    return InTurn(outcomes)


class Stubs:
    """Answers by step or workflow, by id, by command, or by a predicate over commands."""

    def __init__(self, answers: Mapping[Any, object], signals: Mapping[Any, object]) -> None:
        self._named: dict[str, object] = {}
        self._exact: list[tuple[Command[Any], object]] = []
        self._predicates: list[tuple[Callable[[Any], object], object]] = []
        for key, value in answers.items():
            if isinstance(key, Command):
                self._exact.append((key, value))  # pyright: ignore[reportUnknownArgumentType]
            elif (name := name_of(key)) is not None:
                self._named[name] = value
            elif callable(key):
                self._predicates.append((key, value))
            else:
                raise TypeError(f"answers: {key!r} is no step, workflow, id, command or predicate")
        self._signals: dict[str, list[Any]] = {}
        for key, value in signals.items():
            name = key.stored if isinstance(key, Source) else name_of(key)
            if name is None:
                raise TypeError(f"signals: {key!r} is no signal")
            self._signals[name] = listed(value)

    def step(self, perform: RunStep, host: Host) -> Ok[Any] | Err | None:
        """The outcome of one attempt; None without a stub for it.

        A stub that is called gets decoded arguments, and `current_step()`, as a body does.
        """
        context = host.context(perform)

        def call() -> tuple[tuple[Any, ...], Mapping[str, Any]]:
            return step_arguments.arguments_of(perform, host.codec)

        with entered(context):
            outcome = _outcome(self._find(perform.step), call, perform.key, perform.attempt)
        if context.told is not None:
            host.heartbeats[perform.key] = context.told
        return outcome

    def child(self, command: Command[Any]) -> Ok[Any] | Err | None:
        return _outcome(self._find(command), lambda: arguments_of(command), Key(""), 1)

    def refuse(self, command: Command[Any]) -> BaseException | None:
        """The error of a request to start, signal or cancel another execution; mostly None."""
        for stubs in (self._exact, self._predicates):
            for matches, answer in stubs:
                if isinstance(answer, Exception) and (matches(command) if callable(matches) else matches == command):
                    return answer
        return None

    def has_signal(self, signal: Source[Any]) -> bool:
        return any(self._signals.get(text) for text in texts_of(signal))

    def take_signal(self, signal: Source[Any]) -> Any:
        return next(payloads for text in texts_of(signal) if (payloads := self._signals.get(text))).pop(0)

    def _find(self, command: Command[Any]) -> object:
        for expected, answer in self._exact:
            if expected == command:
                return answer
        name = subject_of(command)
        if name in self._named:
            return self._named[name]
        return next((answer for predicate, answer in self._predicates if predicate(command)), _NOTHING)


def _outcome(answer: Any, call: Callable[[], tuple[tuple[Any, ...], Mapping[str, Any]]], key: Key, attempt: int) -> Ok[Any] | Err | None:
    if answer is _NOTHING:
        return None
    if isinstance(answer, InTurn):
        answer = answer.next()
    if answer is StepTimeout:
        return Err(timed_out(key, attempt))
    if answer is StepInterrupted:
        return Err(step_results.interrupted(key, attempt))
    if isinstance(answer, type) and issubclass(answer, BaseException):
        answer = answer()
    elif callable(cast("Any", answer)) and not isinstance(answer, BaseException):
        args, kwargs = call()
        try:
            answer = _awaited(answer(*args, **kwargs))
        except AssertionError:
            raise  # an assertion of the test, about the step's arguments
        except Exception as error:
            return Err(error)
    came: Any = answer  # pyright: ignore[reportUnknownVariableType]
    return Err(came) if isinstance(came, BaseException) else Ok(came)


def _awaited(value: Any) -> Any:
    """The value of an async stub, which has nothing to wait for."""
    if not iscoroutine(value):
        return value
    coroutine: Coroutine[Any, Any, Any] = value
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise TypeError(f"the stub {coroutine!r} waits for something; a stub only answers")


def timed_out(key: Key, attempt: int, *, at_most_once: bool = False) -> StepTimeout | StepInterrupted:
    return step_results.timed_out(key, attempt, "no result in time", at_most_once=at_most_once)


def name_of(key: Any) -> str | None:
    """The name by which *key* (a step, a workflow, a signal, an id) is known; None if it is none of these."""
    if isinstance(key, str):
        return key
    for attribute in ("step_id", "name"):
        if isinstance(name := getattr(key, attribute, None), str):
            return name
    return None


def subject_of(command: Any) -> str:
    """The subject of *command*: a step's id, a child's workflow."""
    if isinstance(command, Step):
        return command.step_id
    if isinstance(command, WaitChild):
        return command.ref.workflow_name
    invocation = getattr(command, "invocation", None)
    return str(command.default_id) if invocation is None else str(invocation.workflow.name)


def arguments_of(command: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(command, RunChild):
        return command.invocation.args, command.invocation.kwargs
    return (command.args, command.kwargs) if isinstance(command, Step) else ((), {})


def typed_of(command: Any) -> Any:
    """The workflow or reference that knows the type of the child's result and its declared errors."""
    if isinstance(command, WaitChild):
        return command.ref
    return command.invocation.workflow


def listed(value: object) -> list[Any]:
    """*value* as a list: a list as it is, anything else alone."""
    many: Any = value
    return list(many) if isinstance(value, list) else [value]
