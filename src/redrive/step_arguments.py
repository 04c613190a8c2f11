"""The arguments that a body is called with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive_interpreter.history.requests import RunStep


def arguments_of(perform: RunStep, codec: JsonCodec) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The body's own copies of its arguments.

    Raises `CodecError` if they cannot be read, and where nothing that the body is declared to give could be stored: then it
    must not begin.
    """
    spec = perform.step.spec
    codec.check(spec.result_type, f"step {spec.id}", "result")
    return codec.load_call(spec.signature, perform.input, spec.id)
