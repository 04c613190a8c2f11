"""A column that somebody has damaged is told by execution, column and store, on every store and by every way in (I3)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from redrive import AsyncDurableService, Flow, SetAttribute, Signal, WaitSignal, workflow
from redrive.cli import main
from redrive.errors import DamagedData
from redrive.ports.store import Snapshot
from redrive.stores.backends import open_url
from redrive_interpreter import Attribute
from tests.runtime.support import standing

go = Signal("go", str)
state = Attribute("state", str)
Damage = Callable[[str, str], None]


@workflow("damaged.waits")
def waits(name: str = "") -> Flow[str]:
    yield from SetAttribute(state, "waiting")
    by = yield from WaitSignal(go)
    yield from SetAttribute(state, by)
    return by


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Damage]]:
    """The URL of a store, and a function that writes a text into a column of the execution ``it``."""
    if request.param == "memory":
        url = f"memory://{tmp_path.name}"

        def in_memory(column: str, text: str) -> None:
            record = open_url(url)._tables.records["it"]  # type: ignore[attr-defined]
            if column == "history":
                record.current.chunks[:] = [text]
            else:
                setattr(record, column, text)

        yield url, in_memory
    elif request.param == "sqlite":
        file = tmp_path / "damaged.db"

        def in_sqlite(column: str, text: str) -> None:
            with sqlite3.connect(file) as db:
                if column in ("history", "input"):
                    table, name = "history", "rows" if column == "history" else "input"
                    db.execute(f"UPDATE {table} SET {name} = ? WHERE n = (SELECT n FROM executions)", (text,))
                else:
                    db.execute(f"UPDATE executions SET {column} = ?", (text,))
            db.close()

        yield f"sqlite:///{file}", in_sqlite
    else:
        pytest.importorskip("psycopg")
        server, schema = request.getfixturevalue("postgres"), request.getfixturevalue("schema")

        def in_postgres(column: str, text: str) -> None:
            with server.connect() as db:
                if column == "history":
                    db.execute(f'UPDATE "{schema}".history SET rows = %s', (text,))
                else:
                    db.execute(f'UPDATE "{schema}".executions SET {column} = %s', (text,))

        yield server.url(schema=schema), in_postgres


async def parked(service: AsyncDurableService) -> Snapshot:
    """``it``, once it is parked."""
    while True:
        snapshot = await service.store.read("it")
        if snapshot is not None and snapshot.status == "parked":
            return snapshot
        await asyncio.sleep(0.005)


def says(error: BaseException, column: str) -> None:
    assert isinstance(error, DamagedData), repr(error)
    assert (error.id, error.column) == ("it", column)
    text = str(error)
    assert "execution 'it' in " in text
    assert f"its {column} is damaged" in text
    assert "memory:" in text or "damaged.db" in text or "postgresql://" in text or "Store" in text


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', "7", "null", '{"a": 1'], ids=repr)
async def test_damaged_attributes(store: tuple[str, Damage], text: str) -> None:
    url, damage = store
    async with AsyncDurableService(url, [waits]) as service:
        await standing(await service.start(waits(), id="it"), "suspended")
    damage("attributes", text)
    async with AsyncDurableService(url, worker=False) as client:
        execution = client.execution("it")
        for call in (execution.info, execution.attributes):
            with pytest.raises(DamagedData) as caught:
                await call()
            says(caught.value, "attributes")
        assert [row.kind for row in await execution.history() if hasattr(row, "kind")] == ["wait_signal"]
    async with AsyncDurableService(url, [waits], build="b") as service:
        await service.execution("it").signal(go, "Ada")
        snapshot = await parked(service)
        assert snapshot.parked["b"].startswith("execution 'it' in ")
        assert "its attributes is damaged" in snapshot.parked["b"]
        assert "Traceback" not in snapshot.parked["b"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"err": 7}', '{"err": {}}'], ids=repr)
async def test_a_damaged_outcome(store: tuple[str, Damage], text: str) -> None:
    url, damage = store
    async with AsyncDurableService(url, [waits]) as service:
        execution = await service.start(waits(), id="it")
        await execution.signal(go, "Ada")
        assert await execution.result(timeout=10) == "Ada"
    damage("outcome", text)
    async with AsyncDurableService(url, worker=False) as client:
        for call in (client.execution("it").info, client.execution("it").result):
            with pytest.raises(DamagedData) as caught:
                await call()
            says(caught.value, "outcome")


@pytest.mark.parametrize("text", ["{", "7", '"text"', "", '{"row": "no such row"}', '{"row": "started"}', "[1]"], ids=repr)
async def test_a_damaged_history(store: tuple[str, Damage], text: str) -> None:
    url, damage = store
    async with AsyncDurableService(url, [waits]) as service:
        await standing(await service.start(waits(), id="it"), "suspended")
    damage("history", text)
    async with AsyncDurableService(url, worker=False) as client:
        for call in (client.execution("it").info, client.execution("it").history):
            with pytest.raises(DamagedData) as caught:
                await call()
            says(caught.value, "history")
    async with AsyncDurableService(url, [waits], build="b") as service:
        await service.execution("it").signal("go", "Ada")
        snapshot = await parked(service)
        assert "Traceback" not in snapshot.parked["b"]


@pytest.mark.parametrize("column", ["attributes", "outcome", "history"])
@pytest.mark.parametrize(
    "verb", [["show", "it"], ["show", "it", "--json"], ["list", "--json"], ["history", "it"], ["result", "it"]], ids=" ".join
)
async def test_the_command_line_says_so_too(tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, verb: list[str]) -> None:
    url = f"sqlite:///{tmp_path / 'damaged.db'}"
    async with AsyncDurableService(url, [waits]) as service:
        execution = await service.start(waits(), id="it")
        await execution.signal(go, "Ada")
        await execution.result(timeout=10)
    with sqlite3.connect(tmp_path / "damaged.db") as db:
        db.execute("UPDATE history SET rows = '{'" if column == "history" else f"UPDATE executions SET {column} = '{{'")
    db.close()
    code = await asyncio.to_thread(main, [*verb, "--store", url])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    if code:
        assert code == 1
        assert f"execution 'it' in {url}: its {column} is damaged" in err, out
    else:
        assert verb != ["show", "it"]
