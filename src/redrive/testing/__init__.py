"""Testing workflows: `play`, a fake interpreter that needs no server, port, thread, database or sleep."""

from __future__ import annotations

from redrive.testing.crashes import CrashChanged, assert_survives_crashes
from redrive.testing.play import Play, play
from redrive.testing.run import Run
from redrive.testing.story import Unexpected
from redrive.testing.stubs import in_turn

__all__ = ["CrashChanged", "Play", "Run", "Unexpected", "assert_survives_crashes", "in_turn", "play"]
