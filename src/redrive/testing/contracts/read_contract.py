"""Reading: snapshots, lists and histories."""

from __future__ import annotations

import json

import pytest

from redrive.ports.ends import ends_of
from redrive.ports.store import Turn
from redrive.testing.contracts.lab import SECOND, Lab, claimed, execution, in_lab, newest
from redrive_interpreter.errors import ExecutionNotFound


class ReadingContract:
    @in_lab
    async def test_what_is_not_there_is_not_found(self, lab: Lab) -> None:
        store = await lab.open()
        assert await store.read("nobody") is None
        with pytest.raises(ExecutionNotFound):
            await store.history("nobody")
        await store.start(execution())
        for run in (0, 2, -2):
            with pytest.raises(ExecutionNotFound):
                await store.history("e-1", run)

    @in_lab
    async def test_executions_are_listed_newest_first(self, lab: Lab) -> None:
        store = await lab.open()
        for n in range(4):
            await store.start(execution(f"e-{n}", workflow=f"w-{n % 2}"))
            lab.pass_time(SECOND)
        (claim,) = await store.claim("ada", SECOND, "b-1", ["w-0"], 1)
        await store.commit(claim, Turn(expects=1, status="completed"))
        assert [found.id for found in await newest(store)] == ["e-3", "e-2", "e-1", "e-0"]
        assert [found.id for found in await newest(store, limit=2)] == ["e-3", "e-2"]
        assert [found.id for found in await newest(store, workflow="w-0")] == ["e-2", "e-0"]
        assert [found.id for found in await newest(store, status="completed")] == ["e-0"]
        assert [found.id for found in await newest(store, workflow="w-0", status="pending")] == ["e-2"]
        assert list(await newest(store, workflow="other")) == []

    @in_lab
    async def test_of_many_executions_those_that_have_ended_are_told_as_each_is_read(self, lab: Lab) -> None:
        store = await lab.open()
        ids = [f"e-{n} \u00e9\x1f" for n in range(6)]
        for id in ids:
            await store.start(execution(id))
        outcome = '{"ok":[null,"\\ud800"]}'
        for claim in (await store.claim("ada", SECOND, "b-1", ["w"], 3))[:2]:
            await store.commit(claim, Turn(expects=1, status="completed", outcome=outcome))
        asked = [ids[5], "nobody", *ids, ids[0]]
        read = [await store.read(id) for id in ids]
        ended = {(found.id, found.status, found.outcome) for found in read if found is not None and found.status == "completed"}
        assert len(ended) == 2
        assert set(await ends_of(store, asked)) == ended
        assert list(await ends_of(store, ["nobody"])) == list(await ends_of(store, [])) == []

    @in_lab
    async def test_what_one_store_wrote_another_reads(self, lab: Lab) -> None:
        store, other = await lab.open(), await lab.open()
        claim = await claimed(store)
        await store.commit(claim, Turn(expects=1, rows=['"asked"']))
        assert await other.history("e-1") == '["started","asked"]'
        assert await other.read("e-1") == await store.read("e-1")
        assert (await other.load(claim)).history == '["started","asked"]'

    @in_lab
    async def test_a_long_history_keeps_its_order(self, lab: Lab) -> None:
        store = await lab.open()
        claim = await claimed(store)
        length = 1
        for size in (1, 3, 500, 2):
            rows = [str(n) for n in range(length, length + size)]
            await store.commit(claim, Turn(expects=length, rows=rows))
            length += size
        assert json.loads((await store.load(claim)).history) == ["started", *range(1, length)]

    @in_lab
    async def test_a_store_can_be_closed_twice_and_opened_again(self, lab: Lab) -> None:
        store = await lab.open()
        await store.start(execution())
        await store.close()
        await store.close()
        await store.open()
        assert await store.read("e-1") is not None
