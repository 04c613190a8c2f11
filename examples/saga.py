"""A saga: book a flight, a hotel and a car; what was booked is given back if one of them is not to be had.

python examples/saga.py
"""

from __future__ import annotations

import attrs

from redrive import Commit, DurableService, Flow, Rollback, step, workflow


@attrs.frozen
class Trip:
    traveller: str
    city: str
    cars_left: int = 1


@attrs.frozen
class Booking:
    what: str
    reference: str


@attrs.frozen
class SoldOut(Exception):
    """Nothing is left of *what*: no retry helps, so it is declared, and the workflow catches it by type."""

    what: str


@step
def cancel_booking(booking: Booking) -> None:
    print(f"  gave back the {booking.what} {booking.reference}")


@step(undo=cancel_booking)
def book_flight(trip: Trip) -> Booking:
    return Booking("flight", f"FL-{trip.city}")


@step(undo=cancel_booking)
def book_hotel(trip: Trip) -> Booking:
    return Booking("hotel", f"HO-{trip.city}")


@step(undo=cancel_booking, raises=[SoldOut])
def book_car(trip: Trip) -> Booking:
    if trip.cars_left < 1:
        raise SoldOut("cars")
    return Booking("car", f"CA-{trip.city}")


@workflow("trips.book")
def book_trip(trip: Trip) -> Flow[list[str]]:
    """The references of what was booked; none if it was not to be."""
    try:
        flight = yield from book_flight(trip)
        hotel = yield from book_hotel(trip)
        car = yield from book_car(trip)
    except SoldOut as error:
        yield from Rollback(f"no {error.what} left")
        return []
    yield from Commit("all three are booked: from here on nothing is given back")
    return [flight.reference, hotel.reference, car.reference]


def main() -> None:
    with DurableService("memory://", workflows=[book_trip]) as service:
        print("booked:", service.execute(book_trip(Trip("Ada", "Lisbon"))))
        print("booked:", service.execute(book_trip(Trip("Grace", "Oslo", cars_left=0))))


if __name__ == "__main__":
    main()
