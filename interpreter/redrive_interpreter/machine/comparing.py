"""Comparisons of recorded and current inputs that several nouns share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from redrive_interpreter.codec import Codec
    from redrive_interpreter.history.rows import Asked

Comparison: TypeAlias = "Callable[[Codec, Asked, Any, Any], bool]"
"""A function that says whether a recorded row's input equals the current one, once read with today's types."""


def same_value(codec: Codec, type: Any, recorded: Any, now: Any, where: str = "") -> bool:
    """Whether two data are the same, or are once *recorded* was read and written again with today's types."""
    try:
        return codec.same(recorded, now) or codec.same(codec.dump(codec.load(recorded, type, where), type, where), now)
    except ValueError:  # CodecError: today's type cannot read it, so it is not the same
        return False


def same_but_for(name: str, recorded: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether two inputs differ in the entry *name* at most."""
    return {**recorded, name: None} == {**now, name: None}


COMPARISONS: Final[Mapping[str, Comparison]] = {
    "exactly": lambda codec, row, input, command: False,
    "not at all": lambda codec, row, input, command: True,
}
