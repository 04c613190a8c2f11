"""`find`, `list`, `count` and `tree`: executions by the words of `redrive.Filter`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import attrs

from redrive.attendance import unattended, workers_of
from redrive.cli import tables
from redrive.cli.cli_errors import DONE, CommandError, did_you_mean
from redrive.cli.client import Client, client_for
from redrive.cli.colors import colors_for, visible
from redrive.cli.formatting import snapshot_object, span
from redrive.codec.searchable import guesses
from redrive.filters import stored_filter
from redrive.finders import By, catch_up
from redrive.ports.finding import Count, StoredCondition, StoredFilter
from redrive.ports.store import ExecutionStatus
from redrive_interpreter.errors import RedriveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redrive.ports.store import Snapshot

_OPERATORS: Final = (">=", "<=", "^=", "=")
_TIMES: Final = ("created_after", "created_before", "ended_after", "ended_before")
_TEXTS: Final = ("workflow", "id_prefix", "parent", "root", "queue", "partition", "build", "waiting_on", "error_type")
_SHOWN: Final = 12
"""The columns of a terminal that a narrow column of a table keeps."""


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Add the words of `redrive.Filter` to a command."""
    parser.add_argument("--workflow", metavar="NAME")
    parser.add_argument("--status", action="append", default=[], metavar="STATUS", help="several are alternatives")
    parser.add_argument("--id-prefix", metavar="TEXT")
    parser.add_argument("--parent", metavar="ID", help="started by this execution")
    parser.add_argument("--root", metavar="ID", help="of the family of this execution, itself included")
    parser.add_argument("--queue", metavar="NAME")
    parser.add_argument("--partition", metavar="NAME")
    parser.add_argument("--build", metavar="BUILD")
    parser.add_argument("--waiting-on", metavar="NAME", help="a signal, a step, a child's workflow, or `timer`")
    parser.add_argument(
        "--attribute",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="also with >=, <= and ^= (begins with); all must hold",
    )
    for name in _TIMES:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="TIME", help="ISO 8601, in UTC unless it says otherwise")
    parser.add_argument("--error-type", metavar="CLASS", help="the class of the error that it ended with")


def filter_of(given: argparse.Namespace) -> StoredFilter:
    """The filter that the words of a command say. Raises `CommandError`."""
    words: dict[str, Any] = {name: getattr(given, name) for name in _TEXTS if getattr(given, name) is not None}
    statuses = get_args(ExecutionStatus)
    for status in given.status:
        if status not in statuses:
            raise CommandError(f"there is no status {status!r}", did_you_mean(status, statuses))
    if given.status:
        words["status"] = given.status
    words |= {name: _time(getattr(given, name), name) for name in _TIMES if getattr(given, name) is not None}
    try:
        filter = stored_filter(words)
    except RedriveError as error:
        raise CommandError(str(error)) from None
    return attrs.evolve(filter, conditions=tuple(map(_condition, given.attribute)))


def add_finding(client: Callable[..., argparse.ArgumentParser]) -> None:
    find = client("find", "executions that fit, newest first", listing)
    add_filter(find)
    find.add_argument("--limit", type=int, default=50)
    find.add_argument("--cursor", help="where the page before ended")

    every = client("list", "the newest executions", listing)
    add_filter(every)
    every.add_argument("--limit", type=int, default=50)
    every.add_argument("--cursor", help="where the page before ended")

    count = client("count", "how many executions fit; 10,000 at most are counted for each number", counting)
    add_filter(count)
    count.add_argument("--by", metavar="WHAT", help=f"status, {', '.join(get_args(By))}, or attribute:NAME")

    tree = client("tree", "an execution and its children, to a depth", family)
    tree.add_argument("id")
    tree.add_argument("--depth", type=int, default=10)


# ── the verbs ───────────────────────────────────────────────────────────────────────────────────
async def listing(given: argparse.Namespace) -> int:
    filter = filter_of(given)
    if given.limit < 1:
        raise CommandError(f"--limit {given.limit} leaves nothing to list")
    async with client_for(given) as client:
        await _catch_up(client, filter)
        found, cursor = await _page(client, filter, given.cursor, given.limit)
        workers, now = await workers_of(client.store), await client.store.now()
        if given.json:
            for one in found:
                print(json.dumps({**snapshot_object(one, client.origin(one.id)), "unattended": unattended(one, workers, now) or None}))
            if cursor is not None:
                print(json.dumps({"cursor": cursor}))
            return DONE
        if found:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            print("\n".join(tables.listing(found, colors_for(sys.stdout), now, workers, width)))
        else:
            print("no executions" + (" like that" if filter != StoredFilter() else ""), file=sys.stderr)
        if cursor is not None:
            every = (await client.store.count(filter))[""]
            print(f"{every} in all; the next ones: --cursor {cursor}", file=sys.stderr)
    return DONE


async def counting(given: argparse.Namespace) -> int:
    filter, by = filter_of(given), given.by
    known = ("status", *get_args(By))
    if by is not None and by not in known and not by.startswith("attribute:"):
        raise CommandError(f"--by {by}: there is no such thing to count by", did_you_mean(by, known))
    async with client_for(given) as client:
        await _catch_up(client, filter, waits=by == "waiting_on")
        counts = await client.store.count(filter, by)
    if by is None:
        every = counts[""]
        print(json.dumps(_object(every)) if given.json else every)
        return DONE
    shown = {_group(text, by): count for text, count in counts.items() if not text.startswith("#") or not by.startswith("attribute:")}
    if given.json:
        print(json.dumps({str(group): _object(count) for group, count in shown.items()}))
    elif shown:
        _print_counts(shown)
    else:
        print("no executions" + (" like that" if filter != StoredFilter() else ""), file=sys.stderr)
    return DONE


async def family(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        await client.snapshot(given.id)
        node = await client.service.tree(given.id, depth=given.depth)
        if given.json:
            print(json.dumps(_node(node)))
            return DONE
        now = await client.store.now()
        for depth, one in node.walk():
            waits = f", waits for {visible(', '.join(one.waiting_on))}" if one.waiting_on else ""
            error = f", {visible(one.error_type)}" if one.error_type else ""
            more = ", with children that are not shown" if one.more else ""
            age = f"{span(now - one.created_at)} ago"
            print(f"{'  ' * depth}{visible(one.id)}  {visible(one.workflow)}  {one.status}{waits}{error}, started {age}{more}")
    return DONE


async def _page(client: Client, filter: StoredFilter, cursor: str | None, limit: int) -> tuple[list[Snapshot], str | None]:
    """As many as *limit*, from as many of the store's pages as that takes."""
    found: list[Snapshot] = []
    while True:
        page = await client.store.find(filter, after=cursor, limit=limit - len(found))
        found += page.executions
        cursor = page.cursor
        if cursor is None or len(found) >= limit:
            return found, cursor


async def _catch_up(client: Client, filter: StoredFilter, *, waits: bool = False) -> None:
    await catch_up(client.service, (), waits=waits or filter.waiting_on is not None)


# ── words ───────────────────────────────────────────────────────────────────────────────────────
def _condition(word: str) -> StoredCondition:
    operator = min((found for found in _OPERATORS if found in word), key=lambda found: (word.index(found), -len(found)), default=None)
    name, value = word.split(operator, 1) if operator is not None else ("", "")
    if operator is None or not name:
        raise CommandError(f"--attribute {word}: it says no condition", "write name=value, name>=value, name<=value or name^=prefix")
    texts = guesses(value)
    if operator == "=":
        return StoredCondition(name, (texts,))
    if operator == "^=":
        (low, *_) = texts
        return StoredCondition(name, low=low, below=low + "\U0010ffff")
    ordered = [text for text in texts if text[0] in "ndtl"] or [text for text in texts if text[0] == "s"]
    if not ordered:
        raise CommandError(f"--attribute {word}: {value!r} has no order")
    text = ordered[0]
    return (
        StoredCondition(name, low=text, below=chr(ord(text[0]) + 1))
        if operator == ">="
        else StoredCondition(name, low=text[0], below=text + "\1")
    )


def _time(word: str, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        raise CommandError(f"--{name.replace('_', '-')} {word}: that is no time", "write 2026-11-28, or 2026-11-28T13:00+01:00") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _group(text: str, by: str) -> object:
    if not by.startswith("attribute:"):
        return text
    from redrive.codec.searchable import value_of

    return value_of(text)


def _object(count: Count) -> dict[str, Any]:
    return {"n": count.n, "more": count.more}


def _print_counts(counts: Mapping[object, Count]) -> None:
    names = {visible(str(group)): count for group, count in counts.items()}
    width = max(map(len, names))
    for name, count in sorted(names.items(), key=lambda pair: (-pair[1].n, pair[0])):
        print(f"{name.ljust(width)}  {count!s:>9}")


def _node(node: Any) -> dict[str, Any]:
    return {
        "id": node.id,
        "workflow": node.workflow,
        "status": node.status,
        "waiting_on": list(node.waiting_on),
        "created_at": node.created_at.isoformat(),
        "ended_at": None if node.ended_at is None else node.ended_at.isoformat(),
        "error_type": node.error_type,
        "more": node.more,
        "children": [_node(child) for child in node.children],
    }
