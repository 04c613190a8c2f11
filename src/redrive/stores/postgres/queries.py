"""The named statements of ``queries.sql`` and ``queue_queries.sql``, which are written for the schema ``redrive``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from redrive.stores.statements import read_queries

TEXT: Final = read_queries(Path(__file__).with_name("queries.sql").read_text(encoding="utf-8"))
QUEUE_TEXT: Final = read_queries(Path(__file__).with_name("queue_queries.sql").read_text(encoding="utf-8"))
_IN_SCHEMA: Final = re.compile(r"\bredrive\.")


def in_schema(script: str, schema: str) -> bytes:
    """*script* for another schema, as the driver takes it; *schema* is a name, not yet quoted."""
    quoted = '"' + schema.replace('"', '""') + '"'
    return _IN_SCHEMA.sub(lambda _: f"{quoted}.", script).encode()


@lru_cache(maxsize=64)
def queries(schema: str) -> Mapping[str, bytes]:
    end = "\nSELECT turned.i"
    texts = {**TEXT, **QUEUE_TEXT, "advance_and_index": TEXT["advance"].replace(end, f",\n{TEXT['index_turned']}{end}")}
    del texts["index_turned"]  # which is no statement of its own
    return {name: in_schema(text, schema) for name, text in texts.items()}
