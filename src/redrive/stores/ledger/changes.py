"""The kinds of changes that a store announces, as bits of one number."""

from __future__ import annotations

from typing import Final

WORK: Final = 1
ENDS: Final = 2
EVENTS: Final = 4
SCHEDULES: Final = 8
EVERYTHING: Final = 15
