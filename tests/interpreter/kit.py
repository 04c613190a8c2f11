"""A run under test: tell it facts, look at what it asks. After each fact its history is replayed and must agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from redrive_interpreter import (
    LIVE,
    Answered,
    Asked,
    AttemptStarted,
    CancelRequested,
    ChildFinished,
    Codec,
    DeadlinePassed,
    Err,
    Fact,
    Failure,
    Finished,
    Invocation,
    Key,
    Machine,
    Ok,
    Request,
    Retrying,
    RollbackRetried,
    Row,
    Signalled,
    Started,
    Step,
    Suspended,
    TimerFired,
    replay,
)

T0 = datetime(2027, 1, 1, tzinfo=UTC)
RUN = UUID("00000000-0000-4000-8000-000000000001")


def start(invocation: Invocation[Any], **options: Any) -> Run:
    return Run(invocation, **options)


class Run:
    """One run of *invocation*. *checked*: replay the history after every fact."""

    def __init__(self, invocation: Invocation[Any], *, codec: Codec = LIVE, checked: bool = True, deadline: float | None = None) -> None:
        self.workflow = invocation.workflow
        self.codec = codec
        self.checked = checked
        self.now = T0
        self.rows: list[Row] = []
        self.requests: list[Request] = []
        self.machine: Machine[Any] = Machine(invocation.workflow, codec)
        due = None if deadline is None else T0 + timedelta(seconds=deadline)
        self.tell(Started(id="x-1", run=RUN, args=invocation.args, kwargs=invocation.kwargs, at=T0, deadline=due))

    def tell(self, fact: Fact) -> Run:
        """One turn. `requests` are those of this turn alone."""
        self.requests = self.machine.receive(fact)
        self.rows += self.machine.take()
        if self.checked:
            self.agrees()
        return self

    def agrees(self) -> None:
        """What a replay of the history shows is what the machine shows."""
        replayed = replay(self.workflow, self.rows, self.codec)
        assert replayed.rows == []
        assert picture(replayed.machine) == picture(self.machine)
        replayed.machine.close()

    def at(self, seconds: float) -> Run:
        """Move the clock."""
        self.now = max(self.now, T0 + timedelta(seconds=seconds))
        return self

    # ── facts ───────────────────────────────────────────────────────────────────────────────────
    def ok(self, key: str, value: Any = None) -> Run:
        return self.tell(Answered(Key(key), Ok(value), at=self.now))

    def fail(self, key: str, error: BaseException | str = "Boom", *, in_doubt: bool = False) -> Run:
        failure = Failure(error, "it failed") if isinstance(error, str) else self._failure(key, error)
        return self.tell(Answered(Key(key), Err(failure), at=self.now, in_doubt=in_doubt))

    def begin(self, key: str, attempt: int = 1) -> Run:
        return self.tell(AttemptStarted(Key(key), attempt, at=self.now))

    def retry(self, key: str, attempt: int = 1, *, after: float = 1, in_doubt: bool = False) -> Run:
        due = self.now + timedelta(seconds=after)
        return self.tell(Retrying(Key(key), attempt, Failure("Boom", "it failed"), due, at=self.now, in_doubt=in_doubt))

    def fire(self, key: str) -> Run:
        """The timer of *key* goes off when it is due."""
        self.now = max(self.now, self.machine.timers[Key(key)])
        return self.tell(DeadlinePassed(at=self.now) if key == "__deadline" else TimerFired(Key(key), at=self.now))

    def signal(self, name: str, payload: Any = None, *, sent: float | None = None) -> Run:
        sent_at = None if sent is None else T0 + timedelta(seconds=sent)
        return self.tell(Signalled(name, payload, at=self.now, sent_at=sent_at))

    def cancel(self, reason: str = "enough") -> Run:
        return self.tell(CancelRequested(reason=reason, at=self.now))

    def child(self, id: str, value: Any = None, *, status: str = "completed", error: BaseException | None = None, raises: Any = ()) -> Run:
        outcome = Ok(value) if status == "completed" else Err(LIVE.dump_error(error or ValueError("child"), raises))
        return self.tell(ChildFinished(id=id, status=status, outcome=outcome, at=self.now))

    def retry_rollback(self) -> Run:
        return self.tell(RollbackRetried(at=self.now))

    # ── what shows ──────────────────────────────────────────────────────────────────────────────
    @property
    def asked(self) -> list[str]:
        """The keys that wait for an answer, oldest first."""
        verdict = self.machine.verdict
        assert isinstance(verdict, Suspended), verdict
        return [str(key) for key in verdict.pending]

    @property
    def done(self) -> Finished:
        verdict = self.machine.verdict
        assert isinstance(verdict, Finished), verdict
        return verdict

    @property
    def result(self) -> Any:
        assert isinstance(self.done.outcome, Ok), self.done
        return self.done.outcome.value

    @property
    def failure(self) -> Failure:
        assert isinstance(self.done.outcome, Err), self.done
        error: Failure = self.done.outcome.error
        return error

    @property
    def status(self) -> str:
        return self.done.status

    @property
    def undone(self) -> list[str]:
        return [str(key) for key in self.machine.undone]

    @property
    def history(self) -> list[str]:
        """The keys of what was asked, in order."""
        return [str(row.key) for row in self.rows if isinstance(row, Asked)]

    def of(self, *kinds: type) -> list[Any]:
        """The requests of the last turn that are of these kinds."""
        return [request for request in self.requests if isinstance(request, kinds)]

    def replay(self, workflow: Any = None) -> Run:
        """The same run in another process, perhaps under other code."""
        made = object.__new__(Run)
        made.workflow, made.codec, made.checked = workflow or self.workflow, self.codec, self.checked
        made.now, made.rows = self.now, list(self.rows)
        replayed = replay(made.workflow, made.rows, made.codec)
        made.machine, made.requests = replayed.machine, replayed.requests
        made.rows += replayed.rows
        return made

    def _failure(self, key: str, error: BaseException) -> Failure:
        wait = self.machine.pending.get(Key(key))
        raises = wait.command.spec.raises if wait is not None and isinstance(wait.command, Step) else ()
        return self.codec.dump_error(error, raises)


def picture(machine: Machine[Any]) -> dict[str, Any]:
    """Everything of a machine that a host can see, as values that can be compared."""
    verdict = machine.verdict
    seen: dict[str, Any] = {
        "timers": dict(machine.timers),
        "next_due": machine.next_due,
        "undone": machine.undone,
        "in_doubt": machine.in_doubt,
        "unread": machine.unread,
        "info": machine.info,
        "requests": sorted(map(shown, machine.pending_requests())),
    }
    if isinstance(verdict, Suspended):
        seen["pending"] = {key: getattr(command, "kind", "?") for key, command in verdict.pending.items()}
        seen["places"] = machine.where()
    else:
        outcome = verdict.outcome
        error = outcome.error if isinstance(outcome, Err) else None
        seen["end"] = (verdict.status, verdict.bug, outcome if error is None else (error.type, error.message))
    return seen


def shown(request: Request) -> str:
    """A request without the objects in it that have no equality."""
    fields = {name: getattr(request, name) for name in request.__attrs_attrs__ and [a.name for a in request.__attrs_attrs__]}
    for name in ("step", "command", "type"):
        fields.pop(name, None)
    return f"{type(request).__name__} {json.dumps(fields, default=repr, sort_keys=True)}"


def raises(error: type[BaseException], call: Callable[[], Any]) -> str:
    """The text of the error that *call* raises."""
    try:
        call()
    except error as raised:
        return str(raised)
    raise AssertionError(f"{error.__name__} was not raised")
