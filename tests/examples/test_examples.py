"""The examples do what they say: each as a script, and each workflow by hand."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples import fastapi_shop as shop
from examples.approval import Answer, Decision, Expense, approve_expense, ask, decided, pay
from examples.fan_out import Quote, ask_for_quote, buy, confirmed, place_order
from examples.order import Charge, Order, approved, charge, process_order, processed
from examples.saga import Booking, SoldOut, Trip, book_car, book_flight, book_hotel, book_trip, cancel_booking
from redrive.testing import Play
from redrive_interpreter import UndeclaredError
from tests.postgres.server import Server

ROOT = Path(__file__).parents[2]

PRINTS = {
    "order": ["charging 900 for o-1", "ch_o-1 approved by Ada"],
    "saga": [
        "booked: ['FL-Lisbon', 'HO-Lisbon', 'CA-Lisbon']",
        "gave back the hotel HO-Oslo",
        "gave back the flight FL-Oslo",
        "booked: []",
    ],
    "fan_out": ["at 99", "did not confirm within 0:00:00.1"],
    "nightly_script": ["report of"],
    "django_shop": [
        "202",
        "422",
        "orders: ['17']",
        "order-18 never was",
        "204",
        "{'result': 'parcel of 900 for 17, paid by pay_1'}",
    ],
    "fastapi_shop": [
        "{'execution': 'order-17'}",
        "409",
        "202",
        "{'status': 'completed', 'result': 'parcel-17, paid by pay_1'}",
        "410",
    ],
    "approval": ["to the approver: may we spend 1800 on laptop?", "paid as tr_laptop, approved by Ada", "refused: nobody answered"],
}


def test_every_example_is_tested() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(PRINTS)


@pytest.mark.parametrize("name", sorted(PRINTS))
def test_an_example_runs_as_a_script(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    environment = dict(os.environ)
    if name == "django_shop":  # it shares a database with redrive
        postgres: Server = request.getfixturevalue("postgres")
        postgres.execute("CREATE DATABASE django_shop")
        environment["DATABASE_URL"] = postgres.url(schema="redrive", database="django_shop").partition("?")[0]
    script = [sys.executable, "-W", "error", ROOT / "examples" / f"{name}.py"]
    run = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, timeout=60, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    place = 0
    for line in PRINTS[name]:
        assert line in run.stdout[place:], run.stdout
        place = run.stdout.index(line, place)


# ── order ───────────────────────────────────────────────────────────────────────────────────────
def test_an_order_is_charged_settled_approved_and_announced(play: Play) -> None:
    order = Order("o-1", 900)
    run = play(process_order(order))
    run.answer(charge(order), Charge("ch_1"))
    run.advance(seconds=5)
    run.signal(approved, "Ada")
    assert run.result == "ch_1 approved by Ada"
    assert run.emitted == [(processed.name, order)]


def test_an_order_that_nobody_approves_fails_after_a_day(play: Play) -> None:
    order = Order("o-1", 900)
    run = play(process_order(order))
    run.answer(charge(order), Charge("ch_1"))
    run.advance(days=2)
    with pytest.raises(UndeclaredError, match="SignalTimeout"):
        _ = run.result


# ── saga ────────────────────────────────────────────────────────────────────────────────────────
def test_what_was_booked_is_given_back_newest_first_when_the_cars_are_sold_out(play: Play) -> None:
    trip = Trip("Ada", "Oslo")
    run = play(book_trip(trip))
    run.answer(book_flight(trip), Booking("flight", "F"))
    run.answer(book_hotel(trip), Booking("hotel", "H"))
    run.fail(book_car(trip), SoldOut("cars"))
    run.answer(cancel_booking(Booking("hotel", "H")), None)
    run.answer(cancel_booking(Booking("flight", "F")), None)
    assert run.result == []


def test_an_error_that_is_not_declared_is_not_taken_for_sold_out(play: Play) -> None:
    trip = Trip("Ada", "Oslo")
    run = play(book_trip(trip))
    run.fail(book_flight(trip), ConnectionError("the airline is down"))
    with pytest.raises(UndeclaredError, match="the airline is down"):
        _ = run.result


# ── fan_out ─────────────────────────────────────────────────────────────────────────────────────
def test_the_cheapest_supplier_is_asked_to_confirm(play: Play) -> None:
    run = play(buy(["acme", "globex"]))
    run.answer(ask_for_quote("acme"), Quote("acme", 120))
    run.answer(ask_for_quote("globex"), Quote("globex", 110))
    run.signal(confirmed.of("acme"), 1)
    run.signal(confirmed.of("globex"), 105)
    run.answer(place_order(Quote("globex", 105)), "ordered")
    assert run.result == "ordered"


def test_a_supplier_who_does_not_confirm_loses_the_race_against_the_clock(play: Play) -> None:
    run = play(buy(["acme"], patience=timedelta(hours=1)))
    run.answer(ask_for_quote("acme"), Quote("acme", 120))
    run.advance(hours=2)
    assert run.result == "acme did not confirm within 1:00:00"


# ── approval ────────────────────────────────────────────────────────────────────────────────────
def test_the_director_is_asked_when_the_approver_says_nothing(play: Play) -> None:
    laptop = Expense("laptop", 1800)
    run = play(approve_expense(laptop))
    run.answer(ask("the approver", laptop), None)
    run.advance(days=2)
    run.answer(ask("the director", laptop), None)
    run.signal(decided, Decision("Grace", Answer.YES))
    run.answer(pay(laptop), "tr_1")
    assert run.result == "paid as tr_1, approved by Grace"
    assert run.notes == ["nobody answered"]


def test_a_no_pays_nothing(play: Play) -> None:
    laptop = Expense("laptop", 1800)
    run = play(approve_expense(laptop))
    run.answer(ask("the approver", laptop), None)
    run.signal(decided, Decision("Ada", Answer.NO))
    assert run.result == "refused by Ada"


# ── the web API ─────────────────────────────────────────────────────────────────────────────────
def test_an_order_that_is_paid_is_shipped(play: Play) -> None:
    order = shop.Order("17", 900)
    run = play(shop.process_order(order))
    run.answer(shop.reserve(order), "hold-17")
    run.signal(shop.paid, "pay_1")
    run.answer(shop.ship(order, "hold-17"), "parcel-17")
    assert run.result == "parcel-17, paid by pay_1"


def test_an_order_that_nobody_pays_gives_its_stock_back(play: Play) -> None:
    order = shop.Order("17", 900)
    run = play(shop.process_order(order))
    run.answer(shop.reserve(order), "hold-17")
    run.advance(days=1)
    run.answer(shop.release("hold-17"), None)
    assert run.result == "never paid"


async def call(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> tuple[int, Any]:
    answer = await client.request(method, path, **more)
    return answer.status_code, answer.json() if answer.content else None


def test_the_api_answers_what_web_clients_expect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated PUT, a webhook sent twice, unknown orders, an order that is over."""
    monkeypatch.setenv("REDRIVE_STORE", f"sqlite:///{tmp_path / 'shop.db'}")

    async def live() -> None:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(shop.app), base_url="http://shop")
        async with shop.worker(), shop.app.router.lifespan_context(shop.app), client as web:
            assert await call(web, "GET", "/orders/1") == (404, {"detail": "there is no such order"})
            event = {"event_id": "e", "order": "1", "payment": "p"}
            assert (await call(web, "POST", "/webhooks/payments", json=event))[0] == 404
            for _ in range(2):
                assert await call(web, "PUT", "/orders/1", json={"total": 5}) == (202, {"execution": "order-1"})
            assert (await call(web, "PUT", "/orders/1", json={"total": 6}))[0] == 409
            assert (await call(web, "PUT", "/orders/2", json={"total": "much"}))[0] == 422
            assert (await call(web, "GET", "/orders/1"))[0] == 202
            assert await call(web, "POST", "/webhooks/payments", json=event) == (204, None)
            assert await call(web, "GET", "/orders/1?wait=10") == (200, {"status": "completed", "result": "parcel-1, paid by p"})
            assert (await call(web, "POST", "/webhooks/payments", json={**event, "event_id": "f"}))[0] == 410

    asyncio.run(live())


# ── the script ──────────────────────────────────────────────────────────────────────────────────
def test_a_script_starts_what_workers_elsewhere_do_once_a_day(postgres: Server, schema: str, tmp_path: Path) -> None:
    environment = {**os.environ, "REDRIVE_STORE": postgres.url(schema=schema), "PYTHONPATH": str(ROOT)}
    script = [sys.executable, "-W", "error", ROOT / "examples" / "nightly_script.py", "2026-11-22"]
    worker = [sys.executable, "-m", "redrive.cli", "worker", "examples.nightly_script:worker"]
    with subprocess.Popen(worker, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as working:
        try:
            for _ in range(2):
                run = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, timeout=60, env=environment)
                assert (run.stdout, run.stderr, run.returncode) == ("report of 22 November: 1466\n", "", 0)
        finally:
            working.terminate()
    history = ["history", "report-2026-11-22", "--store", postgres.url(schema=schema), "--json"]
    rows = subprocess.run([sys.executable, "-m", "redrive.cli", *history], capture_output=True, text=True, timeout=60)
    assert rows.stdout.count('"row": "started"') == 1, rows.stderr
