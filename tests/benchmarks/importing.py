"""How long `import redrive` takes, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.benchmarks.timing import Result, median


def measure() -> list[Result]:
    theirs, ours = "import attrs, cattrs, sqlite3, asyncio", "import redrive"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {theirs: [], ours: [], "pass": []}
    for _ in range(25):
        for code in times:
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=environment)
            times[code].append(time.perf_counter() - begun)
    empty = median(times["pass"])
    baseline, taken = median(times[theirs]) - empty, median(times[ours]) - empty
    return [Result("import redrive", f"{theirs}, {baseline * 1e3:.0f} ms", taken / baseline, "x", 1.6, f"{taken * 1e3:.0f} ms")]
