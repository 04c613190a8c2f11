"""The table of command kinds: everything that code outside a command's own modules knows about its kind.

A kind's tag stands in stored histories and never changes. Its row says who asks for it, whether the run waits for it, how
people call it, and how replay compares its input. Code that tells kinds apart reads this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import attrs

Compared: TypeAlias = Literal[
    "exactly", "as a step's call", "as a workflow's call", "as a child's start", "as an event", "as a signal",
    "as a wait for one", "but for the keys", "but for the limit", "not at all",
]  # fmt: skip
"""How replay compares a recorded input with the one that the code asks now, where the two are not identical."""

STEP: Final = "step"
SLEEP: Final = "sleep"
WAIT_SIGNAL: Final = "wait_signal"
EMIT: Final = "emit"
SEND_SIGNAL: Final = "send_signal"
ROLLBACK: Final = "rollback"
COMMIT: Final = "commit"
NOTE: Final = "note"
SWITCH: Final = "switch"
ALL: Final = "all"
RACE: Final = "race"
MAP: Final = "map"
SETTLE: Final = "settle"
SPAWN: Final = "spawn"
JOIN: Final = "join"
START_CHILD: Final = "start_child"
RUN_CHILD: Final = "run_child"
WAIT_CHILD: Final = "wait_child"
CANCEL_CHILD: Final = "cancel_child"
CONTINUE_AS: Final = "continue_as"
PATCH: Final = "patch"
INFO: Final = "info"
NOW: Final = "now"
NEW_ID: Final = "new_id"
RANDOM: Final = "random"
SET_ATTRIBUTE: Final = "set_attribute"
UNDO: Final = "undo"
UNDO_SCOPE: Final = "undo_scope"
UNDO_LOSERS: Final = "undo_losers"
CHILD_ATTEMPT: Final = "child_attempt"


@attrs.frozen
class Kind:
    """One kind of command.

    *noun* is its name in lists of what a run waits for. *own*: the machine asks for it, users cannot. A kind that *waits* is over
    when a fact says so, a *group* when the commands inside it are over, every other as soon as it is asked. *label_is_argument*:
    the label of its rows is an argument and does not name the command. *input_is_users*: its input is the user's value, in which
    null has a meaning. *by_key*: replay finds its row by key, not by its place in the scope.
    """

    tag: str
    noun: str = attrs.field(default=attrs.Factory(lambda self: self.words, takes_self=True), kw_only=True)
    own: bool = attrs.field(default=False, kw_only=True)
    waits: bool = attrs.field(default=False, kw_only=True)
    group: bool = attrs.field(default=False, kw_only=True)
    label_is_argument: bool = attrs.field(default=False, kw_only=True)
    input_is_users: bool = attrs.field(default=False, kw_only=True)
    by_key: bool = attrs.field(default=False, kw_only=True)
    compared: Compared = attrs.field(default="exactly", kw_only=True)

    @property
    def words(self) -> str:
        """The tag as people read it: ``wait signal``."""
        return self.tag.replace("_", " ")


def class_name(tag: str) -> str:
    """The name of the class whose kind is *tag*: ``wait_signal`` is that of `WaitSignal`."""
    return "".join(part.title() for part in tag.split("_"))


KINDS: Final[Mapping[str, Kind]] = {
    kind.tag: kind
    for kind in (
        Kind(STEP, waits=True, input_is_users=True, compared="as a step's call"),
        Kind(SLEEP, waits=True),
        Kind(WAIT_SIGNAL, noun="signal", waits=True, label_is_argument=True, compared="as a wait for one"),
        Kind(EMIT, label_is_argument=True, input_is_users=True, compared="as an event"),
        Kind(SEND_SIGNAL, waits=True, label_is_argument=True, compared="as a signal"),
        Kind(ROLLBACK, group=True, compared="but for the keys"),
        Kind(COMMIT),
        Kind(NOTE),
        Kind(SWITCH),
        Kind(ALL, group=True, compared="but for the limit"),  # N3
        Kind(RACE, group=True),
        Kind(MAP, group=True, compared="but for the limit"),
        Kind(SETTLE),
        Kind(SPAWN),
        Kind(JOIN, group=True, label_is_argument=True),
        Kind(START_CHILD, waits=True, label_is_argument=True, compared="as a child's start"),
        Kind(RUN_CHILD, noun="child", waits=True, label_is_argument=True, compared="as a child's start"),
        Kind(WAIT_CHILD, noun="child", waits=True, label_is_argument=True),
        Kind(CANCEL_CHILD, waits=True, label_is_argument=True),
        Kind(CONTINUE_AS, input_is_users=True, compared="as a workflow's call"),
        Kind(PATCH, by_key=True),
        Kind(INFO),
        Kind(NOW),
        Kind(NEW_ID),
        Kind(RANDOM),
        Kind(SET_ATTRIBUTE),
        Kind(UNDO, own=True, waits=True, input_is_users=True, by_key=True, compared="as a step's call"),
        Kind(UNDO_SCOPE, own=True, group=True, compared="but for the keys"),  # the record says which keys
        Kind(UNDO_LOSERS, own=True, group=True, compared="but for the keys"),
        Kind(CHILD_ATTEMPT, own=True, compared="not at all"),  # the record says whether there is one, and when
    )
}
BODIES: Final = frozenset({STEP, UNDO})
"""Kinds that run the body of a step."""
CHILD_STARTS: Final = frozenset({START_CHILD, RUN_CHILD})
"""Kinds that start a child."""
CHILD_WAITS: Final = frozenset({WAIT_CHILD, RUN_CHILD})
"""Kinds that wait for a child's end."""


def kind_of(tag: str) -> Kind:
    """The row of *tag*; for a tag that this release does not know, a row with no more than its words."""
    return KINDS.get(tag) or Kind(tag, own=True)
