"""What is installed is what the tests saw: three packages, their types, and every file of SQL."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"redrive": "src", "redrive_pytest": "src", "redrive_interpreter": "interpreter"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (built,) = target.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_has_the_three_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_each_package_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


def test_every_source_file_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    wanted = {
        str(path.relative_to(ROOT / home))
        for package, home in PACKAGES.items()
        for path in (ROOT / home / package).rglob("*")
        if path.suffix in (".py", ".sql")
    }
    assert wanted <= set(wheel.namelist())


def test_the_licence_and_the_entry_points_are_there(wheel: zipfile.ZipFile) -> None:
    named = {name.rpartition("/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "LICENSE" in named
    entries = wheel.read(named["entry_points.txt"]).decode()
    assert "redrive = redrive.cli:main" in entries
    assert "[pytest11]\nredrive = redrive_pytest" in entries


def test_the_core_needs_attrs_cattrs_and_cronsim_alone(wheel: zipfile.ZipFile) -> None:
    metadata = message_from_string(next(wheel.read(n).decode() for n in wheel.namelist() if n.endswith("/METADATA")))
    core = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert sorted(need.split(">")[0] for need in core) == ["attrs", "cattrs", "cronsim"]


def test_the_wheel_works_from_a_plain_directory(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = f"""
import sys
sys.path[:] = [p for p in sys.path if p not in ({str(ROOT / "src")!r}, {str(ROOT / "interpreter")!r})]
sys.path.insert(0, {str(tmp_path)!r})
import redrive, redrive_interpreter, redrive_pytest
assert all(m.__file__.startswith({str(tmp_path)!r}) for m in (redrive, redrive_interpreter, redrive_pytest))
@redrive.workflow("w")
def flow(n: int) -> redrive.Flow[int]:
    yield from redrive.Sleep(0)
    return n + 1
with redrive.DurableService("sqlite:///" + {str(tmp_path / "x.db")!r}, workflows=[flow]) as service:
    assert service.execute(flow(1)) == 2
"""
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60, cwd=tmp_path)


def test_the_long_description_has_no_link_beside_it(wheel: zipfile.ZipFile) -> None:
    metadata = message_from_string(next(wheel.read(n).decode() for n in wheel.namelist() if n.endswith("/METADATA")))
    text = str(metadata.get_payload())
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Changelog", "Source", "Issues"} <= set(urls)
