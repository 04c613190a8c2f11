"""`redrive demo`: an order whose worker is killed three times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_demo_survives_three_kills_and_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "redrive.cli", "demo", "--dir", str(tmp_path / "demo")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("kill -9") == 3
    assert "the card was charged once; the body of charge ran twice" in run.stdout
    assert "The order survived." in run.stdout
    calls = [json.loads(line) for line in (tmp_path / "demo" / "payments.jsonl").read_text().splitlines()]
    assert [call["charged"] for call in calls] == [True, False]
    assert len({call["key"] for call in calls}) == 1
    assert len({call["caller"] for call in calls}) == 2


def test_the_demo_does_not_write_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    command = [sys.executable, "-m", "redrive.cli", "demo", "--dir", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "is not empty" in run.stderr
