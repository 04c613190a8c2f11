"""Which executions deserve a look (F12)."""

from __future__ import annotations

from typing import Any

from redrive.ports.store import Turn
from redrive.ports.suspects import KnowsSuspects, Suspicion
from redrive.testing.contracts.lab import CANCEL, DAY, LEASE, SECOND, Lab, claimed, execution, in_lab, park


async def _opened(lab: Lab) -> tuple[Any, bool]:
    """A store, and whether it knows suspects."""
    store: Any = await lab.open()
    return store, isinstance(store, KnowsSuspects)


class SuspectContract:
    @in_lab
    async def test_what_may_be_stuck_is_told_from_what_is_well(self, lab: Lab) -> None:
        store, knows = await _opened(lab)
        if not knows:
            return  # a store may do without
        now = await store.now()
        turns: dict[str, dict[str, Any]] = {
            "sleeps": {"status": "suspended", "wake_at": now + 10 * DAY, "waits": "timer"},
            "waits": {"status": "suspended", "waits": "signal:go"},
            "retries": {"status": "suspended", "wake_at": now + 10 * DAY, "waits": "step:charge"},
            "undoes": {"status": "suspended", "wake_at": now + 10 * DAY, "waits": "undo:charge"},
            "late": {"status": "suspended", "wake_at": now + SECOND, "waits": "timer"},
            "unread": {"status": "suspended", "waits": "signal:go", "unread": 2},
            "cancels": {"status": "suspended", "wake_at": now + 10 * DAY, "waits": "timer"},
            "parked": {"status": "suspended", "wake_at": now + 10 * DAY, "waits": "timer"},
            "ended": {"status": "failed", "outcome": '{"ok": 1}', "unread": 3},
        }
        silent = await claimed(store, "silent")
        await store.commit(silent, Turn(expects=1, rows=['"row"'], status="running", wake_at=await store.now()))
        for id, turn in turns.items():
            claim = await claimed(store, id)
            await store.commit(claim, Turn(expects=1, rows=['"row"'], **turn))
            await store.release([claim], parked=park() if id == "parked" else None)
        await store.send("cancels", CANCEL)
        lab.pass_time(DAY + 2 * SECOND)
        later = await store.now()
        suspicion = Suspicion(due_before=now + DAY, silent_since=later - SECOND, recoveries=3)
        found = await store.suspects(suspicion, 0, 100)
        assert set(found.ids) == {"retries", "undoes", "late", "unread", "cancels", "parked", "silent"}
        assert found.place is None
        well = Suspicion(due_before=now - DAY, silent_since=now - DAY, recoveries=3)
        assert set((await store.suspects(well, 0, 100)).ids) == {"retries", "undoes", "unread", "cancels", "parked"}

    @in_lab
    async def test_so_many_are_looked_at_the_oldest_first(self, lab: Lab) -> None:
        store, knows = await _opened(lab)
        if not knows:
            return  # a store may do without
        for number in range(5):
            await store.start(execution(f"e-{number}"))
        lab.pass_time(DAY)
        suspicion = Suspicion(due_before=await store.now(), silent_since=await store.now() - LEASE, recoveries=3)
        first = await store.suspects(suspicion, 0, 3)
        assert list(first.ids) == ["e-0", "e-1", "e-2"]
        rest = await store.suspects(suspicion, first.place, 3)
        assert (list(rest.ids), rest.place) == (["e-3", "e-4"], None)
