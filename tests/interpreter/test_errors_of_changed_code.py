"""Changed code that raises before a recorded row: the error and its place come first, wherever in the workflow it was (D2)."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from redrive_interpreter import (
    All,
    Diverged,
    Flow,
    Join,
    Map,
    Race,
    Rollback,
    Settle,
    Sleep,
    Spawn,
    Step,
    Switch,
    WaitSignal,
    replay,
    workflow,
)
from redrive_interpreter.commands.workflows import Workflow
from tests.interpreter.kit import Run, start
from tests.interpreter.shop import approved, charge, ping, refund, reserve, tick

Code = Callable[..., Flow[Any]]


class Changes:
    """What the code under test does: nothing at first, then it is changed."""

    broken = False

    def here(self) -> None:
        if self.broken:
            raise LookupError("the rate is gone")  # the place


changes = Changes()


@pytest.fixture(autouse=True)
def unbroken() -> Any:
    changes.broken = False
    yield
    changes.broken = False


def recorded(code: Code, *, on_failure: Any = None) -> tuple[Workflow[..., Any], Run]:
    """The workflow and its run: steps give 1 and timers fire until it waits for a signal."""
    flow = workflow("w", on_failure=on_failure)(code)
    run = start(flow())
    for _ in range(20):
        key = next((key for key, command in run.machine.verdict.pending.items() if command.kind == "step"), None)  # type: ignore[union-attr]
        if key is None:
            break
        run.ok(key, 1)
    return flow, run


def diverges(flow: Workflow[..., Any], run: Run) -> Diverged:
    changes.broken = True
    with pytest.raises(Diverged) as caught:
        replay(flow, run.rows)
    error: Diverged = caught.value
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(copy.copy(error)) == str(error)
    changes.broken = False
    replay(flow, run.rows).machine.close()
    return error


def at_the_root() -> Flow[Any]:
    yield from reserve("a")
    changes.here()
    yield from charge(5)
    yield from WaitSignal(approved)


def before_anything() -> Flow[Any]:
    changes.here()
    yield from charge(5)
    yield from WaitSignal(approved)


def before_a_wait() -> Flow[Any]:
    yield from charge(5)
    changes.here()
    yield from WaitSignal(approved)


def branch(n: int) -> Flow[Any]:
    changes.here()
    yield from ping(n)


def late_branch(n: int) -> Flow[Any]:
    yield from ping(n)
    changes.here()
    yield from WaitSignal(approved)


@workflow("inner")
def inner() -> Flow[Any]:
    changes.here()
    yield from ping(1)


def in_a_helper() -> Flow[Any]:
    yield from branch(1)
    yield from WaitSignal(approved)


def inline() -> Flow[Any]:
    yield from inner()
    yield from WaitSignal(approved)


def in_all() -> Flow[Any]:
    yield from All(ping(0), branch(1))
    yield from WaitSignal(approved)


def late_in_all() -> Flow[Any]:
    yield from All(WaitSignal(tick), late_branch(1))


def in_race() -> Flow[Any]:
    yield from Race(WaitSignal(tick), branch(1))
    yield from WaitSignal(approved)


def in_map() -> Flow[Any]:
    yield from Map(branch, [1, 2])
    yield from WaitSignal(approved)


def in_settle() -> Flow[Any]:
    yield from Settle(branch(1))
    yield from WaitSignal(approved)


def late_in_settle() -> Flow[Any]:
    yield from Settle(late_branch(1))


def in_spawn() -> Flow[Any]:
    task = yield from Spawn(branch(1))
    yield from Join(task)
    yield from WaitSignal(approved)


def in_switch() -> Flow[Any]:
    yield from Switch("which", 1).when(1, branch(1))
    yield from WaitSignal(approved)


def caught_with_a_rollback() -> Flow[Any]:
    try:
        yield from reserve("a")
        changes.here()
        yield from charge(5)
    except Exception:
        yield from Rollback("it failed")
        raise
    yield from WaitSignal(approved)


def caught_in_a_helper() -> Flow[Any]:
    try:
        yield from branch(1)
    except Exception as error:
        yield from refund(str(error))
    yield from WaitSignal(approved)


def caught_and_raised_as_another() -> Flow[Any]:
    try:
        changes.here()
    except LookupError as error:
        raise ValueError("no rate") from error
    yield from ping(1)
    yield from WaitSignal(approved)


def an_unpacked_pair() -> Flow[Any]:
    done = yield from All(ping(0), branch(1))
    assert len(done) == 2
    yield from WaitSignal(approved)


@pytest.mark.parametrize(
    "code",
    [
        at_the_root,
        before_anything,
        before_a_wait,
        in_a_helper,
        inline,
        in_all,
        late_in_all,
        in_race,
        in_map,
        in_settle,
        late_in_settle,
        in_spawn,
        in_switch,
        caught_with_a_rollback,
        caught_in_a_helper,
        caught_and_raised_as_another,
    ],
    ids=lambda code: code.__name__,
)
@pytest.mark.parametrize("on_failure", [None, "rollback"])
def test_the_error_and_its_place_come_first(code: Code, on_failure: Any) -> None:
    """D2."""
    error = diverges(*recorded(code, on_failure=on_failure))
    first, *rest = str(error).splitlines()
    assert first.startswith(("workflow 'w' raises ", "workflow 'w' handles "))
    assert "LookupError: the rate is gone" in first or "ValueError: no rate" in first
    assert "test_errors_of_changed_code.py:" in first
    text = "\n".join(rest)
    assert "Traceback (most recent call last)" in text
    assert "# the place" in str(error)
    assert "redrive_interpreter/" not in text
    assert "no longer follows its history at" in text
    assert "history has" in text


def test_an_error_that_a_step_gave_is_not_the_codes_own() -> None:
    """Handling what the history holds is what the code always did."""
    again = False

    def code() -> Flow[Any]:
        try:
            yield from charge(5)
        except Exception:
            yield from refund("again" if again else "first")

    flow = workflow("w")(code)
    run = start(flow())
    run.fail("charge", ValueError("no funds"))
    again = True
    with pytest.raises(Diverged) as caught:
        replay(flow, run.rows)
    assert caught.value.escape is None
    assert str(caught.value).startswith("workflow 'w' no longer follows its history at refund: arguments changed")


def test_a_failure_that_is_not_caught_any_more_is_named() -> None:
    caught_then = True

    def code() -> Flow[Any]:
        try:
            yield from charge(5)
        except Exception:
            if not caught_then:
                raise
        yield from refund("none")

    flow = workflow("w")(code)
    run = start(flow())
    run.fail("charge", ValueError("no funds"))
    caught_then = False
    with pytest.raises(Diverged) as caught:
        replay(flow, run.rows)
    assert "StepFailed: step charge failed" in str(caught.value).splitlines()[0]


def test_what_is_no_command_is_named() -> None:
    broken = False

    def code() -> Flow[Any]:
        if broken:
            yield 42  # type: ignore[misc]
        yield from charge(5)

    flow = workflow("w")(code)
    run = start(flow())
    broken = True
    with pytest.raises(Diverged) as caught:
        replay(flow, run.rows)
    first = str(caught.value).splitlines()[0]
    assert "WorkflowMisuse" in first
    assert "42" in first
    assert "test_errors_of_changed_code.py" in first


def test_a_changed_step_beside_an_error_that_was_always_handled_is_not_blamed_on_it() -> None:
    name = "charge"

    def sub() -> Flow[Any]:
        yield from ()
        raise LookupError("as always")

    def code() -> Flow[Any]:
        yield from Settle(sub())
        yield from Step(name, lambda: None)

    flow = workflow("w")(code)
    run = start(flow())
    name = "bill"
    with pytest.raises(Diverged) as caught:
        replay(flow, run.rows)
    assert caught.value.escape is None


@pytest.mark.parametrize(
    "group",
    [
        lambda: Spawn(Step("charge the card", lambda: None)),
        lambda: All(Step("charge the card", lambda: None), Sleep(5)),
        lambda: Race(Step("charge the card", lambda: None), Sleep(5)),
        lambda: Settle(Step("charge the card", lambda: None)),
        lambda: Map(lambda n: Step("charge the card", lambda: None), [1]),
    ],
    ids=["spawn", "all", "race", "settle", "map"],
)
def test_a_group_that_is_gone_is_told_with_what_it_held(group: Any) -> None:
    gone = False

    def code() -> Flow[Any]:
        if not gone:
            yield group()
        yield from WaitSignal(approved)

    flow = workflow("w")(code)
    run = start(flow())
    gone = True
    with pytest.raises(Diverged) as caught:
        replay(flow, run.rows)
    assert "step 'charge the card'" in str(caught.value).splitlines()[0]
