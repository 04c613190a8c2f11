"""Every public name is described in the reference, which is made from the code, and used in a guide."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import redrive
import redrive.testing

ROOT = Path(__file__).parents[2]
GUIDES = "\n".join(page.read_text() for page in sorted((ROOT / "docs/guide").glob("*.md")))
NAMES = sorted({*redrive.__all__, *redrive.testing.__all__})


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_stands_in_a_guide(name: str) -> None:
    assert re.search(rf"(?<![\w.]){name}\b", GUIDES), f"no page of docs/guide speaks of {name}"


def test_the_reference_is_what_the_docstrings_say() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs/reference.py"), "--check"], check=False)
    assert done.returncode == 0, "docs/reference.md is old: run `make docs`"


def test_every_public_name_has_a_docstring_in_the_reference() -> None:
    page = (ROOT / "docs/reference.md").read_text()
    entries = dict(re.findall(r"^### `(\w+)`\n\n```text\n.*?\n```\n\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    assert [name for name in NAMES if not entries.get(name, "").strip()] == []
