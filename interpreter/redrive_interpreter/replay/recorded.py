"""One turn as it is recorded, and the comparison of what the code asks now with what it asked then.

Within a turn, each scope must ask for the same commands in the same order. While later facts are left, a turn may ask for nothing
that is not recorded; commands beyond the record of the last turn are new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redrive_interpreter import kinds
from redrive_interpreter.history.rows import Asked
from redrive_interpreter.keys import scope_of
from redrive_interpreter.machine.forking import fork
from redrive_interpreter.machine.nouns import COMPARISONS
from redrive_interpreter.replay.causes import sides
from redrive_interpreter.replay.divergence import Diverged, Watched, describe, does_not_fit
from redrive_interpreter.replay.escapes import Raised

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.history.rows import Forked
    from redrive_interpreter.keys import Key
    from redrive_interpreter.machine.run_state import RunState


_BY_KEY: Final = frozenset(kind.tag for kind in kinds.KINDS.values() if kind.by_key)


class RecordedTurn:
    """The `Asked` rows of one turn; *rest* are those not asked for yet (None where they were).

    *last* is set if no fact follows the turn, *beyond* once the code has asked for more than the record holds. *aside* holds the
    keys of the commands that set a signal aside, in order (None: none did), *raised* the errors with which generators ended,
    *forks* the `Forked` rows still to come, each with the number of rows before it (None: none).
    """

    __slots__ = ("_at", "_watched", "aside", "beyond", "forks", "last", "raised", "rest")

    def __init__(self, rows: list[Asked | None], last: bool, watched: Watched, forks: list[tuple[int, Forked]] | None = None) -> None:
        self.rest: list[Asked | None] = rows
        self._at = 0
        self._watched = watched
        self.last: bool = last
        self.beyond: bool = False
        self.raised: tuple[Raised, ...] = ()
        self.aside: list[Key] | None = None
        self.forks: list[tuple[int, Forked]] | None = forks

    def pass_forks(self, run: RunState) -> None:
        """Fork the run, once every row before the `Forked` row has been asked for again."""
        while self.forks:
            before, row = self.forks[0]
            if any(asked is not None and asked.kind != kinds.PATCH for asked in self.rest[:before]):
                return
            del self.forks[0]
            fork(run, row)

    def match(self, run: RunState, key: Key, kind: str, label: str, input: Any, undo: str | None, command: Any) -> Asked | None:
        """The recorded row of this command; None if it is new, at the end of the record. Raises `Diverged`."""
        rest, at = self.rest, self._at
        row = rest[at] if at < len(rest) else None
        if row is None or row.key != key:
            row = self._find(key, kind)
            while at < len(rest) and ((skipped := rest[at]) is None or skipped.kind == kinds.PATCH):
                at += 1
            self._at = at
            if row is None:
                if not self.last:
                    asked = Asked(key, kind, label, input, undo)
                    self._diverge(run, self._instead_of(asked), asked, command)
                self.beyond = True
                return None
        elif len(rest) == 1:  # nearly always
            rest.clear()
        else:
            rest[at] = None
            self._at = at + 1
        alike = row.key == key and row.kind == kind and row.label == label and (row.undo is None or row.undo == undo)
        if alike and (run.codec.same(row.input, input) or _same(run.codec, row, input, command)):
            if self.forks:
                self.pass_forks(run)
            return row
        self._diverge(run, row, Asked(key, kind, label, input, undo), command)
        raise AssertionError("unreachable")

    def has(self, key: str) -> bool:
        return any(row is not None and row.key == key for row in self.rest)

    def may_ask(self, key: str) -> bool:
        """Whether *key* is recorded, or the record is at its end, so that further commands are new."""
        return self.beyond or self.has(key) or (self.last and self._is_over())

    def peek(self, key: str) -> Asked | None:
        """The row of *key*, if it is the next in its scope."""
        row = self._first_in(scope_of(key))
        return row if row is not None and row.key == key else None

    def patched(self, key: str) -> bool:
        """The answer of a Patch: True if it is recorded, or if no recorded row is left."""
        return self.has(key) or (self.last and self._is_over())

    def set_aside(self, key: Key) -> bool | None:
        """Whether the signal that *key* takes up now was set aside then; None past the end of the record, where it is decided
        now."""
        if self.aside and key in self.aside:
            self.aside.remove(key)
            return True
        return None if self.last and not self.aside and self._is_over() else False

    def finish(self, run: RunState) -> None:
        """End the turn. Raises `Diverged` unless every row was asked for."""
        for row in self.rest:
            if row is not None and row.kind != kinds.PATCH:
                instead = next((new for new in run.rows if isinstance(new, Asked)), None)
                if instead is not None and sides(self._watched.history, row, instead) is None:
                    instead = None
                self._diverge(run, row, instead)

    def generator_raised(self, error: BaseException, prefix: str, *, over: bool) -> None:
        """Note that a generator ended with *error* in the scope with *prefix*, which may be *over* with it."""
        self.raised += (Raised(error, prefix, over),)

    def does_not_fit(self, run: RunState, key: Key, problem: str) -> Diverged:
        """The error for a record that today's code cannot follow."""
        return does_not_fit(run, key, problem)

    def _is_over(self) -> bool:
        return not any(row is not None and row.kind != kinds.PATCH for row in self.rest)

    def _first_in(self, prefix: str) -> Asked | None:
        for row in self.rest:
            if row is not None and row.kind not in _BY_KEY and scope_of(row.key) == prefix:
                return row
        return None

    def _find(self, key: str, kind: str) -> Asked | None:
        """The recorded row that this command must match: by key for undos and patches, else the next of its scope."""
        if kind in _BY_KEY:
            row = next((row for row in self.rest if row is not None and row.key == key), None)
        else:
            row = self._first_in(scope_of(key))
        if row is not None:
            self.rest[self._index(row)] = None
        return row

    def _index(self, row: Asked) -> int:
        return next(i for i, other in enumerate(self.rest) if other is row)

    def _instead_of(self, asked: Asked) -> Asked | None:
        """The row recorded in the place of a command that is now asked in another scope: a step became a workflow, say."""
        history = self._watched.history
        left = (row for row in self.rest if row is not None and row.kind not in _BY_KEY)
        return next((row for row in left if sides(history, row, asked) is not None), None)

    def _diverge(self, run: RunState, recorded: Asked | None, asked: Asked | None, command: Any = None) -> None:
        run.recorded = None
        left = [row for row in (recorded, *self.rest) if row is not None and row.kind != kinds.PATCH]
        raise describe(self._watched, run, recorded, asked, getattr(command, "fn", None), left, self.raised)


def _same(codec: Codec, row: Asked, input: Any, command: Any) -> bool:
    """Whether arguments that differ from the record are the same once read and written again with today's types."""
    return COMPARISONS[kinds.kind_of(row.kind).compared](codec, row, input, command)
