"""The workers of an exploration, their store, and what comes from outside: the moves of `explore_worker`.

A world is rebuilt by its moves: the same names in the same order give the same world. Invariants of all workers together are checked
here: see `World.check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from redrive.codec import from_json, to_json
from redrive.ports.store import FINAL, Claim, NewMessage, Turn
from redrive.status import SUSPENDED
from redrive.stores.memory import MemoryStore
from redrive.testing.model_worker import BUILD, LEASE, Bench, Body, Broken, ModelWorker, Setup, finished
from redrive.testing.run import BEGIN
from redrive.testing.run_view import View
from redrive.worker import outbox
from redrive.worker.life.active_execution import ActiveExecution
from redrive_interpreter import (
    Answered,
    CancelRequested,
    Err,
    Finished,
    Ok,
    Retrying,
    StepTimeout,
    drive,
    kinds,
    load_row,
    step_results,
)
from redrive_interpreter.history.rows import Asked, DeadlinePassed
from redrive_interpreter.keys import ROLLBACK

if TYPE_CHECKING:
    from redrive.ports.store import Snapshot
    from redrive_interpreter import Row

_STEP: Final = timedelta(milliseconds=1)
"""Time that passes with each move: so no two of them are at the same moment."""
_ANSWERED: Final = frozenset({kinds.STEP, kinds.SLEEP})
"""Commands that need nobody else: what waits for one of them is not at rest."""
_PLAIN: Final = (
    "ahead", "cancelling", "deferred", "driving", "due", "facts", "gone", "inbox", "interrupt_first", "length", "retaken", "rows", "seen",
    "unbegun", "uncertain", "unsure", "untouched",
)  # fmt: skip
"""The parts of an execution that are compared as they are."""
_TIMES = re.compile(r"datetime\.datetime\([^)]*\)")
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class World:
    """Workers, a store, and how often what comes from outside has come. *path* are the moves so far."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.now = BEGIN
        self.store = MemoryStore(lambda: self.now)
        self.path: list[str] = []
        self.signals = self.cancels = self.losses = self.deaths = self.stops = 0
        self.ids = {setup.id}
        """The executions that there are."""
        self.fences: dict[str, int] = {}
        self.asked_at: dict[tuple[str, str], int] = {}
        """The move by which the `Asked` row of a key was stored, by run and key."""
        self.cancelled_at: int | None = None
        self.entered: dict[tuple[str, str], list[int]] = {}
        """The attempts of a key whose bodies were called, by run and key."""
        finished(self.store.start(self._new()))
        self.workers = [ModelWorker(self, f"worker {n + 1}") for n in range(setup.workers)]

    def _new(self) -> Any:
        invocation = self.setup.invocation
        input = self.setup.codec.dump_call(invocation.workflow.signature, invocation.args, invocation.kwargs, invocation.workflow.name)
        return outbox.new_execution(self.setup.id, invocation.workflow, input, self.now, timeout=self.setup.timeout)

    # ── moves ───────────────────────────────────────────────────────────────────────────────────
    def moves(self) -> dict[str, Callable[[], None]]:
        """The moves that can happen next."""
        found = dict(self.inside())
        if self.status(self.setup.id) in FINAL:
            return found
        if self.cancels < self.setup.cancels:
            found["somebody cancels"] = self._cancel
        if self.signals < len(self.setup.signals):
            found[f"signal {self.setup.signals[self.signals][0].name} arrives"] = self._signal
        for worker in self.workers:
            busy = bool(worker.lives or worker.calls)
            if busy and self.losses < self.setup.losses:
                found[f"{worker.name} loses its lease"] = partial(self._lose, worker)
            if busy and self.deaths < self.setup.deaths:
                found[f"{worker.name} dies"] = partial(self._die, worker)
            if busy and self.stops < self.setup.stops and len(self.workers) > 1:
                found[f"{worker.name} stops"] = partial(self._stop, worker)
        return found

    def inside(self) -> dict[str, Callable[[], None]]:
        """The moves that come by themselves, sooner or later."""
        found: dict[str, Callable[[], None]] = {}
        for worker in self.workers:
            for name, move in worker.moves():
                found[name] = move
        if (due := self._next_due()) is not None:
            found["time passes"] = partial(self._tick, due)
        return found

    def move(self, name: str) -> None:
        """Let the move *name* happen, one of `moves`. Raises `Broken`."""
        move = self.moves()[name]
        self.path.append(name)
        self.now += _STEP
        move()

    def _next_due(self) -> datetime | None:
        wakes = [due for worker in self.workers if (due := worker.next_due()) is not None]
        wake = finished(self.store.next_wake(tuple(self.setup.workflows), BUILD))
        if wake is not None:
            wakes.append(wake)
        return min((due for due in wakes if due > self.now), default=None)

    def _tick(self, due: datetime) -> None:
        if due - self.now >= LEASE / 2:
            self.now = due
            self._beat_all()
        self.now = max(self.now, due)

    def _beat_all(self, but: ModelWorker | None = None) -> None:
        for worker in self.workers:
            if worker is not but:
                worker.beat()

    def _cancel(self) -> None:
        self.cancels += 1
        finished(self.store.send(self.setup.id, outbox.cancel_message("explored", "cancel", self.now)))
        self.cancelled_at = len(self.path)

    def _signal(self) -> None:
        signal, payload = self.setup.signals[self.signals]
        self.signals += 1
        data = to_json(self.setup.codec.dump(payload, signal.type, f"signal {signal.name}"))
        finished(self.store.send(self.setup.id, NewMessage(kind="signal", name=signal.name, data=data)))

    def _lose(self, worker: ModelWorker) -> None:
        self.losses += 1
        self._lapse(worker)

    def _lapse(self, worker: ModelWorker) -> None:
        self.now += LEASE / 2
        self._beat_all(worker)
        self.now += LEASE / 2 + _STEP
        self._beat_all(worker)

    def _die(self, worker: ModelWorker) -> None:
        self.deaths += 1
        self.gone(worker)
        for live in worker.lives.values():
            if live.machine is not None:
                live.machine.close()
        self._lapse(worker)
        if not self.workers:
            self.workers.append(ModelWorker(self, f"worker {self.setup.workers + self.deaths}"))

    def _stop(self, worker: ModelWorker) -> None:
        self.stops += 1
        worker.stop()

    def gone(self, worker: ModelWorker) -> None:
        worker.alive = False
        self.workers.remove(worker)

    # ── what is checked as it happens ───────────────────────────────────────────────────────────
    def claimed(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        for claim in claims:
            self.fences[claim.id] = claim.fence
        return claims

    def committed(self, worker: ModelWorker, claim: Claim, turn: Turn) -> Any:
        answer = finished(self.store.commit(claim, turn))
        if claim.fence < self.fences.get(claim.id, 0):
            raise Broken("nothing is written under an old claim", f"{worker.name} writes {claim.id}")
        cancelled = claim.id == self.setup.id and self.cancelled_at is not None
        if turn.status in FINAL and cancelled and not any(isinstance(row, CancelRequested) for row in self.rows(claim.id, claim.number)):
            raise Broken("a cancel that is stored before the end is taken", f"{worker.name} ends it {turn.status}")
        self.ids |= {child.execution.id for child in turn.children}
        for text in turn.rows:
            row = load_row(from_json(text))
            if isinstance(row, Asked):
                self.asked_at[claim.run, row.key] = len(self.path)
            if isinstance(row, (CancelRequested, DeadlinePassed)):
                self._check_unbegun(claim, row)
        return answer

    def _check_unbegun(self, claim: Claim, row: CancelRequested | DeadlinePassed) -> None:
        retried = {fact.key for fact in self.rows(claim.id, claim.number) if isinstance(fact, Retrying)}
        for key in row.unbegun or ():
            if self.entered.get((claim.run, key)) and key not in retried:
                raise Broken("a body that counts as not begun has not begun", f"{key}")

    def began(self, worker: ModelWorker, body: Body) -> None:
        live, perform = body.live, body.run.perform
        key, run = perform.key, live.claim.run
        rows = self.rows(live.id, live.claim.number)
        interrupt = next((row for row in rows if isinstance(row, (CancelRequested, DeadlinePassed))), None)
        before = self.entered.setdefault((run, key), [])
        if perform.step.spec.at_most_once and perform.attempt in before:
            raise Broken("an attempt at most once begins once", f"attempt {perform.attempt} of {key}")
        before.append(perform.attempt)
        if interrupt is not None and key in (interrupt.unbegun or ()) and self.fences[live.id] == live.claim.fence:
            raise Broken("a body that counts as not begun never begins", f"{key} in {worker.name}")
        cancelled = self.cancelled_at if live.id == self.setup.id else None
        if key.startswith(ROLLBACK):
            return  # undos are not cancelled
        if cancelled is not None and interrupt is None and self.asked_at.get((run, key), 0) > cancelled:
            raise Broken("no body begins that was asked for after a cancel was stored", f"{key} in {worker.name}")

    # ── outcomes ────────────────────────────────────────────────────────────────────────────────
    def outcomes(self, body: Body) -> list[Ok[Any] | Err]:
        bench = Bench(self.setup.codec, body.live)
        return self.setup.choices.attempts(body.run.perform, cast("Any", bench))

    def fact(self, body: Body, outcome: Ok[Any] | Err) -> Answered | Retrying:
        perform, codec = body.run.perform, self.setup.codec
        if isinstance(outcome, Ok):
            return step_results.succeeded(perform, outcome.value, codec=codec, now=self.now)
        error = cast("BaseException", outcome.error)
        in_doubt = isinstance(error, StepTimeout)
        return step_results.failed(perform, error, run=body.live.claim.run, codec=codec, now=self.now, in_doubt=in_doubt)

    # ── how it stands ───────────────────────────────────────────────────────────────────────────
    def status(self, id: str) -> str:
        return self._read(id).status

    def _read(self, id: str) -> Snapshot:
        snapshot: Snapshot | None = finished(self.store.read(id))
        assert snapshot is not None
        return snapshot

    def rows(self, id: str, run: int) -> list[Row]:
        return [load_row(row) for row in from_json(finished(self.store.history(id, run)))]

    def check(self) -> None:
        """Check the promises that hold in each state, and those that hold where nothing can happen by itself any more. Raises `Broken`."""
        rested = not self.inside()
        for id in sorted(self.ids):
            snapshot = self._read(id)
            runs = [self.rows(id, run + 1) for run in range(snapshot.number)]
            answered = [row.key for row in runs[-1] if isinstance(row, Answered)]
            if len(answered) != len(set(answered)):
                raise Broken("the result of a step is stored once", f"{sorted(answered)}")
            if rested:
                self._check_rested(snapshot, runs[-1])
            if id == self.setup.id:
                view = View.of(runs, rested, self.setup.workflows[snapshot.workflow])
                for invariant in self.setup.invariants:
                    if breach := invariant.breach(view):
                        raise Broken(invariant.name, breach)

    def _check_rested(self, snapshot: Snapshot, rows: list[Row]) -> None:
        verdict = drive(self.setup.workflows[snapshot.workflow], rows, self.setup.codec)
        if isinstance(verdict, Finished):
            if verdict.status != snapshot.status:
                raise Broken("its history leads to its end", f"{verdict.status}, and the store says {snapshot.status}")
            return
        if snapshot.status in FINAL:
            raise Broken("its history leads to its end", f"the store says {snapshot.status}, and its history has no end")
        stuck = [key for key, command in verdict.pending.items() if command.kind in _ANSWERED]
        if snapshot.status != SUSPENDED or stuck:
            raise Broken("nothing hangs", f"{snapshot.id} is {snapshot.status} and waits for {', '.join(verdict.pending) or 'nothing'}")

    def print(self) -> bytes:
        """The same for states from which the same can happen."""
        text = repr((
            self.signals, self.cancels, self.losses, self.deaths, self.stops, self.cancelled_at is not None,
            [self._stored(self._read(id)) for id in sorted(self.ids)],
            [self._held(worker) for worker in self.workers],
        ))  # fmt: skip
        times = {text: n for n, text in enumerate(sorted(set(_TIMES.findall(text)) | {repr(self.now)}, key=_moment))}
        ids: dict[str, int] = {}
        text = _TIMES.sub(lambda found: f"t{times[found[0]]}", text)
        text = _IDS.sub(lambda found: f"id{ids.setdefault(found[0], len(ids))}", text)
        return f"{times[repr(self.now)]}{text}".encode()

    def _stored(self, snapshot: Snapshot) -> Any:
        rows = self.rows(snapshot.id, snapshot.number)
        return snapshot.id, snapshot.status, snapshot.number, snapshot.owner, snapshot.wake_at, snapshot.cancel, snapshot.recoveries, rows

    def _held(self, worker: ModelWorker) -> Any:
        calls = [(call.name, call.reached, call.answer) for call in worker.calls]
        bodies = [(body.run.perform.key, body.run.perform.attempt, body.standing, body.live.gone) for body in worker.bodies]
        timers = sorted((due, key) for due, _, key in worker.valid_timers())
        mail = finished(self.store.poll_inboxes(worker.name, worker.mail_seen))[1]
        lives = [(self.fences.get(live.id, 0) - live.claim.fence, _shape(live)) for live in worker.lives.values()]
        return worker.name, worker.life.draining, worker.unsure, calls, bodies, timers, mail, lives


def _shape(live: ActiveExecution) -> list[Any]:
    """The parts of *live* that decide about its future. Its machine is none of them: it follows from the history and *rows*."""
    draft = live.draft
    found: list[Any] = [getattr(live, name) for name in _PLAIN]
    found += [name and sorted(name) for name in (live.held, live.waiting, live.bodies)]
    found += [live.machine is not None, live.announced and len(live.announced), draft and (draft.rows, draft.status, draft.taken)]
    return found


def _moment(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text.partition("tzinfo")[0])))
