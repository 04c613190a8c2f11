"""Testing workflows: `play`, a fake interpreter that needs no server, port, thread, database or sleep."""

from __future__ import annotations

from redrive.testing.play import Play, Run, play
from redrive.testing.script import Unexpected

__all__ = ["Play", "Run", "Unexpected", "play"]
