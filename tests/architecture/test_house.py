"""Rules of the house that a tool of its own does not check. Each list of exceptions may only shrink."""

from __future__ import annotations

import ast
import asyncio
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from redrive.stores.archived_tables import TABLES
from redrive.stores.backends import open_url
from redrive.stores.postgres.schema_archive import PostgresArchive
from redrive.stores.sqlite import SQLiteStore
from redrive.stores.sqlite.file_archive import SQLiteArchive
from redrive.stores.table_archive import Own
from tests.postgres.server import Server

ROOT = Path(__file__).parents[2]
HOMES = ("src", "interpreter")
SOURCES = sorted(path for home in HOMES for path in (ROOT / home).rglob("*.py"))
STORES = ROOT / "src" / "redrive" / "stores"

# ── no constructor takes more than one function ──────────────────────────────────────────────────
SEVERAL_FUNCTIONS = {
    "Backend": {"archive", "open", "owns", "reader", "shown"},
    "Host": {"make", "refuse"},
    "Plan": {"dump", "load"},
    "SQLiteLifeline": {"clock_us", "show"},
    "StepSpec": {"body", "undo"},
    "Texts": {"read", "stored"},
}
"""Classes that take several, and which: tables of functions (Backend, StepSpec), and objects that are to be taken apart."""


def aliases(tree: ast.Module) -> set[str]:
    """The names that *tree* gives to types of functions."""
    return {
        node.target.id
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value and "Callable[" in ast.unparse(node.value)
    }


def callable_words(tree: ast.Module) -> set[str]:
    """What stands for a function in the annotations of *tree*: also an alias that it imports from another module."""
    words = {"Callable"} | aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("redrive"):
            parts = str(node.module).split(".")
            home = ROOT / ("interpreter" if parts[0] == "redrive_interpreter" else "src")
            path = home.joinpath(*parts).with_suffix(".py")
            if path.exists():
                words |= aliases(ast.parse(path.read_text())) & {alias.name for alias in node.names}
    return words


def functions_taken(tree: ast.Module, cls: ast.ClassDef) -> set[str]:
    """The parameters of the constructor of *cls* that are functions."""
    words = callable_words(tree)

    def is_function(annotation: ast.expr | None) -> bool:
        return annotation is not None and bool(words & set(re.findall(r"\w+", ast.unparse(annotation))))

    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            return {one.arg.lstrip("_") for one in every if is_function(one.annotation)}
    if not any("attrs" in ast.unparse(decorator) for decorator in cls.decorator_list):
        return set()
    fields = [node for node in cls.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    given = [field for field in fields if "init=False" not in ast.unparse(field) and "ClassVar" not in ast.unparse(field.annotation)]
    return {field.target.id.lstrip("_") for field in given if isinstance(field.target, ast.Name) and is_function(field.annotation)}


def several_functions(text: str) -> Iterator[tuple[str, set[str]]]:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and len(taken := functions_taken(tree, node)) > 1:
            yield node.name, taken


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def __init__(self, on: Callable[[], None], off: Callable[[], None] | None = None) -> None: ...",
        "Told: TypeAlias = Callable[[int], None]\nclass A:\n    def __init__(self, on: Told, *, off: Told) -> None: ...",
        "@attrs.define\nclass A:\n    on: Callable[[], None]\n    off: Callable[[], None]",
        "from redrive.codec.plans import Dump\nclass A:\n    def __init__(self, on: Dump, off: Dump) -> None: ...",
    ],
)
def test_a_constructor_that_takes_two_functions_is_found(source: str) -> None:
    assert dict(several_functions(source)).keys() == {"A"}


def test_no_other_constructor_takes_more_than_one_function() -> None:
    found = dict(one for path in SOURCES for one in several_functions(path.read_text()))
    more = {name: taken - SEVERAL_FUNCTIONS.get(name, set()) for name, taken in found.items()}
    assert {name: taken for name, taken in more.items() if taken} == {}
    assert {name for name in SEVERAL_FUNCTIONS if name not in found} == set(), "mended: take it off the list"


# ── file names ───────────────────────────────────────────────────────────────────────────────────
EVERYWHERE = {"__init__.py", "__main__.py", "errors.py", "store.py", "schema.py", "queries.py"}


def test_no_file_name_is_used_twice() -> None:
    """So that a traceback, an editor's tab and ``ls`` name one thing each."""
    named = Counter(path.name for path in SOURCES if path.name not in EVERYWHERE)
    assert {name: count for name, count in named.items() if count > 1} == {}


# ── what a move carries ──────────────────────────────────────────────────────────────────────────
NOT_CARRIED = {
    "workers": "leases of processes that use the old store",
    "counters": "positions, which begin anew",
    "retentions": "how long workers that use the old store want things kept",
    "garbage": "chunks that nobody can reach any more",
    "app_builds": "builds with workers at the old store",
    "deaths": "whether a build's worker died in a run: the new store begins the count anew",
    "schema_version": "the schema's own number",
    "lanes": "made anew of the tickets",
}


COLUMNS_NOT_CARRIED = {
    "executions": {
        "owner": "nobody owns anything in an archive",
        "rested": "the fence of an owner that gave it back; it counts as one that did not",
    },
    "parked": {
        "rest_us": "parks may be retried at once where they come to",
        "tried": "other workers",
    },
    "inbox": {"xact": "the position of a message in its own database"},
    "events": {"n": "what made an event land once", "number": "the same", "run": "the same", "key": "the same"},
    "handlers": {"worker": "nobody has the handler in hand"},
}
"""Columns of tables that are carried, and why they are not, or are made of others."""


def check_carried(found: Iterable[tuple[str, str]], own: Own, elsewhere: Mapping[str, str]) -> None:
    """*found*: table and column of all there is in the database, columns that it computes itself apart; *elsewhere* are columns of
    executions that it keeps in another table."""
    columns: dict[str, set[str]] = {}
    for table, column in found:
        columns.setdefault(table, set()).add(column)
    kept = {table.name: set(table.names) for table in TABLES}
    assert columns, "the store has tables"
    assert columns.keys() - NOT_CARRIED.keys() == kept.keys()
    missing = {
        table: names - kept[table] - elsewhere.keys() - own.get(table, {}).keys() - COLUMNS_NOT_CARRIED.get(table, {}).keys() - {"n"}
        for table, names in columns.items()
        if table in kept
    }
    assert {table: names for table, names in missing.items() if names} == {}
    assert {table: left for table, names in kept.items() if (left := names - columns[table] - elsewhere.keys())} == {}


async def test_every_column_of_an_sqlite_file_is_carried_by_a_move(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "it.db"))
    await store.open()
    await store.close()
    database = sqlite3.connect(store.path)
    found = database.execute(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
    ).fetchall()
    database.close()
    check_carried(found, SQLiteArchive.own, SQLiteArchive.elsewhere)


def test_every_column_of_a_postgres_schema_is_carried_by_a_move(postgres: Server, schema: str) -> None:
    async def make() -> None:
        store = open_url(postgres.url(schema=schema))
        await store.open()
        await store.close()

    asyncio.run(make())
    with postgres.connect() as connection:
        found = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s AND is_generated = 'NEVER'", (schema,)
        ).fetchall()
    check_carried(found, PostgresArchive.own, PostgresArchive.elsewhere)


# ── values that every store gives out are built in one place ────────────────────────────────────
@pytest.mark.parametrize("name", ["Claim", "Snapshot"])
def test_a_value_that_every_store_gives_out_is_built_in_one_place(name: str) -> None:
    """So that a new column of it is one edit."""
    built = [
        str(path.relative_to(STORES))
        for path in STORES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]
    assert built == [{"Claim": "ledger/claim_rules.py", "Snapshot": "snapshots.py"}[name]]


# ── stored data never runs ───────────────────────────────────────────────────────────────────────
EXECUTES = {"eval", "exec", "compile", "__import__"}
LOADERS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "runpy"}


def executes(tree: ast.AST) -> Iterator[str]:
    """What in *tree* runs or unpickles a text, or imports a module whose name it was given."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in EXECUTES:
                yield name
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[first, *_]):
                if not isinstance(first, ast.Constant):
                    yield "import_module"
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.partition(".")[0] in LOADERS)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in LOADERS:
                yield module
            case ast.Attribute(value=ast.Name(id=name), attr="load" | "loads") if name in LOADERS:
                yield f"{name}.loads"
            case _:
                pass


NOT_STORED = {
    "src/redrive/cli/loading.py": {"import_module"},
    "src/redrive/codec/json_codec.py": {"marshal"},
    "src/redrive/codec/text.py": {"marshal"},
    "src/redrive/histories/app.py": {"import_module"},
    "src/redrive/testing/sources.py": {"compile"},
}
"""Modules that do so with what the user's command line or own source names, and never with what a store holds (marshal only writes)."""


@pytest.mark.parametrize("source", ["eval(row)", "import pickle", "from marshal import loads", "importlib.import_module(failure.type)"])
def test_what_would_run_a_text_is_found(source: str) -> None:
    assert list(executes(ast.parse(source)))


def test_nothing_runs_unpickles_or_imports_what_a_text_names() -> None:
    """I4."""
    found = {str(path.relative_to(ROOT)): set(executes(ast.parse(path.read_text()))) for path in SOURCES}
    assert {path: what for path, what in found.items() if what} == NOT_STORED


# ── words ────────────────────────────────────────────────────────────────────────────────────────
BANNED = re.compile(
    r"\b(whoever|what\b[^.;:\n]{1,40}\bc(?:omes|ame) of|(?:is|are|was|were) let go of|gone on with|goes on with"
    r"|(?:is|are) (?:nobody|somebody|anybody)'s|\w+'s to (?:say|decide|know)|its answer are|by the look of it|as (?:it|they) likes?"
    r"|may do what (?:it|they) likes?|what (?:anybody|somebody|nobody) \w+|what (?:it|they) (?:is|are) told)\b",
    re.IGNORECASE,
)
"""Phrases that a reader has to translate: name the actor (worker, store, caller, client) and say what it does."""
HEADLESS = re.compile(r"^(what|who|whoever|whose|those)\b", re.IGNORECASE)
"""How a docstring must not begin: its subject is a thing with a name."""
CLEAN = ("interpreter", *(f"src/redrive/{name}" for name in ("cli", "codec", "gate", "histories", "lint", "testing")))


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""


def translated(path: Path) -> list[str]:
    """The banned phrases in *path*, and the docstrings that begin without a subject."""
    text = path.read_text()
    found = [match.group(0) for match in BANNED.finditer(text)]
    return found + ([doc for doc in docstrings(ast.parse(text)) if HEADLESS.match(doc)] if path.suffix == ".py" else [])


def pages() -> list[Path]:
    found = [*SOURCES, *(path for home in HOMES for path in (ROOT / home).rglob("*.sql") if path.parent.name != "migrations")]
    return [
        *found,
        *(ROOT / "docs" / "guide").glob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "interpreter/README.md")),
    ]


CEILINGS = {"docs": 6, "src": 142}
"""How often the other files of a folder may still use one of them."""


@pytest.mark.parametrize("folder", CLEAN)
def test_a_folder_that_was_mended_stays_so(folder: str) -> None:
    found = {str(path.relative_to(ROOT)): translated(path) for path in pages() if path.is_relative_to(ROOT / folder)}
    assert {path: phrases for path, phrases in found.items() if phrases} == {}


def test_banned_phrases_only_become_fewer() -> None:
    counted = Counter[str]()
    for path in pages():
        if not any(path.is_relative_to(ROOT / folder) for folder in CLEAN):
            counted[path.relative_to(ROOT).parts[0]] += len(translated(path))
    assert {path: count for path, count in counted.items() if count > CEILINGS.get(path, 0)} == {}


def test_a_banned_phrase_is_found() -> None:
    assert all(BANNED.search(text) for text in ("Whoever asks", "the lock is let go of", "it is gone on with", "what of it comes of that"))
    assert all(BANNED.search(text) for text in ("the row is nobody's", "which keys is the record's to say", "what nobody owns"))
    assert not BANNED.search("The store goes on, and everybody reads what comes.")
    assert HEADLESS.match("What is stored.")
    assert not HEADLESS.match("Whether a row is stored.")
