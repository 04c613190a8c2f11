"""What is no argument of a public entrance is refused where it is given, with a sentence, before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from redrive import (
    AsyncDurableService,
    DefinitionError,
    DurableService,
    Event,
    Flow,
    Invocation,
    Signal,
    WaitSignal,
    workflow,
)

decided: Any = Signal("decided", int)
done: Any = Event("done", int)


@workflow("wrong.waits")
def waits(a: int = 1) -> Flow[int]:
    yield from WaitSignal(Signal("decided", int))
    return a


ANY: Any = waits


@pytest.fixture
def service() -> Iterator[DurableService]:
    with DurableService("memory://", [waits]) as service:
        service.start(waits(), id="x")
        yield service


ENTRANCES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "an unknown option": (r"start\(\) takes no nope=: its options are timeout=", lambda s: s.start(ANY(), nope=1)),
    "a mistyped option": (r"did you mean timeout=", lambda s: s.execute(ANY(), timeot=1)),
    "an unknown option of signal_with_start": (
        r"takes no delays=: did you mean delay=",
        lambda s: s.signal_with_start(ANY(), id="y", signal=decided, payload=1, delays=1),
    ),
    "an id that is a number": ("execution id 3 is an int", lambda s: s.start(ANY(), id=3)),
    "a workflow that was not called": ("takes an invocation", lambda s: s.start(ANY)),
    "a workflow that was not called, with a signal": (
        "takes an invocation",
        lambda s: s.signal_with_start(ANY, id="y", signal=decided, payload=1),
    ),
    "a signal to a number": ("execution id 5 is an int", lambda s: s.signal(5, decided, 1)),
    "a signal that is a number": ("signal 5 is an int", lambda s: s.signal("x", 5, 1)),
    "a key that is a number": ("signal key 5", lambda s: s.execution("x").signal(decided, 1, key=5)),
    "a reason that is a number": ("cancel takes its reason as text, not 3", lambda s: s.execution("x").cancel(3)),
    "no reason": ("cancel takes its reason as text, not None", lambda s: s.execution("x").cancel(None)),
    "a handle of a number": ("execution id 3 is an int", lambda s: s.execution(3)),
    "a handle with a name for a workflow": ("execution takes a workflow", lambda s: s.execution("x", "wrong.waits")),
    "a run that is text": ("run= takes a number", lambda s: s.execution("x").history("1")),
    "a timeout that is text": ("neither seconds nor a timedelta", lambda s: s.execution("x").result("5")),
    "a delay that is text": ("neither seconds nor a timedelta", lambda s: s.start(ANY(), delay="5")),
    "a moment without a zone": ("has no timezone", lambda s: s.start(ANY(), start_at=datetime(2030, 1, 1))),  # noqa: DTZ001
    "attributes that are a number": ("attributes= takes a mapping", lambda s: s.start(ANY(), attributes=5)),
    "an attribute that is a number": ("attributes or their names, not 5", lambda s: s.start(ANY(), attributes={5: 1})),
    "one status": ("restart= takes a tuple of statuses", lambda s: s.start(ANY(), restart="failed")),
    "a status that is none": ("restart= takes statuses", lambda s: s.start(ANY(), restart=("done",))),
    "no statuses": ("restart= takes a tuple of statuses", lambda s: s.start(ANY(), restart=5)),
    "an event by name": ("subscribe takes an event", lambda s: s.subscribe("done")),
    "a signal for an event": ("subscribe takes an event", lambda s: s.subscribe(decided)),
    "a handler of a name": ("on takes an event", lambda s: s.on("done")(print)),
    "a handler's name that is a number": ("handler name 5 is an int", lambda s: s.on(done, name=5)(print)),
    "what was set aside of a number": ("execution id 5 is an int", lambda s: s.operator.set_aside(5)),
    "redelivering text": ("not '1'", lambda s: s.operator.redeliver("x", "1")),
    "dropping text": ("not '1'", lambda s: s.operator.drop("x", "1")),
    "dead letters of a number": ("handler name 5 is an int", lambda s: s.operator.dead_letters(5)),
    "events of a number": ("handler name 5 is an int", lambda s: s.operator.redeliver_events(5)),
}


@pytest.mark.parametrize("given", list(ENTRANCES))
def test_a_wrong_argument_is_refused_with_a_sentence(service: DurableService, given: str) -> None:
    sentence, call = ENTRANCES[given]
    with pytest.raises(DefinitionError, match=sentence):
        call(service)
    assert service.execution("x").info().status == "suspended"


OPTIONS: dict[str, dict[str, Any]] = {
    "takes a whole number": {"concurrency": "5"},
    "max_bytes= takes": {"max_bytes": "5"},
    "converter= takes": {"converter": 5},
    "build 5 is an int": {"build": 5},
    "neither seconds": {"lease": "x"},
    r"write workflows=\[wrong.waits\]": {"workflows": waits},
}


@pytest.mark.parametrize("cls", [DurableService, AsyncDurableService])
@pytest.mark.parametrize("sentence", list(OPTIONS))
def test_a_wrong_option_of_a_service_is_refused_with_a_sentence(cls: Any, sentence: str) -> None:
    with pytest.raises(DefinitionError, match=sentence):
        cls("memory://", **OPTIONS[sentence])


def test_a_timeout_in_the_past_says_how_the_execution_stands(service: DurableService) -> None:
    with pytest.raises(TimeoutError, match="suspended"):
        service.execution("x").result(timeout=-5)


def test_a_start_says_start_whatever_was_called(service: DurableService) -> None:
    invocation: Invocation[int] = waits()
    with pytest.raises(TypeError, match=r"^start\(\) takes no "):
        service.start(invocation, tiemout=1)  # type: ignore[call-arg]
