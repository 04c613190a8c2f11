"""Faults of the workflow's own code: ended as a bug, told with file and line, undone nothing (C3, D6, D7)."""

from __future__ import annotations

from typing import Any

import pytest

from redrive_interpreter import (
    LIVE,
    All,
    CodecError,
    Emit,
    Flow,
    InvalidDefinition,
    Invocation,
    LiveCodec,
    Map,
    Note,
    Race,
    Settle,
    Spawn,
    StepFailed,
    Switch,
    workflow,
)
from tests.interpreter.kit import Run, start
from tests.interpreter.shop import Broken, ping, reserve, shipped


def fails(invocation: Invocation[Any], says: str) -> Run:
    run = start(invocation)
    assert (run.status, run.done.bug) == ("failed", True), run.machine.verdict
    assert says in str(run.failure.message), run.failure.message
    return run


@pytest.mark.parametrize("error", [NameError, AttributeError, TypeError, ImportError, RecursionError, ModuleNotFoundError])
def test_a_bug_is_no_business_failure_and_skips_on_failure(error: type[Exception]) -> None:
    """C3."""

    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        raise error("a typo")

    run = start(w()).ok("reserve", "h")
    assert (run.status, run.done.bug, run.undone) == ("failed", True, [])


def test_a_bug_in_a_branch_or_inline_skips_on_failure_everywhere() -> None:
    """C3."""

    @workflow("inner", on_failure="rollback")
    def inner() -> Flow[None]:
        yield from reserve("a")
        return undefined  # type: ignore[name-defined,no-any-return]  # noqa: F821

    @workflow("w", on_failure="rollback")
    def w() -> Flow[Any]:
        return (yield from All(inner()))

    run = start(w()).ok("__all/0/inner/reserve", "h")
    assert (run.status, run.done.bug, run.undone) == ("failed", True, [])


def test_fixed_code_goes_on_from_before_the_bug() -> None:
    """C3."""

    @workflow("w")
    def broken() -> Flow[int]:
        value = yield from ping(1)
        return value + undefined  # type: ignore[name-defined,no-any-return]  # noqa: F821

    @workflow("w")
    def fixed() -> Flow[int]:
        return (yield from ping(1)) + 1

    run = start(broken()).ok("ping", 1)
    run.rows.pop()
    assert run.replay(fixed).result == 2


def test_an_error_of_such_a_class_that_a_step_raised_is_a_business_failure() -> None:
    from redrive_interpreter import step

    @step(raises=[TypeError])
    def picky() -> None: ...

    @workflow("w", on_failure="rollback")
    def w() -> Flow[None]:
        yield from reserve("a")
        yield from picky()

    run = start(w()).ok("reserve", "h").fail("picky", TypeError("declared")).ok("rollback:reserve")
    assert (run.status, run.done.bug, run.undone) == ("failed", False, ["reserve"])


def test_a_result_that_cannot_be_encoded_is_a_bug() -> None:
    """C3."""

    class Strict(LiveCodec):
        def dump(self, value: object, type: Any, where: str, root: str = "value") -> Any:
            if value == "unencodable":
                raise CodecError(where, "result", "str", "cannot be encoded")
            return value

    @workflow("w")
    def w() -> Flow[str]:
        yield from ping(1)
        return "unencodable"

    run = start(w(), codec=Strict()).ok("ping")
    assert (run.status, run.done.bug) == ("failed", True)


def test_a_yield_of_something_that_is_not_a_command_says_where() -> None:
    """D6."""

    @workflow("w")
    def w() -> Flow[Any]:
        yield 5  # type: ignore[misc]

    run = fails(w(), "which is not a command")
    assert "test_bugs.py" in run.failure.message
    assert "yield 5" in run.failure.message


@pytest.mark.parametrize(
    ("thing", "hint"),
    [(ping, "call it"), ([ping(1)], "All"), (None, "not a command"), ("text", "not a command"), (StepFailed, "call it")],
)
def test_and_what_was_meant(thing: Any, hint: str) -> None:
    """D6."""

    @workflow("w")
    def w() -> Flow[Any]:
        yield thing

    fails(w(), hint)


def test_a_coroutine_is_not_awaited() -> None:
    async def coroutine() -> None: ...

    made = coroutine()

    @workflow("w")
    def w() -> Flow[Any]:
        yield made  # type: ignore[misc]

    fails(w(), "do not await")
    made.close()


def test_it_cannot_be_caught() -> None:
    """D6: a WorkflowMisuse ends the run, whatever the workflow catches."""

    @workflow("w")
    def w() -> Flow[Any]:
        try:
            yield 5  # type: ignore[misc]
        except BaseException:
            return "swallowed"

    fails(w(), "not a command")


@pytest.mark.parametrize("wrong", [lambda: ping(1), lambda: other(1), lambda: helper(1)])
def test_a_command_returned_without_yielding_it_is_told(wrong: Any) -> None:
    """D6."""

    @workflow("w")
    def w() -> Flow[Any]:
        yield from ping(1)
        return wrong()

    run = start(w()).ok("ping")
    assert (run.status, run.done.bug) == ("failed", True)
    assert "return (yield from" in run.failure.message
    assert "test_bugs.py" in run.failure.message


def helper(n: int) -> Flow[int]:
    return (yield from ping(n))


@workflow("other")
def other(n: int) -> Flow[int]:
    return (yield from ping(n))


def test_stop_iteration_raised_by_user_code_is_a_bug_with_its_place() -> None:
    """D6."""

    @workflow("w", on_failure="rollback")
    def w() -> Flow[Any]:
        yield from reserve("a")
        return next(iter([]))

    run = start(w()).ok("reserve", "h")
    assert (run.status, run.done.bug, run.undone) == ("failed", True, [])
    assert "StopIteration" in run.failure.message
    assert "next(iter([]))" in run.failure.message


def test_a_misuse_in_a_branch_that_is_a_bare_command_still_says_where() -> None:
    """D6."""

    @workflow("w")
    def w() -> Flow[Any]:
        return (yield from Map(lambda n: n, [1]))  # type: ignore[type-var,arg-type,return-value]

    assert "test_bugs.py" in fails(w(), "not a command").failure.message


def test_a_call_that_does_not_fit_is_an_error_of_the_workflow() -> None:
    @workflow("w")
    def w() -> Flow[str]:
        try:
            yield from ping(1, 2)  # type: ignore[call-arg]
        except InvalidDefinition as error:
            return str(error)
        return "?"

    assert "ping" in start(w()).result


def test_ten_thousand_commands_in_a_row_are_an_endless_loop() -> None:
    """D7."""

    @workflow("w")
    def w() -> Flow[None]:
        while True:
            yield from Emit(shipped, 1)

    run = Run(w(), checked=False)
    assert (run.status, run.done.bug) == ("failed", True)
    assert "endless" in run.failure.message
    assert "test_bugs.py" in run.failure.message
    assert len(run.history) == 10_000


@pytest.mark.parametrize(
    "command",
    [
        lambda: Note("again"),
        lambda: All(Emit(shipped, 1)),
        lambda: Race(Emit(shipped, 1)),
        lambda: Spawn(Emit(shipped, 1)),
        lambda: Settle(Emit(shipped, 1)),
        lambda: nothing(),
    ],
    ids=["Note", "All", "Race", "Spawn", "Settle", "inline"],
)
def test_a_loop_over_what_ends_at_once_is_endless_too(command: Any) -> None:
    """D7."""

    @workflow("w")
    def w() -> Flow[None]:
        while True:
            yield from command()

    run = Run(w(), checked=False)
    assert (run.status, run.done.bug) == ("failed", True)
    assert "endless" in run.failure.message


@workflow("nothing")
def nothing() -> Flow[None]:
    yield from ()


def test_nine_thousand_in_each_of_two_turns_are_not() -> None:
    """D7: without waiting."""

    @workflow("w")
    def w() -> Flow[str]:
        for _ in range(2):
            for _ in range(9_000):
                yield from Emit(shipped, 1)
            yield from ping(1)
        return "done"

    assert Run(w(), checked=False).ok("ping").ok("ping#2").result == "done"


def test_a_workflow_that_returns_nothing_completes_with_none() -> None:
    """E2."""

    @workflow("w")
    def w() -> Flow[None]:
        yield from ping(1)

    assert start(w()).ok("ping").result is None


def test_an_error_that_is_raised_is_the_outcome_with_its_declared_fields() -> None:
    @workflow("w", raises=[Broken])
    def w() -> Flow[None]:
        yield from ()
        raise Broken("why")

    run = start(w())
    assert (run.status, run.done.bug) == ("failed", False)
    assert isinstance(LIVE.load_error(run.failure, [Broken]), Broken)


@pytest.mark.parametrize("twice", ["in two branches", "after it has ended", "in a task"])
def test_one_generator_cannot_be_run_twice(twice: str) -> None:
    """D6: the second would get the answers of the first."""

    def flow() -> Flow[int]:
        return (yield from ping(1))

    @workflow("w")
    def w() -> Flow[Any]:
        generator = flow()
        if twice == "in two branches":
            return (yield from All(generator, generator))
        if twice == "in a task":
            yield from Spawn(generator)
        else:
            yield generator
        return (yield generator)  # type: ignore[misc]

    run = start(w())
    if twice == "after it has ended":
        run.ok("ping", 1)
    assert (run.status, run.done.bug) == ("failed", True)
    assert "begun already" in run.failure.message


def test_a_value_that_cannot_show_itself_does_no_harm() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    @workflow("w")
    def yields() -> Flow[Any]:
        yield Mute()  # type: ignore[misc]

    @workflow("w")
    def returns() -> Flow[Any]:
        yield from ()
        return ping(Mute())  # type: ignore[arg-type]

    @workflow("w")
    def switches() -> Flow[Any]:
        return (yield from Switch("s", Mute()).when(1, ping(1)))  # type: ignore[arg-type]

    fails(yields(), "Mute")
    fails(returns(), "Step")
    assert start(switches()).status == "failed"
