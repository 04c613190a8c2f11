"""Who may import whom, and who may not be imported at all."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = {
    "asyncio",
    "time",
    "random",
    "os",
    "socket",
    "sqlite3",
    "threading",
    "logging",
    "cattrs",
    "redrive",
    "subprocess",
    "concurrent",
    "secrets",
}


def modules_after(code: str) -> set[str]:
    """The names in `sys.modules` after *code* ran in a fresh interpreter."""
    probe = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
    return set(run.stdout.split())


def test_starting_pytest_does_not_import_redrive(tmp_path: Path) -> None:
    lines = [
        "import sys",
        "def test_it():",
        "    assert 'redrive_pytest' in sys.modules",
        "    assert not {'redrive', 'redrive_interpreter'} & set(sys.modules)",
    ]
    (tmp_path / "test_it.py").write_text("\n".join(lines))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


def test_importing_redrive_starts_no_edge() -> None:
    loaded = modules_after("import redrive")
    assert not [
        name for name in loaded if name.startswith(("redrive.cli", "redrive.testing", "redrive_pytest", "argparse", "pytest", "svcs"))
    ]


def test_importing_the_kernel_imports_neither_redrive_nor_cattrs() -> None:
    loaded = modules_after("import redrive_interpreter")
    assert not [name for name in loaded if name.partition(".")[0] in {"redrive", "cattrs", "asyncio", "sqlite3"}]


@pytest.mark.parametrize("path", sorted((ROOT / "interpreter").rglob("*.py")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_kernel_names_no_clock_chance_or_io(path: Path) -> None:
    """As import-linter's contract, but of the text: also what is imported inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module]
        assert not PURE & {name.partition(".")[0] for name in names}, f"{path}:{getattr(node, 'lineno', 0)}"


LIFE = ROOT / "src" / "redrive" / "worker" / "life"
OUTSIDE_OF_LIFE = (PURE - {"redrive", "random"}) | {"contextvars", "gc", "random", "queue", "signal", "weakref"}
"""What the life of an execution must not name: its shell waits, logs and reads clocks for it."""


def impurities(text: str) -> set[str]:
    """What *text* imports, or calls, that the life of an execution must not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            ours = name.startswith("redrive.worker.") and not name.startswith(("redrive.worker.life.", "redrive.worker.outbox"))
            if name.partition(".")[0] in OUTSIDE_OF_LIFE or name.startswith("redrive.stores") or (ours and name != "redrive.worker.life"):
                found.add(name)
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}:
            found.add(node.attr)
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)):
            found.add("await")
    return found


@pytest.mark.parametrize("path", sorted(LIFE.glob("*.py")), ids=lambda path: path.stem)
def test_the_life_of_an_execution_waits_for_nothing_and_names_no_clock_or_store(path: Path) -> None:
    assert impurities(path.read_text()) == set()


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio",
        "def f():\n    from threading import Lock",
        "from redrive.stores.memory import MemoryStore",
        "from redrive.worker.shell import Shell",
        "from redrive.worker import loop",
        "at = datetime.now(UTC)",
        "async def f(): ...",
    ],
)
def test_what_the_life_of_an_execution_must_not_do_is_found(text: str) -> None:
    assert impurities(text)
    assert not impurities("from redrive.ports.store import Turn\nfrom redrive.worker import outbox\nfrom redrive.worker.life import bodies")


def test_no_other_file_is_called_as_one_of_the_kernel_is() -> None:
    """So that a traceback, an editor's tab and ``ls`` name one thing each."""
    files = [path for home in ("src", "interpreter") for path in (ROOT / home).rglob("*.py")]
    kernel = {path.name for path in files if "interpreter" in path.relative_to(ROOT).parts} - {"__init__.py", "errors.py"}
    named = Counter(path.name for path in files)
    assert {name: named[name] for name in kernel if named[name] > 1} == {}


def test_no_module_of_ours_is_long() -> None:
    """One module, one idea: argue past 300 lines, never past 450."""
    sizes = {path: len(path.read_text().splitlines()) for home in ("src", "interpreter") for path in (ROOT / home).rglob("*.py")}
    assert {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size > 450} == {}


@pytest.mark.parametrize("package", ["redrive", "redrive_interpreter"])
def test_what_is_public_is_sorted_and_exists(package: str) -> None:
    code = (
        f"import {package} as p; assert list(p.__all__) == sorted(p.__all__), sorted(p.__all__); [getattr(p, name) for name in p.__all__]"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60, cwd=ROOT)


@pytest.mark.parametrize("package", ["redrive", "redrive.testing", "redrive_interpreter"])
def test_what_is_imported_there_is_public(package: str) -> None:
    """Nothing is public by accident: what a package brings along stands in its ``__all__``."""
    module = importlib.import_module(package)
    ours = "redrive"
    brought = {name for name, value in vars(module).items() if str(getattr(value, "__module__", "")).startswith(ours)}
    assert {name for name in brought if not name.startswith("_")} - set(module.__all__) == set()


HOST_MODULES = re.compile(r"^\| ((?:`[\w.]+`(?:, | and its modules)?)+) \|", re.MULTILINE)


def host_modules() -> tuple[str, ...]:
    """The modules of the kernel that its README lists for hosts."""
    readme = (ROOT / "interpreter" / "README.md").read_text()
    section = readme[readme.index("## The host's API") : readme.index("**Machine.**")]
    return tuple(f"redrive_interpreter.{name}" for row in HOST_MODULES.findall(section) for name in re.findall(r"`([\w.]+)`", row))


def test_the_modules_for_hosts_exist() -> None:
    assert len(host_modules()) > 10
    for name in host_modules():
        importlib.import_module(name)


def test_the_runtime_uses_what_the_kernel_offers_to_every_host() -> None:
    import redrive_interpreter

    offered = host_modules()
    packages = tuple(f"{name}." for name in offered if name.rpartition(".")[2] in ("commands", "history"))
    reached: dict[str, set[str]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        used: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "redrive_interpreter":
                used |= {f"{node.module}.{alias.name}" for alias in node.names if alias.name not in redrive_interpreter.__all__}
            elif isinstance(node, ast.ImportFrom) and node.module in ("redrive_interpreter.machine", "redrive_interpreter.replay"):
                used |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("redrive_interpreter."):
                used.add(str(node.module))
            elif isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names if alias.name.startswith("redrive_interpreter")}
        if more := {name for name in used if name not in offered and not name.startswith(packages)}:
            reached[str(path.relative_to(ROOT))] = more
    assert reached == {}


CONTRACT = """
All AsyncDurableService Attribute Branch Cancelled CancelChild ChildFailed ChildTimeout CodecError Command CompensationFailed
Commit ContinueAs DefinitionError DurableService Emit Err Event Execution ExecutionCancelled ExecutionConflict ExecutionFailed
ExecutionFinished ExecutionNotFound Flow Info Invocation Join Map NewId NoBranch Note Now Ok Patch Race Random ReservedId
Retry RetryAfter Rollback RunChild RunInfo SendSignal SetAttribute Settle Signal SignalTimeout Sleep Spawn StartChild Step
StepFailed StepId StepInterrupted StepTimeout Switch Task WaitChild WaitSignal Won Workflow current_step inject step workflow
"""


def test_every_name_that_the_guide_speaks_of_is_public() -> None:
    import redrive

    assert set(CONTRACT.split()) <= set(redrive.__all__)
