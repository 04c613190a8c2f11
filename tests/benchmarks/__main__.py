"""``python -m tests.benchmarks [kernel] [service] [gate] [kit] [import]``: all of them without arguments."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks import gate, importing, kernel, kit, service


def main(wanted: list[str]) -> int:
    everything = not wanted
    missed = 0
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:  # on this disk, not in memory
        parts = {
            "kernel": kernel.measure,
            "service": lambda: service.measure(Path(folder)),
            "gate": lambda: gate.measure(Path(folder)),
            "kit": kit.measure,
            "import": importing.measure,
        }
        for name, measure in parts.items():
            if everything or name in wanted:
                for result in measure():
                    print(result, flush=True)
                    missed += not result.met
    print(f"{missed} of the targets missed" if missed else "all targets met")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
