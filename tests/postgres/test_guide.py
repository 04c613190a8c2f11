"""What docs/guide/postgres.md says to run is run: the roles and grants, the questions to the tables, start_in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psycopg
import pytest

from redrive import DurableService, Flow, Signal, WaitSignal, step, workflow
from redrive.cli import main
from tests.cli.test_commands import until
from tests.postgres.server import Server

GUIDE: Final = (Path(__file__).parents[2] / "docs/guide/postgres.md").read_text(encoding="utf-8")
FENCED: Final = re.compile(r"^```(sql|shell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHERE: Final = re.compile(r"-- in (\w+), as (?:an )?(\w+)(?:: (.*))?")
ROLES: Final = ("redrive_reader", "redrive_app", "redrive_owner")

go = Signal("guide.go")


@step
def work(number: int) -> int:
    return number


@workflow("guide.work")
def works(number: int) -> Flow[int]:
    yield from work(number)
    yield from WaitSignal(go)
    return number


@workflow("guide.nobodys")
def nobodys(number: int) -> Flow[int]:
    yield from work(number)
    return number


class Shop:
    """The database that the guide's blocks make, as they are run."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._passwords = {"administrator": "secret"}

    def url(self, role: str, **options: object) -> str:
        return self._server.url(schema="redrive", user=role, password=self._passwords[role], database="shop", **options)

    def connect(self, role: str, database: str = "shop") -> psycopg.Connection[Any]:
        user = self._server.user if role == "administrator" else role
        url = self._server.url(schema="", user=user, password=self._passwords[role], database=database)
        return psycopg.connect(url.partition("?")[0], autocommit=True)

    def ask(self, block: str) -> list[tuple[Any, ...]]:
        """Run a block where and as whom its first line says; what the last statement gives."""
        where = WHERE.match(block)
        assert where is not None, block
        self._passwords.update(re.findall(r"CREATE ROLE (\w+) LOGIN PASSWORD '(.*)'", block))
        found: list[tuple[Any, ...]] = []
        with self.connect(where[2], where[1]) as connection:
            for statement in re.split(r";\n", block.strip()):
                cursor = connection.execute(statement.encode())
                found = [] if cursor.description is None else cursor.fetchall()
        return found

    def set_up(self) -> None:
        for language, block in FENCED.findall(GUIDE):
            if language == "shell":
                if block.startswith("redrive prepare-store"):
                    assert main(["prepare-store", self.url("redrive_owner")]) == 0
            elif not block.startswith("-- in shop, as redrive_reader"):
                self.ask(block)

    def watch(self) -> dict[str, list[tuple[Any, ...]]]:
        """What each of the reader's questions gives, by the first words that say what it is about."""
        blocks = [block for language, block in FENCED.findall(GUIDE) if language == "sql" and "as redrive_reader" in block]
        answers = {}
        for block in blocks:
            where = WHERE.match(block)
            assert where is not None
            answers[re.split(r"[,;(]", where[3])[0].strip()] = self.ask(block)
        return answers


@pytest.fixture(scope="module")
def made(postgres: Server) -> Iterator[Shop]:
    shop = Shop(postgres)
    shop.set_up()
    yield shop
    postgres.execute("DROP DATABASE shop WITH (FORCE)", *(f"DROP ROLE {role}" for role in ROLES))


def test_workers_and_clients_need_no_more_than_the_guide_grants(made: Shop) -> None:
    with DurableService(made.url("redrive_app", migrate="false"), [works]) as service:
        execution = service.start(works(1), id="granted")
        execution.signal(go)
        assert execution.result(timeout=30) == 1
        assert service.execution("granted").info().status == "completed"


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("redrive_app", "UPDATE redrive.schema_version SET number = 7"),
        ("redrive_app", "CREATE TABLE redrive.more (n int)"),
        ("redrive_app", "DROP TABLE redrive.events"),
        ("redrive_reader", "DELETE FROM redrive.executions"),
        ("redrive_reader", "SELECT nextval('redrive.messages')"),
    ],
)
def test_nobody_may_do_more_than_he_has_to(made: Shop, role: str, statement: str) -> None:
    with made.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_tables_of_later_versions_are_granted_too(made: Shop) -> None:
    with made.connect("redrive_owner") as owner, made.connect("redrive_app") as app:
        owner.execute("CREATE TABLE redrive.later (n bigint GENERATED ALWAYS AS IDENTITY)")
        app.execute("INSERT INTO redrive.later DEFAULT VALUES")
        owner.execute("DROP TABLE redrive.later")


def test_the_questions_to_the_tables_have_answers(made: Shop) -> None:
    app = made.url("redrive_app", migrate="false")
    with DurableService(app, worker=False) as client:
        for n in range(3):
            client.start(nobodys(n), id=f"due-{n}")
        seen = made.watch()
        ((name, count, oldest),) = seen["what is due and nobody has taken"]
        assert (name, count, oldest >= 0) == ("guide.nobodys", 3, True)
        assert ("guide.nobodys", "pending", 3) in seen["all that is not over"]
        with DurableService(app, [works], build="new"):
            until(lambda: client.execution("due-2").info().status == "parked")
            seen = made.watch()
    assert [(build, left > 0, owns) for _, build, left, owns in seen["the workers"]] == [("new", True, 0)]
    assert {(id, build) for id, _, build, _ in seen["parked"]} == {("due-0", "*"), ("due-1", "*"), ("due-2", "*")}
    assert {"executions", "history", "inbox"} <= {name for name, *_ in seen["sizes"]}
    assert seen["transactions open for more than a minute"] == []
    assert any(who == "redrive_app" for who, *_ in seen["connections"])


def test_an_execution_begins_with_the_row_it_is_about(made: Shop) -> None:
    guide = ModuleType("guide")
    for block in re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "postgres.md", "exec", dont_inherit=True), guide.__dict__)
    with made.connect("redrive_owner") as owner:
        owner.execute("CREATE TABLE shop_order (number int PRIMARY KEY)")
        owner.execute("GRANT INSERT, SELECT ON shop_order TO redrive_app")
    with DurableService(made.url("redrive_app", migrate="false"), [guide.nightly]) as service, made.connect("redrive_app") as connection:
        connection.autocommit = False
        guide.place_order(connection, service, 7)
        assert service.execution("order-7").result(timeout=30) == 7
        with pytest.raises(psycopg.errors.UniqueViolation):
            guide.place_order(connection, service, 7)
