"""Large fan-outs as one line: of fifty branches a reader wants to know how many are done, and which failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from redrive.timeline import Entry
from redrive_interpreter.kinds import kind_of

MANY: Final = 20
"""Branches from which on a fan-out is folded."""
SHOWN: Final = 3
"""Branches of a folded one that are shown: those that failed first, then those that wait."""
_RANK: Final = {"failed": 0, "timed out": 1, "waiting": 2}


@attrs.frozen
class Fold:
    """The branches left out below *entry*: *counts* of its branches by how they stand, and how many are *hidden*."""

    entry: Entry
    counts: dict[str, int]
    hidden: int

    def __str__(self) -> str:
        total = sum(self.counts.values())
        parts = [f"{count:,} {state}" for state, count in sorted(self.counts.items(), key=lambda one: (_RANK.get(one[0], 3), one[0]))]
        return f"{total:,} branches: {', '.join(parts)}" + (f"; {self.hidden:,} are not shown" if self.hidden else "")


def folded(entries: Sequence[Entry]) -> Iterator[Entry | Fold]:
    """*entries* in their order; behind a group of many branches a `Fold`, and of its branches only those that matter most."""
    groups = {entry.key for entry in entries if entry.key and kind_of(entry.kind).group}
    if not groups:
        yield from entries
        return
    branches: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        for group, branch in _branches_of(entry.key, groups):
            branches.setdefault(group, {}).setdefault(branch, []).append(entry)
    large = {group: found for group, found in branches.items() if len(found) > MANY}
    shown = {group: _worst(found) for group, found in large.items()}
    for entry in entries:
        if any(group in large and branch not in shown[group] for group, branch in _branches_of(entry.key, groups)):
            continue
        yield entry
        if entry.key in large:
            states = Counter(_state(one) for one in large[entry.key].values())
            yield Fold(entry, dict(states), len(large[entry.key]) - len(shown[entry.key]))


def _branches_of(key: str, groups: set[str]) -> Iterator[tuple[str, str]]:
    """The groups that *key* lies in, and in which branch of each."""
    parts = key.split("/")
    for at in range(1, len(parts)):
        group = "/".join(parts[:at])
        if group in groups:
            yield group, parts[at]


def _worst(branches: dict[str, list[Entry]]) -> set[str]:
    order = sorted(branches, key=lambda name: _RANK.get(_state(branches[name]), 3))
    return set(order[:SHOWN])


def _state(entries: Sequence[Entry]) -> str:
    """How a branch stands: by the worst of what it asked."""
    return min((entry.state for entry in entries), key=lambda state: _RANK.get(state, 3))
