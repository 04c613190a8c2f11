"""Data from a store, decoded and checked: damage is told by execution, column and store, not by where it was stumbled over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs

from redrive.codec import from_json
from redrive.errors import DamagedData
from redrive_interpreter.errors import UndecodableValue
from redrive_interpreter.history.row_json import load_outcome, load_row

if TYPE_CHECKING:
    from redrive.ports.store import Json, Snapshot, Store
    from redrive_interpreter.history.rows import Row
    from redrive_interpreter.outcomes import Err, Ok

_KINDS: Final[dict[type, str]] = {dict: "an object", list: "an array"}


@attrs.frozen
class Origin:
    """Execution *id* in *store*: where the texts are from."""

    id: str
    store: str

    @classmethod
    def of(cls, id: str, store: Store) -> Origin:
        return cls(id, str(getattr(store, "path", "") or type(store).__name__))

    def object(self, text: Json, column: str) -> dict[str, Any]:
        """The JSON object in *column*. Raises `DamagedData`."""
        found: dict[str, Any] = self._read(text, column, dict)
        return found

    def objects(self, text: Json) -> list[dict[str, Any]]:
        """The rows of a history as JSON objects; there is one at least. Raises `DamagedData`."""
        found: list[Any] = self._read(text, "history", list)
        if not found:
            raise DamagedData(self.id, self.store, "history", "it has no rows")
        for number, row in enumerate(found, 1):
            if not isinstance(row, dict):
                raise DamagedData(self.id, self.store, "history", f"row {number} is not an object")
        return found

    def rows(self, text: Json) -> list[Row]:
        """The rows of a history. Raises `DamagedData`."""
        rows: list[Row] = []
        for number, data in enumerate(self.objects(text), 1):
            try:
                rows.append(load_row(data))
            except UndecodableValue as error:
                raise DamagedData(self.id, self.store, "history", f"row {number}: {error}") from error
        return rows

    def refuse(self, text: Json) -> NoReturn:
        """Say what is damaged about a history whose first row does not say which run it is of. Raises `DamagedData`."""
        self.rows(text)
        raise DamagedData(self.id, self.store, "history", "its first row does not say which run it is of")

    def outcome(self, text: Json) -> Ok[Any] | Err:
        """How an execution ended. Raises `DamagedData`."""
        data = self.object(text, "outcome")
        try:
            return load_outcome(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedData(self.id, self.store, "outcome", f"it is neither a value nor a failure ({error!r})") from error

    def attributes(self, snapshot: Snapshot) -> dict[str, Any]:
        return self.object(snapshot.attributes, "attributes")

    def cancel_reason(self, snapshot: Snapshot) -> str | None:
        """The reason of a cancel that lies in the inbox, if one does. Raises `DamagedData`."""
        return None if snapshot.cancel is None else str(self.object(snapshot.cancel, "cancel").get("reason") or "")

    def _read(self, text: Json, column: str, kind: type) -> Any:
        try:
            found = from_json(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedData(self.id, self.store, column, f"it is not JSON: {error}") from error
        if not isinstance(found, kind):
            raise DamagedData(self.id, self.store, column, f"it is not {_KINDS[kind]} but {found!r:.60}")
        return found
