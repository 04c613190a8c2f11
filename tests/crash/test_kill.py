"""S1, S2, E1, W5: the process dies at 200 and more sampled points, and the result is right every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

SEEDS = 40
SHARDS, POINTS = 8, 14
"""Each shard kills at so many lines and so many syncs: more than 200 kills together."""


def _sweep(folder: Path, points: int, seed: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.nursery", str(folder / "lives"), str(points), str(seed)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _wrong(report: dict[str, Any]) -> list[Any]:
    return [each for each in report["reports"] if each["wrong"]]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_any_point_changes_nothing(tmp_path: Path, shard: int) -> None:
    report = _sweep(tmp_path, POINTS, shard)
    assert report["counts"]["before"] >= 6, "every commit syncs, so there must be some"
    assert len(report["reports"]) >= POINTS
    assert sum(each["killed"] for each in report["reports"]) >= POINTS
    assert _wrong(report) == []
    doubled = [each["doubled"] for each in report["reports"]]
    assert 0 in doubled, "some kill must land where nothing is done twice"
    assert set(doubled) <= {0, 1}, "a step is done again once, if the kill landed between its effect and its record"


@pytest.mark.crash_full
@pytest.mark.timeout(0)
def test_a_kill_at_any_of_two_thousand_points_changes_nothing(tmp_path: Path) -> None:
    """All seeds, or as many as begin within CRASH_SECONDS, another first one each day."""
    limit, first, begun = float(os.environ.get("CRASH_SECONDS", "inf")), datetime.now(UTC).toordinal() % SEEDS, time.monotonic()
    doubled = set[int]()
    for n in range(SEEDS):
        if time.monotonic() - begun > limit:
            break
        seed = 100 + (first + n) % SEEDS
        report = _sweep(tmp_path / str(seed), 50, seed)
        assert _wrong(report) == []
        doubled |= {each["doubled"] for each in report["reports"]}
    assert 1 in doubled, "some kill must land between an effect and its record"
