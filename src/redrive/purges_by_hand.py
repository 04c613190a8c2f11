"""Purges by hand: ``operator.purge``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, overload

import attrs

from redrive.errors import OperationRefused
from redrive.filters import stored_filter
from redrive.ports.purging import EndedExecution
from redrive.ports.rewrites import NewAudit
from redrive.purge_batches import PAGE, Batches, ended, ended_runs, purging
from redrive.status import FINAL
from redrive_interpreter.errors import InvalidDefinition
from redrive_interpreter.keys import check_name

if TYPE_CHECKING:
    from redrive.blocking import DurableService
    from redrive.filters import Filter
    from redrive.ports.finding import StoredFilter
    from redrive.ports.store import Snapshot
    from redrive.service import AsyncDurableService

REST: Final = 4.0
"""How long an operator's purge rests after a batch, in times that the batch took."""


@attrs.frozen(kw_only=True)
class Purged:
    """How many *executions* a purge forgot, and how many *runs* before the last of others; with *dry_run*, how many it would."""

    executions: int = 0
    runs: int = 0
    dry_run: bool = False

    def __str__(self) -> str:
        runs = f" and {self.runs:,} earlier runs of others" if self.runs else ""
        return f"{'would purge' if self.dry_run else 'purged'} {self.executions:,} executions{runs}"


class PurgesByHand:
    """The part of an operator that forgets: ``operator.purge``."""

    def __init__(self, service: AsyncDurableService) -> None:
        self._service = service

    @overload
    async def purge(self, id: str, /, *, reason: str = "", by: str = "", dry_run: bool = False) -> Purged: ...
    @overload
    async def purge(self, /, *, older_than: timedelta, reason: str = "", by: str = "", dry_run: bool = False) -> Purged: ...
    @overload
    async def purge(self, /, *, where: Filter, reason: str = "", by: str = "", dry_run: bool = False) -> Purged: ...
    async def purge(
        self,
        id: str | None = None,
        /,
        *,
        older_than: timedelta | None = None,
        where: Filter | None = None,
        reason: str = "",
        by: str = "",
        dry_run: bool = False,
    ) -> Purged:
        """Forget one execution that has ended, all that ended longer ago than *older_than*, or all that have ended and fit a `Filter`,
        with all that is stored of them.

        Runs before the last of executions that go on are forgotten with *older_than* too, if they are as old. An entry of the audit
        says who purged what, when and why; nothing else stays, and an id may be started anew. It goes on in small batches beside
        all other work; with *dry_run* it only counts. Raises `ExecutionNotFound`, and `OperationRefused` for what has not ended.
        """
        asked = None if where is None else stored_filter(where)
        steps = self.purge_in_steps(id, older_than=older_than, where=asked, reason=reason, by=by, dry_run=dry_run)
        return [found async for found in steps][-1]

    async def purge_in_steps(
        self, id: str | None, *, older_than: timedelta | None, reason: str, by: str, dry_run: bool, where: StoredFilter | None = None
    ) -> AsyncIterator[Purged]:
        """The same; tells after each batch how many it is by now."""
        service = self._service
        service._check_open()
        store = purging(service.store)
        if [id, older_than, where].count(None) != 2:
            raise InvalidDefinition("purge: name one execution, or say older_than= or where=")
        if where is not None and where.is_empty:
            raise InvalidDefinition("purge: where= without a condition fits everything: say older_than=")
        batches = Batches(store, NewAudit(verb="purge", by=by, reason=reason), REST)
        executions = runs = 0
        if id is not None:
            one = await self._chosen(check_name(id, "execution id"))
            executions = 1 if dry_run else sum([found async for found in batches.executions([one])])
            if not executions:
                raise OperationRefused(id, "purge", "another transaction has it in hand", "try again")
        before = None if older_than is None else await service.store.now() - older_than
        pages = ended(store, before) if before is not None else self._fitting(where) if where is not None else _nothing()
        async for page in pages:
            async for found in _only(len(page)) if dry_run else batches.executions(page):
                executions += found
                yield Purged(executions=executions, dry_run=dry_run)
        again = before is not None
        while again and before is not None:
            again = False
            async for several in ended_runs(store, before):
                many = sum(one.last - one.first + 1 for one in several)
                async for found in _only(many) if dry_run else batches.runs(several):
                    runs += found
                    again = again or (found > 0 and not dry_run)  # of each execution some, so there may be more
                    yield Purged(executions=executions, runs=runs, dry_run=dry_run)
        if not dry_run:
            await batches.collect()
        yield Purged(executions=executions, runs=runs, dry_run=dry_run)

    async def _fitting(self, where: StoredFilter) -> AsyncIterator[Sequence[EndedExecution]]:
        """The executions that have ended and fit, in pages."""
        statuses = FINAL if where.statuses is None else where.statuses & FINAL
        asked = attrs.evolve(where, statuses=frozenset(statuses))
        cursor: str | None = None
        while statuses:
            page = await self._service._found(asked, cursor, PAGE)
            yield [_ended(snapshot) for snapshot in page.executions]
            cursor = page.cursor
            if cursor is None:
                return

    async def _chosen(self, id: str) -> EndedExecution:
        """Raises `ExecutionNotFound`, `OperationRefused`."""
        snapshot = await self._service._read(id)
        if snapshot.status not in FINAL:
            raise OperationRefused(id, "purge", f"it has not ended: it is {snapshot.status}", "cancel it first")
        return attrs.evolve(_ended(snapshot), ended_at=None)


def _ended(snapshot: Snapshot) -> EndedExecution:
    return EndedExecution(
        id=snapshot.id,
        workflow=snapshot.workflow,
        status=snapshot.status,
        number=snapshot.number,
        rows=snapshot.length,
        ended_at=snapshot.ended_at,
        place="",
    )


async def _nothing() -> AsyncIterator[Sequence[EndedExecution]]:
    pages: tuple[Sequence[EndedExecution], ...] = ()
    for page in pages:
        yield page


async def _only(count: int) -> AsyncIterator[int]:
    yield count


class BlockingPurges:
    """The same part of a blocking operator."""

    def __init__(self, service: DurableService) -> None:
        self._service = service

    @overload
    def purge(self, id: str, /, *, reason: str = "", by: str = "", dry_run: bool = False) -> Purged: ...
    @overload
    def purge(self, /, *, older_than: timedelta, reason: str = "", by: str = "", dry_run: bool = False) -> Purged: ...
    @overload
    def purge(self, /, *, where: Filter, reason: str = "", by: str = "", dry_run: bool = False) -> Purged: ...
    def purge(self, *id: Any, **options: Any) -> Purged:
        """Forget one execution that has ended, all that ended longer ago than *older_than*, or all that have ended and fit a `Filter`,
        with all that is stored of them.

        Runs before the last of executions that go on are forgotten with *older_than* too, if they are as old. An entry of the audit
        says who purged what, when and why; nothing else stays, and an id may be started anew. It goes on in small batches beside
        all other work; with *dry_run* it only counts. Raises `ExecutionNotFound`, and `OperationRefused` for what has not ended.
        """
        return self._service._call(self._service.aio.operator.purge(*id, **options))
