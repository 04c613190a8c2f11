"""A function's parameters and result: names for binding, types for the codec."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from redrive_interpreter.commands.annotations import annotated
from redrive_interpreter.errors import CodecError, InvalidDefinition

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Signature:
    """The parameters and types of *fn*, read once.

    Hints are resolved at once where they can be, with *scope*, the names around *fn* (`annotations.names_around`), and else
    at first use: a type may be defined after the function. What cannot be resolved then is a `CodecError`.
    *compiled* is where the codec keeps the plans that it made from the types. Without *fn* any call fits: positional arguments
    are bound under ``*args``, until `spread` binds them to the parameters of a function.
    """

    __slots__ = ("_fn", "_hints", "_least", "_movable", "_names", "_plain", "_scope", "_sig", "arity", "compiled", "injected", "where")

    def __init__(
        self,
        fn: Callable[..., Any] | None,
        where: str,
        scope: Mapping[str, Any] | None = None,
        injected: frozenset[str] = frozenset(),
    ) -> None:
        self._fn = fn
        self.where: str = where
        self.injected: frozenset[str] = injected
        self.compiled: Any = None
        try:
            self._sig: inspect.Signature | None = None if fn is None else inspect.signature(fn)
        except (TypeError, ValueError):  # some builtins have none: then arguments are bound by position
            self._sig = None
        parameters = [] if self._sig is None else list(self._sig.parameters.values())
        # The common call passes every argument by position: then binding is a zip.
        self._names = tuple(p.name for p in parameters if p.kind in _POSITIONAL and p.name not in injected)
        self._plain = self._sig is not None and all(
            p.kind in _POSITIONAL or p.name in injected or p.default is not inspect.Parameter.empty for p in parameters
        )
        self._least = sum(1 for p in parameters if p.name in self._names and p.default is inspect.Parameter.empty)
        self._movable = tuple(p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and p.name not in injected)
        # How many positional arguments make a complete call that needs no further check; -1: none does.
        self.arity: int = len(self._names) if self._plain else -1
        self._scope = scope or {}
        self._hints = self._resolve()

    def bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """The arguments by parameter name; ``*args`` under ``*name``, extra keywords under their own names.

        Raises `InvalidDefinition` if the call does not fit the signature, or passes an injected parameter.
        """
        if not kwargs and self._plain and len(args) == len(self._names):
            return dict(zip(self._names, args))  # noqa: B905 - the lengths were compared
        if self._sig is None:
            return {"*args": args, **kwargs}
        if taken := self.injected.intersection(kwargs):
            raise InvalidDefinition(f"{self.where}: {', '.join(sorted(taken))} is injected, and cannot be passed at a call")
        try:
            bound = self._sig.bind_partial(*args, **kwargs) if self.injected else self._sig.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidDefinition(f"{self.where}: {error}") from None
        if self.injected.intersection(bound.arguments):
            raise InvalidDefinition(f"{self.where}: an injected parameter cannot be passed at a call, nor by position")
        self._check_complete(bound)  # also without injected ones: 3.13.0 lets ``f(a=1)`` pass for ``def f(a, /, **more)``
        values: dict[str, object] = {}
        for name, value in bound.arguments.items():
            kind = self._sig.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                values["*" + name] = value
            elif kind is inspect.Parameter.VAR_KEYWORD:
                values.update(sorted(value.items()))
            else:
                values[name] = value
        return values

    def arrange(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The same call with keywords moved into positions where they can be: equal calls have equal arguments.

        Raises `InvalidDefinition` if the call does not fit the signature, or passes an injected parameter.
        """
        if kwargs:
            names, moved, kwargs = self._names, list(args), dict(kwargs)
            while len(moved) < len(names) and names[len(moved)] in kwargs and names[len(moved)] in self._movable:
                moved.append(kwargs.pop(names[len(moved)]))
            args = tuple(moved)
        if kwargs or not self._plain or not self._least <= len(args) <= len(self._names):
            self.bind(args, kwargs)
        return args, kwargs

    def call(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments from `bind`'s mapping; unknown names go to ``**kwargs``."""
        if self._plain and len(values) == len(self._names) and tuple(values) == self._names:
            return tuple(values.values()), {}
        if self._sig is None:
            rest = dict(values)
            return tuple(rest.pop("*args", ())), rest
        args: list[Any] = []
        kwargs = dict(values)
        positional = True
        for parameter in self._sig.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(kwargs.pop("*" + parameter.name, ()))
                positional = False
            elif parameter.kind in _POSITIONAL and positional:
                if parameter.name in kwargs:
                    args.append(kwargs.pop(parameter.name))
                else:
                    positional = False
        return tuple(args), kwargs

    def spread(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """*values*, bound where the function was known by name only, under the names of its parameters."""
        if "*args" not in values or self._sig is None:
            return values
        rest = dict(values)
        given = list(rest.pop("*args"))
        named = dict(zip(self._names, given, strict=False))
        if over := given[len(named) :]:
            kinds = self._sig.parameters.values()
            name = next((p.name for p in kinds if p.kind is inspect.Parameter.VAR_POSITIONAL), "args")
            named["*" + name] = over
        return {**named, **rest}

    def check_spread(self, values: Mapping[str, Any]) -> None:
        """Raises `InvalidDefinition` if *values*, bound where the function was known by name only, are not all taken by it."""
        if "*args" not in values or self._sig is None:
            return
        given = values["*args"]
        kinds = {p.kind for p in self._sig.parameters.values()}
        if len(given) > len(self._names) and inspect.Parameter.VAR_POSITIONAL not in kinds:
            raise InvalidDefinition(f"{self.where} takes {len(self._names)} positional arguments, and was given {len(given)}")
        if twice := [name for name in self._names[: len(given)] if name in values]:
            raise InvalidDefinition(f"{self.where} was given {twice[0]!r} by position and by name")
        over = [name for name in values if name != "*args" and name not in self._sig.parameters]
        if over and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise InvalidDefinition(f"{self.where} takes no {over[0]!r}; its parameters are {', '.join(self._sig.parameters) or 'none'}")
        needed = (p for p in self._sig.parameters.values() if p.default is p.empty and p.kind not in _VARIADIC)
        if lacking := [p.name for p in needed if p.name not in values and p.name not in self._names[: len(given)]]:
            raise InvalidDefinition(
                f"{self.where} needs {', '.join(map(repr, lacking))}, and was not given {'it' if len(lacking) == 1 else 'them'}"
            )

    def parameter(self, name: str) -> Any:
        """The declared type of the parameter that `bind` calls *name*; ``Any`` if it has none."""
        hints = self._types()
        if name.startswith("*"):
            return hints.get(name[1:], Any)
        if self._sig is not None and name not in self._sig.parameters:
            for parameter in self._sig.parameters.values():
                if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                    return hints.get(parameter.name, Any)
        return hints.get(name, Any)

    @property
    def parameters(self) -> tuple[str, ...]:
        return () if self._sig is None else tuple(self._sig.parameters)

    @property
    def takes_any_keyword(self) -> bool:
        return self._sig is None or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self._sig.parameters.values())

    @property
    def returns(self) -> Any:
        """The declared return type as written (a workflow's is its ``Flow[R]``); ``Any`` if none is."""
        return self._types().get("return", Any)

    def hints_if_known(self) -> Mapping[str, Any]:
        """The types by name, or nothing while some of them cannot be resolved."""
        return self._hints or {}

    def _check_complete(self, bound: inspect.BoundArguments) -> None:
        assert self._sig is not None
        for name, parameter in self._sig.parameters.items():
            if (
                name not in bound.arguments
                and name not in self.injected
                and parameter.default is inspect.Parameter.empty
                and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            ):
                raise InvalidDefinition(f"{self.where}: missing a required argument: {name!r}")

    def _types(self) -> dict[str, Any]:
        if self._hints is None:
            self._hints = self._resolve()
        if self._hints is None:
            raise CodecError(self.where, "annotations", self._unresolved(), "a name in the annotations cannot be resolved at run time")
        return self._hints

    def _resolve(self) -> dict[str, Any] | None:
        if self._fn is None:
            return {}
        try:
            return self._hints_of()
        except NameError:
            return None
        except (TypeError, AttributeError):  # a callable object without annotations of its own
            return {}

    def _hints_of(self) -> dict[str, Any]:
        # A mapping of its own each time: where locals and globals are one, typing keeps what a name meant in another module.
        assert self._fn is not None
        return typing.get_type_hints(annotated(self._fn), localns=dict(self._scope), include_extras=True)

    def _unresolved(self) -> str:
        try:
            self._hints_of()
        except NameError as error:
            return str(error)
        return "?"
