"""The command line against a real SQLite file: what it says, and what it exits with."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from redrive import DurableService, Emit, Event, Flow, Retry, workflow
from redrive.cli import main
from redrive.ports.parks import NewPark
from redrive.ports.store import Turn
from redrive.stores.backends import open_url

APP = ["--app", "shop:service"]
START = ["start", "orders.process", "order.id=o-1", "order.total=900", "--id", "order-1", *APP]


class Shell:
    """Runs commands in this process and keeps what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        try:
            code = main(words)
        except SystemExit as exit:
            code = int(exit.code or 0)
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *words: str) -> Any:
        assert self(*words, "--json") == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def run(shop: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def started(run: Shell) -> Shell:
    """A shop with one order, which no worker has taken."""
    assert run(*START, "--create") == 0
    return run


def work_until_it_waits() -> None:
    """Run a worker in this process until the order waits for its signal."""
    shop = importlib.import_module("shop")
    with shop.DurableService("sqlite:///shop.db", workflows=[shop.process_order]) as service:
        execution = service.execution("order-1")
        until(lambda: execution.info().status == "suspended")


def until(reached: Any, patience: float = 30) -> None:
    end = time.monotonic() + patience
    while not reached():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)  # watching another process: there is nothing to wait on


# ── the way through ─────────────────────────────────────────────────────────────────────────────
def test_an_order_from_start_to_result(run: Shell) -> None:
    assert run(*START, "--create") == 0
    assert run.out == "order-1\n"
    worker = subprocess.Popen([sys.executable, "-m", "redrive.cli", "worker", "shop:service"], stderr=subprocess.PIPE, text=True)
    try:
        assert run("signal", "order-1", "orders.approved", '"Ada"', *APP) == 0
        assert run("result", "order-1", "--timeout", "30", *APP) == 0, run.err
        assert json.loads(run.out) == "ch_o-1 approved by Ada"
    finally:
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=30)
    assert worker.returncode == 0, log
    assert run("show", "order-1", *APP) == 0
    assert "completed" in run.out
    assert "✓ charge" in run.out


def test_starting_an_order_twice_is_starting_it_once(started: Shell) -> None:
    assert started(*START) == 0
    assert started("list", *APP) == 0
    assert started.out.count("order-1") == 1


def test_another_input_under_the_same_id_is_refused(started: Shell) -> None:
    assert started(*START[:3], "order.total=5", *START[4:]) == 1
    assert "exists already" in started.err


def test_a_waiting_order_shows_the_line_where_it_stands(started: Shell, shop: Path) -> None:
    work_until_it_waits()
    assert started("show", "order-1", *APP) == 0
    assert "waits for    signal orders.approved" in started.out
    assert f"{shop / 'shop.py'}:" in started.out
    assert "by = yield from WaitSignal(approved)" in started.out


def test_show_without_the_code_says_what_the_rows_know(started: Shell) -> None:
    work_until_it_waits()
    assert started("show", "order-1", "--store", "sqlite:///shop.db") == 0
    assert "waits for    signal orders.approved" in started.out
    assert "name it with --app" in started.out


def test_show_and_history_are_json_for_programs(started: Shell) -> None:
    work_until_it_waits()
    shown = started.json("show", "order-1", *APP)
    assert (shown["id"], shown["status"]) == ("order-1", "suspended")
    assert [entry["kind"] for entry in shown["timeline"]] == ["step", "wait_signal"]
    assert shown["stands_at"][0].endswith("by = yield from WaitSignal(approved)")
    assert started("history", "order-1", "--json", *APP) == 0
    assert [json.loads(line)["row"] for line in started.out.splitlines()][:3] == ["started", "asked", "answered"]


def test_what_a_dead_worker_had_under_way_is_not_shown_as_running(started: Shell) -> None:
    assert "no worker" not in started.out
    assert started("list", *APP) == 0
    assert "pending, no worker" in started.out

    async def die() -> None:
        store = open_url("sqlite:///shop.db")
        await store.open()
        (claim,) = await store.claim("dead:1", timedelta(milliseconds=1), "b", ["orders.process"], 1)
        await store.commit(claim, Turn(expects=1, rows=[], status="running", wake_at=await store.now()))
        await store.close()

    asyncio.run(die())
    assert started("list", *APP) == 0
    assert "running, no worker" in started.out
    assert started("list", "--json", *APP) == 0
    listed = json.loads(started.out)
    assert listed["status"] == "running"
    assert "its worker dead:1 has not been heard of" in listed["unattended"]
    assert started("show", "order-1", *APP) == 0
    assert "running, no worker" in started.out
    assert "its worker dead:1 has not been heard of" in started.out
    shown = started.json("show", "order-1", *APP)
    assert "no worker is running" in shown["unattended"]


def test_code_that_does_not_fit_is_said_with_the_diff(started: Shell, shop: Path) -> None:
    work_until_it_waits()
    (shop / "shop.py").write_text((shop / "shop.py").read_text().replace("def charge(", "def bill(").replace("from charge(", "from bill("))
    sys.modules.pop("shop")
    importlib.invalidate_caches()
    assert started("show", "order-1", *APP) == 0
    assert "stands at    the code here does not fit" in started.out
    assert "bill" in started.out


def test_a_signal_that_its_type_refuses_is_refused_to_the_sender(started: Shell) -> None:
    work_until_it_waits()
    assert started("signal", "order-1", "orders.approved", "17", *APP) != 0
    assert "orders.approved" in started.err


def test_a_cancelled_order_has_no_result(started: Shell) -> None:
    assert started("cancel", "order-1", "customer called", *APP) == 0
    work = importlib.import_module("shop").blocking
    with work as service:
        until(lambda: service.execution("order-1").info().status == "cancelled")
    assert started("result", "order-1", *APP) == 1
    assert "customer called" in started.err
    assert started("cancel", "order-1", *APP) == 2
    assert "has ended" in started.err


def test_a_failed_order_shows_its_traceback(run: Shell) -> None:
    assert run(*START[:3], "order.total=-1", *START[4:], "--create") == 0
    with importlib.import_module("shop").blocking as service:
        until(lambda: service.execution("order-1").info().status == "failed")
    assert run("result", "order-1", *APP) == 1
    assert "a negative total" in run.err
    assert run("show", "order-1", *APP) == 0
    assert "✗ charge" in run.out
    assert 'raise ValueError("a negative total")' in run.out


def test_a_result_that_does_not_come_in_time_has_an_exit_code_of_its_own(started: Shell) -> None:
    assert started("result", "order-1", "--timeout", "0.05", *APP) == 3


def test_words_may_stand_behind_options(started: Shell) -> None:
    assert started("signal", "order-1", "orders.approved", "--store", "sqlite:///shop.db", '"Ada"') == 0
    assert started("start", "orders.process", *APP, "order.id=o-2", "order.total=1", "--id", "order-2") == 0


# ── slips of the pen ────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("verb", [["show"], ["history"], ["result"], ["cancel"], ["signal", "NAME"]])
def test_a_typo_in_an_id_offers_the_closest(started: Shell, verb: list[str]) -> None:
    words = [verb[0], "ordr-1", *(["orders.approved"] if len(verb) > 1 else [])]
    assert started(*words, *APP) == 2
    assert "there is no execution 'ordr-1'" in started.err
    assert "did you mean order-1?" in started.err


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("shop", "write module:service"),
        ("shopp:service", "did you mean shop?"),
        ("shop:servce", "did you mean service?"),
        ("shop:nonsense", "not a DurableService"),
        ("no.such.thing:x", "there is no module"),
    ],
)
def test_an_unknown_app_is_said(run: Shell, app: str, says: str) -> None:
    assert run("list", "--app", app) == 2
    assert says in run.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["start", "orders.proces", *APP], "did you mean orders.process?"),
        (["start", "orders.process", "--input", "{", *APP], "not JSON"),
        (["start", "orders.process", "ordr.id=1", *APP], "order"),
        (["start", "orders.process", "order.id=o-1", "order.total=many", *APP], "total"),
        (["start", "orders.process", *APP], "order"),
        (["signal", "order-1", "orders.aproved", '"Ada"', *APP], "did you mean orders.approved?"),
        (["signal", "order-1", "orders.approved", "Ada", *APP], "not JSON"),
        (["list", "--store", "shop.db"], "did you mean sqlite:///shop.db?"),
        (["list", "--store", "memory://"], "inside one process"),
        (["list", "--store", "sqlite:///shp.db"], "did you mean shop.db?"),
        (["list", "--status", "complete", *APP], "did you mean completed?"),
        (["list"], "--app"),
        (["history", "order-1", "--run", "7", *APP], "has no run 7"),
        (["worker"], "redrive worker module:service"),
    ],
)
def test_what_cannot_be_is_said_in_words(started: Shell, words: list[str], says: str) -> None:
    assert started(*words) == 2
    assert says in started.err
    assert "Traceback" not in started.err


def test_a_mistyped_command_is_told_what_it_may_have_been_meant_to_be(started: Shell) -> None:
    assert started("lst") == 2
    assert "there is no command 'lst': did you mean list?" in started.err


def test_asking_makes_no_database_out_of_a_typo(run: Shell, shop: Path) -> None:
    assert run("list", "--store", "sqlite:///typo.db") == 2
    assert run(*START) == 2
    assert not list(shop.glob("*.db"))


def test_a_file_that_is_no_database_is_left_alone(run: Shell, shop: Path) -> None:
    (shop / "notes.db").write_text("milk, eggs\n" * 100)
    assert run("list", "--store", "sqlite:///notes.db") == 1
    assert "notes.db" in run.err
    assert (shop / "notes.db").read_text() == "milk, eggs\n" * 100


# ── processes ───────────────────────────────────────────────────────────────────────────────────
def test_a_terminal_that_knows_ascii_alone_gets_ascii(started: Shell) -> None:
    command = [sys.executable, "-m", "redrive.cli", "show", "order-1", "--store", "sqlite:///shop.db"]
    shown = subprocess.run(command, capture_output=True, timeout=30, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert shown.returncode == 0, shown.stderr
    assert "order-1" in shown.stdout.decode("ascii")


def test_the_pipe_may_be_closed_early(started: Shell) -> None:
    pipe = subprocess.run(
        f"{sys.executable} -m redrive.cli history order-1 --store sqlite:///shop.db | true",
        shell=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert pipe.stderr == ""


def test_a_second_sigterm_ends_a_worker_at_once(started: Shell, shop: Path) -> None:
    (shop / "slow.py").write_text(
        "import time\n"
        "from datetime import timedelta\n"
        "from redrive import AsyncDurableService, Flow, step, workflow\n"
        "@step\n"
        "def stubborn() -> None:\n"
        "    open('running', 'w').close()\n"
        "    time.sleep(60)\n"
        "@workflow('slow')\n"
        "def slow() -> Flow[None]:\n"
        "    yield from stubborn()\n"
        "service = AsyncDurableService('sqlite:///shop.db', workflows=[slow], grace=timedelta(seconds=60))\n"
    )
    assert started("start", "slow", "--id", "slow-1", "--app", "slow:service") == 0
    worker = subprocess.Popen([sys.executable, "-m", "redrive.cli", "worker", "slow:service"], stderr=subprocess.PIPE, text=True)
    try:
        until((shop / "running").exists)
        worker.send_signal(signal.SIGTERM)
        assert worker.stderr is not None
        until(lambda: "once more" in worker.stderr.readline())  # type: ignore[union-attr]
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=10) == 128 + signal.SIGTERM
    finally:
        worker.kill()
        worker.communicate()


def test_a_worker_whose_output_nobody_reads_any_more_stops_when_told(started: Shell, shop: Path) -> None:
    command = [sys.executable, "-m", "redrive.cli", "worker", *APP[1:]]
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert worker.stderr is not None
        until(lambda: "working on" in worker.stderr.readline())  # type: ignore[union-attr]
        worker.stderr.close()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=20) == 0
    finally:
        worker.kill()
        worker.wait()


def test_a_body_that_exits_ends_the_worker_and_says_so(started: Shell, shop: Path) -> None:
    (shop / "exiting.py").write_text(
        "from redrive import AsyncDurableService, Flow, step, workflow\n"
        "@step\n"
        "async def leave() -> None:\n"
        "    raise SystemExit(7)\n"
        "@workflow('exiting')\n"
        "def exiting() -> Flow[None]:\n"
        "    yield from leave()\n"
        "service = AsyncDurableService('sqlite:///shop.db', workflows=[exiting])\n"
    )
    assert started("start", "exiting", "--id", "exiting-1", "--app", "exiting:service") == 0
    worker = subprocess.run([sys.executable, "-m", "redrive.cli", "worker", "exiting:service"], capture_output=True, text=True, timeout=30)
    assert worker.returncode == 1
    assert "SystemExit(7)" in worker.stderr


def test_a_store_is_backed_up_and_brought_back(started: Shell, shop: Path) -> None:
    assert started("history", "order-1", "--store", "sqlite:///shop.db") == 0
    before = started.out
    assert started("backup", "sqlite:///shop.db", "sqlite:///copy.db") == 0
    assert "copied and checked: 1 execution (1 live)" in started.out
    assert started("migrate-store", "sqlite:///copy.db", "sqlite:///back.db", "--json") == 0
    assert json.loads(started.out)["executions"] == 1
    assert started("history", "order-1", "--store", "sqlite:///back.db") == 0
    assert started.out == before
    assert started("list", "--store", "sqlite:///copy.db") == 1
    assert "moved to another store" in started.err


def test_a_move_that_cannot_be_says_why(run: Shell, shop: Path) -> None:
    assert run("migrate-store", "sqlite:///typo.db", "sqlite:///new.db") == 2
    assert "typo.db" in run.err
    assert run("migrate-store", "sqlite:///a.db", "memory://") == 2
    assert run("backup", "memory://", "sqlite:///new.db") == 2
    assert not (shop / "new.db").exists()


def test_the_version_and_the_help_are_there(run: Shell) -> None:
    assert run("--version") == 0
    assert run.out.startswith("redrive ")
    assert run("--help") == 0
    for verb in ["demo", "worker", "start", "list", "show", "history", "result", "signal", "cancel"]:
        assert f"    {verb} " in run.out


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).with_name("redrive")
    assert os.access(command, os.X_OK)


def test_a_cancel_says_what_became_of_it(started: Shell) -> None:
    """E3."""
    assert started("cancel", "order-1", "customer called", *APP) == 0
    assert started.out == "order-1 is cancelled\n"  # it never began
    assert started("cancel", "order-1", "again", *APP) == 2
    assert "order-1" in started.err


def park(id: str) -> None:
    """Park what is due, as a worker whose code differs does."""

    async def run() -> None:
        store = open_url("sqlite:///shop.db")
        await store.open()
        (claim,) = await store.claim("w", timedelta(seconds=1), "b1", ["orders.process"], 10)
        assert claim.id == id
        await store.release([claim], parked=NewPark(build="b1", kind="diverged", reason="it asks for something else"))
        await store.deregister_worker("w")
        await store.close()

    asyncio.run(run())


def test_a_cancel_of_what_is_parked_and_never_began_ends_it(started: Shell) -> None:
    """E3."""
    park("order-1")
    assert started("cancel", "order-1", *APP) == 0
    assert started.out == "order-1 is cancelled: it never began\n"
    assert started("show", "order-1", *APP) == 0
    assert "orders.process  cancelled" in started.out
    assert "parked" not in started.out


def test_a_cancel_of_what_is_parked_waits_for_code_and_is_shown(started: Shell) -> None:
    """E3."""
    work_until_it_waits()
    assert started("signal", "order-1", "orders.approved", '"Ada"', *APP) == 0
    park("order-1")
    assert started("cancel", "order-1", "customer called", *APP) == 0
    assert started.out == "order-1 is parked: the first code that fits cancels it\n"
    assert started("show", "order-1", *APP) == 0
    assert "cancel       asked for: customer called; it waits for code that fits" in started.out
    assert started("show", "order-1", "--json", *APP) == 0
    shown = json.loads(started.out)
    assert (shown["parks"][0]["kind"], shown["parked"]) == ("diverged", {"b1": "it asks for something else"})
    assert started("list", "--status", "parked", *APP) == 0
    assert "order-1" in started.out


# ── what was set aside ──────────────────────────────────────────────────────────────────────────
def wait_for_the_approval(run: Shell, payload: str) -> None:
    """A worker meets a signal whose payload is not of its type."""
    assert run("signal", "order-1", "orders.approved", payload, "--store", "sqlite:///shop.db") == 0, run.err
    shop = importlib.import_module("shop")
    with shop.DurableService("sqlite:///shop.db", workflows=[shop.process_order]) as service:
        until(lambda: service.operator.set_aside("order-1"))


def test_what_was_set_aside_is_shown_listed_redelivered_and_dropped(started: Shell) -> None:
    """G6."""
    wait_for_the_approval(started, '{"by": 5}')
    assert started("show", "order-1", *APP) == 0
    assert "set aside" in started.out
    assert "order-1" in started.out
    assert [one["payload"] for one in started.json("show", "order-1", *APP)["set_aside"]] == [{"by": 5}]
    assert started("set-aside", *APP) == 0
    assert '{"by": 5}' in started.out
    seq = str(started.json("set-aside", "order-1", *APP)["seq"])
    assert started("redeliver", "order-1", *APP) == 2
    assert "--all" in started.err
    assert started("redeliver", "order-1", "99", seq, *APP) == 2
    assert "1 sent again" in started.out
    assert "1 of them" in started.err
    wait_for_the_approval(started, "6")
    assert started("drop", "order-1", *APP, "--all") == 0
    assert "2 dropped" in started.out
    assert started("set-aside", *APP) == 0
    assert (started.out, started.err) == ("", "nothing was set aside\n")
    assert started("drop", "nobody", "1", *APP) == 2
    assert started("drop", "order-1", "one", *APP) == 2


def test_dead_letters_are_listed_redelivered_and_dropped(run: Shell) -> None:
    """G5."""
    event = Event("orders.sent", int)

    @workflow("orders.emits")
    def emits(n: int) -> Flow[None]:
        yield from Emit(event, n)

    service = DurableService("sqlite:///shop.db", workflows=[emits])
    service.on(event, name="mail", retry=Retry(attempts=1))(lambda n: 1 / 0)
    with service:
        service.execute(emits(1))
        service.execute(emits(2))
        until(lambda: len(service.operator.dead_letters()) == 2)
    assert run("dead-letters", "mail", *APP) == 0
    assert "division by zero" in run.out
    assert "mail: orders.sent" in run.out
    assert run("redeliver-events", "mail", "1", *APP) == 0
    assert run.out == "1 to be handled again\n"
    assert run.json("dead-letters", *APP)["payload"] == 2
    assert run("dead-letters", "--retrying", *APP) == 0
    assert "waits for its handler" in run.out
    assert run("drop-events", "mail", *APP, "--all") == 0
    assert run.out == "1 dropped\n"
    assert run("drop-events", "mail", "1", "7", *APP) == 2
    assert run("dead-letters", "mail", *APP) == 0
    assert run.err == "no dead letters like that\n"
