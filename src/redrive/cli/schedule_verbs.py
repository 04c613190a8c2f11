"""`redrive schedules`: list, look at, pause, resume, trigger, backfill and remove the schedules of a store."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from redrive.cli.cli_errors import DONE, CommandError, did_you_mean
from redrive.cli.client import Client, client_for
from redrive.cli.colors import Colors, colors_for, visible
from redrive.cli.formatting import moment, plain, span, when
from redrive.counting import counted
from redrive.errors import ScheduleNotFound
from redrive.schedule_info import ScheduleInfo, SkippedSlots

Add = Callable[..., argparse.ArgumentParser]
ACTIONS = ("list", "show", "pause", "resume", "trigger", "backfill", "remove")


def add_schedules(add: Add) -> None:
    """*add* makes the parser of a command that asks a store."""
    parser = add("schedules", "the schedules: list, show, pause, resume, trigger, backfill, remove", schedules)
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", nargs="?", default="list", help=", ".join(ACTIONS))
    parser.add_argument("id", nargs="?", help="the schedule; needed by all but list")
    parser.add_argument("--reason", default="", help="why it is paused")
    parser.add_argument("--since", metavar="TIME", type=_time, help="the first slot of a backfill: 2026-11-27, or 2026-11-27T01:30Z")
    parser.add_argument("--until", metavar="TIME", type=_time, help="the last slot of a backfill (default: now)")
    parser.add_argument("--overlap", choices=("queue", "allow", "skip", "cancel"), help="how slots of a backfill run (default: queue)")


async def schedules(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        if given.action == "list":
            _print(given, await client.service.schedules.list(skipped=1), await client.store.now(), "there are no schedules")
            return DONE
        if given.id is None:
            raise CommandError(f"`redrive schedules {given.action}` needs the id of a schedule", "`redrive schedules` lists them")
        try:
            await _act(client, given)
        except ScheduleNotFound:
            known = [one.id for one in await client.service.schedules.list()]
            raise CommandError(
                f"there is no schedule {given.id!r} in {client.where}", did_you_mean(given.id, known, "there are none")
            ) from None
        return DONE


async def _act(client: Client, given: argparse.Namespace) -> None:
    schedules, now = client.service.schedules, await client.store.now()
    if given.action == "trigger":
        print((await schedules.trigger(given.id)).id)
        return
    if given.action == "backfill":
        if given.since is None:
            raise CommandError("a backfill needs --since", "redrive schedules backfill nightly --since 2026-11-20")
        for id in await schedules.backfill(given.id, since=given.since, until=given.until or now, overlap=given.overlap):
            print(id)
        return
    if given.action == "remove":
        await schedules.remove(given.id)
        print(f"schedule {given.id!r} is forgotten; its executions stay", file=sys.stderr)
        return
    if given.action == "pause":
        await schedules.pause(given.id, given.reason)
    elif given.action == "resume":
        await schedules.resume(given.id)
    found = await schedules.get(given.id, skipped=20)
    if given.json:
        print(json.dumps(_object(found)))
        return
    upcoming = () if found.paused is not None else await schedules.upcoming(given.id, 5)
    print("\n".join(page(found, upcoming, now, colors_for(sys.stdout))))


def _print(given: argparse.Namespace, found: Sequence[ScheduleInfo], now: datetime, otherwise: str) -> None:
    if given.json:
        for one in found:
            print(json.dumps(_object(one)))
    elif found:
        colors = colors_for(sys.stdout)
        print("\n".join(line for one in found for line in summary(one, now, colors)))
    else:
        print(otherwise, file=sys.stderr)


def _object(info: ScheduleInfo) -> dict[str, object]:
    """A schedule as `schedules --json` prints it; durations in seconds."""
    shown: dict[str, object] = plain(info)
    shown["every"] = None if info.every is None else info.every.total_seconds()
    shown["lag"] = info.lag.total_seconds()
    shown["last"] = None if info.last is None else {name: plain(value) for name, value in info.last._asdict().items()}
    return shown


def summary(info: ScheduleInfo, now: datetime, colors: Colors) -> list[str]:
    """A schedule in a few lines: what it starts and when, its next and last slots, and why one was skipped."""
    cadence = f"every {span(info.every)}" if info.every is not None else f"{info.cron} {info.timezone}"
    lines = [f"{colors('bold', visible(info.id))}  {visible(info.workflow)}, {cadence}{_standing(info, colors)}"]
    if info.next is not None:
        late = colors("red", f"  late by {span(info.lag)}: no worker has its workflow") if info.lag >= timedelta(seconds=10) else ""
        lines.append(f"    next  {when(info.next, now)}{late}")
    if info.last is not None:
        slot = "by hand" if info.last.slot is None else moment(info.last.slot)
        lines.append(f"    last  {slot}  {info.last.status or 'forgotten'}  {visible(info.last.execution)}")
    lines += [f"    {_left_out(one)}" for one in info.skipped[:1]]
    return lines


def page(info: ScheduleInfo, upcoming: Sequence[datetime], now: datetime, colors: Colors) -> list[str]:
    """All that is known of a schedule."""
    lines = summary(info, now, colors)
    lines.append(f"    a slot that meets a running execution: {info.overlap}; slots that nobody was there for: {info.catch_up}")
    lines += [f"    runs  {visible(id)}" for id in info.running]
    lines += [f"    waits {visible(id)}" for id in info.waiting]
    if info.failures:
        lines.append(f"    {counted(info.failures, 'execution')} failed in a row")
    if upcoming:
        lines.append("    to come: " + ", ".join(moment(slot) for slot in upcoming))
    lines += [f"    {_left_out(one)}" for one in info.skipped[1:]]
    return lines


def _standing(info: ScheduleInfo, colors: Colors) -> str:
    if info.off:
        return colors("yellow", f"  off: app {visible(info.app or '?')} does not declare it any more")
    if info.paused is not None:
        return colors("yellow", f"  paused: {visible(info.paused)}" if info.paused else "  paused")
    return colors("red", f"  {info.skips} slots skipped in a row") if info.is_stuck else ""


def _left_out(one: SkippedSlots) -> str:
    slots = moment(one.first) if one.count == 1 else f"{counted(one.count, 'slot')} from {moment(one.first)} to {moment(one.last)}"
    return f"{'failed' if one.failed else 'skipped'}  {slots}: {visible(one.why)}"


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-11-27 or 2026-11-27T01:30Z") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
