"""A hot standby answers whoever only asks, and a worker goes on after it was promoted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from redrive import DurableService, StoreError
from tests.cli.conftest import shop as shop
from tests.cli.test_commands import Shell, until
from tests.cli.test_commands import run as run
from tests.postgres.server import Server, named, programs, replica, serve

__all__ = ["run", "shop"]

START = ["start", "orders.process", "order.id=o-1", "order.total=900", "--id", "order-1", "--create", "--store"]


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    if named() is not None or not (programs() / "pg_basebackup").exists():
        pytest.skip("the programs of a server's own are needed, pg_basebackup among them")
    with serve(fsync=False) as primary, replica(primary) as standby:
        yield primary, standby


def test_a_replica_answers_and_refuses_to_be_worked_on_until_it_is_promoted(
    run: Shell, shop: Path, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = (server.url(schema="redrive") for server in pair)
    assert run(*START, primary) == 0
    until(lambda: run("show", "order-1", "--store", standby) == 0)
    assert "order-1  orders.process  pending" in run.out
    for words in (["list"], ["history", "order-1"], ["replay", "--app", "shop:service"], ["backup", standby, "sqlite:///copy.db"]):
        assert run(*words, *([] if words[0] == "backup" else ["--store", standby])) == 0, run.err

    from shop import approved, process_order  # type: ignore[import-not-found]

    with pytest.raises(StoreError, match="recovery"), DurableService(standby, [process_order]):
        pass
    pair[1].execute("SELECT pg_promote()")
    with DurableService(standby, [process_order]) as service:
        execution = service.execution("order-1", process_order)
        execution.signal(approved, "Ada")
        assert execution.result(timeout=30) == "ch_o-1 approved by Ada"
