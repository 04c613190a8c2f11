"""Starting an execution on a connection of the user's, in his transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from redrive.ports.inside import Cursor, Standing
from redrive.ports.store import NewExecution
from redrive.stores.bell import WORK
from redrive.stores.postgres.news import channel_of
from redrive.stores.postgres.queries import in_schema
from redrive.stores.postgres.values import from_text, maybe_us, to_text
from redrive.stores.statements import read_queries

_SQL: Final = read_queries(Path(__file__).with_name("outside.sql").read_text(encoding="utf-8"))


def start_in(cursor: Cursor, schema: str, new: NewExecution) -> Standing | None:
    """What has the id already, or None. Raises whatever the user's driver raises."""
    sql = {name: in_schema(text, schema) for name, text in _SQL.items()}
    values = {
        "id": to_text(new.id),
        "workflow": to_text(new.workflow),
        "run": to_text(new.run),
        "not_before_us": maybe_us(new.not_before),
        "deadline_us": maybe_us(new.deadline),
        "attributes": new.attributes,
        "started": new.started,
        "input": new.input,
    }
    cursor.execute(sql["begin"], values)
    if cursor.fetchone() is not None:
        cursor.execute(sql["tell"], {"channel": channel_of(schema), "payload": f"outside {WORK}"})
        return None
    cursor.execute(sql["standing"], {"id": values["id"]})
    n, workflow, number, input = _values(cursor.fetchone())
    first = from_text(workflow)
    if first != new.workflow and number > 1:  # it may have continued as another workflow
        cursor.execute(sql["first_row"], {"n": n})
        (row,) = _values(cursor.fetchone())
        first = json.loads(row)["workflow"]
    return Standing(first, input)


def _values(row: Any) -> Any:
    """Of a row as the user's cursor makes them: a tuple of some kind, or a mapping by column."""
    return cast("Mapping[str, Any]", row).values() if isinstance(row, Mapping) else row
