"""Every ```python block of the documents runs, and every file and target they name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from redrive.testing import Play

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("interpreter/*.md")])
SITE = "https://github.com/redrive/redrive/blob/main/"
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
    home = ROOT if document.name.startswith("+") else document.parent  # a change note will stand in the changelog
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (home / target).exists(), target


def test_every_change_note_is_one_that_the_changelog_takes() -> None:
    notes = {path.name for path in (ROOT / "docs/changes").iterdir()} - {"README.md"}
    assert [name for name in notes if not re.fullmatch(r"\+[a-z0-9-]+\.change\.md", name)] == []


def test_the_links_of_the_readme_lead_somewhere_from_everywhere() -> None:
    """The long description of a package has no files beside it."""
    links = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text())
    assert links
    for target in links:
        assert target.startswith(SITE), target
        assert (ROOT / target.removeprefix(SITE)).exists(), target


@pytest.mark.parametrize("document", [ROOT / "README.md", ROOT / "docs/guide/getting-started.md"], ids=lambda path: path.stem)
def test_the_first_program_of_a_document_may_be_run_twice_and_says_something(document: Path, tmp_path: Path) -> None:
    program = tmp_path / "orders.py"
    first = blocks(document)
    program.write_text("\n".join([next(first), next(first)]) if document.stem != "README" else next(first))
    for _ in range(2):
        ran = subprocess.run([sys.executable, program.name], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "approved by Ada" in ran.stdout or "received 900" in ran.stdout


def test_what_the_readme_made_can_be_shown_by_its_module(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(next(blocks(ROOT / "README.md")))
    ran = subprocess.run([sys.executable, "orders.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    id = ran.stdout.partition(":")[0]
    shown = subprocess.run(
        [sys.executable, "-m", "redrive", "show", id, "--app", "orders:service"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert shown.returncode == 0, shown.stderr
    assert "completed" in shown.stdout


def test_the_make_targets_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)) <= targets


def test_the_first_workflow_of_the_readme_is_short() -> None:
    first = next(blocks(ROOT / "README.md")).strip("\n")
    assert len(first.splitlines()) <= 36
