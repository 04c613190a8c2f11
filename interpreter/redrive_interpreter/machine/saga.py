"""Undos: what completed and can be undone, newest last, and the undoing itself.

An entry belongs to the scope in which its key was asked; a Rollback takes the entries of its own scope and of those inside it.
Each undo is a step of its own, with the key ``rollback:<key>``. An undone entry leaves the log, so nothing is undone twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import kinds
from redrive_interpreter.commands.steps import Step
from redrive_interpreter.commands.undoing import Commit, Rollback
from redrive_interpreter.errors import HostError, RedriveError
from redrive_interpreter.history.rows import RollbackRetried
from redrive_interpreter.keys import ROLLBACK, Key
from redrive_interpreter.machine.comparing import same_but_for
from redrive_interpreter.machine.fibers import WAITING, Fiber
from redrive_interpreter.machine.step_waits import StepWait
from redrive_interpreter.outcomes import Failure

if TYPE_CHECKING:
    from uuid import UUID

    from redrive_interpreter.codec import Codec
    from redrive_interpreter.history.rows import Asked
    from redrive_interpreter.machine.comparing import Comparison
    from redrive_interpreter.machine.fibers import Reply
    from redrive_interpreter.machine.run_state import RunState


class Entry:
    """Something to undo: *undo* is a ready step, or a step function that takes the result held in *data*.

    *run* is the run that asked for it: the undo derives its idempotency key from there, also where a later run undoes it.
    """

    __slots__ = ("claimed", "data", "key", "run", "type", "undo")

    def __init__(self, key: Key, undo: Any, data: Any, type: Any, run: UUID) -> None:
        self.key: Key = key
        self.undo: Any = undo
        self.data: Any = data
        self.type: Any = type
        self.run: UUID = run
        self.claimed: bool = False  # by a rollback in progress: another must not undo it as well

    def step(self, run: RunState) -> Step[Any]:
        if _is_ready(self.undo):
            ready: Step[Any] = self.undo
            return ready
        result = run.scalar(self.data, self.type, f"the result of {self.key}, to be undone")
        made: Step[Any] = self.undo(result) if hasattr(self.undo, "step_id") else Step(self.undo.__name__, self.undo, result)
        return made


def _is_ready(undo: Any) -> bool:
    """Whether *undo* is a step with its arguments, which needs no result of what it undoes."""
    return isinstance(undo, Step)


class Saga:
    """The undo log of one run, and the keys already undone or in doubt. *stuck* is the rollback that failed."""

    __slots__ = ("doubtful", "log", "stuck", "undone")

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.undone: list[Key] = []
        self.doubtful: list[Key] = []
        self.stuck: Undoing | None = None

    def completed(self, key: Key, undo: Any, data: Any, type: Any, run: UUID) -> None:
        self.log.append(Entry(key, undo, data, type, run))

    def doubt(self, key: Key, undo: Any, run: UUID) -> None:
        """Note that an attempt began and its outcome is unknown: log *undo* if it is ready, else list *key* as in doubt."""
        if _is_ready(undo):
            self.log.append(Entry(key, undo, None, None, run))
        else:
            self.doubtful.append(key)

    def within(self, *prefixes: str) -> list[Entry]:
        """The entries in the scopes with these prefixes, newest first."""
        return [entry for entry in reversed(self.log) if not entry.claimed and entry.key.startswith(prefixes)]

    def undid(self, entry: Entry) -> None:
        log = self.log
        for at in range(len(log) - 1, -1, -1):  # newest first; a Commit may have dropped it meanwhile
            if log[at] is entry:
                del log[at]
                break
        self.undone.append(entry.key)

    def forget(self, prefix: str) -> None:
        """Drop the entries of a scope: the Commit there is the point of no return."""
        self.log = [entry for entry in self.log if not entry.key.startswith(prefix)]


class Undoing:
    """A rollback in progress: it undoes *entries* one after another on *fiber*, then calls *then*.

    *ending* is the outcome with which the run ends after this rollback; None for a rollback in mid-flow.
    """

    __slots__ = ("_at", "_entries", "_failures", "_then", "continue_on_error", "done", "ending", "fiber", "key", "resumed")

    def __init__(
        self,
        key: Key,
        fiber: Fiber,
        entries: list[Entry],
        continue_on_error: bool,
        then: Callable[[RunState, tuple[Key, ...]], None],
        ending: tuple[Any, BaseException | None] | None = None,
    ) -> None:
        self.key: Key = key
        self.fiber: Fiber = fiber
        self._entries = entries
        self._then = then
        self._at = 0
        self._failures: list[tuple[Entry, BaseException]] = []
        self.continue_on_error: bool = continue_on_error
        self.ending: tuple[Any, BaseException | None] | None = ending
        self.done: list[Key] = []
        self.resumed: bool = False
        for entry in entries:
            entry.claimed = True

    def next(self, run: RunState) -> bool:
        """Begin the next undo; False if there is none left."""
        while self._at < len(self._entries):
            entry = self._entries[self._at]
            key = Key(ROLLBACK + entry.key)
            try:
                step = entry.step(run)
                input = run.codec.dump_call(step.spec.signature, step.args, step.kwargs, f"undo {step.step_id}")
            except HostError:
                raise
            except (RedriveError, TypeError, ValueError) as error:
                if self._failed(run, entry, error):
                    return True
                continue
            if not run.is_settled(key):
                run.ask(key, kinds.UNDO, step.step_id, input, None, step)
            wait = StepWait(key, step, self.fiber, input, run.now, entry.run)
            wait.undoing = self
            run.wait(self.fiber, wait)
            for request in wait.requests():
                run.request(request)
            return True
        return False

    def answered(self, run: RunState, wait: StepWait, error: BaseException | None) -> None:
        entry = self._entries[self._at]
        if error is None:
            run.saga.undid(entry)
            self.done.append(entry.key)
            self._at += 1
        elif self._failed(run, entry, error):
            return
        if not self.next(run):
            self._finish(run)

    def resume(self, run: RunState) -> None:
        """Retry the undos that failed, then the rest. The workflow itself does not continue."""
        run.saga.stuck = None
        self.resumed = True
        self._entries = [entry for entry, _ in self._failures] + self._entries[self._at :]
        self._at = 0
        self._failures = []
        if not self.next(run):
            self._finish(run)

    def _failed(self, run: RunState, entry: Entry, error: BaseException) -> bool:
        """Note the failure; True if everything stops here."""
        self._failures.append((entry, error))
        self._at += 1
        if self.continue_on_error:
            return False
        self._give_up(run)
        return True

    def _finish(self, run: RunState) -> None:
        if self._failures:
            self._give_up(run)
        elif self.resumed:
            from redrive_interpreter.machine.ending import finish

            ending = self.ending or (None, RollbackMidFlow(self.key))
            if self.ending is not None or not self._undo_the_rest(run, ending):
                finish(run, *ending)
        else:
            self._then(run, tuple(self.done))

    def _undo_the_rest(self, run: RunState, ending: tuple[Any, BaseException | None]) -> bool:
        """Undo the rest of a run that ends `failed` in mid-flow, if its workflow has ``on_failure``; False if nothing is left to
        undo."""
        entries = run.saga.within("")
        if run.workflow.on_failure is None or not entries:
            return False
        key = Key(f"{self.key}/__undo")
        rest = Undoing(key, self.fiber, plan(run, key, kinds.UNDO_SCOPE, {}, entries), False, self._then, ending)
        rest.resumed = True
        return rest.next(run)

    def _give_up(self, run: RunState) -> None:
        from redrive_interpreter.machine.ending import fail_compensation

        run.saga.stuck = self
        for wait in run.pending.values():  # rollbacks of other branches stop too, and their entries must not be lost
            if type(wait) is StepWait and wait.undoing is not None:
                other = wait.undoing
                self._entries += [entry for entry, _ in other._failures] + other._entries[other._at :]
        fail_compensation(run, [(entry.key, _failure(run, error)) for entry, error in self._failures])


def plan(run: RunState, key: Key, kind: str, input: dict[str, Any], entries: list[Entry]) -> list[Entry]:
    """Ask for a rollback of *entries*, or of those that the record lists: a step that got an undo later is not among them."""
    recorded = run.recorded
    if kind != kinds.ROLLBACK and recorded is not None and not recorded.may_ask(key):
        return []
    keys = set(run.ask(key, kind, "", {**input, "keys": [str(entry.key) for entry in entries]}).input["keys"])
    return [entry for entry in entries if entry.key in keys]


class RollbackMidFlow(RedriveError):
    """An operator completed the undos of a rollback in the middle of a workflow, which cannot continue from there."""

    def __init__(self, key: Key) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the undos of {self.key} failed and were completed later; the workflow does not go on from there"


def _failure(run: RunState, error: BaseException) -> Failure:
    return run.codec.dump_error(error, ())


def _rollback(run: RunState, fiber: Fiber, command: Rollback) -> Reply:
    key = fiber.scope.key_of(command)
    entries = run.saga.within(fiber.scope.prefix)
    entries = plan(run, key, kinds.ROLLBACK, {"reason": command.reason, "on_error": command.on_error}, entries)
    undoing = Undoing(key, fiber, entries, command.on_error == "continue", lambda run, keys: run.wake(fiber, keys))
    return WAITING if undoing.next(run) else (tuple(undoing.done), None)


def _commit(run: RunState, fiber: Fiber, command: Commit) -> Reply:
    run.ask(fiber.scope.key_of(command), kinds.COMMIT, "", {"reason": command.reason}, None, command)
    run.saga.forget(fiber.scope.prefix)
    return None, None


def _retried(run: RunState, fact: RollbackRetried) -> None:
    if run.saga.stuck is not None:
        run.took(fact)
        run.finished = None
        run.saga.stuck.resume(run)


def _same_but_for_the_keys(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    return same_but_for("keys", row.input, input)


HANDLERS: Final[dict[Any, Any]] = {Rollback: _rollback, Commit: _commit}
FACTS: Final[dict[type, Any]] = {RollbackRetried: _retried}
COMPARISONS: Final[dict[str, Comparison]] = {"but for the keys": _same_but_for_the_keys}
