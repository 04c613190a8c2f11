"""``redrive lint``: its options and output. It needs no service and no store, and does not import the files that it reads."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redrive.cli.cli_errors import DONE, FAILED, CommandError
from redrive.cli.colors import visible
from redrive.lint import RULES, chosen, lint, table


class _Rules(argparse.Action):
    """The action of ``--rules``: print the table and exit, as ``--version`` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(table())
        parser.exit()


def add_lint(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = words.add_parser("lint", help="what workflow functions must not do, found in their source")
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="files, and folders to search for them")
    parser.add_argument(
        "--select", metavar="CODES", action="append", default=[], help="only these rules: codes or prefixes, like RD1,RD303; ALL"
    )
    parser.add_argument("--ignore", metavar="CODES", action="append", default=[], help="not these rules")
    parser.add_argument("--json", action="store_true", help="for programs: one object a line")
    parser.add_argument("--rules", action=_Rules, nargs=0, help="print all rules and end")
    parser.set_defaults(verb=lint_paths)


async def lint_paths(given: argparse.Namespace) -> int:
    try:
        codes = chosen(_codes(given.select), _codes(given.ignore))
    except ValueError as error:
        raise CommandError(str(error), "redrive lint --rules prints them") from None
    try:
        findings = lint(given.paths, codes)
    except FileNotFoundError as error:
        raise CommandError(f"there is no {error}", f"looked in {Path.cwd()}") from None
    for finding in findings:
        if given.json:
            rule = RULES[finding.code]
            place = {"path": finding.path, "line": finding.line, "column": finding.column}
            print(json.dumps({**place, "code": rule.code, "name": rule.name, "message": finding.message, "fix": rule.fix}))
        else:
            print(visible(str(finding)))
    if findings and not given.json:
        print(f"{len(findings)} finding{'' if len(findings) == 1 else 's'}", file=sys.stderr)
    return FAILED if findings else DONE


def _codes(given: Sequence[str]) -> list[str]:
    return [code for words in given for code in words.split(",") if code.strip()]
