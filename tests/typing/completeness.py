"""The types of the public interface are known to every type checker: ``pyright --verifytypes``, held to a bound for each package.

Run by ``make check``. A package's score is the share of its symbols whose types are written out; it must not fall.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

LEAST: Final = {"redrive_interpreter": 1.0, "redrive": 0.90}
"""The least score of each package, from 0 to 1: the kernel's is whole, redrive's was measured and may only rise."""


def report(package: str) -> dict[str, object]:
    """What pyright says of *package*, as it is installed for the Python that runs here."""
    bin = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}
    command = [str(bin / "pyright"), "--verifytypes", package, "--ignoreexternal", "--outputjson"]
    with tempfile.TemporaryDirectory() as elsewhere:  # in the project's own folder pyright looks at the sources, not at the package
        run = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    found: dict[str, object] = json.loads(run.stdout)["typeCompleteness"]
    return found


def main() -> int:
    failed = False
    for package, least in LEAST.items():
        found = report(package)
        score, counts = found["completenessScore"], found["exportedSymbolCounts"]
        assert isinstance(score, (int, float))
        assert isinstance(counts, dict)
        enough = score >= least and counts["withKnownType"] > 0
        print(f"{package}: types of {score:.1%} of {sum(counts.values()):,} public symbols are known (at least {least:.0%})")
        if not enough:
            failed = True
            for symbol in found["symbols"]:  # type: ignore[attr-defined]
                if symbol["isExported"] and (not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]):
                    print("  ", symbol["name"], *(one["message"].splitlines()[0] for one in symbol["diagnostics"][:1]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
