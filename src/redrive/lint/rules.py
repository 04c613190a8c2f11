"""The rules, one table: the linter, ``redrive lint --rules`` and the guide all read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs


@attrs.frozen
class Rule:
    """One rule about workflows. *default* is False where it is a matter of taste."""

    code: str
    name: str
    problem: str
    fix: str
    default: bool = True


_ALL: Final = (  # one a line, however long
    Rule("RD001", "syntax-error", "the file is not Python", "correct it; nothing else in it was looked at"),
    Rule("RD101", "clock", "reads a clock, which says something else on replay", "now = yield from Now()"),
    Rule("RD102", "randomness", "draws from chance, which comes out otherwise on replay", "yield from Random(), or draw in a step"),
    Rule("RD103", "uuid", "makes an id that is another one on replay", "id = yield from NewId()"),
    Rule("RD104", "io", "does I/O, which happens again on every replay", "move it into a @step"),
    Rule("RD105", "output", "writes out, again on every replay", "yield from Note(text), or write in a @step"),
    Rule("RD106", "sleep", "blocks the worker, and is forgotten by a restart", "yield from Sleep(seconds)"),
    Rule("RD107", "concurrency", "starts what no history knows of", "All, Race, Map or Spawn"),
    Rule("RD108", "environment", "reads the machine it happens to run on", "pass it in as an argument, or read it in a @step"),
    Rule("RD109", "mutable-global", "depends on a global that changes", "pass it in as an argument; keep state in local variables"),
    Rule("RD110", "identity", "differs from process to process", "compare or derive from the value itself"),
    Rule("RD201", "not-yielded", "is built and dropped: nothing runs", "yield from it"),
    Rule("RD202", "used-unyielded", "is the command, not its result", "yield from it where it is assigned"),
    Rule("RD203", "missing-from", "gives a value of type Any", "yield from", default=False),
    Rule("RD204", "returned-unyielded", "is returned un-yielded: the execution ends as a bug", "return (yield from it)"),
    Rule("RD301", "yield-in-finally", "is refused: it runs when an execution is put away","undo=, Rollback, except (Exception, Cancelled)"),
    Rule("RD302", "yield-in-with", "leaves the block when the execution is put away", "a @step, or end the block before the yield"),
    Rule("RD303", "catch-all", "also catches what puts the execution away", "(Exception, Cancelled)"),
    Rule("RD304", "unordered", "comes in another order in another process", "sorted(…)"),
    Rule("RD305", "mutable-default", "is shared by all runs in a process", "an immutable default, or None"),
    Rule("RD306", "async", "has no place in a workflow, which is a plain generator", "yield from a @step; steps may be async"),
)  # fmt: skip
RULES: Final = {rule.code: rule for rule in _ALL}


def chosen(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> frozenset[str]:
    """The codes of the rules that *select* names by code or prefix (default: those that are on) less *ignore*.

    Raises ValueError for a code that names no rule.
    """
    wanted = [*_named(select)] or [code for code, rule in RULES.items() if rule.default]
    return frozenset(wanted) - frozenset(_named(ignore))


def _named(words: Iterable[str]) -> Iterable[str]:
    for word in words:
        prefix = word.strip().upper()
        found = [code for code in RULES if prefix and code.startswith(prefix)]
        if prefix == "ALL":
            found = list(RULES)
        if not found:
            raise ValueError(f"there is no rule {word!r}")
        yield from found


def table() -> str:
    """All rules as a Markdown table."""
    lines = ["| code | name | what | instead |", "|---|---|---|---|"]
    for rule in RULES.values():
        lines.append(f"| `{rule.code}` | {rule.name}{'' if rule.default else ' (off)'} | {rule.problem} | {rule.fix} |")
    return "\n".join(lines)
