"""The command line on PostgreSQL: what it does, what it refuses, and that it never shows a password."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from redrive import DurableService
from tests.cli.conftest import shop as shop
from tests.cli.test_commands import APP, START, Shell, started, until
from tests.cli.test_commands import run as run
from tests.postgres.server import Server

__all__ = ["run", "shop", "started"]

ON_POSTGRES = """
import os

from redrive import AsyncDurableService
from shop import process_order, wait_for_ticket


def service() -> AsyncDurableService:
    return AsyncDurableService(os.environ["REDRIVE_STORE"], workflows=[process_order, wait_for_ticket])
"""
PASSWORD = "secret"
PG_APP = ["--app", "pg_shop:service"]


@pytest.fixture
def url(postgres: Server, schema: str, shop: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty schema, which ``REDRIVE_STORE`` names; the module ``pg_shop`` works on it."""
    (shop / "pg_shop.py").write_text(ON_POSTGRES)
    monkeypatch.delitem(sys.modules, "pg_shop", raising=False)
    url = postgres.url(schema=schema)
    monkeypatch.setenv("REDRIVE_STORE", url)
    return url


def prepared(run: Shell, url: str) -> None:
    assert run("prepare-store", url) == 0, run.err


def work_until_it_waits(url: str) -> None:
    with DurableService(url, workflows=[importlib.import_module("shop").process_order]) as service:
        execution = service.execution("order-1")
        until(lambda: execution.info().status == "suspended")


# ── the way through ─────────────────────────────────────────────────────────────────────────────
def test_an_order_from_start_to_result(run: Shell, url: str) -> None:
    prepared(run, url)
    assert run(*START[:-2], *PG_APP) == 0
    assert run.out == "order-1\n"
    work_until_it_waits(url)
    assert run("list") == 0
    assert "suspended" in run.out
    assert run("show", "order-1", *PG_APP) == 0
    assert "by = yield from WaitSignal(approved)" in run.out
    assert run("history", "order-1") == 0
    assert "ch_o-1" in run.out
    assert run("signal", "order-1", "orders.approved", '"Ada"', "--key", "approval-1", *PG_APP) == 0
    worker = subprocess.Popen([sys.executable, "-m", "redrive.cli", "worker", "pg_shop:service"], stderr=subprocess.PIPE, text=True)
    assert run("result", "order-1", "--timeout", "30") == 0
    assert json.loads(run.out) == "ch_o-1 approved by Ada"
    worker.send_signal(signal.SIGTERM)
    told = worker.communicate(timeout=30)[1]
    assert worker.returncode == 0
    assert "working on <AsyncDurableService postgresql://postgres:***@" in told
    assert PASSWORD not in told


def test_an_order_is_cancelled(run: Shell, url: str) -> None:
    assert run(*START[:-2], "--create", *PG_APP) == 0
    assert run("cancel", "order-1", "customer called") == 0
    with DurableService(url, workflows=[importlib.import_module("shop").process_order]) as service:
        until(lambda: service.execution("order-1").info().status == "cancelled")
    assert run("result", "order-1") == 1


def test_what_runs_on_sqlite_is_moved_up_and_goes_on(started: Shell, url: str, shop: Path) -> None:
    with DurableService("sqlite:///shop.db", workflows=[importlib.import_module("shop").process_order]) as service:
        until(lambda: service.execution("order-1").info().status == "suspended")
    assert started("migrate-store", "sqlite:///shop.db", url) == 0, started.err
    assert "moved and checked: 1 execution (1 live)" in started.out
    assert PASSWORD not in started.out + started.err
    assert started("replay", *PG_APP) == 0, started.out
    assert started("signal", "order-1", "orders.approved", '"Ada"', *PG_APP) == 0
    with DurableService(url, workflows=[importlib.import_module("shop").process_order]) as service:
        assert service.execution("order-1").result(timeout=30) == "ch_o-1 approved by Ada"


def test_the_gate_replays_with_no_more_than_select(run: Shell, url: str, shop: Path, postgres: Server, schema: str) -> None:
    assert run(*START[:-2], "--create", *PG_APP) == 0
    work_until_it_waits(url)
    reader = f"reader_{schema}"
    postgres.execute(
        f"CREATE ROLE {reader} LOGIN PASSWORD 'secret'",
        f"GRANT USAGE ON SCHEMA {schema} TO {reader}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}",
    )
    code = (shop / "shop.py").read_text()
    (shop / "shop.py").write_text(code.replace("charged = yield from charge(order)", "charged = yield from audit(order)"))
    changed = (shop / "shop.py").read_text().replace("@step\ndef charge", "@step\ndef audit")
    (shop / "shop.py").write_text(changed)
    for module in ("shop", "pg_shop"):
        sys.modules.pop(module, None)
    try:
        assert run("replay", *APP, "--store", postgres.url(schema=schema, user=reader)) == 1
        assert "orders.process: needs Patch, 1 execution" in run.out
    finally:
        postgres.execute(f"DROP OWNED BY {reader}", f"DROP ROLE {reader}")


# ── what it refuses ─────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("words", [["list"], ["show", "order-1"], [*START[:-2]], ["replay", *PG_APP], ["list", *PG_APP]])
def test_asking_makes_no_tables(run: Shell, url: str, postgres: Server, schema: str, words: list[str]) -> None:
    assert run(*words) == 1
    assert f"no schema '{schema}'" in run.err
    with postgres.connect() as connection:
        assert connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is None


def test_a_store_may_be_prepared_again_and_again(run: Shell, url: str) -> None:
    prepared(run, url)
    prepared(run, url)
    assert PASSWORD not in run.out
    assert run("list") == 0
    assert run.err == "no executions\n"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("secret@", "wr0ng-secret@"), "password"),
        (("/postgres?", "/no_such_database?"), "no_such_database"),
        (("@127.0.0.1:", "@127.0.0.2:"), "server runs"),
        (("//postgres:", "//nobody:"), "nobody"),
        (("secret@", "sec/ret-secret@"), "%2F"),
        (("secret@", "secret%zz@"), "percent-encoded"),
        (("postgresql:", "postgre:"), "names no store"),
        (("postgresql://", ""), "store"),
        (("?", "?no_such_option=1&"), "no_such_option"),
        (("?", "?migrate=maybe&"), "migrate is true or false"),
    ],
)
@pytest.mark.parametrize("verb", [["list", "--store"], ["prepare-store"], ["backup", "sqlite:///shop.db"], ["replay", *APP, "--store"]])
def test_what_cannot_be_is_said_without_the_password(started: Shell, url: str, verb: list[str], change: tuple[str, str], says: str) -> None:
    assert started(*verb, url.replace(*change, 1)) in (1, 2)
    assert says in started.err
    assert PASSWORD not in started.out + started.err


def test_a_typo_in_an_id_is_said_without_the_password(run: Shell, url: str) -> None:
    prepared(run, url)
    for words in (["show", "order-2"], ["diagram", "shop:process_order", "--store", url]):
        assert run(*words) == 2
        assert "postgres:***@" in run.err
        assert PASSWORD not in run.out + run.err
