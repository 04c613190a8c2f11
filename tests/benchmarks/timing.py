"""Timing and reporting: the best of several runs, ratios only, and whether the target is met."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence

import attrs


@attrs.frozen
class Result:
    """One line of the report: *value* in *unit*, and *target* (None: there is none to miss), which it is at most, or *at_least*."""

    what: str
    baseline: str
    value: float
    unit: str
    target: float | None
    detail: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.target is None or (self.value >= self.target if self.at_least else self.value <= self.target)

    def __str__(self) -> str:
        goal = "" if self.target is None else f"{'≥' if self.at_least else '≤'} {self.target:g}{self.unit}"
        mark = " " if self.target is None else ("✓" if self.met else "✗")
        return (
            f"{mark} {self.what:<58} {self.value:>8.2f}{self.unit:<4} {goal:<12} {self.baseline}{'; ' + self.detail if self.detail else ''}"
        )


def best(times: int, call: Callable[[], object]) -> float:
    """The shortest of *times* runs of *call*, in seconds of this process; what disturbs a run only makes it longer."""
    shortest = math.inf
    for _ in range(times):
        gc.collect()
        begun = time.process_time()
        call()
        shortest = min(shortest, time.process_time() - begun)
    return shortest


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[max(0, math.ceil(len(values) * 0.99) - 1)]
