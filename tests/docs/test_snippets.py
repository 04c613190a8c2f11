"""Every ```python block of the documents runs, and every file and target they name exists."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from redrive.testing import Play

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("interpreter/*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path) -> Iterator[str]:
    """The document's code, each block at the line where it stands, so that a traceback leads there."""
    text = document.read_text()
    for found in BLOCK.finditer(text):
        yield "\n" * text.count("\n", 0, found.start(1)) + found.group(1)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_snippets_of_a_document_run_from_top_to_bottom(
    document: Path, play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a snippet's orders.db is nobody's business
    module = ModuleType(f"snippets_{document.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(document):
        before = dict(module.__dict__)
        exec(compile(block, str(document), "exec", dont_inherit=True), module.__dict__)
        for name, value in list(module.__dict__.items()):
            if name.startswith("test_") and isinstance(value, FunctionType) and before.get(name) is not value:
                value(*[play][: value.__code__.co_argcount])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_make_targets_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)) <= targets


def test_the_first_workflow_of_the_readme_is_short() -> None:
    first = next(blocks(ROOT / "README.md")).strip("\n")
    assert len(first.splitlines()) <= 36
