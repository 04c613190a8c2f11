"""`redrive stuck` and `redrive purge`: what needs somebody, and what is to be forgotten."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import attrs

from redrive import InvalidDefinition
from redrive.cli.cli_errors import DONE, CommandError
from redrive.cli.client import Client, client_for
from redrive.cli.colors import Colors, colors_for, visible
from redrive.cli.finding_verbs import add_filter, filter_of
from redrive.cli.formatting import plain, span
from redrive.cli.gating import Line

if TYPE_CHECKING:
    from redrive import Purged, Stuck

Add = Callable[..., argparse.ArgumentParser]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COMMANDS = {"retry_rollback": "retry-rollback", "retry_now": "retry-now", "skip_step": "skip-step", "force_fail": "force-fail"}


def add_stuck(add: Add) -> None:
    """*add* makes the parser of a command that asks a store."""
    finds = add("stuck", "the executions that need somebody: why, since when, and what helps", stuck)
    finds.add_argument("--workflow", metavar="NAME")
    finds.add_argument("--attempts", metavar="N", type=int, default=5, help="a step that failed more often (default: 5)")
    finds.add_argument("--retrying-for", metavar="AGE", type=age, default=timedelta(hours=1), help="or is tried again for so long (1h)")
    finds.add_argument("--overdue", metavar="AGE", type=age, default=timedelta(minutes=1), help="due longer ago (1m)")
    finds.add_argument("--silent", metavar="AGE", type=age, default=timedelta(hours=1), help="running, without a new row for so long (1h)")
    finds.add_argument("--limit", type=int, default=100)

    purges = add("purge", "forget an execution that has ended, or all that ended longer ago", purge)
    purges.add_argument("id", nargs="?")
    purges.add_argument("--older-than", metavar="AGE", type=age, help="all that ended longer ago: 90d, 12h, 30m")
    add_filter(purges)
    purges.add_argument("--reason", default="", help="kept in the audit")
    purges.add_argument("--by", default="", help="who you are, for the audit")
    purges.add_argument("--dry-run", action="store_true", help="count only")
    purges.add_argument("--yes", action="store_true", help="do not ask")


def age(text: str) -> timedelta:
    """``90d`` as a timedelta."""
    unit = _UNITS.get(text[-1:])
    try:
        return timedelta(**{unit: float(text[:-1])}) if unit else timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write 90d, 12h, 30m or seconds") from None


async def stuck(given: argparse.Namespace) -> int:
    limits = {"attempts": given.attempts, "retrying_for": given.retrying_for, "overdue": given.overdue, "silent": given.silent}
    async with client_for(given) as client:
        found = await client.service.operator.stuck(workflow=given.workflow, limit=given.limit, **limits)
        now = await client.store.now()
    if given.json:
        for one in found:
            print(json.dumps(plain(one)))
    elif found:
        print("\n".join(page(found, now, colors_for(sys.stdout))))
    else:
        print("nothing is stuck", file=sys.stderr)
    return DONE


def page(found: Sequence[Stuck], now: datetime, colors: Colors) -> list[str]:
    lines: list[str] = []
    for one in found:
        head = f"{colors('bold', visible(one.id))}  {visible(one.workflow)}  {colors('red', one.reason.replace('_', ' '))}"
        lines.append(f"{head}  for {span(max(now - one.since, timedelta(0)))}")
        lines.append(f"    {visible(one.detail)}")
        lines.append(f"    {colors('dim', visible(one.suggestion))}")
        if one.verb:
            id = "" if one.verb == "worker" else f" {one.id}"
            lines.append(f"    redrive {_COMMANDS.get(one.verb, one.verb)}{visible(id)}")
    return lines


async def purge(given: argparse.Namespace) -> int:
    filter = filter_of(given)
    if (given.id is not None) == (given.older_than is not None or not filter.is_empty):
        raise CommandError("what is to be forgotten?", "name one execution, or say --older-than 90d, --status failed and the like")
    async with client_for(given) as client:
        if given.id is not None:
            await client.snapshot(given.id)
        given.where = None
        if not filter.is_empty:
            given.where = filter
            if given.older_than is not None:
                before = await client.store.now() - given.older_than
                given.where = attrs.evolve(filter, ended_before=min(before, filter.ended_before or before))
                given.older_than = None
        total = await _purged(client, given, dry_run=True)
        if not given.dry_run:
            if not given.yes:
                _confirm(total)
            total = await _purged(client, given, dry_run=False, total=total.executions + total.runs)
    print(json.dumps(plain(total)) if given.json else str(total))
    return DONE


async def _purged(client: Client, given: argparse.Namespace, *, dry_run: bool, total: int = 0) -> Purged:
    line, last = Line(sys.stderr), None
    try:
        steps = client.service.operator.purge_in_steps(
            given.id, older_than=given.older_than, where=given.where, reason=given.reason, by=given.by, dry_run=dry_run
        )
        async for found in steps:
            last = found
            if total:
                done = found.executions + found.runs
                line.show(partial(_bar, done, total))
    except InvalidDefinition as wrong:
        raise CommandError(str(wrong)) from None
    line.clear()
    assert last is not None
    return last


def _bar(done: int, total: int) -> str:
    return f"[{'#' * min(24, round(24 * done / total)):<24}] {done:,} of {total:,} forgotten"


def _confirm(total: Purged) -> None:
    """Ask, where somebody can answer. Raises `CommandError` where nobody can, or who does says no."""
    if not sys.stdin.isatty():
        raise CommandError(f"it {total}", "say --yes to do it without being asked")
    if input(f"{total}. Forget them for good? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was forgotten")
