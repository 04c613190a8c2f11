"""The verbs of operators, from a shell: each act is shown first, and stored when it is confirmed."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from redrive import Change, OperationRefused
from redrive.cli.cli_errors import DONE, FAILED, CommandError
from redrive.cli.client import Client, client_for
from redrive.cli.colors import Colors, colors_for, visible
from redrive.operating.edits import StoredResult

Add = Callable[..., argparse.ArgumentParser]
Act = Callable[..., Awaitable[Change]]
_COLORS = {"-": "red", "+": "green", "!": "yellow"}


def add_operator(add: Add) -> None:
    """*add* makes the parser of a command that asks a store."""
    retries = _act(add, "retry", "have a failed or parked execution go on from before its failure", retry)
    retries.add_argument("--since", metavar="KEY", help="perform all again that was asked from this command on")
    retries.add_argument("--timeout", metavar="SECONDS", type=float, help="a new deadline, from now")
    retries.add_argument("--children", choices=("cancel", "keep"), help="what happens to running ones whose start is taken back")

    edits = _act(add, "edit-step", "give a step another outcome", edit_step)
    edits.add_argument("key")
    edits.add_argument("payload", metavar="JSON", nargs="?", help="its result")
    edits.add_argument("--error", metavar="TEXT", help="its failure, instead")
    edits.add_argument("--since", metavar="KEY", help="perform all again that was asked from this command on")

    skips = _act(add, "skip-step", "go on as if a step, or an undo, had given a result", skip_step)
    skips.add_argument("key")
    skips.add_argument("payload", metavar="JSON", nargs="?", default="null", help="its result (default: null)")
    skips.add_argument("--since", metavar="KEY", help=argparse.SUPPRESS)

    now = _act(add, "retry-now", "end the wait for a step's next attempt", retry_now)
    now.add_argument("key", nargs="?", help="of this step (default: of all that wait)")

    _act(add, "pause", "hold an execution back: bodies that run go on, and nothing else begins", pause)
    _act(add, "resume", "let a paused execution go on", resume)

    fails = _act(add, "force-fail", "end an execution failed, without undos and without its code", force_fail)
    fails.add_argument("message", metavar="TEXT", nargs="?", default="ended by an operator")

    forks = _act(add, "fork", "start a copy that goes on from an earlier point", fork)
    forks.add_argument("--before", metavar="KEY|ROW", required=True, help="the command, or the number of the row, that it begins anew from")
    forks.add_argument("--new-id", metavar="ID", help="of the copy (default: one of its own)")
    forks.add_argument("--timeout", metavar="SECONDS", type=float, help="its deadline, from now")

    _act(add, "retry-rollback", "try undos that failed again, and never forward", retry_rollback)

    audits = add("audit", "what operators did, and why", audit)
    audits.add_argument("id", nargs="?", help="to this execution (default: to all)")
    audits.add_argument("--limit", type=int, default=50)


def _act(add: Add, name: str, help: str, verb: object) -> argparse.ArgumentParser:
    parser = add(name, help, verb)
    parser.add_argument("id")
    parser.add_argument("--reason", default="", help="why; it is kept in the audit")
    parser.add_argument("--by", default=None, help="who does it (default: the user's name)")
    parser.add_argument("--yes", action="store_true", help="do it, and do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show it only")
    return parser


async def retry(given: argparse.Namespace) -> int:
    options = {"timeout": given.timeout, "children": given.children}
    return await _do(given, lambda client, why: client.service.operator.retry(given.id, given.since, **options, **why))


async def edit_step(given: argparse.Namespace) -> int:
    if (given.payload is None) == (given.error is None):
        raise CommandError("which outcome?", "give a JSON result, or --error TEXT")
    if given.error is not None:
        error = RuntimeError(given.error)
        return await _do(
            given, lambda client, why: client.service.operator.edit_step(given.id, given.key, error=error, since=given.since, **why)
        )
    result = StoredResult(_json(given.payload))
    return await _do(given, lambda client, why: client.service.operator.edit_step(given.id, given.key, result, since=given.since, **why))


async def skip_step(given: argparse.Namespace) -> int:
    result = StoredResult(_json(given.payload))
    return await _do(given, lambda client, why: client.service.operator.skip_step(given.id, given.key, result, since=given.since, **why))


async def retry_now(given: argparse.Namespace) -> int:
    return await _do(given, lambda client, why: client.service.operator.retry_now(given.id, given.key, **why))


async def pause(given: argparse.Namespace) -> int:
    return await _do(given, lambda client, why: client.service.operator.pause(given.id, **why))


async def resume(given: argparse.Namespace) -> int:
    return await _do(given, lambda client, why: client.service.operator.resume(given.id, **why))


async def force_fail(given: argparse.Namespace) -> int:
    return await _do(given, lambda client, why: client.service.operator.force_fail(given.id, given.message, **why))


async def fork(given: argparse.Namespace) -> int:
    before = int(given.before) if given.before.isdigit() else given.before
    options = {"id": given.new_id, "timeout": given.timeout}
    return await _do(given, lambda client, why: client.service.operator.fork(given.id, before, **options, **why))


async def retry_rollback(given: argparse.Namespace) -> int:
    return await _do(given, lambda client, why: client.service.operator.retry_rollback(given.id, **why))


async def audit(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        found = await client.service.operator.audit(given.id, limit=given.limit)
        colors = colors_for(sys.stdout)
        for one in found:
            if given.json:
                data = attrs.asdict(one, recurse=False)
                print(json.dumps({**data, "at": one.at.isoformat()}))
            else:
                print(visible(str(one)))
                for mark, name in (("-", "removed"), ("+", "added")):
                    for line in one.detail.get(name, ())[:5]:
                        print(colors(_COLORS[mark], f"    {mark} {visible(line)}"))
        if not found and not given.json:
            print("no operator has done anything" + (" to it" if given.id else ""), file=sys.stderr)
    return DONE


# ── shown, confirmed, done ──────────────────────────────────────────────────────────────────────
async def _do(given: argparse.Namespace, act: Callable[[Client, dict[str, Any]], Awaitable[Change]]) -> int:
    why: dict[str, Any] = {"reason": given.reason, "by": _user() if given.by is None else given.by}
    async with client_for(given) as client:
        await client.snapshot(given.id)
        try:
            if not given.yes:
                preview = await act(client, {**why, "dry_run": True})
                _show(given, preview)
                if given.dry_run:
                    return DONE
                if not _confirmed(given):
                    print("nothing was done" + ("" if sys.stdin.isatty() else ": say --yes"), file=sys.stderr)
                    return FAILED
                done = await act(client, why)
                print(_done(done), file=sys.stderr if given.json else sys.stdout)
                return DONE
            done = await act(client, {**why, "dry_run": given.dry_run})
            _show(given, done)
            if done.stored and not given.json:
                print(_done(done))
        except OperationRefused as refused:
            raise CommandError(f"{refused.verb} of {refused.id!r}: {refused.problem}", _as_options(refused.instead)) from None
    return DONE


def _confirmed(given: argparse.Namespace) -> bool:
    if given.json or not sys.stdin.isatty():
        return False
    print(f"{given.verb.__name__.replace('_', ' ')} {visible(given.id)}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show(given: argparse.Namespace, change: Change) -> None:
    if given.json:
        print(json.dumps(change.plain()))
        return
    colors: Colors = colors_for(sys.stdout)
    print(f"{visible(change.verb)} of {visible(change.id)}:" + ("" if change.diff else " nothing in its history changes"))
    for line in change.diff.splitlines():
        color = _COLORS.get(line.lstrip()[:1]) if line.startswith("  ") and not line.startswith("   ") else None
        print(visible(line) if color is None else colors(color, visible(line)))


def _done(change: Change) -> str:
    if change.copy is not None:
        return f"started {visible(change.copy)}"
    return f"done: run {change.number} of {visible(change.id)} is {change.status}"


def _as_options(instead: str) -> str:
    """A refusal with the options of the command line in place of Python arguments."""
    for word, option in (("since=", "--since "), ("timeout=", "--timeout "), ("children=", "--children "), ("before=", "--before ")):
        instead = instead.replace(word, option)
    return instead.replace("retry_rollback", "retry-rollback").replace("edit_step", "edit-step").replace("skip_step", "skip-step")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"not JSON: {text}", str(error)) from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
