"""what_if: the history with other answers, in memory; nothing is stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from redrive import AsyncDurableService, Flow, OperationRefused, Sleep, workflow
from redrive.histories import read
from redrive.testing import Run
from tests.operating.shop import Provider, approved, charge, in_shop, order, quote, ship, undoing, waiting
from tests.runtime.support import standing


@workflow("shop.choosing")
def choosing() -> Flow[str]:
    price = yield from quote("book")
    yield from Sleep(3600)
    if price > 100:
        return (yield from ship("by hand"))
    return (yield from charge(price))


def test_it_says_what_would_be_asked_and_how_it_would_end(store_url: str, bank: Provider, tmp_path: Path) -> None:
    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(choosing(), id="o-1")
        await standing(execution, "suspended")
        before = await execution.history()
        same = await execution.what_if({})
        assert [(str(one.key), "shop.py" in one.place or "test_what_if" in one.place) for one in same.asks] == [("charge", True)]
        other = await execution.what_if({quote("book"): 900})
        assert [str(one.key) for one in other.asks] == ["ship"]
        ended = await execution.what_if({"quote": 900}, stubs={ship: lambda what: f"sent {what}"})
        assert (ended.status, ended.result, ended.asks) == ("completed", "sent by hand", ())
        failed = await execution.what_if({"quote": 900}, stubs={ship: ValueError("no van")})
        assert failed.status == "failed"
        assert "no van" in failed.error
        ended.save(tmp_path / "what-if.jsonl")
        from redrive_interpreter import load_row

        rows = [load_row(row) for row in read(tmp_path / "what-if.jsonl")]
        assert Run.recorded(choosing, rows).result == "sent by hand"
        assert await execution.history() == before
        assert (await execution.info()).number == 1
        assert bank.counts == {"quote": 1}

    in_shop(run, store_url, choosing)


def test_what_was_answered_to_the_same_question_is_answered_so_again(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(waiting(1), id="o-1")
        await execution.signal(approved, "ada")
        await execution.result()
        told = await execution.what_if({"reserve": "another"})
        assert (told.status, told.result) == ("completed", "another ada charge-1")
        told = await execution.what_if({"reserve": "x", charge(1): ValueError("declined")})
        assert told.status == "failed"
        other = await service.start(order(1), id="o-2")
        await other.result()
        told = await other.what_if({"quote": 500})
        assert [(str(one.key), one.input) for one in told.asks] == [("charge", {"amount": 501})], "another question has no answer"
        failed = await service.start(undoing(2), id="o-3")
        await failed.result()
        told = await failed.what_if({ship("charge-3"): ValueError("no van")}, stubs={"refund": None, "release": None})
        assert told.status == "failed"

    in_shop(run, store_url)


def test_it_refuses_what_was_never_asked(store_url: str, bank: Provider) -> None:
    async def run(service: AsyncDurableService) -> None:
        execution = await service.start(order(1), id="o-1")
        await execution.result()
        with pytest.raises(OperationRefused, match=r"nothing under the key 'nope'"):
            await execution.what_if({"nope": 1})
        with pytest.raises(OperationRefused, match=r"step quote.*declared type"):
            await execution.what_if({"quote": "much"})

    in_shop(run, store_url)
