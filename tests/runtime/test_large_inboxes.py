"""What waits in an inbox is read once, however many turns it takes: what one more costs does not grow with what lies there."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from redrive.ports.store import Claim, Message, Store, Turn
from redrive.stores.sqlite import SQLiteStore, unit_rows
from redrive.testing.contracts.lab import claimed, signal
from redrive.worker.life.active_execution import ActiveExecution

MANY = 300


async def claimed_with_mail(store: Store) -> tuple[Claim, list[Message]]:
    claim = await claimed(store)
    await store.commit(claim, Turn(expects=1, rows=['"asked"'], status="suspended"))
    for n in range(MANY):
        await store.send("e-1", signal(data=str(n)))
    return claim, list((await store.load(claim)).inbox)


async def test_a_turn_reads_nothing_of_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rows that come from the inbox: 500 facts a turn, of ten thousand signals, would be a hundred thousand rows."""
    store = SQLiteStore(str(tmp_path / "x.db"))
    await store.open()
    claim, inbox = await claimed_with_mail(store)
    rows = list[int]()
    read = unit_rows.inbox

    def counted(*asked: Any) -> tuple[Message, ...]:
        found = read(*asked)
        rows.append(len(found))
        return found

    monkeypatch.setattr(unit_rows, "inbox", counted)
    for n in range(10):
        await store.commit(claim, Turn(expects=2 + n, rows=['"taken"'], taken=inbox[n * 10].seq, seen=inbox[-1].seq))
    assert sum(rows) == 0
    await store.close()
    assert sqlite3.connect(tmp_path / "x.db").execute("SELECT count(*) FROM inbox").fetchone() == (MANY - 91,)


def test_mail_is_added_to_what_lies_there() -> None:
    live = ActiveExecution(Claim(id="e-1", worker="w", fence=1, workflow="w", run="r", number=1, length=1), None)  # type: ignore[arg-type]
    at = datetime(2027, 1, 1, tzinfo=UTC)
    messages = [Message(seq=seq, kind="signal", name="s", data="1", stored_at=at) for seq in range(1, 7)]
    assert live.add_messages(messages[:2])
    inbox = live.inbox
    assert live.add_messages(messages[1:4])
    assert live.inbox is inbox, "not copied for each that comes"
    assert not live.add_messages(messages[:4])
    assert [message.seq for message in live.inbox] == [1, 2, 3, 4]
