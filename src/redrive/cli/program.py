"""The parser of the command line, and the handling of its errors."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from redrive.cli import verbs
from redrive.cli.aside_verbs import add_aside
from redrive.cli.cli_errors import FAILED, INTERRUPTED, CommandError, code_of, did_you_mean
from redrive.cli.colors import colors_for, visible
from redrive.cli.completion import add_completion
from redrive.cli.diagramming import add_diagram
from redrive.cli.finding_verbs import add_finding
from redrive.cli.gating import add_replay
from redrive.cli.inspecting_verbs import add_inspecting
from redrive.cli.linting import add_lint
from redrive.cli.logs import LEVELS
from redrive.cli.moving_verbs import add_moving
from redrive.cli.operator_verbs import add_operator
from redrive.cli.preparing import add_preparing
from redrive.cli.queue_verbs import add_queues
from redrive.cli.schedule_verbs import add_schedules
from redrive.cli.stuck_verbs import add_stuck
from redrive.cli.worker_verbs import add_workers
from redrive_interpreter import RedriveError

_EPILOG = """\
exit codes:
  0    done
  1    it went wrong: the execution failed or was cancelled, the id belongs to another call, the store refused or
       cannot be reached, a body ended the worker, `replay` or `lint` found something
  2    what was asked for cannot be: a typo, an unknown id, workflow or signal, a value of another type, an execution
       that has ended, a missing database file, an app that cannot be loaded
  3    `result --timeout` passed
  130  Ctrl-C
REDRIVE_APP and REDRIVE_STORE stand in for --app and --store."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give back its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal cannot show is no reason to fail
    parser = _parser()
    given, more = parser.parse_known_args(argv)
    _take_late(parser, given, more)
    colors = colors_for(sys.stderr)
    try:
        return int(asyncio.run(given.verb(given)))
    except CommandError as error:
        print(f"{colors('red', 'redrive:')} {visible(error.problem, lines=True)}", file=sys.stderr)
        if error.hint:
            print(f"  {visible(error.hint, lines=True)}", file=sys.stderr)
        return error.code
    except RedriveError as error:
        print(f"{colors('red', 'redrive:')} {visible(str(error), lines=True)}", file=sys.stderr)
        return code_of(error)
    except KeyboardInterrupt:
        if given.verb is verbs.result:
            print(f"not waiting any longer; execution {given.id!r} goes on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `redrive list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"{colors('red', 'redrive:')} {visible(str(error), lines=True)}", file=sys.stderr)
        return FAILED


def _take_late(parser: argparse.ArgumentParser, given: argparse.Namespace, more: list[str]) -> None:
    """Take words that stand behind an option: argparse gives optional arguments before it their defaults too early."""
    if more and not any(word.startswith("-") for word in more):
        for several in ("pairs", "seqs"):
            if hasattr(given, several):
                getattr(given, several).extend(more)
                return
        slot = next((name for name in ("payload", "reason") if not getattr(given, name, "taken")), None)
        if slot is not None and len(more) == 1:
            setattr(given, slot, more[0])
            return
    if more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")


class _Parser(argparse.ArgumentParser):
    """A parser that says what a mistyped word may have been meant to be."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        what = "command" if action.metavar == "command" else str(action.metavar or action.dest)
        raise argparse.ArgumentError(None, f"there is no {what} {value!r}: {did_you_mean(str(value), map(str, action.choices))}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="redrive", description="Durable workflows, from a shell.", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"redrive {version('redrive')}")
    parser.add_argument("--log-level", metavar="LEVEL", type=str.lower, choices=LEVELS, default=None, help="the same, before the command")
    words: argparse._SubParsersAction[argparse.ArgumentParser] = parser.add_subparsers(
        required=True, metavar="command", parser_class=_Parser
    )

    demo = words.add_parser("demo", help="an order whose worker is killed three times, with the right result")
    demo.add_argument("--dir", metavar="DIR", help="keep the database and the ledger here (default: a temporary directory)")
    demo.set_defaults(verb=verbs.demo)

    worker = words.add_parser("worker", help="run workers until SIGTERM or Ctrl-C; a second one ends at once")
    worker.add_argument("app", metavar="MODULE:SERVICE", nargs="?", help="a service, or a function that makes one")
    worker.add_argument("--app", dest="app_option", metavar="MODULE:SERVICE", help=argparse.SUPPRESS)
    worker.add_argument("--queues", metavar="NAMES", help="admit from these queues only: crm,reports (default: those of the service)")
    worker.set_defaults(verb=verbs.worker)

    start = _client(words, "start", "start an execution; prints its id", verbs.start, json=False)
    start.add_argument("workflow", metavar="WORKFLOW", help="its name")
    start.add_argument(
        "pairs",
        metavar="NAME=VALUE",
        nargs="*",
        help="arguments; order.id=o-1 sets a field; a value is read as its type says: text, or JSON",
    )
    start.add_argument("--input", metavar="JSON", help="the arguments by name, as one JSON object")
    start.add_argument("--id", help="the idempotency key: the same id and input is the same execution")
    start.add_argument("--timeout", metavar="SECONDS", type=float, help="a deadline over all of its runs")
    start.add_argument("--create", action="store_true", help="make the database file, or its tables, if they are not there")

    show = _client(words, "show", "where an execution stands: what it waits for, until when, and how it got there", verbs.show)
    show.add_argument("id")

    history = _client(words, "history", "every row of a run, as it is stored", verbs.history)
    history.add_argument("id")
    history.add_argument("--run", type=int, default=-1, help="1 is the first, -1 (the default) the newest")
    history.add_argument("--redact", metavar="FIELDS", action="append", default=[], help="replace the values of these fields: card,email")

    result = _client(words, "result", "wait for the result and print it as JSON", verbs.result, json=False)
    result.add_argument("id")
    result.add_argument("--timeout", metavar="SECONDS", type=float)

    signal = _client(words, "signal", "send a signal", verbs.signal, json=False)
    signal.add_argument("id")
    signal.add_argument("name")
    signal.add_argument("payload", metavar="JSON", nargs="?", help="default: no payload")
    signal.add_argument("--key", help="the same key again changes nothing")

    cancel = _client(words, "cancel", "ask an execution to cancel", verbs.cancel, json=False)
    cancel.add_argument("id")
    cancel.add_argument("reason", nargs="?", default="")

    add_finding(partial(_client, words))
    add_aside(partial(_client, words))
    add_operator(partial(_client, words))
    add_inspecting(partial(_client, words))
    add_workers(partial(_client, words))
    add_stuck(partial(_client, words))
    add_schedules(partial(_client, words))
    add_queues(partial(_client, words))
    add_replay(words)
    add_lint(words)
    add_diagram(words)
    add_preparing(words)
    add_moving(words)
    add_completion(words, parser)
    for word in words.choices.values():
        word.add_argument(
            "--log-level",
            metavar="LEVEL",
            type=str.lower,
            choices=LEVELS,
            default=argparse.SUPPRESS,
            help=f"{', '.join(LEVELS)}; on stderr",
        )
    return parser


def _client(
    words: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help: str, verb: object, *, json: bool = True
) -> argparse.ArgumentParser:
    parser = words.add_parser(name, help=help)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--app", metavar="MODULE:SERVICE", default=os.environ.get("REDRIVE_APP"), help="the service, for its store and its types"
    )
    where.add_argument(
        "--store", metavar="URL", default=None, help="the store alone, like sqlite:///orders.db or postgresql://host/database"
    )
    if json:
        parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(verb=verb)
    return parser
