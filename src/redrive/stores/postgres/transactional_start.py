"""Starting an execution on a connection of the user's, in his transaction."""

from __future__ import annotations

import inspect
import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from redrive.ports.inside import AsyncCursor, Cursor, Standing
from redrive.ports.store import NewExecution
from redrive.stores.change_notifier import WORK
from redrive.stores.postgres.notifications import channel_of
from redrive.stores.postgres.parameters import SEPARATOR, from_text, maybe_us, to_text
from redrive.stores.postgres.queries import in_schema
from redrive.stores.statements import read_queries
from redrive_interpreter.errors import InvalidDefinition

_SQL: Final = read_queries(Path(__file__).with_name("transactional_start.sql").read_text(encoding="utf-8"))


Talk: TypeAlias = Generator[tuple[bytes, Mapping[str, Any]], Any, Standing | None]
"""Statements, each answered with its first row or None; it ends with what has the id already, or None."""


def start_in(cursor: Cursor, schema: str, new: NewExecution) -> Standing | None:
    """The execution that has the id already, or None. Raises the errors of the user's driver."""
    talk = _start(schema, new)
    asked = next(talk)
    while True:
        _refuse_awaitable(cursor.execute(*asked))
        row = _refuse_awaitable(cursor.fetchone())
        try:
            asked = talk.send(row)
        except StopIteration as end:
            return cast("Standing | None", end.value)


async def start_in_async(cursor: AsyncCursor, schema: str, new: NewExecution) -> Standing | None:
    talk = _start(schema, new)
    asked = next(talk)
    while True:
        await cursor.execute(*asked)
        row = await cursor.fetchone()
        try:
            asked = talk.send(row)
        except StopIteration as end:
            return cast("Standing | None", end.value)


def _start(schema: str, new: NewExecution) -> Talk:
    sql = {name: in_schema(text, schema) for name, text in _SQL.items()}
    values: dict[str, Any] = {
        "id": to_text(new.id),
        "workflow": to_text(new.workflow),
        "run": to_text(new.run),
        "not_before_us": maybe_us(new.not_before),
        "deadline_us": maybe_us(new.deadline),
        "attributes": new.attributes,
        "names": SEPARATOR.join(to_text(name) for name, texts in new.searchable for _ in texts),
        "texts": SEPARATOR.join(text for _, texts in new.searchable for text in texts),
        "started": new.started,
        "input": new.input,
    }
    begin = "begin"
    if new.queue is not None:
        begin = "begin_queued"
        values |= {"queue": to_text(new.queue), "partition": to_text(new.partition), "priority": new.priority}
    if (yield sql[begin], values) is not None:
        yield sql["tell"], {"channel": channel_of(schema), "payload": f"outside {WORK}"}
        return None
    n, workflow, number, input = _values((yield sql["standing"], {"id": values["id"]}))
    first = from_text(workflow)
    if first != new.workflow and number > 1:  # it may have continued as another workflow
        (row,) = _values((yield sql["first_row"], {"n": n}))
        first = json.loads(row)["workflow"]
    return Standing(first, input)


def _refuse_awaitable(answer: Any) -> Any:
    """Raises `InvalidDefinition` where a call returned a coroutine that is not awaited: nothing was started."""
    if inspect.isawaitable(answer):
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        raise InvalidDefinition("start_in: this cursor's calls must be awaited, and it does not say so; nothing was started")
    return answer


def _values(row: Any) -> Any:
    """Of a row as the user's cursor makes them: a tuple of some kind, or a mapping by column."""
    return cast("Mapping[str, Any]", row).values() if isinstance(row, Mapping) else row
