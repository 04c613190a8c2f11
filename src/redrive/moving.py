"""Moving everything from one store to another, and copying it for a backup; checked row by row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from redrive.ports.store import FINAL, StoreError
from redrive.stores.backends import archive_of

if TYPE_CHECKING:
    from redrive.ports.archive import Archive, Archived

T = TypeVar("T")

__all__ = ["Moved", "NotTheSame", "archive_of", "copy", "move"]


@attrs.frozen(kw_only=True)
class Moved:
    """Counts of what was carried over: *live* of the *executions* have not ended."""

    executions: int = 0
    live: int = 0
    rows: int = 0
    messages: int = 0
    events: int = 0


class NotTheSame(StoreError):
    """The data read back differ from the data written; neither store was changed for others."""


async def move(source: Archive, target: Archive, progress: Callable[[Moved, int], None] = lambda moved, total: None) -> Moved:
    """Carry everything over, check it, then open *target* and seal *source*, which nobody can use from then on.

    No worker may be at work on *source*; none can begin meanwhile. Whatever goes wrong before the end, *source* stays as
    it was, and *target* unusable. *progress* is told what was carried over, and how many executions there are.
    """
    return await _carry(source, target, progress, sealing=True)


async def copy(source: Archive, target: Archive, progress: Callable[[Moved, int], None] = lambda moved, total: None) -> Moved:
    """The same without the end of *source*: a backup of one moment, beside workers at work."""
    return await _carry(source, target, progress, sealing=False)


async def _carry(source: Archive, target: Archive, progress: Callable[[Moved, int], None], *, sealing: bool) -> Moved:
    try:
        total = await source.begin_reading(alone=sealing)
        await target.begin_writing()
        moved = Moved()
        async for page in source.executions():
            await target.write_executions(page)
            moved = _counted(moved, page)
            progress(moved, total)
        async for events in source.events():
            await target.write_events(events)
            moved = attrs.evolve(moved, events=moved.events + len(events))
        await target.write_handlers(await source.handlers())
        queues = await source.queues()
        await target.write_queues(queues)
        async for audits in source.audits():
            await target.write_audits(audits)
        async for schedules in source.schedules():
            await target.write_schedules(schedules)
        async for slots in source.left_out():
            await target.write_left_out(slots)
        await _compare("execution", source.executions(), target.executions(), lambda execution: execution.id)
        await _compare("event", source.events(), target.events(), lambda event: event.seq)
        if queues != await target.queues():
            raise NotTheSame("the queues read back are not those that were written")
        await _compare("audit", source.audits(), target.audits(), lambda audit: audit.seq)
        await _compare("schedule", source.schedules(), target.schedules(), lambda schedule: schedule.id)
        await _compare("slots left out", source.left_out(), target.left_out(), lambda slots: slots.seq)
        if list(await source.handlers()) != list(await target.handlers()):
            raise NotTheSame("the handlers read back are not those that were written")
        # In this order: a crash in between leaves two stores that could be used; the other would leave none.
        await target.finish_writing()
        if sealing:
            await source.seal()
        return moved
    finally:
        await target.close()
        await source.close()


def _counted(moved: Moved, page: Sequence[Archived]) -> Moved:
    return attrs.evolve(
        moved,
        executions=moved.executions + len(page),
        live=moved.live + sum(execution.status not in FINAL for execution in page),
        rows=moved.rows + sum(run.chunks[-1].end for execution in page for run in execution.runs if run.chunks),
        messages=moved.messages + sum(len(execution.inbox) for execution in page),
    )


async def _compare(what: str, written: AsyncIterator[Sequence[T]], read: AsyncIterator[Sequence[T]], name: Callable[[T], Any]) -> None:
    ours, theirs = _one_by_one(written), _one_by_one(read)
    async for one in ours:
        other = await anext(theirs, None)
        if other != one:
            raise NotTheSame(f"{what} {name(one)!r} reads back {_difference(one, other)}")
    surplus = await anext(theirs, None)
    if surplus is not None:
        raise NotTheSame(f"{what} {name(surplus)!r} was not written, and is there")


def _difference(one: Any, other: Any) -> str:
    if other is None:
        return "as nothing"
    mine, others = attrs.asdict(one, recurse=False), attrs.asdict(other, recurse=False)
    differing = [name for name, value in mine.items() if others[name] != value]
    return f"with another {', '.join(differing)}"


async def _one_by_one(pages: AsyncIterator[Sequence[T]]) -> AsyncIterator[T]:
    async for page in pages:
        for one in page:
            yield one
