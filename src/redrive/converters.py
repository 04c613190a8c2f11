"""Which codec belongs to a workflow: that of the service that runs it, so that tests store values as the app does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from redrive.codec import JsonCodec
from redrive_interpreter.errors import InvalidDefinition

if TYPE_CHECKING:
    from redrive.codec.hooks import Converting
    from redrive.service import AsyncDurableService
    from redrive_interpreter.commands.workflows import Workflow

_services: Final[WeakSet[AsyncDurableService]] = WeakSet()
_lock: Final = threading.Lock()


def remember(service: AsyncDurableService) -> None:
    """Note *service*, which has a converter, for as long as it lives."""
    with _lock:
        _services.add(service)


def codec_for(workflow: Workflow[..., Any], converter: Converting | None) -> JsonCodec:
    """A codec with *converter*, else the codec of the service with a converter that runs *workflow*, else one without.

    Raises `InvalidDefinition` if several services run it with different ones.
    """
    if converter is not None:
        return JsonCodec(converter=converter)
    with _lock:  # workflows are equal by name; of those that other tests made under this name nothing is wanted
        services = [service for service in _services if service.workflows.get(workflow.name) is workflow]
    if len({id(service.codec.converter) for service in services}) > 1:
        raise InvalidDefinition(f"services with different converters have workflow {workflow.name!r}: say which, converter=")
    return services[0].codec if services else JsonCodec()
