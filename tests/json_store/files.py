"""The directory: one JSON file for each execution, one for all else, and a journal by which several change at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator, Iterable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.rewrites import Audit
from redrive.ports.store import Creator, Event, ExecutionStatus, Json, Message
from redrive.stores.ledger.locked_execution import LockedExecution
from redrive.stores.ledger.parking import Deaths, Parked
from redrive.stores.times import from_us, to_us


@attrs.define(kw_only=True, eq=False)
class Execution:
    """All of one execution. *n* counts executions; *runs* are lists of chunks of rows."""

    n: int
    id: str
    workflow: str
    run: str
    input: Json
    attributes: Json
    created_us: int
    updated_us: int
    stored_us: int
    wake_us: int | None = None
    deadline_us: int | None = None
    creator: Creator | None = None
    runs: list[list[Json]] = attrs.Factory(list[list[Json]])
    number: int = 1
    first_run: int = 1
    length: int = 1
    status: ExecutionStatus = "pending"
    owner: str | None = None
    fence: int = 0
    rested: int = 0
    recoveries: int = 0
    unread: int = 0
    cancelled_run: int = 0
    outcome: Json | None = None
    inbox: list[Message] = attrs.Factory(list[Message])
    dedup_keys: list[str] = attrs.Factory(list[str])
    emitted: list[str] = attrs.Factory(list[str])
    parks: dict[str, Parked] = attrs.Factory(dict[str, Parked])
    deaths: dict[str, Deaths] = attrs.Factory(dict[str, Deaths])
    aside: list[Aside] = attrs.Factory(list[Aside])

    @property
    def has_messages(self) -> bool:
        return bool(self.inbox)

    @property
    def has_cancel(self) -> bool:
        return any(message.kind == "cancel" for message in self.inbox)

    def after(self, seq: int) -> list[Message]:
        return [message for message in self.inbox if message.seq > seq]

    def history(self, number: int) -> Json:
        return "[" + ",".join(self.runs[number - 1]) + "]"

    def locked(self) -> LockedExecution:
        newest = self.inbox[-1].seq if self.inbox else 0
        return LockedExecution(n=self.n, newest=newest, **{name: getattr(self, name) for name in COLUMNS})

    def save(self, it: LockedExecution, now_us: int) -> None:
        for name in COLUMNS:
            setattr(self, name, getattr(it, name))
        self.updated_us = now_us
        if it.has_outcome:
            self.outcome = it.outcome


COLUMNS = {field.name for field in attrs.fields(Execution)} & {field.name for field in attrs.fields(LockedExecution)} - {
    "n",
    "inbox",
    "outcome",
}
"""What the rules of the ledger know of an execution."""


@attrs.define(kw_only=True)
class Worker:
    expires_us: int
    lease_us: int
    build: str
    workflows: list[str]
    started_us: int


@attrs.define(kw_only=True)
class Handler:
    event: str
    done: int
    worker: str


@attrs.define(kw_only=True, eq=False)
class Everything:
    """All that belongs to no single execution."""

    executions: int = 0
    messages: int = 0
    asides: int = 0
    newest_event: int = 0
    pruned_us: int = 0
    latest_us: int = 0
    events: list[Event] = attrs.Factory(list[Event])
    handlers: dict[str, Handler] = attrs.Factory(dict[str, Handler])
    held: list[HeldEvent] = attrs.Factory(list[HeldEvent])
    workers: dict[str, Worker] = attrs.Factory(dict[str, Worker])
    audits: list[Audit] = attrs.Factory(list[Audit])


CLASSES = {
    cls.__name__: cls for cls in (Aside, Audit, Creator, Deaths, Event, Everything, Execution, Handler, HeldEvent, Message, Parked, Worker)
}


def to_text(value: object) -> str:
    def encode(value: Any) -> object:
        if isinstance(value, datetime):
            return {"": "time", "us": to_us(value)}
        return {"": type(value).__name__} | {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}

    return json.dumps(value, default=encode)


def from_text(text: str) -> Any:
    def decode(found: dict[str, Any]) -> Any:
        kind = found.pop("", None)
        if kind == "time":
            return from_us(found["us"])
        return found if kind is None else CLASSES[kind](**found)

    return json.loads(text, object_hook=decode)


class Transaction:
    """What one verb has read, and writes at its end if it has changed."""

    def __init__(self, folder: Path, now_us: int) -> None:
        self.folder, self.now_us = folder, now_us
        self.changes = 0
        self._texts: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self.everything: Everything = self._read("everything.json") or self._new("everything.json", Everything())

    def get(self, id: str) -> Execution | None:
        found: Execution | None = self._read(_name(id))
        return found

    def add(self, execution: Execution) -> None:
        self._new(_name(execution.id), execution)

    def all(self) -> list[Execution]:
        """All executions, oldest first."""
        names = [name for name in os.listdir(self.folder) if name.startswith("execution-")]
        found: Iterable[Execution] = map(self._read, names)
        return sorted(found, key=lambda one: one.n)

    def owned(self, worker: str) -> list[Execution]:
        return [one for one in self.all() if one.owner == worker]

    def write(self) -> None:
        texts = {name: to_text(value) for name, value in self._values.items()}
        changed = {name: text for name, text in texts.items() if self._texts.get(name) != text}
        if changed:
            _replace(self.folder / "journal.json", json.dumps(changed))
            recover(self.folder)

    def _read(self, name: str) -> Any:
        if name not in self._values:
            path = self.folder / name
            if not path.exists():
                return None
            text = path.read_text(encoding="ascii")
            self._values[name] = from_text(text)
            self._texts[name] = to_text(self._values[name])
        return self._values[name]

    def _new(self, name: str, value: Any) -> Any:
        self._values[name] = value
        return value


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Nobody else reads or writes *folder* meanwhile, in this process or another."""
    with open(folder / "lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        recover(folder)
        yield


def recover(folder: Path) -> None:
    """Write what stands in the journal, if there is one: the transaction was committed with it."""
    journal = folder / "journal.json"
    if journal.exists():
        for name, text in json.loads(journal.read_text(encoding="ascii")).items():
            _replace(folder / name, text)
        journal.unlink()


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    with open(new, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _name(id: str) -> str:
    return f"execution-{sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()}.json"
