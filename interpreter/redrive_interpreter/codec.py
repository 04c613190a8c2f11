"""The codec port: values cross the edge of the kernel through it.

The kernel never looks inside a value. Rows hold *data*, the result of the codec's ``dump``. A host that stores histories brings a
codec whose data is JSON; without one, data is the value itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from redrive_interpreter.outcomes import Failure

if TYPE_CHECKING:
    from redrive_interpreter.commands.signatures import Signature

Data: TypeAlias = Any
"""An encoded value. Opaque to the kernel."""


class Codec(Protocol):
    """Turns values into data and back, by declared types.

    ``where`` names the step, workflow, signal or event for error messages. ``dump*`` raise `CodecError`
    for a value that cannot be encoded or is not of its declared type, ``load*`` for data that the type
    cannot read. ``load(dump(x)) == x``, and shares nothing mutable with x.
    """

    def dump(self, value: object, type: Any, where: str, root: str = "value") -> Data:
        """Encode *value*. *root* is how a path in an error message begins: ``result.items[3]``."""
        ...

    def load(self, data: Data, type: Any, where: str) -> Any: ...

    def dump_call(self, signature: Signature, args: tuple[object, ...], kwargs: Mapping[str, object], where: str) -> Data:
        """Encode a call's arguments, bound to their parameters by name."""
        ...

    def load_call(self, signature: Signature, data: Data, where: str) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

    def dump_error(self, error: BaseException, raises: Sequence[type[BaseException]]) -> Failure:
        """Encode *error*, with the fields of its nearest base in *raises*; never fails."""
        ...

    def load_error(self, failure: Failure, raises: Sequence[type[BaseException]]) -> BaseException | None:
        """The declared error of *failure* rebuilt, or None if *raises* has it no more (or never had)."""
        ...

    def same(self, recorded: Data, asked: Data) -> bool:
        """Whether two data are equal to the last bit: 1, True and 1.0 differ, so do 0.0 and -0.0."""
        ...

    def same_call(self, signature: Signature, recorded: Data, asked: Data, where: str) -> bool:
        """`same`, or else equal once *recorded* was read and written again with today's types."""
        ...
