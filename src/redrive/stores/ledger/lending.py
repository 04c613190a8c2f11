"""Lending: whose place in a queue an execution may use, since its holder waits for it (rule 5 of `admission`).

An execution waits for children of its own; what they wait for is waited for by it, too. Of those above it in this chain the nearest
that has a place in the same queue lends it, to one at a time. The store keeps what each waits for, and answers for one after another.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@attrs.frozen
class Kin:
    """An execution of a family: *waits* are the ids of the children that it waits for, *seq* its ticket in *queue*, *held* or not."""

    n: int
    creator: str | None = None
    waits: tuple[str, ...] = ()
    seq: int | None = None
    queue: str = ""
    held: bool = False


Lenders: TypeAlias = "Mapping[int, int | None]"
"""By the row of an execution that waits for a place: the ticket whose place it may use, None for nobody's."""


def find_lenders(id: str, dropped: Iterable[str] = ()) -> Generator[str, Kin | None, Lenders]:
    """Work out the lenders of all that *id* waits for, and of what it waited for until now (*dropped*). Asks for executions by id."""
    found: dict[int, int | None] = {}
    me = yield id
    if me is None:
        return found
    above = yield from _places_above(id, me)
    for child in me.waits:
        yield from _lend_down(child, above, found, {id})
    for child in dropped:
        yield from _lend_down(child, {}, found, {id})
    return found


def _places_above(id: str, kin: Kin) -> Generator[str, Kin | None, dict[str, int]]:
    found: dict[str, int] = {}
    seen = {id}
    while True:
        if kin.held and kin.seq is not None:
            found.setdefault(kin.queue, kin.seq)
        creator = None if kin.creator is None or kin.creator in seen else (yield kin.creator)
        if creator is None or id not in creator.waits:
            return found
        assert kin.creator is not None
        id, kin = kin.creator, creator
        seen.add(id)


def _lend_down(id: str, above: Mapping[str, int], found: dict[int, int | None], seen: set[str]) -> Generator[str, Kin | None, None]:
    kin = None if id in seen else (yield id)
    if kin is None:
        return
    if kin.seq is not None and not kin.held:
        found[kin.n] = above.get(kin.queue)
    elif kin.seq is not None and above:
        above = {**above, kin.queue: kin.seq}
    for child in kin.waits:
        yield from _lend_down(child, above, found, {*seen, id})
