"""Checks of the arguments that a test passes to the kit, with messages that tell what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from redrive.testing.hiding import WrongCall
from redrive_interpreter import Command, Invocation, Key, StepFunction, Workflow


def check_invocation(value: object, where: str) -> None:
    """Raises `WrongCall` unless *value* is a workflow with its arguments."""
    if isinstance(value, Invocation):
        return
    if isinstance(value, Workflow):
        name = getattr(value.fn, "__name__", value.name)
        hint = f"it got the workflow itself: call it, {where}({name}(…))"
    elif inspect.isgenerator(value) or inspect.isgeneratorfunction(value):
        hint = f"{value!r} is a plain generator: put @workflow above its function"
    elif isinstance(value, (Command, StepFunction)):
        hint = f"{value!r} is a step or a command: a workflow yields it"
    else:
        hint = f"it got {value!r}"
    raise WrongCall(f"{where}() takes a workflow with its arguments, like {where}(checkout('o-1')); {hint}")


def check_mapping(value: object, name: str, example: str) -> None:
    """Raises `WrongCall` unless *value* is a mapping or None."""
    if value is not None and not isinstance(value, Mapping):
        raise WrongCall(f"{name}= takes a mapping, like {name}={example}; it got {value!r}")


def check_command(value: object, verb: str) -> None:
    """Raises `WrongCall` unless *value* is a command or a key."""
    if isinstance(value, (Command, str)):
        return
    shown = f"run.{verb}(charge('o-1'), …)"
    if isinstance(value, StepFunction):
        hint = f"it got the step itself: call it, run.{verb}({getattr(value.body, '__name__', 'step')}(…), …)"
    elif isinstance(value, (Workflow, Invocation)):
        hint = f"{value!r} is a workflow: a child is answered as run.{verb}(RunChild(checkout('o-1')), …)"
    elif callable(value):
        hint = f"{value!r} is a function: name the step that runs it by its key, run.{verb}('charge', …)"
    else:
        hint = f"it got {value!r}"
    raise WrongCall(f"run.{verb}() takes the command that is asked now, or its key, like {shown}; {hint}")


def as_error(value: Any, verb: str) -> BaseException:
    """*value* as an exception: an exception class without arguments is called. Raises `WrongCall` for anything else."""
    if isinstance(value, BaseException):
        return value
    if isinstance(value, type) and issubclass(value, BaseException):
        try:
            return value()
        except TypeError as error:
            raise WrongCall(f"run.{verb}() takes an exception; {value.__name__} cannot be made without arguments: {error}") from None
    raise WrongCall(f"run.{verb}() takes an exception, like CardDeclined('no funds'); it got {value!r}")


def check_invariants(value: object) -> None:
    """Raises `WrongCall` unless *value* is a sequence of invariants and predicates."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise WrongCall(f"explore() takes invariants as a list, like [never(ship, before=charge)]; it got {value!r}")
    for one in cast("Sequence[object]", value):
        check_invariant(one)


def check_invariant(value: object) -> None:
    if not callable(value) and not hasattr(value, "breach"):
        raise WrongCall(f"{value!r} is neither an invariant nor a predicate over a View")


def keys_there_are(keys: Sequence[Key], of: Callable[[Key], object]) -> str:
    """The keys that are asked now, a line each, for an expectation that names another one."""
    if not keys:
        return "nothing is asked now"
    return "\n".join(["the keys asked now:", *(f"  {str(key)!r}: {of(key)!r}" for key in keys)])
