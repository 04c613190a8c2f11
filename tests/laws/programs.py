"""Small programs, and the one workflow that runs any of them: what Hypothesis generates instead of workflows.

A program is a list of statements; a statement is a list of its name and its arguments, all of it JSON, so that
programs are inputs, children's inputs and the input of the next run. What a program saw is its result: values,
errors by name, times and ids, so that a replay which sees anything else ends differently.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from hypothesis import strategies as st

from redrive_interpreter import (
    All,
    Attribute,
    CancelChild,
    Cancelled,
    ChildRef,
    Command,
    Commit,
    ContinueAs,
    Emit,
    Event,
    Flow,
    Info,
    Invocation,
    Join,
    Map,
    NewId,
    Note,
    Now,
    Ok,
    Patch,
    Race,
    Random,
    Retry,
    Rollback,
    RunChild,
    SendSignal,
    SetAttribute,
    Settle,
    Signal,
    Sleep,
    Spawn,
    StartChild,
    Switch,
    Task,
    WaitChild,
    WaitSignal,
    step,
    workflow,
)

Program: TypeAlias = list[Any]
Seen: TypeAlias = Generator[Command[Any], Any, Any]

SIGNALS = [Signal(f"signal{n}", int) for n in range(2)]
event = Event("event", int)
state = Attribute("state", int)


class Declined(Exception):
    """A declared error."""


class Business(Exception):
    """What a program raises."""


# Nobody runs these bodies: the schedule answers for them.
@step
def undo(result: int) -> None: ...


@step
def release(n: int) -> None: ...


@step(raises=[Declined])
def plain(n: int) -> int:
    return n


@step(undo=undo)
def undoable(n: int) -> int:
    return n


@step(at_most_once=True)
def once(n: int) -> int:
    return n


@step(undo=undo, at_most_once=True)
def once_undoable(n: int) -> int:
    return n


STEPS: dict[str, Callable[[int], Any]] = {
    "plain": plain,
    "undoable": undoable,
    "once": once,
    "once_undoable": once_undoable,
    "released": lambda n: plain(n).options(undo=release(n)),
}


def flow(program: Program) -> Seen:
    """Run *program*; what it saw, or the error that stopped it."""
    seen: list[Any] = []
    tasks: list[Task[Any]] = []
    children: list[ChildRef[Any]] = []
    for name, *args in program:
        seen.append((yield from STATEMENTS[name](tasks, children, *args)))
    return seen


@workflow("program", raises=[Business])
def run_program(program: Program) -> Flow[Any]:
    return (yield from flow(program))


@workflow("tidy", on_failure="rollback", on_cancel="rollback", raises=[Business])
def run_tidy(program: Program) -> Flow[Any]:
    return (yield from flow(program))


@workflow("tidy_failure", on_failure="rollback", raises=[Business])
def run_tidy_failure(program: Program) -> Flow[Any]:
    return (yield from flow(program))


@workflow("tidy_cancel", on_cancel="rollback", raises=[Business])
def run_tidy_cancel(program: Program) -> Flow[Any]:
    return (yield from flow(program))


WORKFLOWS: dict[str, Callable[[Program], Invocation[Any]]] = {
    "program": run_program,
    "tidy": run_tidy,
    "tidy_failure": run_tidy_failure,
    "tidy_cancel": run_tidy_cancel,
}


# ── statements ──────────────────────────────────────────────────────────────────────────────────
def _step(tasks: Any, children: Any, kind: str, n: int) -> Seen:
    return (yield from STEPS[kind](n))


def _sleep(tasks: Any, children: Any, seconds: int) -> Seen:
    yield from Sleep(seconds)
    return (yield from _moment())


def _moment() -> Seen:
    now = yield from Now()
    return now.isoformat()


def _wait(tasks: Any, children: Any, signal: int, timeout: int | None, default: int | None) -> Seen:
    source = SIGNALS[signal]
    if timeout is None:
        return (yield from WaitSignal(source))
    if default is None:
        return (yield from WaitSignal(source, timeout=timeout))
    return (yield from WaitSignal(source, timeout=timeout, default=default))


def _emit(tasks: Any, children: Any, n: int) -> Seen:
    yield from Emit(event, n)


def _note(tasks: Any, children: Any, n: int) -> Seen:
    yield from Note("a note", n=n)
    yield from SetAttribute(state, n)


def _chance(tasks: Any, children: Any) -> Seen:
    id = yield from NewId("x")
    number = yield from Random()
    info = yield from Info()
    return [str(id), number, info.id, str(info.run)]


def _raise(tasks: Any, children: Any, text: str) -> Seen:
    yield from ()
    raise Business(text)


def _bug(tasks: Any, children: Any) -> Seen:
    yield from ()
    return undefined  # type: ignore[name-defined]  # noqa: F821


def _try(tasks: Any, children: Any, body: Program, also_cancelled: bool, handler: Program) -> Seen:
    errors: tuple[type[BaseException], ...] = (Exception, Cancelled) if also_cancelled else (Exception,)
    try:
        return (yield from flow(body))
    except errors as error:
        return [name_of(error), (yield from flow(handler))]


def _swallow(tasks: Any, children: Any, body: Program, handler: Program, again: bool) -> Seen:
    try:
        return (yield from flow(body))
    except (Exception, Cancelled) as error:
        yield from flow(handler)
        if again:
            raise
        return name_of(error)


def _all(tasks: Any, children: Any, branches: list[Program], named: bool) -> Seen:
    if named:
        by_name = yield from All(**{f"b{i}": flow(branch) for i, branch in enumerate(branches)})
        return list(by_name.items())
    return list((yield from All(*(flow(branch) for branch in branches))))


def _all_of(tasks: Any, children: Any, branches: list[Program], limit: int | None, enough: int | None) -> Seen:
    flows = [run_program(branch) for branch in branches]
    if enough is None:
        return (yield from All.of(flows, limit=limit))
    return (yield from All.of(flows, limit=limit, enough=enough))


def _map(tasks: Any, children: Any, kind: str, items: list[int], limit: int | None, enough: int | None) -> Seen:
    if enough is None:
        return (yield from Map(STEPS[kind], items, limit=limit))
    return (yield from Map(STEPS[kind], items, limit=limit, enough=enough))


def _race(tasks: Any, children: Any, branches: list[Program]) -> Seen:
    won: Any = yield from Race(*(flow(branch) for branch in branches))
    return [won.index, won.value]


def _settle(tasks: Any, children: Any, body: Program) -> Seen:
    outcome = yield from Settle(flow(body))
    return outcome.value if isinstance(outcome, Ok) else name_of(outcome.error)


def _spawn(tasks: list[Task[Any]], children: Any, body: Program) -> Seen:
    tasks.append((yield from Spawn(flow(body))))


def _join(tasks: list[Task[Any]], children: Any) -> Seen:
    return (yield from Join(tasks.pop(0))) if tasks else None


def _inline(tasks: Any, children: Any, name: str, body: Program) -> Seen:
    return (yield from WORKFLOWS[name](body))


def _switch(tasks: Any, children: Any, value: int, body: Program, other: Program) -> Seen:
    return (
        yield from Switch("which", value).when(1, flow(body)).when(lambda n: n == 2, run_program(body), label="two").otherwise(flow(other))
    )


def _run_child(tasks: Any, children: Any, policy: Any, undoing: bool, wait: int | None, retry: Any) -> Seen:
    options: Any = {"undo": undo} if undoing else {}
    return (yield from RunChild(run_program([]), on_parent_close=policy, wait_timeout=wait, retry=policies_of(retry), **options))


def _start_child(tasks: Any, children: list[ChildRef[Any]], policy: Any, id: str | None, retry: Any) -> Seen:
    ref = yield from StartChild(run_program([]), on_parent_close=policy, id=id, retry=policies_of(retry))
    children.append(ref)
    return ref.id


def _wait_child(tasks: Any, children: list[ChildRef[Any]], timeout: int | None) -> Seen:
    return (yield from WaitChild(children[-1], timeout=timeout)) if children else None


def _cancel_child(tasks: Any, children: list[ChildRef[Any]]) -> Seen:
    return (yield from CancelChild(children[-1])) if children else None


def _children(tasks: Any, children: list[ChildRef[Any]], policy: Any, timeout: int | None, retry: Any) -> Seen:
    """Start one, do something else, wait for it."""
    yield from _start_child(tasks, children, policy, None, retry)
    yield from undoable(0)
    return (yield from WaitChild(children[-1], timeout=timeout))


def _send(tasks: Any, children: Any, to: str) -> Seen:
    yield from SendSignal(to, SIGNALS[0], 1)


def _rollback(tasks: Any, children: Any, on_error: Any) -> Seen:
    return [str(key) for key in (yield from Rollback("why", on_error=on_error))]


def _commit(tasks: Any, children: Any) -> Seen:
    yield from Commit()


def _patch(tasks: Any, children: Any, id: str) -> Seen:
    return (yield from Patch(id))


def _continue(tasks: Any, children: Any, program: Program) -> Seen:
    return (yield from ContinueAs(run_program(program)))


STATEMENTS: dict[str, Callable[..., Seen]] = {
    name.removeprefix("_"): fn for name, fn in list(globals().items()) if name.startswith("_") and callable(fn) and name != "_moment"
}


def policies_of(retry: list[Any] | None) -> list[Retry] | None:
    """The policies that a program says as lists of attempts and delay."""
    return None if retry is None else [Retry(attempts=attempts, delay=delay, give_up_on=Business) for attempts, delay in retry]


def name_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# ── strategies ──────────────────────────────────────────────────────────────────────────────────
small = st.integers(0, 3)
policies = st.sampled_from(["cancel", "abandon", "wait"])
names = st.sampled_from(["tidy", "program", "tidy_failure", "tidy_cancel"])
retries = st.none() | st.lists(st.tuples(st.none() | small.map(lambda n: n + 1), small).map(list), min_size=1, max_size=2)
kinds = st.sampled_from(["undoable", "plain", "once", "once_undoable", "released"])


def _said(name: str, *args: Any) -> Any:
    return st.tuples(st.just(name), *args).map(list)


def _leaves(bugs: bool) -> Any:
    return st.one_of(
        *[_said("step", kinds, small)] * 6,
        *[_said("step", st.just("undoable"), small)] * 2,
        *[_said("children", policies, st.none() | small, retries)] * 2,
        _said("sleep", small),
        _said("wait", st.integers(0, 1), st.none() | small, st.none() | small),
        _said("emit", small),
        _said("note", small),
        _said("chance"),
        _said("raise", st.sampled_from("ab")) if not bugs else _said("raise", st.sampled_from("aaabb")) | _said("bug"),
        _said("map", kinds, st.lists(small, max_size=3), st.none() | st.integers(1, 2), st.none() | small),
        _said("join"),
        *[_said("run_child", policies, st.booleans(), st.none() | small, retries)] * 2,
        _said("start_child", policies, st.none() | st.sampled_from(["kid"]), retries),
        _said("wait_child", st.none() | small),
        _said("cancel_child"),
        _said("send", st.sampled_from(["other", "gone"])),
        _said("rollback", st.sampled_from(["stop", "continue"])),
        _said("commit"),
        _said("patch", st.sampled_from("pq")),
    )


def _inner(blocks: Any) -> Any:
    bodies = st.lists(blocks, min_size=1, max_size=4)
    branches = st.lists(bodies, min_size=2, max_size=3)
    return st.one_of(
        _said("try", bodies, st.booleans(), bodies),
        _said("swallow", bodies, bodies, st.booleans()),
        _said("all", branches, st.booleans()),
        _said("all_of", branches, st.none() | st.integers(1, 2), st.none() | small),
        _said("race", branches),
        _said("race", branches),
        _said("settle", bodies),
        _said("spawn", bodies),
        _said("inline", names, bodies),
        _said("switch", small, bodies, bodies),
    )


statements = st.recursive(_leaves(bugs=True), _inner, max_leaves=25)
programs: st.SearchStrategy[Program] = st.tuples(
    st.lists(statements, min_size=1, max_size=6),
    st.none() | st.none() | _said("continue", st.lists(_leaves(bugs=False), max_size=3)),
).map(lambda parts: parts[0] if parts[1] is None else [*parts[0], parts[1]])

# Programs of parents whose children fail and are started again.
again = st.lists(st.tuples(st.none() | st.integers(2, 4), small).map(list), min_size=1, max_size=2)
_about_children = st.one_of(
    _said("children", policies, st.none() | small, again),
    _said("run_child", policies, st.booleans(), st.none() | small, again),
    _said("start_child", policies, st.none() | st.sampled_from(["kid"]), again),
    _said("wait_child", st.none() | small),
    _said("cancel_child"),
    _said("sleep", small),
    _said("step", st.just("undoable"), small),
    _said("rollback", st.sampled_from(["stop", "continue"])),
)
_with_children = st.recursive(
    _about_children,
    lambda blocks: st.one_of(
        _said("try", st.lists(blocks, min_size=1, max_size=3), st.booleans(), st.lists(blocks, max_size=2)),
        _said("all", st.lists(st.lists(blocks, min_size=1, max_size=2), min_size=2, max_size=3), st.booleans()),
        _said("race", st.lists(st.lists(blocks, min_size=1, max_size=2), min_size=2, max_size=3)),
        _said("spawn", st.lists(blocks, min_size=1, max_size=2)),
        _said("inline", names, st.lists(blocks, min_size=1, max_size=2)),
    ),
    max_leaves=8,
)
families: st.SearchStrategy[Program] = st.tuples(
    st.lists(_with_children, min_size=1, max_size=4),
    st.none() | st.none() | _said("continue", st.lists(_about_children, max_size=3)),
).map(lambda parts: parts[0] if parts[1] is None else [*parts[0], parts[1]])

choices: st.SearchStrategy[list[int]] = st.lists(st.just(0) | st.integers(0, 60), min_size=15, max_size=60)

# Programs in which what is asked depends on nothing but the answers to one's own steps.
_steady = st.one_of(
    _said("step", kinds, small),
    _said("sleep", small),
    _said("emit", small),
    _said("note", small),
    _said("map", kinds, st.lists(small, max_size=3), st.none() | st.integers(1, 2), st.none()),
)
flows = st.lists(
    st.recursive(
        _steady,
        lambda blocks: st.one_of(
            _said("all", st.lists(st.lists(blocks, max_size=3), min_size=1, max_size=3), st.booleans()),
            _said("inline", names, st.lists(blocks, max_size=3)),
            _said("settle", st.lists(blocks, max_size=3)),
            _said("switch", small, st.lists(blocks, max_size=3), st.lists(blocks, max_size=3)),
        ),
        max_leaves=6,
    ),
    max_size=3,
)
