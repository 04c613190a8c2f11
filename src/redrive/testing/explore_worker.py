"""`explore_worker`: every order in which a worker's calls, bodies, timers and mail can come for a workflow, with a second worker beside it.

`explore` looks at the workflow: facts in every order. This looks at the worker that drives it: what happens between a turn that is
computed and its answer, a cancel that arrives while a history is loaded, a lease that is lost while a body runs. No server, thread,
clock or sleep is involved: worker and store are the real ones, without their I/O.

1.  A state is a list of moves (`redrive.testing.worker_world`); equal states are visited once, the shortest way first.
2.  Where *budget* does not suffice for all states, random schedules run to their end, *walks* of them.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs

from redrive.converters import codec_for
from redrive.status import FINAL
from redrive.testing.call_checks import check_invariants, check_invocation, check_mapping
from redrive.testing.example_values import example_values
from redrive.testing.explored_choices import Choices
from redrive.testing.invariants import Checked, as_invariant
from redrive.testing.model_worker import Broken, Setup
from redrive.testing.stubs import listed
from redrive.testing.worker_world import World
from redrive_interpreter import Signal, Source

if TYPE_CHECKING:
    from redrive_interpreter import Invocation, Workflow

_INSIDE: Final = 0.9
"""How often a random schedule goes on by itself, where something from outside might come: else most would be cancelled early."""
_LONGEST: Final = 400
"""Moves of one schedule: a workflow that has not ended by then goes round for ever."""


class WorkerViolation(AssertionError):
    """*invariant* is broken after *schedule*, which ``explore_worker(…, schedule=…)`` runs again."""

    def __init__(self, invariant: str, breach: str, schedule: Sequence[str]) -> None:
        super().__init__(invariant, breach, schedule)
        self.invariant, self.breach, self.schedule = invariant, breach, schedule

    def __str__(self) -> str:
        steps = [f"  {n}. {move}" for n, move in enumerate(self.schedule, 1)]
        again = ", ".join(repr(move) for move in self.schedule)
        return "\n".join([f"{self.invariant}: {self.breach}", "schedule:", *steps, "", f"again: explore_worker(…, schedule=[{again}])"])


@attrs.frozen
class ExploredWorker:
    """The outcome of `explore_worker`. *complete*: every order; else the budget came first, and *walks* random schedules ran to
    their end. *ends* counts the statuses in which the execution came to rest, by state or walk."""

    states: int
    complete: bool
    walks: int
    ends: Mapping[str, int]


def explore_worker(
    invocation: Invocation[Any],
    invariants: Sequence[Checked] = (),
    *,
    workflows: Iterable[Workflow[..., Any]] = (),
    answers: Mapping[Any, object] | None = None,
    outcomes: Mapping[Any, object] | None = None,
    signals: Mapping[Any, object] | None = None,
    cancels: int = 1,
    losses: int = 1,
    deaths: int = 0,
    stops: int = 0,
    workers: int = 2,
    apart: bool = False,
    budget: int = 1_000,
    walks: int = 200,
    seed: int = 0,
    timeout: timedelta | None = None,
    converter: Any = None,
    schedule: Sequence[str] | None = None,
) -> ExploredWorker:
    """Drive *invocation* with *workers*, in every order up to *budget* states, and check *invariants* in each of them.

    *workflows* are those of children and of later runs. Steps give what *answers* and *outcomes* say, as in `explore`; *signals*
    arrive in the given order, by default each that the workflow declares, once. *cancels*, *losses* (of a lease), *deaths* and
    *stops* (of a worker) say how often that happens at most in one schedule. With *apart*, turns are computed apart from the event
    loop, as long ones are.

    Beside *invariants* it checks that the worker keeps its promises: no body begins that was asked for after a cancel was stored, or
    that counts as not begun; an attempt at most once begins once; a step's result is stored once; nothing is written under an
    old claim; nothing hangs; the history leads to the end that is stored. Raises `WorkerViolation` for the first that does not hold.
    """
    check_invocation(invocation, "explore_worker")
    check_invariants(invariants)
    check_mapping(answers, "answers", "{charge: 'ch_1'}")
    check_mapping(outcomes, "outcomes", "{charge: ['ch_1', CardDeclined('no')]}")
    check_mapping(signals, "signals", "{approved: 'Ada'}")
    setup = Setup(
        invocation=invocation,
        workflows={workflow.name: workflow for workflow in (invocation.workflow, *workflows)},
        codec=codec_for(invocation.workflow, converter),
        choices=Choices(answers or {}, outcomes or {}, signals, cancels, None),
        invariants=[as_invariant(one) for one in invariants],
        signals=list(_arrivals(invocation.workflow, signals)),
        cancels=cancels,
        losses=losses,
        deaths=deaths,
        stops=stops,
        workers=workers,
        apart=apart,
        timeout=timeout,
    )
    if schedule is not None:
        world = _at(setup, ())
        for move in schedule:
            _move(world, move)
            _check(world)
        return ExploredWorker(len(schedule), False, 1, {world.status(setup.id): 1})
    lots, ends = random.Random(seed), Counter[str]()
    states, complete = _breadth_first(setup, budget, lots, ends)
    if not complete:
        for _ in range(walks):
            _walk(setup, lots, ends)
    return ExploredWorker(states, complete, 0 if complete else walks, dict(ends))


def _breadth_first(setup: Setup, budget: int, lots: random.Random, ends: Counter[str]) -> tuple[int, bool]:
    """Visit up to *budget* states; how many there were, and whether that was all."""
    seen: set[bytes] = set()
    queue: deque[list[str]] = deque([[]])
    while queue:
        path = queue.popleft()
        world = _at(setup, path)
        moves = list(world.moves())
        if not moves:
            ends[world.status(setup.id)] += 1
        lots.shuffle(moves)
        for n, move in enumerate(moves):
            if n:
                world = _at(setup, path)
            _move(world, move)
            print_ = world.print()
            if print_ in seen:
                continue
            if len(seen) >= budget:
                return len(seen), False
            seen.add(print_)
            _check(world)
            queue.append([*path, move])
    return len(seen), True


def _walk(setup: Setup, lots: random.Random, ends: Counter[str]) -> None:
    """One schedule, to its end."""
    world = _at(setup, ())
    while moves := list(world.moves()):
        if len(world.path) >= _LONGEST:
            raise WorkerViolation("nothing hangs", f"it goes on after {_LONGEST} moves", world.path)
        inside = list(world.inside())
        _move(world, lots.choice(inside if inside and lots.random() < _INSIDE else moves))
        if world.status(setup.id) in FINAL or not world.inside():
            _check(world)
    _check(world)
    ends[world.status(setup.id)] += 1


def _at(setup: Setup, path: Sequence[str]) -> World:
    world = World(setup)
    for move in path:
        _move(world, move)
    return world


def _move(world: World, move: str) -> None:
    try:
        world.move(move)
    except Broken as broken:
        raise WorkerViolation(broken.invariant, broken.breach, world.path) from broken


def _check(world: World) -> None:
    try:
        world.check()
    except Broken as broken:
        raise WorkerViolation(broken.invariant, broken.breach, world.path) from broken


def _arrivals(workflow: Workflow[..., Any], signals: Mapping[Any, object] | None) -> Iterable[tuple[Any, Any]]:
    if signals is None:
        for declared in workflow.signals or ():
            yield declared, example_values(declared.type, declared.name)[0]
        return
    for key, value in signals.items():
        for payload in listed(value):
            yield (key if isinstance(key, Source) else Signal(key, Any)), payload
