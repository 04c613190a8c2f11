"""Signals that were set aside, and events whose handler failed: listed, redelivered, dropped."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime

from redrive import DeadLetter, SetAsideSignal
from redrive.cli.cli_errors import DONE, CommandError
from redrive.cli.client import client_for
from redrive.cli.colors import Colors, colors_for, visible
from redrive.cli.formatting import brief, plain, when
from redrive.counting import counted

Add = Callable[..., argparse.ArgumentParser]


def add_aside(add: Add) -> None:
    """*add* makes the parser of a command that asks a store."""
    listed = add("set-aside", "the signals that executions could not read", set_aside)
    listed.add_argument("id", nargs="?", help="of this execution (default: of all)")
    listed.add_argument("--limit", type=int, default=50)

    redelivers = add("redeliver", "send an execution signals again that were set aside", redeliver, json=False)
    _chooses(redelivers, "id", "ID", "all that it has aside")
    drops = add("drop", "forget signals that were set aside", drop, json=False)
    _chooses(drops, "id", "ID", "all that it has aside")

    letters = add("dead-letters", "the events that a handler gave up", dead_letters)
    letters.add_argument("handler", nargs="?", help="of this handler (default: of all)")
    letters.add_argument("--retrying", action="store_true", help="also those that are to be tried again")
    letters.add_argument("--limit", type=int, default=50)

    again = add("redeliver-events", "have a handler called again with events that it gave up", redeliver_events, json=False)
    _chooses(again, "handler", "HANDLER", "all that are dead")
    forgets = add("drop-events", "forget events that a handler gave up, or still tries", drop_events, json=False)
    _chooses(forgets, "handler", "HANDLER", "all that are dead")


def _chooses(parser: argparse.ArgumentParser, name: str, shown: str, all: str) -> None:
    parser.add_argument(name, metavar=shown)
    parser.add_argument("seqs", metavar="SEQ", nargs="*", help="the numbers that the list shows")
    parser.add_argument("--all", action="store_true", help=all)


async def set_aside(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        if given.id is not None:
            await client.snapshot(given.id)
        found = await client.service.operator.set_aside(given.id, limit=given.limit)
        if given.json:
            for one in found:
                print(json.dumps(plain(one)))
        elif found:
            now, colors = await client.store.now(), colors_for(sys.stdout)
            for one in found:
                print("\n".join(signal_lines(one, now, colors)))
        else:
            print("nothing was set aside", file=sys.stderr)
    return DONE


async def redeliver(given: argparse.Namespace) -> int:
    seqs = _seqs(given)
    async with client_for(given) as client:
        await client.snapshot(given.id)
        _say(given, seqs, await client.service.operator.redeliver(given.id, *seqs), "sent again")
    return DONE


async def drop(given: argparse.Namespace) -> int:
    seqs = _seqs(given)
    async with client_for(given) as client:
        await client.snapshot(given.id)
        _say(given, seqs, await client.service.operator.drop(given.id, *seqs), "dropped")
    return DONE


async def dead_letters(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        found = await client.service.operator.dead_letters(given.handler, retrying=given.retrying, limit=given.limit)
        if given.json:
            for one in found:
                print(json.dumps(plain(one)))
        elif found:
            now, colors = await client.store.now(), colors_for(sys.stdout)
            for one in found:
                print("\n".join(_letter_lines(one, now, colors)))
        else:
            print("no dead letters" + (" like that" if given.handler else ""), file=sys.stderr)
    return DONE


async def redeliver_events(given: argparse.Namespace) -> int:
    seqs = _seqs(given)
    async with client_for(given) as client:
        _say(given, seqs, await client.service.operator.redeliver_events(given.handler, *seqs), "to be handled again")
    return DONE


async def drop_events(given: argparse.Namespace) -> int:
    seqs = _seqs(given)
    async with client_for(given) as client:
        _say(given, seqs, await client.service.operator.drop_events(given.handler, *seqs), "dropped")
    return DONE


def signal_lines(one: SetAsideSignal, now: datetime, colors: Colors) -> list[str]:
    head = f"{one.seq}  {colors('bold', visible(one.name))} for {visible(one.execution)}, sent {when(one.sent_at, now)}"
    return [head, f"    {visible(brief(one.payload))}", f"    {colors('red', visible(one.error))}"]


def _letter_lines(one: DeadLetter, now: datetime, colors: Colors) -> list[str]:
    name, event, execution = visible(one.handler), colors("bold", visible(one.event)), visible(one.execution)
    lines = [f"{one.seq}  {name}: {event} of {execution}, emitted {when(one.at, now)}", f"    {visible(brief(one.payload))}"]
    if not one.attempts:
        return [*lines, "    waits for its handler, or behind an older one of its execution"]
    again = "dead" if one.dead else "due at once" if one.due is None else f"due {when(one.due, now)}"
    error = one.error.split("\n", 1)[0]
    return [*lines, f"    {counted(one.attempts, 'attempt')}, {again}: {colors('red', visible(error))}"]


def _seqs(given: argparse.Namespace) -> Sequence[int]:
    if bool(given.seqs) == given.all:
        raise CommandError("which ones?", "name their numbers, or say --all")
    try:
        return [int(seq) for seq in given.seqs]
    except ValueError:
        raise CommandError(f"numbers are meant, not {' '.join(given.seqs)}") from None


def _say(given: argparse.Namespace, seqs: Sequence[int], found: int, done: str) -> None:
    print(f"{found} {done}")
    if found < len(seqs):
        raise CommandError(f"{len(seqs) - found} of them are not there (any more)")
