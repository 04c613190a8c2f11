"""Injection into step bodies by type: services from a `svcs.Registry`.

svcs is imported only where a registry was given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from redrive_interpreter.commands.signatures import Signature


class Resources:
    """Makes the injected arguments of one body, and closes what was made for it."""

    def __init__(self, registry: Any) -> None:
        if registry is not None and not hasattr(registry, "get_registered_service_for"):
            raise TypeError(f"resources= takes a svcs.Registry, not {type(registry).__name__}")
        self._registry = registry

    def container(self, names: frozenset[str], signature: Signature, where: str) -> tuple[Any, dict[str, Any]]:
        """A new container, and the types that *names* ask of it."""
        if self._registry is None:
            raise InvalidDefinition(f"{where} wants {', '.join(sorted(names))} injected, but the service has no resources=")
        import svcs

        return svcs.Container(self._registry), {name: signature.parameter(name) for name in sorted(names)}

    def call(self, body: Callable[..., Any], names: frozenset[str], signature: Signature, where: str) -> Callable[..., Any]:
        """*body* as a plain function that gets its services, and gives them back when it returns."""

        def called(*args: Any, **kwargs: Any) -> Any:
            container, types = self.container(names, signature, where)
            with container:
                return body(*args, **kwargs, **{name: container.get(type_) for name, type_ in types.items()})

        return called

    def acall(
        self, body: Callable[..., Awaitable[Any]], names: frozenset[str], signature: Signature, where: str
    ) -> Callable[..., Awaitable[Any]]:
        """The same for an async body."""

        async def called(*args: Any, **kwargs: Any) -> Any:
            container, types = self.container(names, signature, where)
            async with container:
                return await body(*args, **kwargs, **{name: await container.aget(type_) for name, type_ in types.items()})

        return called
