"""An app that cannot be loaded is told in a few lines, with the user's own line of source, and one exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.test_commands import Shell, run

__all__ = ["run"]

HELPER = "def explode():\n    raise RuntimeError('the database is not configured')\n"
SERVICE = "from redrive import AsyncDurableService\n"


@pytest.mark.parametrize(
    ("source", "name", "says", "line"),
    [
        ("import no_such_thing\n", "service", "ModuleNotFoundError: No module named 'no_such_thing'", "import no_such_thing"),
        ("from shop import no_such_name\n", "service", "ImportError: cannot import name 'no_such_name'", "from shop import no_such_name"),
        ("x = 1\n\ndef broken(:\n    pass\n", "service", "SyntaxError", "def broken(:"),
        ("def f():\n  x = 1\n   y = 2\n", "service", "IndentationError", "y = 2"),
        ("from helper import explode\n\nexplode()\n", "service", "RuntimeError: the database is not configured", "raise RuntimeError"),
        ("import os\n\nKEY = os.environ['NO_SUCH_KEY_AT_ALL']\n", "service", "KeyError: 'NO_SUCH_KEY_AT_ALL'", "KEY = os.environ["),
        ("import json\n\njson.loads('{')\n", "service", "JSONDecodeError", "json.loads('{')"),
        ("import sys\n\nsys.exit('not today')\n", "service", "SystemExit: not today", "sys.exit('not today')"),
        (f"{SERVICE}\nservice = AsyncDurableService('sqlite://', lease=0)\n", "service", "", "service = AsyncDurableService("),
        ("def service():\n    return 1 / 0\n", "service", "ZeroDivisionError: division by zero", "return 1 / 0"),
        ("def service(url):\n    return url\n", "service", "missing 1 required positional argument", ""),
        ("async def service():\n    return 1\n", "service", "is an async function", "plain function"),
        (f"{SERVICE}", "AsyncDurableService", "is the class AsyncDurableService", ""),
        ("service = 'sqlite:///shop.db'\n", "service", "is a str, not a DurableService", ""),
        ("def service():\n    return None\n", "service", "is a NoneType, not a DurableService", ""),
        ("servise = 1\n", "service", "has no 'service'", "did you mean servise?"),
        ("", "service", "has no 'service'", "app_module.py"),
        (
            "from redrive import DurableService\nwith DurableService('sqlite:///x.db') as service:\n    pass\n",
            "service",
            "was opened while its module was imported",
            '__name__ == "__main__"',
        ),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("verb", [["list"], ["worker"], ["replay"], ["show", "x"]], ids=lambda verb: verb[0])
def test_a_broken_app_is_told_in_five_lines(
    run: Shell, shop: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str, says: str, line: str, verb: list[str]
) -> None:
    (shop / "app_module.py").write_text(source)
    (shop / "helper.py").write_text(HELPER)
    for module in ("app_module", "helper"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert run(*verb, "--app", f"app_module:{name}") == 2
    assert says in run.err
    assert line in run.err
    assert len(run.err.splitlines()) <= 5, run.err
    assert "Traceback" not in run.err
    assert run.err.startswith("redrive: ")
    for module in ("app_module", "helper"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def test_a_broken_module_of_a_diagram_is_told_alike(run: Shell, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "app_module.py").write_text("import no_such_thing\n")
    monkeypatch.delitem(sys.modules, "app_module", raising=False)
    assert run("diagram", "app_module:process") == 2
    assert "No module named 'no_such_thing'" in run.err
    assert "app_module.py" in run.err
    assert run("diagram", "shop:proces_order") == 2
    assert "did you mean process_order?" in run.err
