"""The commands: each asks a client, prints the answer, and gives back the exit code."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from redrive import AsyncDurableService
from redrive.attendance import unattended, workers_of
from redrive.cli import tables
from redrive.cli.apps import load_app
from redrive.cli.arguments import parse_input, parse_json
from redrive.cli.cli_errors import DONE, FAILED, LATE, CommandError, did_you_mean
from redrive.cli.client import client_for
from redrive.cli.colors import colors_for
from redrive.cli.execution_pages import View, told_of_a_cancel
from redrive.cli.formatting import plain, snapshot_object
from redrive.cli.location import location_of
from redrive.cli.serve import serve
from redrive.histories import named, redact
from redrive.ports.store import FINAL
from redrive.status import COMPLETED
from redrive.timeline import timeline
from redrive_interpreter import load_row


async def demo(given: argparse.Namespace) -> int:
    from redrive.cli.demo.scenario import Demo

    colors = colors_for(sys.stdout)
    if given.dir is None:
        with tempfile.TemporaryDirectory(prefix="redrive-demo-") as temporary:
            return await Demo(Path(temporary), colors).show()
    directory = Path(given.dir)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise CommandError(f"{directory} is not empty", "the demo begins with a new database: name a new directory")
    return await Demo(directory.resolve(), colors).show()


async def worker(given: argparse.Namespace) -> int:
    name = given.app or given.app_option
    if name is None:
        raise CommandError("which service?", "redrive worker module:service")
    service = load_app(name)
    if given.queues is not None:
        serve_only(service, given.queues)
    return await serve(service, given.log_level)


def serve_only(service: AsyncDurableService, names: str) -> None:
    """Have the worker of *service* admit from these queues only: their names, separated by commas."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in service.serves]
    if unknown:
        raise CommandError(f"this service has no queue {unknown[0]!r}", did_you_mean(unknown[0], service.serves))
    service.serves = {name: service.serves[name] for name in wanted}


async def start(given: argparse.Namespace) -> int:
    arguments = parse_input(given.input, given.pairs)
    async with client_for(given, create=given.create) as client:
        invocation = client.invocation(given.workflow, arguments)
        execution = await client.service.start(invocation, id=given.id, timeout=given.timeout)
        print(execution.id)
    return DONE


async def show(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        snapshot = await client.snapshot(given.id)
        rows = await client.rows(given.id)
        line = timeline(rows)
        aside = await client.service.operator.set_aside(given.id)
        places, why_not = ([], "") if snapshot.status in FINAL else location_of(client, snapshot, rows)
        now = await client.store.now()
        nobody = unattended(snapshot, await workers_of(client.store), now)
        if given.json:
            print(
                json.dumps(
                    {
                        **snapshot_object(snapshot, client.origin(snapshot.id)),
                        "unattended": nobody or None,
                        "stands_at": places,
                        "problem": why_not,
                        "set_aside": [plain(one) for one in aside],
                        "timeline": [plain(entry) for entry in line.entries],
                    }
                )
            )
        else:
            width = shutil.get_terminal_size().columns
            _print(
                View(colors_for(sys.stdout), now, width).execution(snapshot, line, places, why_not, nobody, aside, client.origin(given.id))
            )
    return DONE


async def history(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        await client.snapshot(given.id)
        stored = await client.history(given.id, given.run)
        if given.redact:
            stored = redact(stored, named([field.strip() for fields in given.redact for field in fields.split(",")]))
        if given.json:
            _print(json.dumps(row) for row in stored)
        else:
            rows = [(load_row(row), row) for row in stored]
            _print(tables.history(rows, colors_for(sys.stdout)))
    return DONE


async def result(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        await client.snapshot(given.id)
        try:
            await client.service.execution(given.id).result(timeout=given.timeout)
        except TimeoutError as late:
            raise CommandError(str(late) or f"{given.id!r} has not ended", f"redrive show {given.id}", LATE) from None
        snapshot = await client.snapshot(given.id)
        outcome = client.origin(given.id).object(snapshot.outcome or "{}", "outcome")
        if snapshot.status != COMPLETED:  # a failure raised above; a cancelled one with a value did not
            raise CommandError(f"execution {given.id!r} ended {snapshot.status}", f"redrive show {given.id}", FAILED)
        print(json.dumps(outcome.get("ok"), ensure_ascii=not sys.stdout.isatty()))
    return DONE


async def signal(given: argparse.Namespace) -> int:
    payload = None if given.payload is None else parse_json(given.payload, "the payload")
    async with client_for(given) as client:
        await client.signal(await client.snapshot(given.id), given.name, payload, given.key)
    return DONE


async def cancel(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        snapshot = await client.snapshot(given.id)
        if snapshot.status in FINAL:
            raise CommandError(f"execution {given.id!r} has ended: it is {snapshot.status}")
        await client.service.execution(given.id).cancel(given.reason)
        now = await client.snapshot(given.id)
        print(told_of_a_cancel(snapshot, now, given.reason))
    return DONE


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
