"""Which functions are looked at, through which names, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from redrive.cli import main
from redrive.lint import RULES, chosen, lint, lint_sources, table

Codes = Callable[..., list[str]]
ROOT = Path(__file__).parents[2]
BAD = "    yield from charge(time.time())"
MEANT = {
    "tests/benchmarks/kit.py": {"RD102"},
    "tests/interpreter/test_bugs.py": {"RD303"},
    "tests/interpreter/test_continue_as.py": {"RD301"},
    "tests/interpreter/test_divergence.py": {"RD303"},
    "tests/interpreter/test_step_results.py": {"RD109"},  # counts what ran
    "tests/interpreter/test_putting_away.py": {"RD301", "RD303"},
    "tests/interpreter/test_rollback.py": {"RD303"},
    "tests/runtime/programs/dies.py": {"RD104", "RD108"},  # dies in the middle of a turn
    "tests/runtime/test_inspection.py": {"RD106", "RD107"},  # looks where it is replayed
    "tests/runtime/test_long_turns.py": {"RD101", "RD106", "RD107"},  # is slow, and says where
    "tests/runtime/test_rules_ownership.py": {"RD303"},
    "tests/runtime/test_service_start.py": {"RD109"},  # fails the first time
    "tests/runtime/test_worker_parts.py": {"RD101"},
    "tests/testing/test_crashes.py": {"RD101", "RD102"},
    "tests/testing/test_mutations.py": {"RD109"},  # keeps answers in a global
    "tests/testing/test_purity.py": {"RD101", "RD102", "RD103", "RD108", "RD304"},
    "tests/testing/test_unyielded.py": {"RD201", "RD202"},
    "tests/typing/refused.py": {"RD105"},  # never run
}
"""Tests that break these rules on purpose, to see what comes of it."""


def found(source: str, **others: str) -> list[str]:
    sources = {"shop.py": source} | {f"{name}.py": text for name, text in others.items()}
    return [str(finding) for finding in lint_sources({path: text.encode() for path, text in sources.items()})]


def test_no_false_alarm_on_our_own_code() -> None:
    # A test that breaks a rule on purpose says so with a noqa comment, or stands in MEANT.
    alarms = lint([ROOT / name for name in ("examples", "tests", "src", "interpreter")])
    assert [str(alarm) for alarm in alarms if alarm.code not in MEANT.get(str(Path(alarm.path).relative_to(ROOT)), ())] == []


@pytest.mark.parametrize(
    "head",
    [
        "from redrive import workflow\n@workflow\ndef w():",
        "from redrive import workflow\n@workflow('w', queue='q')\ndef w():",
        "import redrive\n@redrive.workflow\ndef w():",
        "from redrive import *\n@workflow\ndef w():",
        "import redrive\nclass Shop:\n  @staticmethod\n  @redrive.workflow\n  def w():",
        "import redrive as r\n@r.workflow('w')\ndef w():",
        "from redrive import workflow as flow\n@flow()\ndef w():",
        "from redrive_interpreter.commands.workflows import workflow\n@workflow\ndef w():",
        "from redrive import Flow\ndef helper() -> Flow[int]:",
        "from redrive import Flow\ndef helper() -> 'Flow[int]':",
        "from collections.abc import Generator\nfrom redrive import Command\ndef h() -> Generator[Command[int], int, int]:",
    ],
)
def test_a_workflow_is_known_by_its_decorator_and_a_helper_by_its_annotation(head: str) -> None:
    assert len(found(f"import time\n{head}\n    yield time.time()\n")) == 1


@pytest.mark.parametrize(
    "head",
    [
        "from celery import workflow\n@workflow\ndef w():",
        "from redrive import step\n@step\ndef w():",
        "def w():",
        "def workflow(f): return f\n@workflow\ndef w():",
        "from collections.abc import Generator\ndef w() -> Generator[int, None, None]:",
    ],
)
def test_other_functions_are_not_looked_at(head: str) -> None:
    assert found(f"import time\n{head}\n    yield time.time()\n") == []


def test_a_step_is_known_where_it_is_imported() -> None:
    steps = "from redrive import step\n@step\ndef charge(o): ...\n"
    workflow = (
        "from redrive import workflow\nfrom steps import charge as pay\nimport steps\n@workflow\ndef w(o):\n    pay(o)\n    yield from ()\n"
    )
    assert [line.split(" (")[0] for line in found(workflow, steps=steps)] == [
        "shop.py:6:5: RD201 pay(…) is built and dropped: nothing runs"
    ]
    again = workflow.replace("pay(o)", "steps.charge(o)")
    assert len(found(again, steps=steps)) == 1
    through = workflow.replace("from steps import charge as pay", "from prelude import charge as pay")
    assert len(found(through, steps=steps, prelude="from steps import charge")) == 1


def test_redrive_is_known_through_a_prelude_of_the_users_own() -> None:
    source = "import time\nfrom prelude import durable\n@durable('w')\ndef w():\n    yield time.time()\n"
    assert len(found(source, prelude="from redrive import workflow as durable")) == 1


def test_relative_imports_lead_to_their_package(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "steps.py").write_text("from redrive import step\n@step\ndef charge(o): ...\n")
    (package / "flows.py").write_text(
        "from redrive import workflow\nfrom .steps import charge\n@workflow\ndef w(o):\n    charge(o)\n    yield\n"
    )
    assert [finding.code for finding in lint([tmp_path])] == ["RD201"]


def test_a_helper_that_says_nothing_of_what_it_returns_is_known_by_what_it_yields() -> None:
    source = """\
from redrive import step, workflow
@step
def charge(o): ...
def deep(o):
    yield from charge(o)
def again(o):
    yield from again(o)
    yield from deep(o)
def numbers(o):
    yield 1
@workflow
def w(o):
    def inside():
        yield from charge(o)
    inside()
    deep(o)
    again(o)
    numbers(o)
    yield from inside()
    yield from again(o)
    return deep(o)
"""
    assert [line.split(" (")[0] for line in found(source)] == [
        "shop.py:15:5: RD201 inside(…) is built and dropped: nothing runs",
        "shop.py:16:5: RD201 deep(…) is built and dropped: nothing runs",
        "shop.py:17:5: RD201 again(…) is built and dropped: nothing runs",
        "shop.py:21:12: RD204 deep(…) is returned un-yielded: the execution ends as a bug",
    ]


def test_what_a_workflow_calls_must_be_as_pure() -> None:
    source = """\
import time
from redrive import step, workflow
@step
def charge(o): ...
def price(o):
    return rate(o)
def rate(o):
    return time.time()
def part(o):
    charge(o)
    yield from charge(o)
def nobody():
    return time.time()
@workflow
def w(o):
    price(o)
    yield from part(o)
"""
    assert [line.split(" (")[0] for line in found(source)] == [
        "shop.py:8:12: RD101 time.time() in rate(), which workflow w calls, reads a clock, which says something else on replay",
        "shop.py:10:5: RD201 charge(…) is built and dropped: nothing runs",
    ]


@pytest.mark.parametrize(
    ("comment", "says"),
    [("# noqa", 0), ("# noqa: RD101", 0), ("# noqa: E501, RD101", 0), ("# NOQA:RD101", 0), ("# noqa: RD102", 1), ("# no", 1)],
)
def test_a_comment_says_that_it_is_meant(codes: Codes, comment: str, says: int) -> None:
    assert len(codes(f"at = time.time()  {comment}\nyield from ()")) == says


def test_noqa_inside_a_string_is_text(codes: Codes) -> None:
    assert codes("at = time.strftime('# noqa')\nyield from ()") == ["RD101"]


def test_a_file_that_is_no_python_is_one_finding() -> None:
    assert [line.split(" RD")[0] for line in found("x = 1\ndef (:\n")] == ["shop.py:2:5:"]
    assert found("x = '\0'")[0].startswith("shop.py:1:1: RD001")


def test_columns_count_characters() -> None:
    source = "import time\nfrom redrive import workflow\n@workflow\ndef w():\n    x = 'ü', time.time()\n    yield\n"
    assert found(source)[0].startswith("shop.py:5:14: ")


def test_rules_are_chosen_by_code_or_prefix() -> None:
    assert chosen(["RD101"]) == {"RD101"}
    assert chosen(["RD3"], ["RD303"]) == {code for code in RULES if code.startswith("RD3")} - {"RD303"}
    assert chosen() == set(RULES) - {"RD203"}
    with pytest.raises(ValueError, match="RD9"):
        chosen(["RD9"])


def test_the_command_prints_one_line_a_finding_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = tmp_path / "shop.py"
    shop.write_text("import time\nfrom redrive import workflow\n@workflow\ndef w():\n    yield time.time()\n")
    assert main(["lint", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{shop}:5:11: RD101 time.time() {RULES['RD101'].problem} ({RULES['RD101'].fix})\n"
    assert main(["lint", "--json", str(shop)]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "RD101"
    assert main(["lint", "--ignore", "RD2,RD101", str(shop)]) == 0
    assert main(["lint", "--select", "RD2", str(shop)]) == 0
    assert main(["lint", "--select", "nonsense", str(shop)]) == 2
    assert main(["lint", str(tmp_path / "nothing.py")]) == 2


def test_the_rules_are_printed_and_are_those_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["lint", "--rules"])
    assert capsys.readouterr().out == table() + "\n"
    assert table() in (ROOT / "docs/guide/linting.md").read_text()


def test_a_file_that_must_not_be_imported_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise SystemExit('imported')\n")
    assert lint([tmp_path]) == []
