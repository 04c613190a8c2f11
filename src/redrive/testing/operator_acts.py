"""Acts of operators on played runs: the same edits that a service has stored, on a run in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid5

from redrive.errors import OperationRefused
from redrive.operating import edits
from redrive.operating.change_report import Change, told
from redrive.operating.rehearsals import rehearse
from redrive.operating.step_keys import check_means_step, key_of
from redrive.operating.subjects import Subject
from redrive.status import CANCELLING, FAILED, RUNNING, SUSPENDED
from redrive_interpreter import Asked, CancelRequested, Err, Ok, kinds
from redrive_interpreter.history.rows import ChildFinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from redrive.operating.subjects import Edited
    from redrive.testing.host import Host


def subject_of(host: Host) -> Subject:
    """The run of *host*, as an operator would find it stored."""
    ended = host.verdict
    cancelled = any(isinstance(row, CancelRequested) for row in host.rows)
    status = ended.status if ended is not None else CANCELLING if cancelled else SUSPENDED
    started = host.machine.started
    assert started is not None
    return Subject(
        id=started.id,
        status=status,
        rows=host.rows,
        workflow=host.workflows[-1],
        codec=host.codec,
        now=host.now,
        run=uuid5(started.run, f"operated {len(host.runs)}"),
        ends=_ends(host),
    )


def _ends(host: Host) -> dict[str, tuple[str, Any]]:
    """The children that ended, by what the run was told of them last."""
    return {row.id: (row.status, row.outcome) for run in host.runs for row in run if isinstance(row, ChildFinished)}


def retry(host: Host, since: str | None) -> Change:
    return _adopt(host, lambda subject: edits.retry(subject, since))


def answer(host: Host, step: Any, value: Any, error: Exception | None, since: str | None) -> Change:
    check_means_step("edit", step)

    def edit(subject: Subject) -> Edited:
        key = key_of(subject, "edit_step", step)
        edits.check_step(subject, "edit_step", key)
        if error is not None:
            return edits.answer(subject, "edit_step", key, Err(edits.encoded_error(subject, "edit_step", key, error)), since)
        return edits.answer(subject, "edit_step", key, Ok(edits.encoded(subject, "edit_step", key, value)), since)

    return _adopt(host, edit)


def fork(host: Host, before: str | int, id: str) -> Change:
    """Make *host*, which is a copy of the original, go on from *before* as execution *id*."""
    return _adopt(host, lambda subject: edits.fork(subject, id, before, None))


def _adopt(host: Host, edit: Callable[[Subject], Edited]) -> Change:
    subject = subject_of(host)
    edited = edit(subject)
    rehearsed = rehearse(subject, edited.rows)
    finished = rehearsed.finished
    if edited.reopens and finished is not None and finished.status == FAILED and not edited.back:
        assert isinstance(finished.outcome, Err)
        problem = f"the code here would end it again: {finished.outcome.error.type}: {finished.outcome.error.message}"
        raise subject.refuse(edited.verb, problem, "mend the code first, or edit the answer that it does not like")
    host.adopt(edited.rows, edited.back)
    return told(edited, rehearsed, id=subject.id, status=RUNNING, number=len(host.runs), stored=True)


def first_step(host: Host) -> str:
    """The key of the first step that the run asked for; nothing if there is none."""
    return next((str(row.key) for row in host.rows if isinstance(row, Asked) and row.kind == kinds.STEP), "")


def may_retry(host: Host) -> bool:
    """Whether the run failed, not by a fault of its code, so that an operator would retry it."""
    return host.verdict is not None and host.verdict.status == FAILED and not host.verdict.bug and bool(first_step(host))


def retry_somehow(host: Host) -> None:
    try:
        retry(host, None)
    except OperationRefused:
        retry(host, first_step(host))
