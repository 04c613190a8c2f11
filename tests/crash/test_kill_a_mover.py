"""W3: who moves a store dies at any point, and nothing is lost: one of the stores is whole, and the other says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_mover_killed_at_any_point_leaves_a_store_that_is_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.movers", str(tmp_path / "moves"), "12", "1"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)
    assert [report for report in reports if report["wrong"]] == []
    assert all(report["killed"] for report in reports)
    states = [report["state"] for report in reports]
    assert states.count("unfinished") >= 12
    assert "both" in states, "some kill must land between the end of the target and that of the source"
    assert "moved" in states, "some kill must land after the end"
