"""The code that histories are replayed on: ``module:name`` of a service, of a workflow, or of a list of workflows."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

import attrs

from redrive.blocking import DurableService
from redrive.codec import JsonCodec
from redrive.service import AsyncDurableService
from redrive_interpreter import Workflow


@attrs.frozen
class App:
    """Workflows by name, and the codec that reads what they stored."""

    workflows: Mapping[str, Workflow[..., Any]]
    codec: JsonCodec


def load_app(names: Sequence[str]) -> App:
    """The workflows of all *names*; the codec is that of the first service. Raises ValueError for a name of something else."""
    workflows: dict[str, Workflow[..., Any]] = {}
    codec: JsonCodec | None = None
    for name in names:
        found = _found(name)
        if isinstance(found, DurableService):
            found = found.aio
        if isinstance(found, AsyncDurableService):
            workflows |= found.workflows
            codec = codec or found.codec
            continue
        workflows |= {workflow.name: workflow for workflow in _listed(name, found)}
    return App(workflows, codec or JsonCodec())


def _listed(name: str, found: Any) -> list[Workflow[..., Any]]:
    listed: list[Any] = list(found) if hasattr(found, "__iter__") and not isinstance(found, Workflow) else [found]
    for workflow in listed:
        if not isinstance(workflow, Workflow):
            raise ValueError(f"{name!r} is a {type(workflow).__name__}: neither a service, nor a workflow, nor a list of workflows")
    return listed


def _found(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise ValueError(f"{name!r} does not name a service or a workflow: write module:name, like shop.orders:service")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"module {module!r} has no {attribute!r}")
        found = getattr(found, part)
    return found() if isinstance(found, FunctionType) else found
