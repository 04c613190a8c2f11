"""``redrive migrate-store`` and ``redrive backup``: copy everything from one store into another."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

import attrs

from redrive.cli.apps import refuse_typo
from redrive.cli.cli_errors import DONE, CommandError
from redrive.cli.gating import Line
from redrive.counting import counted
from redrive.moving import Moved, archive_of, copy, move
from redrive.passwords import without_password

if TYPE_CHECKING:
    from redrive.ports.archive import Archive


def add_moving(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    moving = words.add_parser("migrate-store", help="move everything to another store; stop all workers first")
    moving.add_argument("source", metavar="FROM", help="like sqlite:///orders.db; nobody can use it afterwards")
    moving.add_argument("target", metavar="TO", help="like postgresql://host/database; there may be nothing yet")
    moving.set_defaults(verb=migrate_store)
    backup = words.add_parser("backup", help="copy everything, as it is at one moment, while workers go on")
    backup.add_argument("source", metavar="FROM", help="the store in use")
    backup.add_argument("target", metavar="TO", help="like sqlite:///backup.db; migrate-store brings it back")
    backup.set_defaults(verb=back_up)
    for parser in (moving, backup):
        parser.add_argument("--json", action="store_true", help="for programs")


async def migrate_store(given: argparse.Namespace) -> int:
    line = _Line(sys.stderr)
    moved = await move(*_archives(given), line.told)
    line.clear()
    source, target = without_password(given.source), without_password(given.target)
    _say(given, moved, "moved", f"{source} is sealed: nobody can work on it any more. Point your services at {target}.")
    return DONE


async def back_up(given: argparse.Namespace) -> int:
    line = _Line(sys.stderr)
    moved = await copy(*_archives(given), line.told)
    line.clear()
    _say(given, moved, "copied", f"To bring it back: redrive migrate-store {without_password(given.target)} TO")
    return DONE


class _Line(Line):
    def told(self, moved: Moved, total: int) -> None:
        self.show(
            lambda: f"[{'#' * round(24 * moved.executions / max(total, 1)):<24}] {moved.executions:,} of {counted(total, 'execution')}"
        )


def _archives(given: argparse.Namespace) -> tuple[Archive, Archive]:
    refuse_typo(given.source)
    if given.source == given.target:
        raise CommandError("from a store to itself?", "name another one as TO")
    try:
        return archive_of(given.source), archive_of(given.target)
    except ValueError as wrong:
        raise CommandError(str(wrong)) from None


def _say(given: argparse.Namespace, moved: Moved, verb: str, then: str) -> None:
    if given.json:
        print(json.dumps(attrs.asdict(moved)))
        return
    print(
        f"{verb} and checked: {counted(moved.executions, 'execution')} ({moved.live:,} live) with {counted(moved.rows, 'row')}, "
        f"{counted(moved.messages, 'message')} in inboxes, {counted(moved.events, 'event')}"
    )
    print(then)
