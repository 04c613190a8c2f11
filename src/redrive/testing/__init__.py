"""Testing workflows: `play`, a fake interpreter that needs no server, port, thread, database or sleep."""

from __future__ import annotations

from redrive.testing.crashes import CrashChanged, assert_survives_crashes
from redrive.testing.diagrams import diagram
from redrive.testing.explore import Explored, explore
from redrive.testing.explore_worker import ExploredWorker, WorkerViolation, explore_worker
from redrive.testing.failure_report import Unexpected
from redrive.testing.faulty_store import FaultyStore
from redrive.testing.hiding import hide_frames as _hide_frames
from redrive.testing.invariants import Invariant, InvariantBroken, UntestedInvariant, always_eventually, at_most_once, compensated, never
from redrive.testing.play import Play, play
from redrive.testing.purity_check import Impure
from redrive.testing.reproduce import Violation
from redrive.testing.run import Run
from redrive.testing.run_view import View
from redrive.testing.stepping import step_context
from redrive.testing.stubs import in_turn
from redrive.testing.unyielded import UnyieldedCommand

__all__ = [
    "CrashChanged",
    "Explored",
    "ExploredWorker",
    "FaultyStore",
    "Impure",
    "Invariant",
    "InvariantBroken",
    "Play",
    "Run",
    "Unexpected",
    "UntestedInvariant",
    "UnyieldedCommand",
    "View",
    "Violation",
    "WorkerViolation",
    "always_eventually",
    "assert_survives_crashes",
    "at_most_once",
    "compensated",
    "diagram",
    "explore",
    "explore_worker",
    "in_turn",
    "never",
    "play",
    "step_context",
]

_hide_frames()
