"""The JSON text of a row, as it is stored.

A step makes two rows, its `Asked` and its `Answered`. Their texts are written here directly, to the letter as they would be by
way of `dump_row`, which takes 1.4 times as long.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING

from redrive.codec import to_json
from redrive_interpreter.history.row_json import dump_row, to_micros
from redrive_interpreter.history.rows import Answered, Asked
from redrive_interpreter.outcomes import Ok

if TYPE_CHECKING:
    from redrive.ports.store import Json
    from redrive_interpreter.history.rows import Row


def row_text(row: Row) -> Json:
    """*row* as one JSON object. Raises `CodecError` for values that are no data."""
    if type(row) is Asked:
        return _asked(row)
    if type(row) is Answered and type(row.outcome) is Ok and not row.in_doubt:
        return f'{{"row":"answered","key":{_quoted(row.key)},"at":{to_micros(row.at)},"ok":{to_json(row.outcome.value)}}}'
    return to_json(dump_row(row))


def _asked(row: Asked) -> Json:
    text = f'{{"row":"asked","key":{_quoted(row.key)},"kind":{_quoted(row.kind)}'
    if row.label:
        text += f',"label":{_quoted(row.label)}'
    if row.input is not None:
        text += f',"input":{to_json(row.input)}'
    if row.undo is not None:
        text += f',"undo":{_quoted(row.undo)}'
    return text + "}"
