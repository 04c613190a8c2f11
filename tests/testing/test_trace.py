"""A trace is read by people: children, messages and unnamed commands are called what they are."""

from __future__ import annotations

from redrive.testing import play
from redrive_interpreter import (
    CancelChild,
    Flow,
    Map,
    RunChild,
    SendSignal,
    Signal,
    Sleep,
    StartChild,
    WaitChild,
    WaitSignal,
    step,
    workflow,
)


@step
def ship(order: str | None) -> str: ...


go = Signal("go", str)


@workflow("ships.one")
def ship_one(order: str) -> Flow[str]:
    return (yield from ship(order))


@workflow("ships.all")
def ship_all() -> Flow[str]:
    yield from RunChild(ship_one("o-1"), id="first")
    second = yield from StartChild(ship_one("o-2"), id="second")
    yield from SendSignal(second, go, "now")
    yield from WaitChild(second)
    yield from WaitSignal(go, timeout=5, default=None)
    yield from Sleep(7)
    yield from Sleep(8)
    yield from Map(ship, [None])
    third = yield from StartChild(ship_one("o-3"), id="third")
    yield from CancelChild(third, "too late")
    return "all"


def test_children_and_messages_and_unnamed_commands_are_called_what_they_are() -> None:
    run = play(ship_all(), {ship_one: "parcel", ship: "parcel"})
    assert (
        run.trace()
        == """\
ships.all starts with {}
  asks run child ships.one {"id":"first","call":{"order":"o-1"},"on_parent_close":"cancel"}
child ships.one first is started
child ships.one first ended completed = "parcel"
  asks start child ships.one {"id":"second","call":{"order":"o-2"},"on_parent_close":"cancel"}
child ships.one second is started
  asks send signal go {"to":"second","payload":"now"}
signal go is sent to second
  asks wait child second
child ships.one second ended completed = "parcel"
  asks wait signal go {"seconds":5.0,"default":true}
after 0:00:05: the timeout of go is due
  asks sleep {"seconds":7.0}
after 0:00:07: sleep is due
  asks sleep#2 {"seconds":8.0}
after 0:00:08: sleep#2 is due
  asks map {"count":1}
  asks map/0/ship: step ship {"order":null}
map/0/ship = "parcel"
  asks start child#2 ships.one {"id":"third","call":{"order":"o-3"},"on_parent_close":"cancel"}
child ships.one third is started
  asks cancel child third {"reason":"too late"}
child ships.one third is told to cancel
ends completed = "all\""""
    )
