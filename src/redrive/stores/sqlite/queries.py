"""The named statements of ``queries.sql``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from redrive.stores.statements import read_queries

__all__ = ["SQL", "read_queries"]

SQL: Final = read_queries(Path(__file__).with_name("queries.sql").read_text(encoding="utf-8"))
