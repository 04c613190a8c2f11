"""Requests that can be written in groups: turns, starts and signals that concern their own execution only."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from redrive.ports.store import FINAL, Claim, CommitResult, NewMessage, StartResult, Turn
from redrive.status import PENDING
from redrive.stores.change_notifier import ENDS, WORK
from redrive.stores.ledger.reach import AskedStart, AskedTurn
from redrive.stores.postgres.groups import Job
from redrive.stores.postgres.parameters import SEPARATOR, joined, maybe_text, maybe_us, numbers, to_key, to_text
from redrive.stores.postgres.session import Cursor, Session
from redrive.stores.snapshots import begun_of

_NOTHING: Final = CommitResult()
_NO_TURN: Final = Turn(expects=1, status=PENDING)

AskedSend: TypeAlias = tuple[str, NewMessage]
Announce: TypeAlias = Callable[[int, int], None]
"""Is told the time and the news of what was written."""


def is_plain(turn: Turn) -> bool:
    return not (
        turn.next_run is not None
        or turn.events
        or turn.outgoing
        or turn.children
        or turn.aside
        or turn.held
        or turn.awaits is not None
        or turn.seen < turn.taken
    )


def size_of(turn: Turn) -> int:
    return sum(map(len, turn.rows)) + len(turn.attributes or "") + len(turn.outcome or "")


def rows_of(turn: Turn) -> str | None:
    return ",".join(turn.rows) if turn.rows else None


async def write_turns(session: Session, jobs: Sequence[Job[AskedTurn]], told: Announce) -> list[CommitResult | None]:
    asked = [job.asked for job in jobs]
    if len(asked) == 1 and not (asked[0][1].taken or asked[0][1].searchable):
        return [await _write_turn(session, *asked[0], told)]
    turns = [turn for _, turn in asked]
    indexed = [(i, name, text) for i, turn in enumerate(turns, 1) for name, texts in turn.searchable for text in texts or (None,)]
    more: tuple[str, ...] = ()
    if indexed:
        more = (
            numbers(i for i, _, _ in indexed),
            SEPARATOR.join(to_text(name) for _, name, _ in indexed),
            joined(text for *_, text in indexed),
        )
    cursor = await session.run(
        "advance_and_index" if indexed else "advance",
        SEPARATOR.join([to_text(claim.id) for claim, _ in asked]),
        ",".join([str(claim.fence) for claim, _ in asked]),
        ",".join([str(claim.number) for claim, _ in asked]),
        ",".join([str(turn.expects) for turn in turns]),
        ",".join([str(len(turn.rows)) for turn in turns]),
        ",".join([turn.status for turn in turns]),
        numbers([maybe_us(turn.wake_at) for turn in turns]),
        ",".join([str(turn.taken) for turn in turns]),
        ",".join([str(turn.unread) for turn in turns]),
        joined([rows_of(turn) for turn in turns]),
        joined([turn.attributes for turn in turns]),
        joined([turn.outcome for turn in turns]),
        numbers([maybe_us(turn.deadline) for turn in turns]),
        joined([to_text(turn.waits) for turn in turns]),
        *more,
    )
    answers: list[CommitResult | None] = [None] * len(jobs)
    kinds, at_us = 0, 0
    for i, now_us in await cursor.fetchall():
        answers[i - 1], at_us = _NOTHING, now_us
        if turns[int(i) - 1].status in FINAL:
            kinds = ENDS
    told(at_us, kinds)
    return answers


async def _write_turn(session: Session, claim: Claim, turn: Turn, told: Announce) -> CommitResult | None:
    ends = turn.status in FINAL
    checked = (to_text(claim.id), claim.fence, claim.number, turn.expects)
    changes = (
        len(turn.rows),
        turn.status,
        maybe_us(turn.wake_at),
        turn.unread,
        rows_of(turn),
        turn.attributes,
        turn.outcome,
        ends,
        maybe_us(turn.deadline),
        to_text(turn.waits),
    )
    written = await (await session.run("advance_one", *checked, *changes)).fetchall()
    if not written:
        return None
    told(written[0][0], ENDS if ends else 0)
    return _NOTHING


async def write_starts(session: Session, jobs: Sequence[Job[AskedStart]], told: Announce) -> list[StartResult | None]:
    asked = [job.asked for job in jobs]
    cursor = await (_begin_one(session, asked[0]) if len(asked) == 1 else _begin(session, asked))
    answers: list[StartResult | None] = [None] * len(jobs)
    kinds, at_us = 0, 0
    for i, now_us, claimed, turned in await cursor.fetchall():
        at_us = now_us
        new, claim_for, first = asked[int(i) - 1]
        answers[i - 1] = begun_of(new, claim_for if claimed else None, now_us, _NOTHING if turned else None)
        if not claimed:
            kinds |= WORK
        elif turned and first is not None and first.status in FINAL:
            kinds |= ENDS
    told(at_us, kinds)
    return answers


async def _begin(session: Session, asked: Sequence[AskedStart]) -> Cursor:
    news = [new for new, _, _ in asked]
    turns = [first or _NO_TURN for _, _, first in asked]
    return await session.run(
        "begin",
        SEPARATOR.join([to_text(new.id) for new in news]),
        SEPARATOR.join([to_text(new.workflow) for new in news]),
        SEPARATOR.join([to_text(new.run) for new in news]),
        joined([None if claim_for is None else to_text(claim_for) for _, claim_for, _ in asked]),
        numbers([maybe_us(new.not_before) for new in news]),
        numbers([maybe_us(new.deadline) for new in news]),
        SEPARATOR.join([new.attributes for new in news]),
        SEPARATOR.join([new.started for new in news]),
        SEPARATOR.join([new.input for new in news]),
        numbers([None if first is None else len(first.rows) for _, _, first in asked]),
        ",".join([turn.status for turn in turns]),
        numbers([maybe_us(turn.wake_at) for turn in turns]),
        ",".join([str(turn.unread) for turn in turns]),
        joined([rows_of(turn) for turn in turns]),
        joined([turn.outcome for turn in turns]),
        joined([to_text(turn.waits) for turn in turns]),
    )


async def _begin_one(session: Session, asked: AskedStart) -> Cursor:
    new, claim_for, first = asked
    turn = first or _NO_TURN
    names = (to_text(new.id), to_text(new.workflow), to_text(new.run), maybe_text(claim_for))
    rest = (maybe_us(new.not_before), maybe_us(new.deadline), new.attributes, new.started, new.input)
    changes = (turn.status, maybe_us(turn.wake_at), turn.unread, rows_of(turn), turn.outcome, turn.status in FINAL, to_text(turn.waits))
    return await session.run("begin_one", *names, *rest, None if first is None else len(first.rows), *changes)


async def write_queued_starts(session: Session, jobs: Sequence[Job[AskedStart]], told: Announce) -> list[StartResult | None]:
    news = [job.asked[0] for job in jobs]
    texts = [(to_text(new.id), to_text(new.workflow), to_text(new.run), new.attributes, new.started, new.input) for new in news]
    places = [(to_text(new.queue or ""), to_text(new.partition), str(new.priority)) for new in news]
    times = [(maybe_us(new.deadline), maybe_us(new.not_before)) for new in news]
    rows: list[tuple[str, ...]] = [
        (*text, *place, *("" if us is None else str(us) for us in both)) for text, place, both in zip(texts, places, times, strict=True)
    ]
    columns = [json.dumps([row[at] for row in rows]) for at in range(len(rows[0]))]
    cursor = await session.run("begin_queued", *columns)
    answers: list[StartResult | None] = [None] * len(jobs)
    at_us = 0
    made: list[tuple[int, int]] = await cursor.fetchall()
    for i, now_us in made:
        answers[i - 1], at_us = begun_of(news[i - 1], None, now_us, None), now_us
    told(at_us, WORK if at_us else 0)
    return answers


async def write_signals(session: Session, jobs: Sequence[Job[AskedSend]], told: Announce) -> list[bool | None]:
    asked = [job.asked for job in jobs]
    cursor = await session.run(
        "send",
        SEPARATOR.join([to_text(id) for id, _ in asked]),
        SEPARATOR.join([to_text(message.name) for _, message in asked]),
        SEPARATOR.join([message.data for _, message in asked]),
        joined([None if message.dedup is None else to_key(message.dedup) for _, message in asked]),
    )
    answers: list[bool | None] = [None] * len(jobs)
    kinds, at_us = 0, 0
    for i, now_us, landed in await cursor.fetchall():
        answers[i - 1], at_us = landed, now_us
        kinds |= WORK if landed else 0
    told(at_us, kinds)
    return answers
