"""The edited history of each act, worked out from the old one. Pure: no store, no clock; replay where the code must say something.

Each function raises `OperationRefused`, and the refusal names the key or the verb that would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from redrive.operating import cuts
from redrive.operating.causes_of_ends import EndCause, cause_of_end
from redrive.operating.rehearsals import fits, spec_at
from redrive.operating.subjects import Edited, Subject
from redrive.status import CANCELLED, COMPENSATION_FAILED, COMPLETED, FAILED, PARKED
from redrive_interpreter import kinds
from redrive_interpreter.history.rows import Answered, Asked, AttemptStarted, ChildFinished, Forked, Retrying, Started
from redrive_interpreter.keys import Key
from redrive_interpreter.outcomes import Err, Failure, Ok

if TYPE_CHECKING:
    from redrive_interpreter.history.rows import Fact, Row


# ── retry ───────────────────────────────────────────────────────────────────────────────────────
def retry(subject: Subject, since: str | None = None) -> Edited:
    """Go on from before the failure, every stored success kept; or perform all anew that was asked from *since* on (F5)."""
    verb, rows = "retry", subject.rows
    if subject.status == COMPENSATION_FAILED:
        raise subject.refuse(verb, "its undos failed", "retry_rollback runs them again; skip_step gives one of them its outcome")
    if since is not None:
        if subject.status not in (FAILED, CANCELLED, PARKED):
            raise subject.refuse(verb, f"it is {subject.status}", "fork makes a copy of it; edit_step changes an answer")
        return begin_anew(subject, verb, since)
    if subject.status == PARKED:
        return Edited(verb=verb, rows=list(rows), run=cuts.run_of(rows), reopens=True)
    if subject.status != FAILED or subject.ended is None:
        raise subject.refuse(verb, *_instead_of_retry(subject))
    cause = cause_of_end(subject.workflow, rows, subject.codec, subject.make)
    if cause.how == "other":
        raise subject.refuse(verb, "the workflow made its error itself, so no step is known to have failed", _since(rows))
    anew = cuts.anew(rows, cause.at)
    if anew is not None:
        done = ", ".join(cuts.effects(rows, cause.at)[:5])
        raise subject.refuse(
            verb, f"behind its failure it did more ({done})", f"since={str(anew)!r} performs all from there again; or fork"
        )
    dropping = cause.key if cause.how == "step" else None
    cut = cuts.cut(rows, cause.at, dropping=dropping)
    kept = [row for row in cut.kept if not _is_attempt(row, dropping)]
    back = [fact for fact in cut.back if not (cause.how == "child" and isinstance(fact, ChildFinished) and fact.id == cause.key)]
    return _reopened(subject, verb, cut, kept, [*back, *_ends_of_children(subject, verb, kept, back)], cause)


def _instead_of_retry(subject: Subject) -> tuple[str, str]:
    if subject.status == CANCELLED:
        return "it was cancelled", f"{_since(subject.rows)}; or fork"
    if subject.status == COMPLETED:
        return "it has completed", "fork makes a copy of it that goes on from an earlier point"
    return f"it has not failed: it is {subject.status}", "retry_now ends a wait for the next attempt; edit_step gives a step its outcome"


def _is_attempt(row: Row, key: str | None) -> bool:
    return isinstance(row, (Retrying, AttemptStarted)) and row.key == key


def _reopened(subject: Subject, verb: str, cut: cuts.Cut, kept: list[Row], back: list[Fact], cause: EndCause) -> Edited:
    doubt = cuts.doubtful(subject.rows, cut.at)
    if cause.how == "step" and _was_in_doubt(subject.rows, cause.key):
        doubt.append(Key(cause.key))
    stays = {id(row) for row in kept}
    removed = [row for row in subject.rows if id(row) not in stays]
    return Edited(verb=verb, rows=kept, back=back, removed=removed, in_doubt=tuple(doubt), run=cuts.run_of(kept), reopens=True)


def _was_in_doubt(rows: Sequence[Row], key: str) -> bool:
    return any(isinstance(row, (Answered, Retrying)) and row.key == key and row.in_doubt for row in rows)


def _ends_of_children(subject: Subject, verb: str, kept: Sequence[Row], back: Sequence[Fact]) -> list[Fact]:
    """The ends of children that nobody told a parent which had ended itself. One that did not complete would end it again."""
    waited = cuts.known_children(kept) - cuts.finished_children(kept) - {fact.id for fact in back if isinstance(fact, ChildFinished)}
    found: list[Fact] = []
    for id in sorted(waited & subject.ends.keys()):
        status, outcome = subject.ends[id]
        if status != COMPLETED:
            raise subject.refuse(verb, f"its child {id!r} ended {status}", f"retry {id!r} first, or give since= from before its start")
        found.append(ChildFinished(id=id, status=status, outcome=outcome, at=subject.now))
    return found


# ── from a point on ─────────────────────────────────────────────────────────────────────────────
def begin_anew(subject: Subject, verb: str, since: str) -> Edited:
    """Perform all anew that was asked from *since* on, as another run (F2)."""
    at = point(subject, verb, since)
    reopens = subject.ended is not None
    cut = cuts.cut(subject.rows, at, cancels=not reopens and subject.status != CANCELLED)
    forked = Forked(run=subject.run, of=cuts.run_of(cut.kept), at=subject.now)
    back = [*cut.back, *_all_ends_of_children(subject, cut)] if reopens else cut.back
    return Edited(
        verb=verb,
        rows=[*cut.kept, forked],
        back=back,
        removed=cut.removed,
        added=[forked],
        in_doubt=tuple(cuts.doubtful(subject.rows, at)),
        again=_again(cut.removed),
        undone=tuple(cuts.undone(subject.rows, at)),
        run=subject.run,
        reopens=reopens,
    )


def fork(subject: Subject, id: str, before: str | int, deadline: datetime | None, call: tuple[str, Any] | None = None) -> Edited:
    """The history of a copy, which begins anew *before* a command, or before a row (from 1). *call*: another call, encoded, of the
    workflow of this name."""
    verb, rows = "fork", subject.rows
    if call is not None and call[0] != subject.workflow.name:
        raise subject.refuse(verb, f"it runs workflow {subject.workflow.name!r}, not {call[0]!r}", "give a call of the same workflow")
    at = point(subject, verb, before) if isinstance(before, str) else before - 1
    if not 1 <= at <= len(rows):
        raise subject.refuse(verb, f"it has no row {before}", f"rows 2 to {len(rows) + 1} can be named")
    cut = cuts.cut(rows, at, signals=False)
    open_ = cuts.known_children(cut.kept) - cuts.finished_children(cut.kept)
    told = {fact.id for fact in cut.back if isinstance(fact, ChildFinished)}
    ended = _all_ends_of_children(subject, cut)
    running = open_ - told - subject.ends.keys()
    if running:
        start = next((child for child in cuts.children_of(cut.kept) if child.id in running), None)
        before_it = "" if start is None else f"before={str(start.key)!r} forks before its start; or "
        raise subject.refuse(verb, f"its child {min(running)!r} still runs", f"{before_it}wait for its end")
    conflicts = [child.id for child in cuts.children_of(cut.removed) if child.explicit]
    if conflicts and call is None:
        names = ", ".join(map(repr, conflicts[:5]))
        raise subject.refuse(verb, f"the copy would start children whose ids are taken: {names}", "give another input=, or change the code")
    forked = Forked(run=subject.run, of=cuts.run_of(cut.kept), at=subject.now, id=id, deadline=deadline)
    kept = cut.kept
    if call is not None:
        assert isinstance(kept[0], Started)
        kept = [attrs.evolve(kept[0], input=call[1]), *kept[1:]]
    back = [*cut.back, *ended]
    again = _again(cut.removed)
    return Edited(verb=verb, rows=[*kept, forked], back=back, removed=cut.removed, added=[forked], again=again, run=subject.run)


def point(subject: Subject, verb: str, key: str) -> int:
    """The index of the row with which *key* was asked."""
    at = cuts.asked_at(subject.rows, key)
    if at is None:
        raise subject.refuse(verb, f"it has asked for nothing under the key {key!r}", _since(subject.rows))
    return at


def _all_ends_of_children(subject: Subject, cut: cuts.Cut) -> list[Fact]:
    told = cuts.finished_children(cut.kept) | {fact.id for fact in cut.back if isinstance(fact, ChildFinished)}
    waited = cuts.known_children(cut.kept) - told
    ends = ((id, *subject.ends[id]) for id in sorted(waited & subject.ends.keys()))
    return [ChildFinished(id=id, status=status, outcome=outcome, at=subject.now) for id, status, outcome in ends]


def _again(removed: Sequence[Row]) -> tuple[Key, ...]:
    done = cuts.succeeded(removed)
    return tuple(row.key for row in removed if type(row) is Asked and row.kind == kinds.STEP and row.key in done)


def _since(rows: Sequence[Row]) -> str:
    keys = [repr(str(row.key)) for row in rows if type(row) is Asked and row.kind in (kinds.STEP, *kinds.CHILD_STARTS)]
    if not keys:
        return "it has asked for no step"
    return "give since= one of " + ", ".join(keys[-5:]) if len(keys) > 1 else f"give since={keys[0]}"


# ── another outcome of a step ───────────────────────────────────────────────────────────────────
def answer(subject: Subject, verb: str, key: str, outcome: Ok[Any] | Err, since: str | None = None) -> Edited:
    """Give the step at *key* another *outcome* than it has, or one where it has none (F5)."""
    rows = subject.rows
    at = cuts.answered_at(rows, key)
    if at is None:
        return _answer_open(subject, verb, Key(key), outcome, since)
    old = rows[at]
    assert isinstance(old, Answered)
    new = Answered(old.key, outcome, at=old.at, by="operator")
    edited = [*rows[:at], new, *rows[at + 1 :]]
    if since is not None:
        begun = begin_anew(attrs.evolve(subject, rows=edited), verb, since)
        if not any(row is new for row in (*begun.rows, *begun.back)):
            raise subject.refuse(verb, f"{key!r} is asked from {since!r} on, so that its outcome would go with it", "give a later since=")
        return attrs.evolve(begun, added=[new, *begun.added], removed=[old, *(row for row in begun.removed if row is not new)])
    if fits(subject, edited):
        if subject.ended is not None:
            instead = "give since= to have more performed again; or fork"
            raise subject.refuse(verb, f"it would end as it did, whatever {key!r} gave", instead)
        return Edited(verb=verb, rows=edited, removed=[old], added=[new], run=cuts.run_of(rows))
    anew = cuts.anew(rows, at + 1)
    if anew is not None:
        problem = f"what came after {key!r} no longer follows from it"
        raise subject.refuse(verb, problem, f"since={str(anew)!r} performs all from there again")
    cut = cuts.cut(edited, at + 1)
    back = [*cut.back, *_ends_of_children(subject, verb, cut.kept, cut.back)] if subject.ended is not None else cut.back
    return Edited(
        verb=verb,
        rows=cut.kept,
        back=back,
        removed=[old, *cut.removed],
        added=[new],
        in_doubt=tuple(cuts.doubtful(rows, at + 1)),
        run=cuts.run_of(cut.kept),
        reopens=subject.ended is not None,
    )


def check_step(subject: Subject, verb: str, key: str) -> None:
    """Raises `OperationRefused` for what was never asked, and for what is no step."""
    asked = subject.rows[point(subject, verb, key)]
    assert isinstance(asked, Asked)
    if asked.kind not in kinds.BODIES:
        noun = kinds.kind_of(asked.kind).noun
        raise subject.refuse(verb, f"{key!r} is no step but a {noun}", "only the outcomes of steps and undos can be given")


def _answer_open(subject: Subject, verb: str, key: Key, outcome: Ok[Any] | Err, since: str | None) -> Edited:
    rows = subject.rows
    if since is not None:
        raise subject.refuse(verb, f"{key!r} has no outcome yet, so nothing has come after it", "leave since= out")
    if subject.ended is not None:
        raise subject.refuse(verb, f"it ended before {key!r} had an outcome", f"retry(since={str(key)!r}) performs it again")
    new = Answered(key, outcome, at=subject.now, by="operator")
    doubt = tuple(one for one in cuts.in_flight(rows) if one == key)
    return Edited(verb=verb, rows=[*rows, new], added=[new], in_doubt=doubt, run=cuts.run_of(rows))


@attrs.frozen
class StoredResult:
    """A result as JSON *data*, which is read as the step's type says: from a shell, or from a page."""

    data: Any


def encoded(subject: Subject, verb: str, key: str, result: Any) -> Any:
    """*result* as the step at *key* would have given it. Raises `CodecError` if it is not of the declared type."""
    spec = spec_at(subject, key, before=cuts.answered_at(subject.rows, key))
    if spec is None:
        raise subject.refuse(verb, f"{key!r} is no step that the code here asks for", "run this where the execution's code is")
    where = f"step {spec.id}"
    if isinstance(result, StoredResult):
        result = subject.codec.load(result.data, spec.result_type, where)
    return subject.codec.dump(result, spec.result_type, where)


# ── a backoff, the deadline, the end ────────────────────────────────────────────────────────────
def retry_now(subject: Subject, key: str | None = None) -> Edited:
    """End the wait for the next attempt of the step at *key*, or of all that wait for one."""
    verb, rows = "retry_now", subject.rows
    if subject.ended is not None:
        raise subject.refuse(verb, f"it is {subject.status}", "retry goes on after a failure")
    answered = {row.key for row in rows if type(row) is Answered}
    last = {row.key: row for row in rows if type(row) is Retrying and row.key not in answered}
    waiting = {one: row for one, row in last.items() if row.due > subject.now and key in (None, one)}
    if not waiting:
        what = "no step of it waits" if key is None else f"{key!r} does not wait"
        raise subject.refuse(verb, f"{what} for its next attempt", "info() says what it waits for")
    new = {id(row): attrs.evolve(row, due=subject.now) for row in waiting.values()}
    edited = [new.get(id(row), row) for row in rows]
    return Edited(verb=verb, rows=edited, removed=list(waiting.values()), added=list(new.values()), run=cuts.run_of(rows))


def with_deadline(rows: Sequence[Row], deadline: datetime | None) -> list[Row]:
    """*rows* as if the execution had been given this *deadline* at its start, or where it began as a copy."""
    at = next((at for at in range(len(rows) - 1, -1, -1) if isinstance(row := rows[at], Forked) and row.id), 0)
    row = rows[at]
    assert isinstance(row, (Forked, Started))
    return [*rows[:at], attrs.evolve(row, deadline=deadline), *rows[at + 1 :]]


def check_skipped(subject: Subject, key: str) -> None:
    """Raises `OperationRefused` for a step that succeeded."""
    at = cuts.answered_at(subject.rows, key)
    if at is not None and isinstance(answered := subject.rows[at], Answered) and isinstance(answered.outcome, Ok):
        raise subject.refuse("skip_step", f"{key!r} has succeeded", "edit_step gives it another result")


def encoded_error(subject: Subject, verb: str, key: str, error: Exception) -> Failure:
    spec = spec_at(subject, key, before=cuts.answered_at(subject.rows, key))
    if spec is None:
        raise subject.refuse(verb, f"{key!r} is no step that the code here asks for", "run this where the execution's code is")
    return subject.codec.dump_error(error, spec.raises)
