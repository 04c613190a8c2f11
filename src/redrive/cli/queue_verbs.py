"""`redrive queues`: what waits in which queue, and limits and pauses by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from redrive import Rate
from redrive.cli.cli_errors import DONE, CommandError, did_you_mean
from redrive.cli.client import Client, client_for
from redrive.cli.colors import Colors, colors_for, visible
from redrive.cli.formatting import plain, span
from redrive.service_queues import PartitionInfo, QueueInfo, QueueNotFound, standing
from redrive_interpreter.errors import DefinitionError

Add = Callable[..., argparse.ArgumentParser]
_ACTIONS: Final = ("show", "pause", "resume", "limit", "reset")
_LIMITS: Final = ("concurrency", "partition_concurrency", "rate", "partition_rate")


def add_queues(add: Add) -> None:
    """*add* makes the parser of a command that asks a store."""
    parser = add("queues", "what waits in which queue; show, pause, resume, limit or reset one", queues)
    parser.add_argument("action", nargs="?", choices=_ACTIONS, help="default: all queues are listed")
    parser.add_argument("name", metavar="QUEUE", nargs="?")
    parser.add_argument("reason", nargs="?", default="", help="of a pause")
    parser.add_argument("--concurrency", metavar="N", type=int, help="limit: so many at once")
    parser.add_argument("--partition-concurrency", metavar="N", type=int, help="limit: so many at once of each partition")
    parser.add_argument("--rate", metavar="N/SECONDS", help="limit: so many begin in each window, like 100/60")
    parser.add_argument("--partition-rate", metavar="N/SECONDS", help="limit: so many of each partition")
    parser.add_argument("--limit", type=int, default=50, help="show: so many partitions")


async def queues(given: argparse.Namespace) -> int:
    if given.action is None:
        return await _list(given)
    if given.name is None:
        raise CommandError("which queue?", f"redrive queues {given.action} QUEUE")
    limits = {name: getattr(given, name) for name in _LIMITS if getattr(given, name) is not None}
    if bool(limits) != (given.action == "limit"):
        hint = "what is left out is not limited; `redrive queues reset` goes back to the code's limits"
        raise CommandError("which limits?" if not limits else f"{given.action} takes no limits", hint)
    async with client_for(given) as client:
        try:
            await _do(given, client, {name: _rate(value) if "rate" in name else value for name, value in limits.items()})
        except QueueNotFound as error:
            raise CommandError(str(error), did_you_mean(given.name, [one.name for one in await client.service.queues.list()])) from None
        except DefinitionError as error:
            raise CommandError(str(error)) from None
    return DONE


async def _do(given: argparse.Namespace, client: Client, limits: dict[str, Any]) -> None:
    them = client.service.queues
    match given.action:
        case "show":
            await _show(given, client)
        case "pause":
            await them.pause(given.name, given.reason)
            print(f"{given.name} is paused: what has begun goes on, and nothing else begins")
        case "resume":
            await them.resume(given.name)
            print(f"{given.name} is not paused")
        case "limit":
            await them.limit(given.name, **limits)
            print(f"{given.name} has these limits until they are reset, whatever the code declares")
        case _:
            await them.reset(given.name)
            print(f"{given.name} has the limits that the code declares")


async def _list(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        found, now = await client.service.queues.list(), await client.store.now()
    if given.json:
        for one in found:
            print(json.dumps(_object(one)))
    elif found:
        print("\n".join(_table(found, now, colors_for(sys.stdout))))
    else:
        print("no queues", file=sys.stderr)
    return DONE


async def _show(given: argparse.Namespace, client: Client) -> None:
    found = [one for one in await client.service.queues.list() if one.name == given.name]
    if not found:
        raise QueueNotFound(given.name)
    partitions, now = await client.service.queues.partitions(given.name, limit=given.limit), await client.store.now()
    if given.json:
        print(json.dumps({**_object(found[0]), "partitions": [plain(one) for one in partitions]}))
    else:
        print("\n".join(_page(found[0], partitions, now, colors_for(sys.stdout))))
        if partitions.cursor is not None:
            print(f"  … and more: the first {given.limit} are shown")


def _object(one: QueueInfo) -> dict[str, Any]:
    rates = {"rate": one.rate, "partition_rate": one.partition_rate}
    return {
        **plain(one),
        **{name: rate and {"limit": rate.limit, "per": rate.per.total_seconds(), "spread": rate.spread} for name, rate in rates.items()},
    }


def _table(found: Sequence[QueueInfo], now: datetime, colors: Colors) -> list[str]:
    titles = ("queue", "waiting", "held", "oldest", "state")
    rows = [(visible(one.name), str(one.waiting), str(one.held), _since(one.oldest, now), visible(standing(one))) for one in found]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = [colors("dim", "  ".join(map(str.ljust, titles, widths)).rstrip())]
    return [*lines, *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)]


def _page(one: QueueInfo, partitions: Sequence[PartitionInfo], now: datetime, colors: Colors) -> list[str]:
    lines = [f"{colors('bold', visible(one.name))}  {visible(standing(one))}"]
    lines.append(f"  limits     {_limits(one)}" + ("  (by hand)" if one.overridden else ""))
    lines.append(f"  waiting    {one.waiting}" + (f", the first for {_since(one.oldest, now)}" if one.oldest else ""))
    lines.append(f"  held       {one.held}" + (f", {one.idle} of these parked" if one.idle else ""))
    lines.append(f"  served by  {one.served_by} worker{'' if one.served_by == 1 else 's'}")
    if one.begun is not None:
        lines.append(f"  begun      {one.begun} in the last minute")
    for part in partitions:
        name = visible(part.partition) or "(no partition)"
        lines.append(f"  {name}: {part.waiting} waiting, {part.held} held" + (f", {_since(part.oldest, now)}" if part.oldest else ""))
    return lines


def _limits(one: QueueInfo) -> str:
    told = [f"{one.concurrency} at once"] if one.concurrency is not None else []
    told += [f"{one.partition_concurrency} at once of a partition"] if one.partition_concurrency is not None else []
    told += [f"{one.rate.limit} in {one.rate.per.total_seconds():g} s"] if one.rate is not None else []
    told += [f"{one.partition_rate.limit} in {one.partition_rate.per.total_seconds():g} s of a partition"] if one.partition_rate else []
    return ", ".join(told) or "none"


def _since(oldest: datetime | None, now: datetime) -> str:
    return "" if oldest is None else span(now - oldest)


def _rate(text: str) -> Rate:
    limit, _, per = text.partition("/")
    try:
        return Rate(int(limit), per=float(per))
    except (ValueError, DefinitionError):
        raise CommandError(f"{text!r} is no rate", "write so many in so many seconds, like 100/60") from None
