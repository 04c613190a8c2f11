"""The identity of a build: all code that the workflows' modules import from their own distribution or folder (D2)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from redrive import build as builds

MODELS = "import attrs\n\n@attrs.frozen\nclass Charge:\n    id: str\n"
FLOWS = """
    from redrive import Flow, step, workflow
    from models import Charge

    @step
    def charge() -> Charge: ...

    @workflow("shop.process")
    def process() -> Flow[Charge]:
        return (yield from charge())
"""
SAY = "import sys; from redrive.build import digest; from {module} import process; print(digest([process]))"


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write modules, by their dotted names."""
    for name, text in files.items():
        path = folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return folder


def build(*folders: Path, module: str = "flows") -> str:
    """The build that a process with *folders* on its path computes."""
    code = f"import sys; sys.dont_write_bytecode = True; sys.path[:0] = {[str(folder) for folder in folders]!r}; " + SAY.format(
        module=module
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_repair_in_a_module_that_the_workflows_import_is_another_build(tmp_path: Path) -> None:
    write(tmp_path, {"flows": FLOWS, "models": MODELS})
    before = build(tmp_path)
    assert build(tmp_path) == before
    write(tmp_path, {"models": MODELS.replace("id: str", "id: str | int")})
    assert build(tmp_path) != before


@pytest.mark.parametrize(
    "imports",
    [
        "from shop import rates",
        "from shop.rates import TAX",
        "import shop.rates",
        "import os, shop.rates as r",
        "from . import rates",
        "from .rates import TAX",
        "from . import (\n    rates,  # what is due\n)",
        "from .\\\n    rates import TAX",
        "from shop.deep import more",
        "from .deep.more import rates",
        "from .deep import *",
        "def late():\n    from .rates import TAX",
        "if True: from . import rates",
        "import importlib\nimportlib.import_module('shop.rates')",
        "import importlib\nimportlib.import_module('.rates', __package__)",
    ],
)
def test_every_spelling_of_an_import_is_followed(tmp_path: Path, imports: str) -> None:
    flow = 'from redrive import workflow\n{}\n\n@workflow("shop.process")\ndef process():\n    yield from ()\n'
    write(tmp_path, {"shop.__init__": "", "shop.flows": flow.format(imports), "shop.rates": "TAX = 19\n"})
    write(tmp_path, {"shop.deep.__init__": "from .more import rates\n", "shop.deep.more": "from ..  import rates\n"})
    before = build(tmp_path, module="shop.flows")
    write(tmp_path, {"shop.rates": "TAX = 20\n"})
    assert build(tmp_path, module="shop.flows") != before, "a constant is code, too"


def test_modules_that_import_each_other_and_packages_on_the_way_count(tmp_path: Path) -> None:
    flow = 'from redrive import workflow\nfrom shop.a.b import x\n\n@workflow("shop.process")\ndef process():\n    yield from ()\n'
    shop = {
        "shop.__init__": "",
        "shop.flows": flow,
        "shop.a.__init__": "",
        "shop.a.b": "import shop.c\nx = 1\n",
        "shop.c": "import shop.a.b\n",
    }
    write(tmp_path, shop)
    seen = {build(tmp_path, module="shop.flows")}
    for changed in ("shop.a.__init__", "shop.c", "shop.__init__"):
        write(tmp_path, {changed: shop[changed] + "changed = True\n"})
        seen.add(build(tmp_path, module="shop.flows"))
    assert len(seen) == 4


def test_what_is_not_imported_and_what_lies_elsewhere_is_no_part_of_it(tmp_path: Path) -> None:
    app = write(tmp_path / "app", {"flows": FLOWS, "models": MODELS + "\nimport helpers\n"})
    library = write(tmp_path / "lib", {"helpers": "x = 1\n"})
    before = build(app, library)
    write(app, {"unrelated": "from flows import process\n"})
    write(library, {"helpers": "x = 2\n"})
    assert build(app, library) == before


def test_the_place_of_the_folder_makes_no_difference(tmp_path: Path) -> None:
    """Two hosts, or a container and the next one."""
    one, two = tmp_path / "srv" / "release-1", tmp_path / "opt" / "release-2"
    for folder in (one, two):
        write(folder, {"flows": FLOWS, "models": MODELS})
    assert build(one) == build(two)


def test_a_program_is_the_same_build_as_the_module_of_its_name(tmp_path: Path) -> None:
    """`python app.py` beside `redrive worker app:service`."""
    program = FLOWS + '\n    if __name__ == "__main__":\n        from redrive.build import digest\n        print(digest([process]))\n'
    write(tmp_path, {"app": program, "models": MODELS})
    done = subprocess.run([sys.executable, str(tmp_path / "app.py")], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == build(tmp_path, module="app"), done.stderr


def test_packages_of_one_installed_distribution_belong_together_and_others_do_not(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    flows = FLOWS.replace("from models", "import stranger\n    from models")
    write(site, {"shop.__init__": "", "shop.flows": flows, "models": MODELS, "stranger": "x = 1\n"})
    info = site / "shop-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (info / "RECORD").write_text("shop/__init__.py,,\nshop/flows.py,,\nmodels.py,,\n")
    before = build(site, module="shop.flows")
    write(site, {"stranger": "x = 2\n"})
    assert build(site, module="shop.flows") == before
    write(site, {"models": MODELS.replace("id: str", "id: str | int")})
    assert build(site, module="shop.flows") != before


def test_a_release_of_redrive_that_reads_what_is_stored_otherwise_is_another_build(monkeypatch: pytest.MonkeyPatch) -> None:
    from redrive import workflow

    @workflow("build.some")
    def flow():  # type: ignore[no-untyped-def]
        yield from ()

    before = builds.digest([flow])
    monkeypatch.setattr(builds, "STORAGE_RELEASE", builds.STORAGE_RELEASE + 1)
    assert builds.digest([flow]) != before
