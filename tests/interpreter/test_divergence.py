"""Every change of code under a running history is caught, told so that one can act on it, and takes nothing (D1, D2, N2–N5)."""

from __future__ import annotations

import copy
import inspect
import linecache
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from redrive.codec import JsonCodec
from redrive_interpreter import (
    All,
    Commit,
    Diverged,
    Emit,
    Finished,
    Flow,
    Join,
    Map,
    Race,
    Rollback,
    RunChild,
    SendSignal,
    Sleep,
    Spawn,
    StartChild,
    Step,
    StepFailed,
    Switch,
    UnexpectedFact,
    WaitSignal,
    replay,
    step,
    workflow,
)
from tests.interpreter.kit import Run, start
from tests.interpreter.shop import approved, charge, ping, refund, release, reserve, shipped, tick

Code = Callable[[], Flow[Any]]


@workflow("sub")
def sub(n: int) -> Flow[int]:
    return (yield from ping(n))


@workflow("other")
def other(n: int) -> Flow[int]:
    return (yield from ping(n))


def finished(code: Code) -> Run:
    """The run of *code* to its end: steps give 1, signals come, timers fire."""
    run = start(workflow("w")(code)())
    for _ in range(50):
        if isinstance(run.machine.verdict, Finished):
            return run
        key, command = next(iter(run.machine.verdict.pending.items()))
        if command.kind == "wait_signal":
            run.signal(command.signal.name, "Ada")  # type: ignore[attr-defined]
        elif key in run.machine.timers:
            run.fire(key)
        elif command.kind == "run_child" and str(key) in [str(row.key) for row in run.rows if type(row).__name__ == "Answered"]:
            run.child(run.machine.pending[key].child, 1)  # type: ignore[attr-defined]
        else:
            run.ok(key, 1)
    raise AssertionError("the run does not end")


def diverges(before: Code, after: Code, run: Run | None = None) -> Diverged:
    """The divergence of the whole history; every prefix of it diverges too or replays to the same point."""
    run = run or finished(before)
    code = workflow("w")(after)
    for end in range(1, len(run.rows)):
        old = replay(run.workflow, run.rows[:end])
        try:
            new = replay(code, run.rows[:end])
        except Diverged:
            continue
        # Code that accepts the prefix still waits for all that the history has as asked and not answered.
        recorded = {row.key for row in run.rows[:end] if hasattr(row, "kind")}
        assert recorded & set(old.machine.pending) <= set(new.machine.pending)
        new.machine.close()
        old.machine.close()
    with pytest.raises(Diverged) as caught:
        replay(code, run.rows)
    error: Diverged = caught.value
    text = str(error)
    assert error.cause in text
    assert "history has" in text
    assert "code asks now" in text
    assert "Patch(" in text
    assert "put the old code back" in text
    assert "test_divergence.py" in text
    assert str(pickle.loads(pickle.dumps(error))) == text
    assert str(copy.copy(error)) == text
    # Nothing was taken: the old code goes on.
    assert replay(run.workflow, run.rows).machine.verdict == run.machine.verdict
    return error


# ── the order workflow, and each way to change it ────────────────────────────────────────────────
def base() -> Flow[Any]:
    yield from reserve("a")
    yield from charge(5)
    yield from Sleep(5)
    by = yield from WaitSignal(approved)
    yield from Emit(shipped, 1)
    yield from ping(1)
    return by


def edited(*lines: tuple[str, str]) -> Code:
    """`base` with some of its lines replaced, as if that had been written here: its source is known, so divergences can quote it."""
    source = inspect.getsource(base)
    for old, new in lines:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    file = f"{__file__}: {lines}"  # the message names this module
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    names = dict(globals())
    exec(compile(source, file, "exec", dont_inherit=True), names)
    code: Code = names["base"]
    return code


RESERVE, CHARGE, SLEEP = '    yield from reserve("a")\n', "    yield from charge(5)\n", "    yield from Sleep(5)\n"
WAIT, EMIT, PING = "WaitSignal(approved)", "    yield from Emit(shipped, 1)\n", "    yield from ping(1)\n"
REST = inspect.getsource(base).partition(CHARGE)[2]


@pytest.mark.parametrize(
    ("edits", "cause", "at", "line"),
    [
        pytest.param([("charge(5)", 'charge(5).options(id="bill")')], "renamed", "bill", "yield from charge(5).options", id="another id"),
        pytest.param([(CHARGE, '    yield from refund("none")\n' + CHARGE)], "inserted", "refund", 'refund("none")', id="a step more"),
        pytest.param([(CHARGE, "    yield from Sleep(1)\n" + CHARGE)], "inserted", "__sleep", "yield from Sleep(1)", id="a sleep more"),
        pytest.param([(PING, PING + '    yield from refund("none")\n')], "inserted", "refund", 'refund("none")', id="one more at the end"),
        pytest.param([(CHARGE, "")], "removed", "__sleep", "yield from Sleep(5)", id="a step less"),
        pytest.param([(EMIT, "")], "removed", "ping", "yield from ping(1)", id="an event less"),
        pytest.param([(RESERVE, ""), (CHARGE, CHARGE + RESERVE)], "reordered", "charge", "yield from charge(5)", id="another order"),
        pytest.param([("charge(5)", "charge(6)")], "arguments changed", "charge", "yield from charge(6)", id="another argument"),
        pytest.param([("charge(5)", "charge(5.0)")], "arguments changed", "charge", "yield from charge(5.0)", id="an argument's type"),
        pytest.param([(WAIT, "WaitSignal(tick)")], "arguments changed", "__wait_signal", "WaitSignal(tick)", id="another signal"),
        pytest.param([(WAIT, "WaitSignal(approved, timeout=7)")], "arguments changed", "__wait_signal", "timeout=7", id="a timeout"),
        pytest.param([("Sleep(5)", "Sleep(6)")], "arguments changed", "__sleep", "yield from Sleep(6)", id="another sleep"),
        pytest.param([("shipped, 1", '"refused", 1')], "arguments changed", "__emit", 'Emit("refused", 1)', id="another event"),
        pytest.param([("shipped, 1", "shipped, 2")], "arguments changed", "__emit", "Emit(shipped, 2)", id="another payload"),
        pytest.param([("charge(5)", "charge(5).options(undo=release)")], "undo changed", "charge", "undo=release", id="another undo"),
        pytest.param([("charge(5)", 'Step("charge", charge.body, 5)')], "undo changed", "charge", "yield from Step", id="no undo"),
        pytest.param([(REST, '    return "early"\n')], "returned early", "__sleep", "in base", id="an early return"),
        pytest.param([(REST, '    raise ValueError("early")\n')], "returned early", "__sleep", "in base", id="an early error"),
        pytest.param([("charge(5)", 'WaitSignal(tick).options(id="charge")')], "type changed", "charge", "WaitSignal(tick)", id="a type"),
        pytest.param([("return by", 'return [by, "changed"]')], "result changed", "", "in base", id="another result"),
    ],
)
def test_a_change_is_named_with_both_sides_and_the_line(edits: list[tuple[str, str]], cause: str, at: str, line: str) -> None:
    """D1."""
    error = diverges(base, edited(*edits))
    assert (error.cause, error.key) == (cause, at), str(error)
    assert line in str(error), str(error)


def show(code: Any) -> Code:
    """A workflow of one command and a step after it."""

    def w() -> Flow[Any]:
        yield from code()
        yield from refund("none")

    return w


def flow(n: int) -> Flow[Any]:
    return (yield from ping(n))


def spawned(n: int) -> Flow[Any]:
    task = yield from Spawn(ping(n))
    return (yield from Join(task))


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        (lambda: All(ping(1), ping(2)), lambda: All(ping(1), ping(2), ping(3)), "arguments changed"),
        (lambda: All(a=ping(1), b=ping(2)), lambda: All(a=ping(1), c=ping(2)), "arguments changed"),
        (lambda: All(a=ping(1), b=ping(2)), lambda: All(ping(1), ping(2)), "arguments changed"),
        (lambda: All(ping(1), ping(2)), lambda: Race(ping(1), ping(2)), "type changed"),
        (lambda: All(ping(1), ping(2)), lambda: All(ping(2), ping(1)), "arguments changed"),
        (lambda: All(ping(1), reserve("a")), lambda: All(reserve("a"), ping(1)), "renamed"),
        (lambda: Race(ping(1), Sleep(1)), lambda: Race(ping(1), Sleep(2)), "arguments changed"),
        (lambda: Map(ping, [1, 2]), lambda: Map(ping, [1, 2, 3]), "arguments changed"),
        (lambda: Map(ping, [1, 2]), lambda: Map(ping, [1, 3]), "arguments changed"),
        (lambda: Map(ping, [1, 2]), lambda: Map(ping, [1, 2], enough=1), "arguments changed"),
        (lambda: RunChild(sub(1)), lambda: RunChild(sub(2)), "arguments changed"),
        (lambda: RunChild(sub(1)), lambda: RunChild(other(1)), "arguments changed"),
        (lambda: RunChild(sub(1)), lambda: StartChild(sub(1)), "type changed"),
        (lambda: sub(1), lambda: other(1), "renamed"),
        (lambda: sub(1), lambda: ping(1), "type changed"),
        (lambda: ping(1), lambda: sub(1), "type changed"),
        (lambda: ping(1).options(id="sub"), lambda: sub(1), "type changed"),
        (lambda: sub(1), lambda: ping(1).options(id="sub"), "type changed"),
        (lambda: sub(1), lambda: sub(2), "arguments changed"),
        (lambda: SendSignal("x", approved, "a"), lambda: SendSignal("y", approved, "a"), "arguments changed"),
        (lambda: SendSignal("x", approved, "a"), lambda: SendSignal("x", approved, "b"), "arguments changed"),
        (lambda: Rollback("a"), lambda: Rollback("b"), "arguments changed"),
        (lambda: Commit("a"), lambda: Commit("b"), "arguments changed"),
        (lambda: Commit(), lambda: Rollback(), "type changed"),
        (lambda: spawned(1), lambda: spawned(2), "arguments changed"),
        (lambda: Switch("s", 1).when(1, ping(1)), lambda: Switch("s", 1).when(1, ping(2)), "arguments changed"),
        (lambda: Switch("s", 1).when(1, ping(1)), lambda: Switch("t", 1).when(1, ping(1)), "renamed"),
        (lambda: WaitSignal(approved, timeout=5), lambda: WaitSignal(approved, timeout=5, default="x"), "arguments changed"),
        (lambda: Sleep(5), lambda: Commit(), "type changed"),
        (lambda: reserve("a"), lambda: Race(reserve("a"), Sleep(5)), "type changed"),
    ],
)
def test_so_is_a_change_of_any_command(before: Any, after: Any, cause: str) -> None:
    """D1."""
    error = diverges(show(before), show(after))
    assert error.cause == cause, str(error)


def test_a_change_inside_a_helper_names_the_helpers_line() -> None:
    def helper(n: int) -> Flow[Any]:
        return (yield from ping(n))  # the line

    error = diverges(show(lambda: helper(1)), show(lambda: helper(2)))
    assert "# the line" in error.place


def test_a_change_inside_a_branch_names_the_branchs_line() -> None:
    def branch(n: int) -> Flow[Any]:
        yield from ping(0)
        return (yield from ping(n))  # the line

    error = diverges(show(lambda: All(ping(5), branch(1))), show(lambda: All(ping(5), branch(2))))
    assert (error.key, error.cause) == ("__all/1/ping#2", "arguments changed")
    assert "# the line" in error.place


def test_user_code_cannot_see_it() -> None:
    """D2."""
    seen: list[str] = []

    def before() -> Flow[Any]:
        yield from ping(1)
        yield from ping(2)

    def after() -> Flow[Any]:
        try:
            yield from ping(1)
            yield from ping(3)
        except Exception as error:
            seen.append(type(error).__name__)
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
        return "swallowed"

    diverges(before, after)
    assert set(seen) <= {"GeneratorExit"}


@pytest.mark.parametrize("turns", range(1, 6))
def test_old_code_put_back_goes_on(turns: int) -> None:
    """D2."""
    whole = finished(base)
    rows = whole.rows[: [n for n, row in enumerate([*whole.rows, None]) if row is None or hasattr(row, "at")][turns]]
    for code in (edited(("charge(5)", "charge(6)")), edited((REST, '    return "early"\n'))):
        try:
            replay(workflow("w")(code), rows).machine.close()
        except Diverged:
            pass
    assert replay(whole.workflow, rows).rows == []


def test_a_command_that_goes_on_where_the_history_ended_is_divergence() -> None:
    def before() -> Flow[Any]:
        yield from ping(1)

    def after() -> Flow[Any]:
        yield from ping(1)
        yield from Sleep(5)

    assert diverges(before, after).cause == "inserted"


def test_a_caught_error_that_is_caught_no_more_is_divergence() -> None:
    def before() -> Flow[Any]:
        try:
            yield from ping(1)
        except StepFailed:
            yield from ping(2)

    def after() -> Flow[Any]:
        yield from ping(1)

    run = start(workflow("w")(before)()).fail("ping").ok("ping#2")
    assert diverges(before, after, run).cause == "returned early"


def test_a_fact_that_fits_no_command_is_told() -> None:
    run = finished(base)
    with pytest.raises(Diverged, match="history does not fit"):
        replay(run.workflow, run.rows[1:])
    with pytest.raises(Diverged, match="history does not fit"):
        replay(run.workflow, [run.rows[0], run.rows[1], run.rows[4]])
    assert issubclass(UnexpectedFact, Exception)


# ── what fits ───────────────────────────────────────────────────────────────────────────────────
def test_a_field_added_with_a_default_or_dropped_fits() -> None:
    """N2."""

    def coded(order: Any) -> Any:
        @step("pay")
        def pay(order: order) -> int: ...  # type: ignore[valid-type,empty-body]

        @workflow("w")
        def w() -> Flow[Any]:
            yield from pay(order("o-1", 5))
            return (yield from ping(1))

        return w

    @attrs.frozen
    class Order:
        id: str
        total: int

    first = Order

    @attrs.frozen
    class Order:  # type: ignore[no-redef]
        id: str
        total: int
        currency: str = "EUR"

    second = Order
    for before, after in ((first, second), (second, first)):
        run = start(coded(before)(), codec=JsonCodec()).ok("pay", 1).replay(coded(after))
        assert run.asked == ["ping"]


def test_a_field_added_with_another_value_than_the_default_does_not_fit() -> None:
    """N2."""

    @attrs.frozen
    class Old:
        id: str

    @attrs.frozen
    class New:
        id: str
        currency: str = "EUR"

    def coded(value: Any) -> Any:
        @step("pay")
        def pay(order: type(value)) -> int: ...  # type: ignore[valid-type,empty-body]

        @workflow("w")
        def w() -> Flow[Any]:
            yield from pay(value)

        return w

    run = start(coded(Old("o-1"))(), codec=JsonCodec())
    assert run.replay(coded(New("o-1"))).asked == ["pay"]
    with pytest.raises(Diverged):
        run.replay(coded(New("o-1", "USD")))


def test_the_order_of_mappings_and_sets_does_not_matter_and_the_bits_of_floats_do() -> None:
    """N2."""

    def coded(value: Any) -> Any:
        @workflow("w")
        def w() -> Flow[Any]:
            yield from Step("take", lambda value: None, value)

        return w

    for codec in (JsonCodec(), None):
        options: Any = {} if codec is None else {"codec": codec}
        run = start(coded({"a": 1, "b": {1, 2}})(), **options)
        assert run.replay(coded({"b": {2, 1}, "a": 1})).asked == ["take"]
        with pytest.raises(Diverged):
            start(coded(0.0)(), **options).replay(coded(-0.0))
        with pytest.raises(Diverged):
            start(coded(1)(), **options).replay(coded(True))
        nan = float("nan")
        assert start(coded(nan)(), **options).replay(coded(float("nan"))).asked == ["take"]


def test_keywords_and_positions_are_the_same_call() -> None:
    """N2."""

    @workflow("w")
    def before() -> Flow[Any]:
        yield from ping(1)

    @workflow("w")
    def after() -> Flow[Any]:
        yield from ping(n=1)

    assert start(before()).replay(after).asked == ["ping"]


def test_an_undo_may_be_added_where_there_was_none_and_holds() -> None:
    """N4."""

    @workflow("w")
    def before() -> Flow[Any]:
        yield from ping(1)
        yield from ping(2)

    @workflow("w", on_failure="rollback")
    def after() -> Flow[Any]:
        yield from ping(1).options(undo=release("x"))
        yield from ping(2)

    run = start(before()).ok("ping").replay(after).fail("ping#2")
    assert run.asked == ["rollback:ping"]


def test_an_undo_added_later_does_not_disturb_a_race_that_was_decided_without_it() -> None:
    """N4."""

    def branch(undo: Any) -> Flow[Any]:
        yield from ping(1).options(undo=undo)
        yield from Sleep(60)

    def code(undo: Any) -> Any:
        @workflow("w")
        def w() -> Flow[Any]:
            yield from Race(branch(undo), WaitSignal(tick))
            yield from ping(2)
            return (yield from Rollback())

        return w

    run = start(code(None)()).ok("__race/0/ping").signal("tick").replay(code(release("x")))
    assert run.asked == ["ping"]
    assert run.ok("ping").asked == ["rollback:__race/0/ping"]


def test_of_a_lambda_only_id_and_arguments_are_compared() -> None:
    """N5."""

    @workflow("w")
    def before() -> Flow[Any]:
        yield from Step("quote", lambda n: n, 5)

    @workflow("w")
    def after() -> Flow[Any]:
        yield from Step("quote", lambda n: n * 2, 5)

    assert start(before()).replay(after).asked == ["quote"]


def test_retry_and_timeout_come_from_the_code_that_runs() -> None:
    """N3."""
    from redrive_interpreter import Retry

    @workflow("w")
    def before() -> Flow[Any]:
        yield from ping(1)

    @workflow("w")
    def after() -> Flow[Any]:
        yield from ping(1).options(retry=Retry(attempts=5), timeout=3)

    assert start(before()).replay(after).asked == ["ping"]
