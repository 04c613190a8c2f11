"""The JSON of a history: one object a row, with chosen tags, so that renaming a class leaves stored rows readable.

Each row is an object with its tag under ``row``; fields that have their default are left out. Times are whole
microseconds since 1970 UTC, keys are text, values are the codec's JSON as it is. A tag's meaning never changes:
a row that must mean something else gets a new tag (``asked/2``), and old ones load for ever. ``started`` says
which ``format`` the run began with.

==================  ==========================================================================================
``started``         id run(uuid) at input workflow number parent{id run key} began scheduled deadline unread[] children[]
``answered``        key at, ``ok`` value or ``err`` failure, doubt by
``attempt``         key n at
``retrying``        key n err due at doubt
``fired``           key at
``signalled``       name payload at sent path[part]
``cancel``          reason by at unbegun[key]
``deadline``        at unbegun[key]
``child``           id status at, ``ok`` or ``err``
``rollback_retry``  at
``asked``           key kind label input undo
``noted``           key text data
``attribute``       name value
``set_aside``       key name error
``forked``          run(uuid) of(uuid) at, and of a copy id deadline
``ended``           status, ``ok`` or ``err``, bug unread forced
==================  ==========================================================================================

``asked`` rows are commands, by kind; those of kind ``child_attempt`` say what follows a child's failure: ``{due}`` of its next
attempt (ISO 8601, null for none), with the key ``<key of its start>/__attempt#n``.

A failure is ``{type message traceback declared fields attempts}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from redrive_interpreter.errors import UndecodableValue
from redrive_interpreter.history import rows as r
from redrive_interpreter.keys import Key
from redrive_interpreter.outcomes import Err, Failure, Ok

FORMAT: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def dump_row(row: r.Row) -> dict[str, Any]:
    """The JSON object of *row*; values in it are shared with the row, not copied."""
    return _DUMP[type(row)](row)


def load_row(data: Mapping[str, Any]) -> r.Row:
    """The row of a JSON object. Raises `UndecodableValue` for a tag that this release does not know, or a broken object."""
    try:
        return _LOAD[data["row"]](data)
    except KeyError as error:
        if data.get("row") not in _LOAD:
            raise UndecodableValue(f"a row with the tag {data.get('row')!r}, which this release of redrive does not know") from None
        raise UndecodableValue(f"a {data['row']!r} row without {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UndecodableValue(f"a row that is not one: {error}") from error


def dump_failure(failure: Failure) -> dict[str, Any]:
    data: dict[str, Any] = {"type": failure.type, "message": failure.message}
    if failure.traceback:
        data["traceback"] = failure.traceback
    if failure.declared is not None:
        data["declared"] = failure.declared
        data["fields"] = failure.fields
    if failure.attempts != 1:
        data["attempts"] = failure.attempts
    return data


def load_failure(data: Mapping[str, Any]) -> Failure:
    return Failure(
        data["type"], data["message"], data.get("traceback", ""), data.get("declared"), data.get("fields"), data.get("attempts", 1)
    )


def dump_outcome(outcome: Ok[Any] | Err) -> dict[str, Any]:
    """``{"ok": value}`` or ``{"err": failure}``."""
    if type(outcome) is Ok:
        return {"ok": outcome.value}
    assert isinstance(outcome, Err)
    return {"err": dump_failure(outcome.error)}


def load_outcome(data: Mapping[str, Any]) -> Ok[Any] | Err:
    if "ok" in data:
        return Ok(data["ok"])
    return Err(load_failure(data["err"]))


def to_micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(0, 0, micros)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(0, 0, micros)


# ── facts ───────────────────────────────────────────────────────────────────────────────────────
def _dump_started(row: r.Started) -> dict[str, Any]:
    data: dict[str, Any] = {
        "row": "started",
        "format": FORMAT,
        "id": row.id,
        "run": str(row.run),
        "workflow": row.workflow,
        "at": to_micros(row.at),
        "input": row.input,
    }
    if row.number != 1:
        data["number"] = row.number
    if row.parent is not None:
        data["parent"] = {"id": row.parent.id, "run": str(row.parent.run), "key": row.parent.key}
    for name, moment in (("began", row.execution_started_at), ("scheduled", row.scheduled_for), ("deadline", row.deadline)):
        if moment is not None:
            data[name] = to_micros(moment)
    if row.unread:
        data["unread"] = [_dump_signalled(signal) for signal in row.unread]
    if row.children:
        data["children"] = [_dump_child(child) for child in row.children]
    return data


def _load_started(data: Mapping[str, Any]) -> r.Started:
    parent = data.get("parent")
    return r.Started(
        id=data["id"],
        run=UUID(data["run"]),
        at=from_micros(data["at"]),
        input=data["input"],
        workflow=data["workflow"],
        number=data.get("number", 1),
        parent=None if parent is None else r.Parent(id=parent["id"], run=UUID(parent["run"]), key=Key(parent["key"])),
        execution_started_at=_moment(data.get("began")),
        scheduled_for=_moment(data.get("scheduled")),
        deadline=_moment(data.get("deadline")),
        unread=tuple(_load_signalled(signal) for signal in data.get("unread", ())),
        children=tuple(_load_child(child) for child in data.get("children", ())),
    )


def _dump_child(child: r.Child) -> dict[str, Any]:
    data = {"id": child.id, "key": child.key, "workflow": child.workflow, "on_parent_close": child.on_parent_close}
    if child.status is not None and child.outcome is not None:
        data |= {"status": child.status, **dump_outcome(child.outcome)}
    return data


def _load_child(data: Mapping[str, Any]) -> r.Child:
    return r.Child(
        id=data["id"],
        key=Key(data["key"]),
        workflow=data["workflow"],
        on_parent_close=data["on_parent_close"],
        status=data.get("status"),
        outcome=load_outcome(data) if "status" in data else None,
    )


def _dump_answered(row: r.Answered) -> dict[str, Any]:
    outcome = row.outcome
    data: dict[str, Any] = {"row": "answered", "key": row.key, "at": (row.at - _EPOCH) // _MICROSECOND}
    if type(outcome) is Ok:
        data["ok"] = outcome.value
    else:
        data |= dump_outcome(outcome)
    if row.in_doubt:
        data["doubt"] = True
    if row.by:
        data["by"] = row.by
    return data


def _load_answered(data: Mapping[str, Any]) -> r.Answered:
    outcome = Ok(data["ok"]) if "ok" in data else Err(load_failure(data["err"]))
    at = _EPOCH + timedelta(0, 0, data["at"])
    return r.Answered(Key(data["key"]), outcome, at=at, in_doubt="doubt" in data, by=data.get("by", ""))


def _dump_attempt(row: r.AttemptStarted) -> dict[str, Any]:
    return {"row": "attempt", "key": row.key, "n": row.attempt, "at": to_micros(row.at)}


def _load_attempt(data: Mapping[str, Any]) -> r.AttemptStarted:
    return r.AttemptStarted(Key(data["key"]), data["n"], at=from_micros(data["at"]))


def _dump_retrying(row: r.Retrying) -> dict[str, Any]:
    data: dict[str, Any] = {"row": "retrying", "key": row.key, "n": row.attempt, "at": to_micros(row.at), "due": to_micros(row.due)}
    data["err"] = dump_failure(row.failure)
    if row.in_doubt:
        data["doubt"] = True
    return data


def _load_retrying(data: Mapping[str, Any]) -> r.Retrying:
    return r.Retrying(
        Key(data["key"]),
        data["n"],
        load_failure(data["err"]),
        from_micros(data["due"]),
        at=from_micros(data["at"]),
        in_doubt="doubt" in data,
    )


def _dump_fired(row: r.TimerFired) -> dict[str, Any]:
    return {"row": "fired", "key": row.key, "at": to_micros(row.at)}


def _load_fired(data: Mapping[str, Any]) -> r.TimerFired:
    return r.TimerFired(Key(data["key"]), at=from_micros(data["at"]))


def _dump_signalled(row: r.Signalled) -> dict[str, Any]:
    data = {"row": "signalled", "name": row.name, "payload": row.payload, "at": to_micros(row.at)}
    if row.sent_at is not None:
        data["sent"] = to_micros(row.sent_at)
    if row.path is not None:
        data["path"] = list(row.path)
    return data


def _load_signalled(data: Mapping[str, Any]) -> r.Signalled:
    path = data.get("path")
    return r.Signalled(
        data["name"],
        data["payload"],
        at=from_micros(data["at"]),
        sent_at=_moment(data.get("sent")),
        path=None if path is None else tuple(path),
    )


def _dump_cancel(row: r.CancelRequested) -> dict[str, Any]:
    return {"row": "cancel", "reason": row.reason, "by": row.by, "at": to_micros(row.at), **_dump_unbegun(row)}


def _load_cancel(data: Mapping[str, Any]) -> r.CancelRequested:
    return r.CancelRequested(reason=data["reason"], by=data["by"], at=from_micros(data["at"]), unbegun=_load_unbegun(data))


def _dump_deadline(row: r.DeadlinePassed) -> dict[str, Any]:
    return {"row": "deadline", "at": to_micros(row.at), **_dump_unbegun(row)}


def _load_deadline(data: Mapping[str, Any]) -> r.DeadlinePassed:
    return r.DeadlinePassed(at=from_micros(data["at"]), unbegun=_load_unbegun(data))


def _dump_unbegun(row: r.CancelRequested | r.DeadlinePassed) -> dict[str, Any]:
    # Also where it is empty: a row without it was stored by a release that cut spawned tasks only when their scope ended.
    return {} if row.unbegun is None else {"unbegun": list(row.unbegun)}


def _load_unbegun(data: Mapping[str, Any]) -> tuple[Key, ...] | None:
    keys = data.get("unbegun")
    return None if keys is None else tuple(map(Key, keys))


def _dump_finished_child(row: r.ChildFinished) -> dict[str, Any]:
    return {"row": "child", "id": row.id, "status": row.status, "at": to_micros(row.at), **dump_outcome(row.outcome)}


def _load_finished_child(data: Mapping[str, Any]) -> r.ChildFinished:
    return r.ChildFinished(id=data["id"], status=data["status"], outcome=load_outcome(data), at=from_micros(data["at"]))


# ── what was done ───────────────────────────────────────────────────────────────────────────────
def _dump_asked(row: r.Asked) -> dict[str, Any]:
    data: dict[str, Any] = {"row": "asked", "key": row.key, "kind": row.kind}
    if row.label:
        data["label"] = row.label
    if row.input is not None:
        data["input"] = row.input
    if row.undo is not None:
        data["undo"] = row.undo
    return data


def _load_asked(data: Mapping[str, Any]) -> r.Asked:
    get = data.get
    return r.Asked(Key(data["key"]), data["kind"], get("label", ""), get("input"), get("undo"))


def _dump_noted(row: r.Noted) -> dict[str, Any]:
    data = {"row": "noted", "key": row.key, "text": row.text}
    return data | {"data": dict(row.data)} if row.data else data


def _load_noted(data: Mapping[str, Any]) -> r.Noted:
    return r.Noted(text=data["text"], data=data.get("data", {}), key=Key(data["key"]))


def _dump_attribute(row: r.AttributeSet) -> dict[str, Any]:
    return {"row": "attribute", "name": row.name, "value": row.value}


def _load_attribute(data: Mapping[str, Any]) -> r.AttributeSet:
    return r.AttributeSet(name=data["name"], value=data["value"])


def _dump_set_aside(row: r.SetAside) -> dict[str, Any]:
    return {"row": "set_aside", "key": row.key, "name": row.name, "error": row.error}


def _load_set_aside(data: Mapping[str, Any]) -> r.SetAside:
    return r.SetAside(key=Key(data["key"]), name=data["name"], error=data["error"])


def _dump_forked(row: r.Forked) -> dict[str, Any]:
    data: dict[str, Any] = {"row": "forked", "run": str(row.run), "of": str(row.of), "at": to_micros(row.at)}
    if row.id:
        data["id"] = row.id
    if row.deadline is not None:
        data["deadline"] = to_micros(row.deadline)
    return data


def _load_forked(data: Mapping[str, Any]) -> r.Forked:
    run, of, at = UUID(data["run"]), UUID(data["of"]), from_micros(data["at"])
    return r.Forked(run=run, of=of, at=at, id=data.get("id", ""), deadline=_moment(data.get("deadline")))


def _dump_ended(row: r.Ended) -> dict[str, Any]:
    data = {"row": "ended", "status": row.status, **dump_outcome(row.outcome)}
    if row.bug:
        data["bug"] = True
    if row.unread:
        data["unread"] = row.unread
    if row.forced:
        data["forced"] = True
    return data


def _load_ended(data: Mapping[str, Any]) -> r.Ended:
    outcome, unread = load_outcome(data), data.get("unread", 0)
    return r.Ended(status=data["status"], outcome=outcome, bug="bug" in data, unread=unread, forced="forced" in data)


_DUMP: Final[Mapping[type, Callable[[Any], dict[str, Any]]]] = {
    r.Started: _dump_started,
    r.Answered: _dump_answered,
    r.AttemptStarted: _dump_attempt,
    r.Retrying: _dump_retrying,
    r.TimerFired: _dump_fired,
    r.Signalled: _dump_signalled,
    r.CancelRequested: _dump_cancel,
    r.DeadlinePassed: _dump_deadline,
    r.ChildFinished: _dump_finished_child,
    r.RollbackRetried: lambda row: {"row": "rollback_retry", "at": to_micros(row.at)},
    r.Asked: _dump_asked,
    r.Noted: _dump_noted,
    r.AttributeSet: _dump_attribute,
    r.SetAside: _dump_set_aside,
    r.Forked: _dump_forked,
    r.Ended: _dump_ended,
}
_LOAD: Final[Mapping[str, Callable[[Any], r.Row]]] = {
    "started": _load_started,
    "answered": _load_answered,
    "attempt": _load_attempt,
    "retrying": _load_retrying,
    "fired": _load_fired,
    "signalled": _load_signalled,
    "cancel": _load_cancel,
    "deadline": _load_deadline,
    "child": _load_finished_child,
    "rollback_retry": lambda data: r.RollbackRetried(at=from_micros(data["at"])),
    "asked": _load_asked,
    "noted": _load_noted,
    "attribute": _load_attribute,
    "set_aside": _load_set_aside,
    "forked": _load_forked,
    "ended": _load_ended,
}
TAGS: Final = tuple(_LOAD)
"""Every tag a history can hold."""
