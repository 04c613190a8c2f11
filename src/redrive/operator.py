"""The verbs of operators, for executions that need a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from redrive.entrances import checked_seqs, maybe_name
from redrive.operating.history_acts import HistoryActs, Why
from redrive.patience import patiently
from redrive.ports.store import Store
from redrive.purges_by_hand import PurgesByHand
from redrive.stuck import FindsStuck
from redrive_interpreter.keys import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.aside import DeadLetter, SetAsideSignal
    from redrive.operating.change_report import Change
    from redrive.service import AsyncDurableService


class Operator(HistoryActs, PurgesByHand, FindsStuck):
    """The operator's side of a service: ``service.operator``."""

    def __init__(self, service: AsyncDurableService) -> None:
        super().__init__(service)

    async def retry_rollback(self, id: str, **why: Unpack[Why]) -> Change:
        """Try again the undos that failed, and those that were left; never forward from there.

        Raises `ExecutionNotFound`, or `ExecutionFinished` unless the execution is ``compensation_failed``.
        """
        from redrive.operating import stored_acts

        return await stored_acts.retry_rollback(self._service, self._wish(id, "retry_rollback", why))

    # ── signals that could not be read ──────────────────────────────────────────────────────────
    async def set_aside(self, id: str | None = None, *, limit: int = 100) -> Sequence[SetAsideSignal]:
        """The signals that were set aside because the execution could not read them, of one execution or of all; oldest first."""
        from redrive.aside import set_aside_signal

        store = self._open_store()
        return [set_aside_signal(one) for one in await patiently(lambda: store.set_aside(maybe_name(id, "execution id"), limit))]

    async def redeliver(self, id: str, *seqs: int) -> int:
        """Send the execution its signals with these *seqs* again, or all that were set aside; how many.

        Do it once code runs that can read them: what it cannot read is set aside again. Raises `ExecutionNotFound`, `ExecutionFinished`.
        """
        store = self._open_store()
        sent: int = await patiently(lambda: store.redeliver(check_name(id, "execution id"), checked_seqs(seqs) or None))
        self._service._look()
        return sent

    async def drop(self, id: str, *seqs: int) -> int:
        """Forget the execution's signals with these *seqs*, or all that were set aside; how many. Raises `ExecutionNotFound`."""
        store = self._open_store()
        dropped: int = await patiently(lambda: store.drop_aside(check_name(id, "execution id"), checked_seqs(seqs) or None))
        return dropped

    # ── events whose handler failed ─────────────────────────────────────────────────────────────
    async def dead_letters(self, handler: str | None = None, *, retrying: bool = False, limit: int = 100) -> Sequence[DeadLetter]:
        """The events that one durable handler, or any, gave up after its policy; with *retrying* also those still to be tried again,
        or waiting behind one that is."""
        from redrive.aside import dead_letter

        store = self._open_store()
        return [
            dead_letter(one)
            for one in await patiently(lambda: store.list_held(maybe_name(handler, "handler name"), None if retrying else True, limit))
        ]

    async def redeliver_events(self, handler: str, *seqs: int) -> int:
        """Have *handler* called at once with its events of these *seqs*, or with all that are dead, its policy beginning anew; how many."""
        store = self._open_store()
        found: int = await patiently(lambda: store.retry_held(check_name(handler, "handler name"), checked_seqs(seqs) or None))
        self._service._news.tell()
        return found

    async def drop_events(self, handler: str, *seqs: int) -> int:
        """Forget *handler*'s events of these *seqs*, dead or still to be tried again, or all that are dead; how many."""
        store = self._open_store()
        dropped: int = await patiently(lambda: store.drop_held(check_name(handler, "handler name"), checked_seqs(seqs) or None))
        return dropped

    def _open_store(self) -> Store:
        self._service._check_open()
        return self._service.store
