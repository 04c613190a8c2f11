"""The example workflows, each with one thing wrong: the kit's one-line checks say nothing of the originals and catch every mutant."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import attrs
import pytest

from examples.approval import Answer, Decision, Expense, approve_expense, ask, decided, pay
from examples.fan_out import Quote, ask_for_quote, buy, confirmed, place_order
from examples.order import Charge, Order, approved, charge, process_order, processed
from examples.saga import Booking, SoldOut, Trip, book_car, book_flight, book_hotel, book_trip, cancel_booking
from redrive import Commit, Emit, Flow, Map, Note, Race, Retry, Rollback, SignalTimeout, Sleep, WaitSignal, Workflow, step, workflow
from redrive.codec import JsonCodec
from redrive.gate import check
from redrive.testing import UntestedInvariant, View, assert_survives_crashes, compensated, explore, never, play
from redrive_interpreter import Invocation, dump_row

Checks: TypeAlias = "dict[str, Callable[[Workflow[..., Any]], object]]"

TRIP = Trip("Ada", "Oslo")
FLIGHT, HOTEL, CAR = Booking("flight", "F"), Booking("hotel", "H"), Booking("car", "C")
BOOKINGS = {book_flight: FLIGHT, book_hotel: HOTEL, book_car: CAR, cancel_booking: None}
SOLD_OUT = {**BOOKINGS, book_car: SoldOut("cars")}
ORDER = Order("o-1", 900)
LAPTOP = Expense("laptop", 1800)
YES, NO = Decision("Ada", Answer.YES), Decision("Bob", Answer.NO)


def quote(supplier: str) -> Quote:
    return Quote(supplier, len(supplier))


QUOTES: dict[Any, Any] = {ask_for_quote: quote, place_order: "ordered"}


def replays(invocation: Invocation[Any], answers: dict[Any, Any], signals: dict[Any, Any], mutant: Workflow[..., Any]) -> None:
    """What the original recorded goes on with the code at hand."""
    rows = play(invocation, answers, signals).history
    assert check({mutant.name: mutant}, [dump_row(row) for row in rows], JsonCodec()) is None


def returns(result: object, args: tuple[Any, ...], answers: dict[Any, Any], signals: dict[Any, Any], mutant: Workflow[..., Any]) -> None:
    assert play(mutant(*args), answers, signals).result == result


def survives(args: tuple[Any, ...], answers: dict[Any, Any], signals: dict[Any, Any], mutant: Workflow[..., Any]) -> None:
    assert_survives_crashes(mutant(*args), answers, signals)


def explored(args: tuple[Any, ...], invariants: Sequence[Any], options: dict[str, Any], mutant: Workflow[..., Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntestedInvariant)  # what a mutant leaves out is for another check to find
        assert explore(mutant(*args), invariants, **options).complete


def the_trip_word_for_word(mutant: Workflow[..., Any]) -> None:
    run = play(mutant(TRIP))
    run.answer(book_flight(TRIP), FLIGHT)
    run.answer(book_hotel(TRIP), HOTEL)
    run.fail(book_car(TRIP), SoldOut("cars"))
    run.answer(cancel_booking(HOTEL), None)
    run.answer(cancel_booking(FLIGHT), None)
    assert run.result == []


def the_order_word_for_word(mutant: Workflow[..., Any]) -> None:
    run = play(mutant(ORDER))
    run.answer(charge(ORDER), Charge("ch"))
    run.advance(seconds=5)
    run.signal(approved, "Ada")
    assert run.emitted == [("orders.processed", ORDER)]
    assert run.result == "ch approved by Ada"


def paid_only_when_approved(view: View) -> bool:
    return not view.asked(pay) or view.done(decided) > 0


ALL_THREE = compensated(book_flight, book_hotel, book_car, on=("completed", "failed"))

CHECKS: dict[str, Checks] = {
    "trips.book": {
        "replay": partial(replays, book_trip(TRIP), SOLD_OUT, {}),
        "replay of success": partial(replays, book_trip(TRIP), BOOKINGS, {}),
        "word for word": the_trip_word_for_word,
        "returns": partial(returns, ["F", "H", "C"], (TRIP,), BOOKINGS, {}),
        "explore": partial(explored, (TRIP,), [ALL_THREE], {}),
        "crashes": partial(survives, (TRIP,), SOLD_OUT, {}),
    },
    "orders.process": {
        "replay": partial(replays, process_order(ORDER), {charge: Charge("ch")}, {approved: "Ada"}),
        "word for word": the_order_word_for_word,
        "explore": partial(explored, (ORDER,), [never(processed, after=SignalTimeout), never(processed)], {"signals": {}}),
        "crashes": partial(survives, (ORDER,), {charge: Charge("ch")}, {approved: "Ada"}),
    },
    "purchases.buy": {
        "replay": partial(replays, buy(["globex", "acme"]), QUOTES, {confirmed.of("acme"): 99}),
        "returns": partial(returns, "ordered", (["globex", "acme"],), QUOTES, {confirmed.of("acme"): 99}),
        "explore": partial(explored, (["globex", "acme"],), [never(place_order)], {"signals": {}}),
        "crashes": partial(survives, (["globex", "acme"],), QUOTES, {confirmed.of("acme"): 99}),
    },
    "expenses.approve": {
        "replay": partial(replays, approve_expense(LAPTOP), {ask: None, pay: "tr"}, {decided: YES}),
        "replay of silence": partial(replays, approve_expense(LAPTOP), {ask: None, pay: "tr"}, {}),
        "returns": partial(returns, "paid as tr, approved by Ada", (LAPTOP,), {ask: None, pay: "tr"}, {decided: YES}),
        "refuses": partial(returns, "refused by Bob", (LAPTOP,), {ask: None, pay: "tr"}, {decided: NO}),
        "explore": partial(explored, (LAPTOP,), [paid_only_when_approved], {}),
        "crashes": partial(survives, (LAPTOP,), {ask: None, pay: "tr"}, {decided: YES}),
    },
}


def caught(mutant: Workflow[..., Any]) -> set[str]:
    """The checks that do not pass."""
    found: set[str] = set()
    for name, one in CHECKS[mutant.name].items():
        _asked_before.clear()  # each check is a process of its own
        try:
            one(mutant)
        except AssertionError:  # what all of them raise: a mutant that dies of anything else is not caught
            found.add(name)
    return found


@pytest.mark.parametrize("original", [book_trip, process_order, buy, approve_expense], ids=lambda original: original.name)
def test_the_originals_pass_every_check(original: Workflow[..., Any]) -> None:
    for one in CHECKS[original.name].values():
        one(original)


# ── trips ───────────────────────────────────────────────────────────────────────────────────────
@step("book_hotel")
def book_hotel_for_good(trip: Trip) -> Booking:
    return HOTEL


@workflow("trips.book")
def trip_without_a_hotel(trip: Trip) -> Flow[list[str]]:
    try:
        flight = yield from book_flight(trip)
        car = yield from book_car(trip)
    except SoldOut as error:
        yield from Rollback(f"no {error.what} left")
        return []
    yield from Commit("all three are booked: from here on nothing is given back")
    return [flight.reference, car.reference]


@workflow("trips.book")
def trip_with_two_swapped(trip: Trip) -> Flow[list[str]]:
    try:
        hotel = yield from book_hotel(trip)
        flight = yield from book_flight(trip)
        car = yield from book_car(trip)
    except SoldOut as error:
        yield from Rollback(f"no {error.what} left")
        return []
    yield from Commit("all three are booked: from here on nothing is given back")
    return [flight.reference, hotel.reference, car.reference]


@workflow("trips.book")
def trip_with_an_undo_forgotten(trip: Trip) -> Flow[list[str]]:
    try:
        flight = yield from book_flight(trip)
        hotel = yield from book_hotel_for_good(trip)
        car = yield from book_car(trip)
    except SoldOut as error:
        yield from Rollback(f"no {error.what} left")
        return []
    yield from Commit("all three are booked: from here on nothing is given back")
    return [flight.reference, hotel.reference, car.reference]


@workflow("trips.book")
def trip_with_an_argument_changed(trip: Trip) -> Flow[list[str]]:
    try:
        flight = yield from book_flight(trip)
        hotel = yield from book_hotel(attrs.evolve(trip, city="Bergen"))
        car = yield from book_car(trip)
    except SoldOut as error:
        yield from Rollback(f"no {error.what} left")
        return []
    yield from Commit("all three are booked: from here on nothing is given back")
    return [flight.reference, hotel.reference, car.reference]


@workflow("trips.book")
def trip_without_a_rollback(trip: Trip) -> Flow[list[str]]:
    try:
        flight = yield from book_flight(trip)
        hotel = yield from book_hotel(trip)
        car = yield from book_car(trip)
    except SoldOut:
        return []
    yield from Commit("all three are booked: from here on nothing is given back")
    return [flight.reference, hotel.reference, car.reference]


@workflow("trips.book")
def trip_without_a_commit(trip: Trip) -> Flow[list[str]]:
    try:
        flight = yield from book_flight(trip)
        hotel = yield from book_hotel(trip)
        car = yield from book_car(trip)
    except SoldOut as error:
        yield from Rollback(f"no {error.what} left")
        return []
    return [flight.reference, hotel.reference, car.reference]


# ── orders ──────────────────────────────────────────────────────────────────────────────────────
@step("charge", retry=Retry(attempts=5))
async def charge_for_good(order: Order) -> Charge:
    return Charge("ch")


@workflow("orders.process")
def order_with_an_undo_forgotten(order: Order, settle: timedelta = timedelta(seconds=5)) -> Flow[str]:
    charged = yield from charge_for_good(order)
    yield from Sleep(settle)
    by = yield from WaitSignal(approved, timeout=timedelta(days=1))
    yield from Emit(processed, order)
    return f"{charged.id} approved by {by}"


@workflow("orders.process")
def order_without_the_event(order: Order, settle: timedelta = timedelta(seconds=5)) -> Flow[str]:
    charged = yield from charge(order)
    yield from Sleep(settle)
    by = yield from WaitSignal(approved, timeout=timedelta(days=1))
    return f"{charged.id} approved by {by}"


@workflow("orders.process")
def order_charged_last(order: Order, settle: timedelta = timedelta(seconds=5)) -> Flow[str]:
    yield from Sleep(settle)
    by = yield from WaitSignal(approved, timeout=timedelta(days=1))
    charged = yield from charge(order)
    yield from Emit(processed, order)
    return f"{charged.id} approved by {by}"


@workflow("orders.process")
def order_of_another_total(order: Order, settle: timedelta = timedelta(seconds=5)) -> Flow[str]:
    charged = yield from charge(attrs.evolve(order, total=order.total * 100))
    yield from Sleep(settle)
    by = yield from WaitSignal(approved, timeout=timedelta(days=1))
    yield from Emit(processed, order)
    return f"{charged.id} approved by {by}"


@workflow("orders.process")
def order_approved_by_silence(order: Order, settle: timedelta = timedelta(seconds=5)) -> Flow[str]:
    charged = yield from charge(order)
    yield from Sleep(settle)
    by = yield from WaitSignal(approved, timeout=timedelta(days=1), default="nobody")
    yield from Emit(processed, order)
    return f"{charged.id} approved by {by}"


# ── purchases ───────────────────────────────────────────────────────────────────────────────────
@workflow("purchases.buy")
def buys_the_dearest(suppliers: Sequence[str], patience: timedelta = timedelta(hours=1)) -> Flow[str]:
    quotes = yield from Map(ask_for_quote, suppliers, limit=3)
    cheapest = max(quotes, key=lambda quote: quote.price)
    won = yield from Race(WaitSignal(confirmed.of(cheapest.supplier)), Sleep(patience))
    if won.index == 1:
        return f"{cheapest.supplier} did not confirm within {patience}"
    return (yield from place_order(attrs.evolve(cheapest, price=won.value)))


@workflow("purchases.buy")
def buys_at_the_time_out(suppliers: Sequence[str], patience: timedelta = timedelta(hours=1)) -> Flow[str]:
    quotes = yield from Map(ask_for_quote, suppliers, limit=3)
    cheapest = min(quotes, key=lambda quote: quote.price)
    won = yield from Race(WaitSignal(confirmed.of(cheapest.supplier)), Sleep(patience))
    if won.index == 0:
        return f"{cheapest.supplier} did not confirm within {patience}"
    return (yield from place_order(cheapest))


@workflow("purchases.buy")
def buys_at_the_old_price(suppliers: Sequence[str], patience: timedelta = timedelta(hours=1)) -> Flow[str]:
    quotes = yield from Map(ask_for_quote, suppliers, limit=3)
    cheapest = min(quotes, key=lambda quote: quote.price)
    won = yield from Race(WaitSignal(confirmed.of(cheapest.supplier)), Sleep(patience))
    if won.index == 1:
        return f"{cheapest.supplier} did not confirm within {patience}"
    return (yield from place_order(cheapest))


_asked_before: list[Quote] = []


@workflow("purchases.buy")
def buys_from_memory(suppliers: Sequence[str], patience: timedelta = timedelta(hours=1)) -> Flow[str]:
    if not _asked_before:
        _asked_before.extend((yield from Map(ask_for_quote, suppliers, limit=3)))
    cheapest = min(_asked_before, key=lambda quote: quote.price)
    won = yield from Race(WaitSignal(confirmed.of(cheapest.supplier)), Sleep(patience))
    if won.index == 1:
        return f"{cheapest.supplier} did not confirm within {patience}"
    return (yield from place_order(attrs.evolve(cheapest, price=won.value)))


# ── expenses ────────────────────────────────────────────────────────────────────────────────────
@workflow("expenses.approve", signals=[decided])
def pays_when_nobody_answers(expense: Expense, patience: timedelta = timedelta(days=2)) -> Flow[str]:
    for person in ("the approver", "the director"):
        yield from ask(person, expense)
        try:
            decision = yield from WaitSignal(decided, timeout=patience)
        except SignalTimeout:
            transfer = yield from pay(expense)
            return f"paid as {transfer}"
        if decision.answer is Answer.NO:
            return f"refused by {decision.by}"
        yield from Note("approved", by=decision.by)
    return "refused: nobody answered"


@workflow("expenses.approve", signals=[decided])
def pays_when_refused(expense: Expense, patience: timedelta = timedelta(days=2)) -> Flow[str]:
    for person in ("the approver", "the director"):
        yield from ask(person, expense)
        try:
            decision = yield from WaitSignal(decided, timeout=patience)
        except SignalTimeout:
            yield from Note("nobody answered", asked=person)
            continue
        if decision.answer is Answer.YES:
            return f"refused by {decision.by}"
        transfer = yield from pay(expense)
        return f"paid as {transfer}, approved by {decision.by}"
    return "refused: nobody answered"


@workflow("expenses.approve", signals=[decided])
def asks_nobody(expense: Expense, patience: timedelta = timedelta(days=2)) -> Flow[str]:
    for person in ("the approver", "the director"):
        try:
            decision = yield from WaitSignal(decided, timeout=patience)
        except SignalTimeout:
            yield from Note("nobody answered", asked=person)
            continue
        if decision.answer is Answer.NO:
            return f"refused by {decision.by}"
        transfer = yield from pay(expense)
        return f"paid as {transfer}, approved by {decision.by}"
    return "refused: nobody answered"


@workflow("expenses.approve", signals=[decided])
def asks_once(expense: Expense, patience: timedelta = timedelta(days=2)) -> Flow[str]:
    yield from ask("the approver", expense)
    try:
        decision = yield from WaitSignal(decided, timeout=patience)
    except SignalTimeout:
        return "refused: nobody answered"
    if decision.answer is Answer.NO:
        return f"refused by {decision.by}"
    transfer = yield from pay(expense)
    return f"paid as {transfer}, approved by {decision.by}"


MUTANTS: list[tuple[Workflow[..., Any], set[str]]] = [
    (trip_without_a_hotel, {"replay", "replay of success", "word for word", "returns"}),
    (trip_with_two_swapped, {"replay", "replay of success", "word for word"}),
    (trip_with_an_undo_forgotten, {"replay", "replay of success", "word for word", "explore"}),
    (trip_with_an_argument_changed, {"replay", "replay of success", "word for word"}),
    (trip_without_a_rollback, {"replay", "word for word", "explore"}),
    (trip_without_a_commit, {"replay of success", "explore"}),
    (order_with_an_undo_forgotten, {"replay"}),
    (order_without_the_event, {"replay", "word for word"}),
    (order_charged_last, {"replay", "word for word"}),
    (order_of_another_total, {"replay", "word for word"}),
    (order_approved_by_silence, {"replay", "explore"}),
    (buys_the_dearest, {"replay", "returns"}),
    (buys_at_the_time_out, {"replay", "returns", "explore"}),
    (buys_at_the_old_price, {"replay"}),
    (buys_from_memory, {"explore", "crashes"}),
    (pays_when_nobody_answers, {"replay", "replay of silence", "returns", "explore"}),
    (pays_when_refused, {"replay", "returns", "refuses"}),
    (asks_nobody, {"replay", "replay of silence"}),
    (asks_once, {"replay of silence"}),
]


@pytest.mark.parametrize(("mutant", "by"), MUTANTS, ids=[mutant.fn.__name__ for mutant, _ in MUTANTS if mutant.fn])
def test_a_mutant_is_caught(mutant: Workflow[..., Any], by: set[str]) -> None:
    assert caught(mutant) == by
