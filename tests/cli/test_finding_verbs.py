"""`find`, `list`, `count` and `tree`, by the words of `redrive.Filter`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from redrive import AsyncDurableService, Attribute, Flow, Signal, StartChild, WaitSignal, workflow
from redrive.cli import tables
from redrive.cli.colors import colors_for
from redrive.cli.program import main
from redrive.ports.finding import StoredFilter
from redrive.testing.contracts.lab import newest

state = Attribute("state", str)
size = Attribute("size", int)
approved = Signal("orders.approved", str)


@workflow("cli.order")
def order(fails: bool) -> Flow[str]:
    yield from WaitSignal(approved)
    if fails:
        raise RuntimeError("no")
    return "done"


@workflow("cli.family")
def family() -> Flow[None]:
    yield from StartChild(order(False), id="kid")
    yield from WaitSignal(approved)


@pytest.fixture
def store(tmp_path: Path) -> list[str]:
    """The words that name a store with three orders, one of which has failed, and a family."""
    url = f"sqlite:///{tmp_path / 'orders.db'}"

    async def fill() -> None:
        async with AsyncDurableService(url, [order, family]) as service:
            for i in range(3):
                await service.start(order(i == 0), id=f"order-{i}", attributes=[state.is_("new" if i else "it's \u202eodd"), size.is_(i)])
            await service.start(family(), id="top")
            await service.signal("order-0", approved, "Ada")
            while (await service.count(status="failed")).n < 1 or (await service.count(status="suspended")).n < 4:
                await asyncio.sleep(0.01)

    asyncio.run(fill())
    return ["--store", url]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[Any]:
    assert main(words) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--status", "failed"], ["order-0"]),
        (["--status", "failed", "--status", "suspended"], ["kid", "top", "order-2", "order-1", "order-0"]),
        (["--workflow", "cli.order", "--waiting-on", "orders.approved"], ["kid", "order-2", "order-1"]),
        (["--attribute", "state=new"], ["order-2", "order-1"]),
        (["--attribute", "state=it's \u202eodd"], ["order-0"]),
        (["--attribute", "state^=n", "--attribute", "size>=2"], ["order-2"]),
        (["--attribute", "size<=1"], ["order-1", "order-0"]),
        (["--id-prefix", "order-"], ["order-2", "order-1", "order-0"]),
        (["--root", "top"], ["kid", "top"]),
        (["--parent", "top"], ["kid"]),
        (["--error-type", "RuntimeError"], ["order-0"]),
        (["--ended-after", "2020-01-01"], ["order-0"]),
        (["--created-before", "2020-01-01T00:00:00+02:00"], []),
        (["--queue", "gpu"], []),
    ],
    ids=" ".join,
)
def test_find_takes_the_words_of_a_filter(store: list[str], capsys: pytest.CaptureFixture[str], words: list[str], ids: list[str]) -> None:
    assert [found["id"] for found in told(capsys, "find", *store, "--json", *words)] == ids
    assert told(capsys, "count", *store, "--json", *words) == [{"n": len(ids), "more": False}]


def test_find_pages_with_a_cursor_and_says_how_many_there_are(store: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    *page, cursor = told(capsys, "find", *store, "--json", "--limit", "2")
    assert [found["id"] for found in page] == ["kid", "top"]
    *page, cursor = told(capsys, "find", *store, "--json", "--limit", "2", "--cursor", cursor["cursor"])
    assert [found["id"] for found in page] == ["order-2", "order-1"]
    assert main(["list", *store, "--limit", "2"]) == 0
    out, err = capsys.readouterr()
    assert "orders.approved" in out
    assert "5 in all" in err


def test_counts_come_by_what_is_asked_for(store: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "count", *store, "--json", "--by", "status") == [
        {"suspended": {"n": 4, "more": False}, "failed": {"n": 1, "more": False}}
    ]
    assert main(["count", *store, "--by", "attribute:state"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["2", "1"]
    assert main(["count", *store, "--by", "workflow", "--status", "failed"]) == 0
    assert capsys.readouterr().out.split() == ["cli.order", "1"]


def test_a_tree_shows_children_and_what_they_wait_for(store: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (tree,) = told(capsys, "tree", *store, "--json", "top")
    assert (tree["id"], [child["id"] for child in tree["children"]]) == ("top", ["kid"])
    assert main(["tree", *store, "top"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("top  cli.family  suspended, waits for signal:orders.approved")
    assert second.startswith("  kid  cli.order  suspended")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["find", "--status", "faild"], "did you mean"),
        (["find", "--attribute", "state"], "no condition"),
        (["find", "--attribute", "=x"], "no condition"),
        (["find", "--created-after", "yesterday"], "no time"),
        (["find", "--limit", "0"], "nothing to list"),
        (["find", "--cursor", "x"], "no cursor"),
        (["count", "--by", "colour"], "no such thing"),
        (["tree", "nobody"], "no execution"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_cannot_be_asked_is_refused(store: list[str], capsys: pytest.CaptureFixture[str], words: list[str], why: str) -> None:
    assert main([words[0], *store, *words[1:]]) == 2
    assert why in capsys.readouterr().err


def test_a_list_fits_into_a_terminal(store: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    async def lines() -> list[str]:
        async with AsyncDurableService(store[1], worker=False) as service:
            found = await newest(service.store)
            assert await service.store.count(StoredFilter(workflow="cli.order"))
            return tables.listing(found, colors_for(sys.stdout), await service.store.now(), (), 60)

    assert max(map(len, asyncio.run(lines()))) <= 60
