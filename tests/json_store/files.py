"""The directory: one JSON file for each execution, one for all else, and a journal by which several change at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections import deque
from collections.abc import Callable, Generator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs

from redrive.ports.aside_values import Aside, HeldEvent
from redrive.ports.rewrites import Audit
from redrive.ports.store import Creator, Event, Message
from redrive.stores.ledger.parking import Deaths, Parked
from redrive.stores.memory.event_log import EventLog, Handler
from redrive.stores.memory.park_index import ParkIndex, Worker
from redrive.stores.memory.record import Record, Run
from redrive.stores.memory.schedule_table import ScheduleTable
from redrive.stores.times import from_us, to_us
from redrive_interpreter.errors import ExecutionNotFound


@attrs.define(kw_only=True, eq=False)
class Everything:
    """All that belongs to no single execution. *ids* of executions are in the order of their creation."""

    ids: list[str] = attrs.Factory(list[str])
    newest_message: int = 0
    asides: int = 0
    latest_us: int = 0
    events: EventLog = attrs.Factory(EventLog)
    workers: dict[str, Worker] = attrs.Factory(dict[str, Worker])
    audits: list[Audit] = attrs.Factory(list[Audit])


# ── values as JSON ──────────────────────────────────────────────────────────────────────────────
def _record(**fields: Any) -> Record:
    collections = {"inbox": deque(fields.pop("inbox")), "dedup_keys": set(fields.pop("dedup_keys")), "emitted": set(fields.pop("emitted"))}
    return Record(**fields | collections, current=fields["runs"][-1])


def _event_log(held: list[HeldEvent], **fields: Any) -> EventLog:
    return EventLog(**fields, held={(one.handler, one.event.seq): one for one in held})


_CLASSES: dict[str, Callable[..., Any]] = {
    cls.__name__: cls for cls in (Aside, Audit, Creator, Deaths, Event, Everything, Handler, HeldEvent, Message, Parked, Run, Worker)
}
_CLASSES |= {"Record": _record, "EventLog": _event_log, "time": from_us}


def to_text(value: object) -> str:
    return json.dumps(value, default=_encode)


def from_text(text: str) -> Any:
    return json.loads(text, object_hook=_decode)


def _encode(value: Any) -> object:
    if isinstance(value, datetime):
        return {"": "time", "us": to_us(value)}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, deque):
        return list(value)
    fields = {field.alias or field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    if isinstance(value, Record):
        del fields["current"]
    if isinstance(value, EventLog):
        fields["held"] = list(fields["held"].values())
    return {"": type(value).__name__} | fields


def _decode(found: dict[str, Any]) -> Any:
    kind = found.pop("", None)
    return found if kind is None else _CLASSES[kind](**found)


# ── files ───────────────────────────────────────────────────────────────────────────────────────
class Transaction:
    """What one verb has read, and writes at its end if it has changed. It is the tables of a unit of work, and its own records."""

    def __init__(self, folder: Path, now_us: int) -> None:
        self.folder, self.now_us, self.changes = folder, now_us, 0
        self._texts: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self.all: Everything = self._read("everything.json") or self._values.setdefault("everything.json", Everything())
        self.records, self.audits = self, self.all.audits
        self.schedules = ScheduleTable()  # it keeps none
        self.events: EventLog = self.all.events
        self.newest_message, self.workers = self.all.newest_message, self.all.workers
        self.parks = ParkIndex({}, self.workers)
        self.queues: None = None

    def get(self, id: str, /) -> Record | None:
        found: Record | None = self._read(_name(id))
        return found

    def __getitem__(self, id: str, /) -> Record:
        if (found := self.get(id)) is None:
            raise ExecutionNotFound(id)
        return found

    def __setitem__(self, id: str, record: Record, /) -> None:
        self._values[_name(id)] = record
        self.all.ids.append(id)

    def every(self) -> list[Record]:
        """All executions, oldest first."""
        return [self[id] for id in self.all.ids]

    def of(self, worker: str) -> list[Record]:
        """What *worker* owns."""
        return [record for record in self.every() if record.owner == worker]

    def next_number(self) -> int:
        return len(self.all.ids) + 1

    def next_aside(self) -> int:
        self.all.asides += 1
        return self.all.asides

    def give(self, record: Record, owner: str | None) -> None:
        record.owner = owner

    def write(self) -> None:
        self.all.newest_message = self.newest_message
        texts = {name: to_text(value) for name, value in self._values.items()}
        changed = {name: text for name, text in texts.items() if self._texts.get(name) != text}
        if changed:
            _replace(self.folder / "journal.json", json.dumps(changed))
            _recover(self.folder)

    def _read(self, name: str) -> Any:
        if name not in self._values and (path := self.folder / name).exists():
            self._texts[name] = path.read_text(encoding="ascii")
            self._values[name] = from_text(self._texts[name])
        return self._values.get(name)


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Nobody else reads or writes *folder* meanwhile, in this process or another."""
    with open(folder / "lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _recover(folder)
        yield


def _recover(folder: Path) -> None:
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
