"""Recorded histories as tests of a user's project, in a pytest of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from redrive import Flow, Note, Sleep, step, workflow
from redrive.codec import JsonCodec
from redrive.gate import check
from redrive.histories import BrokenFile, load_app, named, read, redact, write
from redrive.testing import play
from redrive_interpreter import dump_row

SHOP = """
from redrive import DurableService, Flow, Sleep, step, workflow

@step
def charge(order: str) -> str: ...

@workflow("shop.process")
def process(order: str) -> Flow[str]:
    charged = yield from charge(order)
    yield from Sleep(60)
    return charged

workflows = [process]

def service():
    return DurableService("memory://", workflows=workflows)
"""


@step
def charge(order: str) -> str: ...


@workflow("shop.process")
def process(order: str) -> Flow[str]:
    charged = yield from charge(order)
    yield from Sleep(60)
    return charged


@step
def mail(to: str, text: str) -> str: ...


@workflow("shop.greet")
def greet(email: str, name: str, age: int) -> Flow[str]:
    yield from Note(f"greeting {name}", to=email)
    sent = yield from mail(email, f"Dear {name}")
    return f"{sent} to {email}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "pytest.ini").write_text("[pytest]\nredrive_app = shop:service\npythonpath = .\n")
    (tmp_path / "histories").mkdir()
    write(tmp_path / "histories" / "order-1.jsonl", map(dump_row, play(process("o-1"), answers={charge: "ch"}).history))
    return tmp_path


def run_pytest(project: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(project), *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=project)
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize("app", ["shop:service", "shop:process", "shop:workflows"])
def test_each_file_in_histories_is_a_test(project: Path, app: str) -> None:
    (project / "pytest.ini").write_text(f"[pytest]\nredrive_app = {app}\npythonpath = .\n")
    code, out = run_pytest(project, "-v")
    assert code == 0, out
    assert "histories/order-1.jsonl::order-1 PASSED" in out
    assert "1 passed" in out


def test_a_history_that_the_code_no_longer_follows_fails_with_the_diff(project: Path) -> None:
    (project / "shop.py").write_text(SHOP.replace("    charged = yield", "    yield from Sleep(1)\n    charged = yield"))
    code, out = run_pytest(project)
    assert code == 1, out
    assert "> step charge" in out
    assert "│ sleep" in out
    assert 'if (yield from Patch("add-sleep")):' in out
    assert "Traceback" not in out


def test_without_an_app_the_test_says_what_to_write(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\n")
    code, out = run_pytest(project)
    assert code == 1, out
    assert "redrive_app = module:service" in out


def test_an_app_that_is_none_is_said_so(project: Path) -> None:
    for app, says in [("shop", "does not name"), ("shop:nothing", "has no 'nothing'"), ("shop:charge", "neither a service")]:
        (project / "pytest.ini").write_text(f"[pytest]\nredrive_app = {app}\npythonpath = .\n")
        code, out = run_pytest(project)
        assert code == 1
        assert says in out


def test_a_broken_file_names_its_line(project: Path) -> None:
    with (project / "histories" / "order-1.jsonl").open("a") as file:
        file.write('{"row": "fired"}\n')
    code, out = run_pytest(project)
    assert code == 1, out
    assert "order-1.jsonl:7: a 'fired' row without 'key'" in out


def test_other_json_lines_are_not_ours(project: Path) -> None:
    (project / "histories" / "order-1.jsonl").write_text('{"event": "started"}\n')
    (project / "data.jsonl").write_text('{"row":"started"}\n')
    (project / "test_it.py").write_text("def test_it(): pass\n")
    code, out = run_pytest(project)
    assert code == 0, out
    assert "1 passed" in out


def test_collecting_does_not_import_redrive(project: Path) -> None:
    (project / "conftest.py").write_text(
        "import sys\n"
        "def pytest_collection_finish():\n"
        "    assert 'redrive_pytest' in sys.modules\n"
        "    assert not {'redrive', 'redrive_interpreter'} & set(sys.modules)\n"
    )
    code, out = run_pytest(project, "--collect-only")
    assert code == 0, out
    assert "1 test collected" in out


# ── files and redaction ─────────────────────────────────────────────────────────────────────────
def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [dump_row(row) for row in play(process("ü\n"), answers={charge: "ch"}).history]
    write(tmp_path / "a.jsonl", rows)
    assert read(tmp_path / "a.jsonl") == rows
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == len(rows)


@pytest.mark.parametrize(
    ("text", "says"), [("", "begins with"), ("[]\n", ":1: not the object"), ("{\n", ":1: not JSON"), ('{"row":"x"}', "does not know")]
)
def test_what_is_no_history_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(BrokenFile, match=says):
        read(tmp_path / "a.jsonl")


def test_redaction_follows_a_text_wherever_it_went_and_the_history_still_replays() -> None:
    run = play(greet("ada@example.org", "Ada", 36), answers={mail: "sent"}, id="for-ada@example.org")
    rows = [dump_row(row) for row in run.history]
    assert "ada@example.org" in json.dumps(rows)
    redacted = redact(rows, named(["email", "name", "age"]))
    text = json.dumps(redacted)
    assert "ada@" not in text
    assert "Ada" not in text
    assert redacted[0]["input"] == {"email": "redacted-1", "name": "redacted-2", "age": 0}
    assert redacted[0]["workflow"] == "shop.greet"
    assert check({"shop.greet": greet}, redacted, JsonCodec()) is None


def test_redaction_leaves_alone_what_it_was_not_told_of() -> None:
    rows = [dump_row(row) for row in play(greet("ada@example.org", "Ada", 36), answers={mail: "sent"}).history]
    assert redact(rows, named(["card"])) == rows
    assert redact(rows, lambda name, value: value) == rows


def test_a_hook_of_the_users_own_may_put_anything() -> None:
    rows = [dump_row(row) for row in play(greet("ada@example.org", "Ada", 36), answers={mail: "sent"}).history]
    redacted = redact(rows, lambda name, value: "x@example.org" if isinstance(value, str) and "@" in value else value)
    assert redacted[0]["input"]["email"] == "x@example.org"
    assert "ada@" not in json.dumps(redacted)


def test_several_apps_are_one() -> None:
    app = load_app([f"{__name__}:process", f"{__name__}:greet"])
    assert set(app.workflows) == {"shop.process", "shop.greet"}
