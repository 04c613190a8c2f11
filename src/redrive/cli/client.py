"""The client of the command line: a service that reads and sends, and runs nothing."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs

from redrive import AsyncDurableService, CodecError, DefinitionError, Invocation, RedriveError, Workflow
from redrive.cli.apps import load_app, refuse_typo
from redrive.cli.arguments import Arguments
from redrive.cli.cli_errors import CommandError, did_you_mean
from redrive.cli.logs import start_logging
from redrive.codec import JsonCodec
from redrive.codec.models import validating
from redrive.ports.asking import OnlyAsks
from redrive.ports.store import Snapshot, Store
from redrive.stored import Origin
from redrive_interpreter import ExecutionNotFound, Row, Source, WaitSignal, replay
from redrive_interpreter.commands.messages import declared_as


@attrs.frozen
class Client:
    """An open service, and *where* it looks: the words of ``--app`` or ``--store``."""

    service: AsyncDurableService
    where: str

    @property
    def store(self) -> Store:
        return self.service.store

    @property
    def codec(self) -> JsonCodec:
        return self.service.codec

    @property
    def workflows(self) -> Mapping[str, Workflow[..., Any]]:
        """The workflows by name; empty with ``--store``, without the code."""
        return self.service.workflows

    def invocation(self, name: str, arguments: Arguments) -> Invocation[Any]:
        """The call of workflow *name*, its arguments read as their declared types where the code is at hand."""
        workflow = self.workflows.get(name)
        if workflow is None:
            if self.workflows:
                raise CommandError(f"{self.where} has no workflow {name!r}", did_you_mean(name, self.workflows))
            return Workflow(name, returns=Any)(**arguments)
        takes = "" if workflow.fn is None else f"{name}{inspect.signature(workflow.fn)}"
        where = f"workflow {name}"
        try:
            with validating():
                typed = arguments.read(lambda key, value: self.codec.load(value, workflow.signature.parameter(key), where, key))
            return workflow(**typed)
        except (CodecError, DefinitionError) as error:
            raise CommandError(str(error), takes) from None

    async def snapshot(self, id: str) -> Snapshot:
        """The execution *id*. Raises `CommandError` for an unknown id, with similar ones."""
        snapshot = await self.store.read(id)
        if snapshot is None:
            known = [other.id for other in (await self.store.find(limit=1000)).executions]
            otherwise = "`redrive list` shows those that exist" if known else "the store has none at all"
            raise CommandError(f"there is no execution {id!r} in {self.where}", did_you_mean(id, known, otherwise))
        return snapshot

    async def history(self, id: str, run: int = -1) -> list[dict[str, Any]]:
        """The rows of a run as stored JSON objects."""
        try:
            return self.origin(id).objects(await self.store.history(id, run))
        except ExecutionNotFound:
            raise CommandError(f"execution {id!r} has no run {run}") from None

    async def rows(self, id: str) -> list[Row]:
        return self.origin(id).rows(await self.store.history(id))

    def origin(self, id: str) -> Origin:
        return Origin(id, self.service.store_name)

    async def signal(self, snapshot: Snapshot, name: str, payload: Any, key: str | None) -> None:
        """Send a signal; *payload* is read as the signal's type where that is known, else sent as JSON."""
        source = await self._source(snapshot, name)
        if source is None:
            await self.service.signal(snapshot.id, name, payload, key=key)
            return
        if source.type is None:
            if payload is not None:
                raise CommandError(f"signal {name!r} takes no payload")
            await self.service.signal(snapshot.id, source, key=key)
            return
        try:
            with validating():
                value: Any = self.codec.load(payload, source.type, f"signal {name}", "payload")
        except CodecError as error:
            raise CommandError(str(error)) from None
        await self.service.signal(snapshot.id, source, value, key=key)

    async def _source(self, snapshot: Snapshot, name: str) -> Any:
        """The signal as the workflow declares it, or as it waits for it now; None if neither is known here."""
        workflow = self.workflows.get(snapshot.workflow)
        if workflow is None or workflow.fn is None:
            return None
        if (declared := declared_as(name, workflow.signals or ())) is not None:
            return declared
        if workflow.signals is not None:
            names = [declared.name for declared in workflow.signals]
            raise CommandError(f"{workflow.name!r} takes no signal {name!r}", did_you_mean(name, names))
        return _waited_for(workflow, await self.rows(snapshot.id), self.codec, name)


@asynccontextmanager
async def client_for(given: argparse.Namespace, *, create: bool = False) -> AsyncGenerator[Client]:
    """The client of ``--app`` or ``--store`` (or their variables); *create*: the database may be made."""
    url = given.store or (None if given.app else os.environ.get("REDRIVE_STORE"))
    if url is None and given.app is None:
        raise CommandError("which store?", "say --app module:service, or --store sqlite:///orders.db")
    if url is not None:
        refuse_typo(url, create=create)
        start_logging(given.log_level)
        try:
            service = AsyncDurableService(url, worker=False)
        except ValueError as error:
            raise CommandError(str(error)) from None
    else:
        service = load_app(given.app)
        start_logging(given.log_level)
        service.drives = False
        if "://" in service.store_name:
            refuse_typo(service.store_name, create=create)
    if isinstance(service.store, OnlyAsks) and not create:
        service.store.only_ask()
    async with service:
        yield Client(service, service.store_name if url else given.app)


def _waited_for(workflow: Workflow[..., Any], rows: Sequence[Row], codec: JsonCodec, name: str) -> Source[Any] | None:
    try:
        machine = replay(workflow, rows, codec).machine
    except RedriveError:
        return None
    try:
        commands = [wait.command for wait in machine.pending.values()]
        return next((c.signal for c in commands if isinstance(c, WaitSignal) and c.signal.name == name), None)
    finally:
        machine.close()
