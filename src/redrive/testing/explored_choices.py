"""The moves that exploration tries in a state: outcomes of attempts, signals, time, cancels, ends of children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from redrive.testing.example_values import NoExample, example_error, example_values
from redrive.testing.moves import Arrive, Attempt, CancelRun, ChildEnds, Move, RetryRun, tick
from redrive.testing.operator_acts import may_retry
from redrive.testing.stubs import Stubs, listed, subject_of, timed_out
from redrive_interpreter import Cancelled, Err, Ok, Source, StartExecution, WaitSignal, step_results
from redrive_interpreter.commands.messages import sent_as, texts_of
from redrive_interpreter.keys import ROLLBACK

if TYPE_CHECKING:
    from redrive.testing.host import Host
    from redrive_interpreter import RunStep


@attrs.frozen
class Spent:
    """The events from outside that a schedule has used up."""

    signals: tuple[str, ...] = ()
    cancels: int = 0
    faults: int = 0
    retries: int = 0

    def after(self, move: Move) -> Spent:
        if isinstance(move, Arrive):
            return attrs.evolve(self, signals=(*self.signals, move.signal.stored))
        if isinstance(move, CancelRun):
            return attrs.evolve(self, cancels=self.cancels + 1)
        if isinstance(move, RetryRun):
            return attrs.evolve(self, retries=self.retries + 1)
        failed = isinstance(move, (Attempt, ChildEnds)) and isinstance(move.outcome, Err)
        return attrs.evolve(self, faults=self.faults + 1) if failed else self


class Choices:
    """The moves of each state.

    *answers* has the results of steps that succeed (else an example of the type), *outcomes* all results and errors of a step;
    *signals* are those that may arrive (None: each that is declared or waited for, once), *cancels* is the number of cancels,
    *retries* that of the retries by an operator. *undeclared*: whether steps also fail with errors that they do not declare;
    *faults* is the number of attempts that may go wrong in one history (None: any).
    """

    def __init__(
        self,
        answers: Mapping[Any, object],
        outcomes: Mapping[Any, object],
        signals: Mapping[Any, object] | None,
        cancels: int,
        faults: int | None,
        undeclared: bool = False,
        retries: int = 0,
    ) -> None:
        self._answers = Stubs(answers, {})
        self._outcomes = [[Stubs({key: one}, {}) for one in listed(value)] for key, value in outcomes.items()]
        self._signals = signals
        self._cancels = cancels
        self._faults = faults
        self._undeclared = undeclared
        self._retries = retries

    def of(self, host: Host, spent: Spent) -> list[Move]:
        if host.verdict is not None:
            return [RetryRun()] if spent.retries < self._retries and may_retry(host) else []
        moves: list[Move] = []
        for perform in host.ready:
            moves += [Attempt(perform.key, outcome) for outcome in self.attempts(perform, host)]
        moves += self._children(host)
        if (passing := tick(host)) is not None:
            moves.append(passing)
        moves += self._arrivals(host, spent)
        if spent.cancels < self._cancels and not host.machine.cancel_requested:
            moves.append(CancelRun())
        if self._faults is not None and spent.faults >= self._faults:
            moves = [move for move in moves if spent.after(move).faults == spent.faults]
        return moves

    def is_final(self, host: Host, spent: Spent) -> bool:
        """Whether nothing more can happen but a cancel, or a signal that no wait takes."""
        if host.verdict is not None or not host.is_final:
            return host.verdict is not None
        waited = {text for command in host.pending.values() if isinstance(command, WaitSignal) for text in texts_of(command.signal)}
        return not any(arrival.signal.stored in waited for arrival in self._arrivals(host, spent))

    # ── steps ───────────────────────────────────────────────────────────────────────────────────
    def attempts(self, perform: RunStep, host: Host) -> list[Ok[Any] | Err]:
        spec = perform.step.spec
        for stubs in self._outcomes:
            found = [stub.step(perform, host) for stub in stubs]
            if found and found[0] is not None:
                return [outcome for outcome in found if outcome is not None]
        given = self._answers.step(perform, host)
        if isinstance(given, Err):
            return [given]
        made: list[Ok[Any] | Err] = [given] if given is not None else [Ok(value) for value in self._examples(perform)]
        if perform.key.startswith(ROLLBACK):
            return made  # an undo that fails is for the operator; a test that wants it lists it in outcomes
        made += [Err(self._error(error, spec.id)) for error in spec.raises]
        if self._undeclared:
            made.append(Err(RuntimeError("undeclared")))
        if spec.at_most_once:
            made.append(Err(step_results.interrupted(perform.key, perform.attempt)))
        elif spec.timeout is not None or spec.heartbeat is not None:
            made.append(Err(timed_out(perform.key, perform.attempt)))
        return made

    def _examples(self, perform: RunStep) -> list[Any]:
        spec = perform.step.spec
        try:
            return example_values(spec.result_type, spec.id)
        except NoExample as error:
            raise NoExample(f"{error}; say what the step gives: answers={{{spec.id!r}: …}}") from error

    def _error(self, cls: type[BaseException], name: str) -> BaseException:
        try:
            return example_error(cls)
        except NoExample as error:
            raise NoExample(f"{error}; say all that the step can come to: outcomes={{{name!r}: [value, {cls.__name__}(…)]}}") from error

    # ── children ────────────────────────────────────────────────────────────────────────────────
    def _children(self, host: Host) -> list[Move]:
        moves: list[Move] = []
        starts = {request.id: request.command for request in host.sent if isinstance(request, StartExecution)}
        for child in host.machine.open_children:
            command = starts.get(child.id)
            if command is None:
                continue  # of an earlier run
            workflow = command.invocation.workflow
            begins, due = host.begins(child.id), host.next_due
            if begins is not None and due is not None and due < begins:
                continue  # a timer due before its next attempt comes first
            found = self._answers.child(command) if subject_of(command) else None
            values: list[Ok[Any] | Err] = (
                [found] if found is not None else [Ok(v) for v in example_values(workflow.result_type, workflow.name)]
            )
            values += [Err(self._error(cls, workflow.name)) for cls in workflow.raises]
            if self._undeclared:
                values.append(Err(RuntimeError("undeclared")))
            if child.id not in host.never:
                moves += [ChildEnds(child.id, outcome, workflow) for outcome in values]
            if child.id in host.cancelled:
                moves.append(ChildEnds(child.id, Err(Cancelled("", "parent")), workflow, "cancelled"))
        return moves

    # ── signals ─────────────────────────────────────────────────────────────────────────────────
    def _arrivals(self, host: Host, spent: Spent) -> list[Arrive]:
        waited = [command.signal for command in host.pending.values() if isinstance(command, WaitSignal)]
        if self._signals is None:
            known = {signal.stored: signal for signal in [*(host.machine.workflow.signals or ()), *waited]}
            return [Arrive(s, example_values(s.type, s.name)[0]) for s in known.values() if s.stored not in spent.signals]
        arrivals: list[Arrive] = []
        for key, value in self._signals.items():
            payloads = listed(value)
            named: Any = key
            signal: Source[Any] = named if isinstance(key, Source) else next((s for s in waited if s.name == key), sent_as(key))
            sent = spent.signals.count(signal.stored)
            if sent < len(payloads):
                arrivals.append(Arrive(signal, payloads[sent]))
        return arrivals
