"""A plan is made when the tables are small and kept when they are large: no statement reads more for it than it must.

Each statement is prepared, and planned, on connections that were there before the tables were filled. Nobody analyses in
between, so this is what a burst meets. The same statements are then planned anew, with stale statistics and with fresh ones,
also with all settings of the server as they come (behind PgBouncer there are no others).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import attrs
import psycopg
import pytest
from psycopg import sql

from redrive.stores.postgres import PostgresStore
from redrive.stores.postgres.connection_pool import SESSION
from redrive.stores.postgres.parameters import SEPARATOR
from redrive.stores.postgres.queries import TEXT, queries
from tests.postgres.server import Server

JIT_ABOVE: Final = 100_000
"""The planner's cost above which a statement is compiled, by default."""
DISABLED: Final = 10**10
"""What PostgreSQL 14 to 17 add for a way of reading that a setting forbids, and that a statement needs all the same."""
OWNED, UNOWNED, ENDED, PARKED = 9_000, 16_000, 5_000, 1_000
NOW: Final = 10**15
MOST_PAGES: Final = 150
"""Pages that a statement may touch which is asked about three executions: a few each, in tables and in indexes."""

FEW: Final = """
INSERT INTO redrive.executions (id, workflow, run, status, owner, wake_us, stored_us, updated_us, created_us, attributes)
SELECT 'few-' || i, 'w', 'r', 'suspended', CASE WHEN i = 1 THEN 'worker-1' END, 1, 1, 1, 1, '{}' FROM generate_series(1, 3) AS i;
INSERT INTO redrive.history SELECT n, 1, 1, 1, '"row"', '1' FROM redrive.executions;
INSERT INTO redrive.inbox (n, kind, name, data, stored_us) SELECT n, 'signal', 's', '1', 1 FROM redrive.executions;
INSERT INTO redrive.landed SELECT n, 'once' FROM redrive.executions;
INSERT INTO redrive.events SELECT n, 'x', '1', id, n, 1, 'k', n FROM redrive.executions;
"""
FILL: Final = f"""
INSERT INTO redrive.executions (
    id, workflow, run, status, owner, wake_us, stored_us, updated_us, created_us, attributes, creator_id, creator_run, creator_key
)
SELECT 'e-' || i, 'w', 'r',
    CASE WHEN i > {OWNED + UNOWNED + ENDED} THEN 'parked' WHEN i > {OWNED + UNOWNED} THEN 'completed' ELSE 'suspended' END,
    CASE WHEN i <= {OWNED} THEN 'worker-1' END,
    CASE WHEN i <= {OWNED} OR i > {OWNED + UNOWNED + ENDED} THEN {2 * NOW} WHEN i <= {OWNED + UNOWNED} THEN i END,
    1, 1, 1, '{{}}', CASE WHEN i % 2 = 0 THEN 'e-1' END, CASE WHEN i % 2 = 0 THEN 'r' END, CASE WHEN i % 2 = 0 THEN 'k' END
FROM generate_series(1, {OWNED + UNOWNED + ENDED + PARKED}) AS i ORDER BY i DESC;
INSERT INTO redrive.history SELECT n, 1, k, 1, '"row"', '1' FROM redrive.executions, generate_series(1, 61, 30) AS k WHERE id LIKE 'e-%';
INSERT INTO redrive.inbox (n, kind, name, data, stored_us) SELECT n, 'signal', 's', '1', 1 FROM redrive.executions WHERE id LIKE 'e-%';
INSERT INTO redrive.landed SELECT n, 'once' FROM redrive.executions WHERE id LIKE 'e-%';
INSERT INTO redrive.parked SELECT n, 'b-1', 'r' FROM redrive.executions WHERE status = 'parked';
INSERT INTO redrive.deaths SELECT n, 'b-1', 1, 61, 1, 0, 'worker-' || n % 10000 FROM redrive.executions WHERE id LIKE 'e-%';
INSERT INTO redrive.events SELECT n, 'x-' || n % 10, '1', id, n, 1, 'k', n FROM redrive.executions WHERE id LIKE 'e-%';
INSERT INTO redrive.aside (n, name, data, sent_us, error, at_us) SELECT n, 's', '1', 1, 'why', 1 FROM redrive.executions;
INSERT INTO redrive.audit (execution, at_us, operator, verb, reason, detail, key)
SELECT id, 1, '', 'retry', '', '{{}}', 'k' FROM redrive.executions;
INSERT INTO redrive.held_events SELECT CASE WHEN seq > 3 THEN 'other' ELSE 'h' END, seq, 'x', '1', 'e-' || seq, 1, false, 1, 1, 1, 'why'
FROM generate_series(1, 20000) AS seq;
INSERT INTO redrive.attributes SELECT n, CASE WHEN n % 2 = 0 THEN 'state' ELSE 'total' END, 's' || n % 1000 FROM redrive.executions;
INSERT INTO redrive.schedules SELECT 's-' || i, 'w-' || i % 2, CASE WHEN i % 2 = 0 THEN i END, '{{}}' FROM generate_series(1, 20000) AS i;
INSERT INTO redrive.left_out (schedule, at_us, record) SELECT 's-' || i % 200, i, '{{}}' FROM generate_series(1, 40000) AS i;
INSERT INTO redrive.app_builds SELECT 'app-' || i % 1000, 'b-' || i, i, {2 * NOW} FROM generate_series(1, 2000) AS i;
UPDATE redrive.counters SET value = 1000000 WHERE name = 'events';
"""
LATER: Final = """
INSERT INTO redrive.inbox (n, kind, name, data, stored_us)
SELECT n, 'signal', 's', '1', 1 FROM redrive.executions WHERE id IN ('e-1', 'e-2', 'e-3');
"""
TABLES: Final = (
    "aside",
    "audit",
    "held_events",
    "executions",
    "history",
    "inbox",
    "landed",
    "parked",
    "deaths",
    "events",
    "workers",
    "handlers",
    "counters",
    "schedules",
    "left_out",
    "app_builds",
)


def three(*texts: str) -> str:
    return SEPARATOR.join(texts)


IDS: Final = three("e-1", "e-2", "e-3")


def arguments(ns: Sequence[int], xact: str) -> dict[str, tuple[object, ...]]:
    """What each statement is asked, about three executions, or one."""
    n, many = ns[0], ",".join(map(str, ns))
    ones, rows = "1,1,1", three('"r"', '"r"', '"r"')
    return {
        "advance": (
            IDS,
            "0,0,0",
            ones,
            ones,
            ones,
            "running,running,running",
            ",,",
            "99999999,99999999,99999999",
            "0,0,0",
            rows,
            "\x1e\x1e",
            "\x1e\x1e",
            ",,",
            "\x1e\x1e",
        ),
        "advance_one": ("e-1", 0, 1, 1, 1, "running", None, 0, '"r"', None, None, False, None, ""),
        "now": (),
        "lock": (IDS, three("e-2", "e-4", "e-6")),
        "save": (
            many,
            three("w", "w", "w"),
            three("r", "r", "r"),
            ones,
            ones,
            "running,running,running",
            "\x1e\x1e",
            ones,
            ",,",
            "0,0,0",
            "0,0,0",
            ones,
            "0,0,0",
            NOW,
            "0,0,0",
            "\x1e\x1e",
            "0,0,0",
            "\x1e\x1e",
            "0,0,0",
        ),
        "same_chunk": (n, 1, 61, '"row"'),
        "append": (many, ones, "9,9,9", NOW, rows),
        "set_attributes": (n, "{}"),
        "take": (many, "99999999,99999999,99999999"),
        "forget_park": (many, three("worker-1", "worker-1", "worker-1")),
        "hurry": (many, NOW),
        "forget_parks": (many,),
        "begin": (
            three("n-1", "n-2", "n-3"),
            three("w", "w", "w"),
            three("r", "r", "r"),
            three("worker-1", "worker-1", "worker-1"),
            ",,",
            ",,",
            three("{}", "{}", "{}"),
            rows,
            rows,
            ones,
            "running,running,running",
            ",,",
            "0,0,0",
            rows,
            "\x1e\x1e",
            "\x1e\x1e",
        ),
        "begin_one": ("n-4", "w", "r", "worker-1", None, None, "{}", '"r"', "1", 1, "running", None, 0, '"r"', None, False, ""),
        "insert_executions": (
            three("n-5", "n-6", "n-7"),
            three("w", "w", "w"),
            three("r", "r", "r"),
            "\x1e\x1e",
            "0,0,0",
            "1,1,1",
            NOW,
            ",,",
            "\x1e\x1e",
            "\x1e\x1e",
            "\x1e\x1e",
            three("{}", "{}", "{}"),
            rows,
            rows,
            "\x1e\x1e",
            "\x1e\x1e",
            "\x1e\x1e",
            ",,",
        ),
        "begin_again": (n, None, None, None, None, "{}", 1, None, None, None, None),
        "begin_history": (n, 77, NOW, '"r"', "1"),
        "forget_inbox": (many,),
        "forget_landed": (many,),
        "set_deadline": (n, NOW),
        "renumber_events": (n, 1, 77),
        "has_audit": ("e100", "k"),
        "insert_audit": ("e100", NOW, "ada", "retry", "", "{}", "k-new"),
        "newest_act": (),
        "operated": (10**6,),
        "audit": (10,),
        "audit_of": ("e100", 10),
        "ended": (NOW, 0, 0, 10),
        "with_old_runs": (0, 10, 5),
        "lock_ended": (IDS,),
        "purge": (many, IDS),
        "purge_events": (many,),
        "purge_history": (many,),
        "throw_away": (many, ones, ones, ones),
        "audit_purges": (IDS, three("{}", "{}", "{}"), "ada", "purge", ""),
        "lock_runs": (IDS,),
        "set_oldest_runs": (many, ones),
        "collect": (10,),
        "collected": (f"{n}:1",),
        "state_retention": ("worker-1", "[]", "{}", 1),
        "forget_retention": ("worker-1",),
        "retentions": (1,),
        "landed": (IDS, three("once", "once", "never")),
        "insert_landed": (many, three("a", "b", "c")),
        "insert_messages": (many, "signal,signal,signal", three("s", "s", "s"), rows, ones),
        "inboxes": (IDS,),
        "inboxes_after": (IDS, ones),
        "send": (IDS, three("s", "s", "s"), rows, three("k1", "k2", "k3")),
        "mail_since": ("worker-1", xact),
        "owners": (),
        "due_workflows": (),
        "heartbeat": ("worker-1", NOW, 15_000_000, "b", "[]", 1, 1, 1, "{}", "[]"),
        "beat": (15_000_000, "worker-1"),
        "latest_beat": (),
        "workers": (),
        "clock_went_back": (NOW,),
        "expire": ("worker-9", NOW),
        "expire_dead": ("worker-9", 1),
        "remove_worker": ("worker-9",),
        "take_back_deaths": ("worker-3",),
        "disown_dead": (three("worker-8", "worker-9"), NOW, three("b-1", "b-1")),
        "disown": ("worker-9",),
        "let_go": ("worker-9", IDS),
        "park_due": ("no such", NOW, "why"),
        "raise_parks": (),
        "parks": (),
        "claim_due": ("worker-1", "w", NOW, "b-1", 3),
        "claim_turns": ("worker-1", "w", NOW, "b-1", 3),
        "claim_parked": ("worker-1", "w", 3 * NOW, "b", 3),
        "claim_retries": ("worker-1", "w", 3 * NOW, "b-1", 3),
        "release": (IDS, "0,0,0", three("worker-1", "worker-1", "worker-1"), True),
        "hold_to_park": (IDS, "0,0,0", three("worker-1", "worker-1", "worker-1")),
        "parks_of_build": (many, "b-1"),
        "deaths_of_build": (many, "b-1"),
        "workers_of_build": ("b-1",),
        "park": (n, "b-1", "diverged", "why", NOW, NOW, None, 1, "worker-1"),
        "release_parked": (many, NOW),
        "forget_deaths": (many, "b-1"),
        "set_deaths": (n, "b-2", 1, 1, 0, 1),
        "next_wake": ("w", "b", -1, "worker-1", -1),
        "alive": ("worker-1",),
        "snapshot": ("e-1",),
        "snapshots": (IDS,),
        "ends": (IDS,),
        "drop_aside": ("e-1", None),
        "aside_of": ("e-1", 3),
        "all_aside": (3,),
        "forget_aside": ("e-1", "1"),
        "keep_aside": (many, three("s", "s", "s"), rows, ones, three("x", "x", "x"), NOW),
        "lock_handler": ("h", "worker-1"),
        "hold": ("h", 99_999, "x", "1", "e-1", 1, False, 1, 1, 1, "why"),
        "change_held": ("h", 1, False, 1, 1, 1, "why"),
        "held_events": ("h", "x", "worker-1", 3),
        "held_done": ("h", "worker-1", 1),
        "list_held": ("h", None, 3),
        "retry_held": ("h", "1,2,3"),
        "drop_held": ("h", "1,2,3"),
        "load": (IDS, "0,0,0", three("worker-1", "worker-1", "worker-1")),
        "history": ("e-1", -1),
        "living": (3,),
        "ever": ("w", 10**9, 3),
        "workflows": (),
        "rows_of": (n, 1),
        "emit": (three("x", "x", "x"), rows, three("k", "l", "m"), IDS, many, ones, NOW),
        "newest_event": (),
        "events_after": (three("x-1", "x-2"), 5, 3),
        "handler": ("h",),
        "new_handler": ("h2", "x", "worker-1"),
        "take_handler": ("h", "x", "worker-1"),
        "events_done": ("h", "worker-1", 7),
        "prune_due": (1, NOW),
        "behind": (99_999, 3),
        "behind_attribute": ("state", 3),
        "behind_from": (),
        "behind_upto": (7,),
        "found": (many,),
        "hold_behind": (many, three("a", "b", "c")),
        "index": (many, three("a", "b", "c"), three("x", "y", "z")),
        "forget_attributes": (many,),
        "set_waits": (n, "x"),
        "schedules": ("s-1", 3),
        "schedules_of": (three("s-1", "s-2", "s-3"),),
        "lock_schedules": (three("s-1", "s-2", "s-3"),),
        "due_schedules": (three("w-0", "x"), 3),
        "next_schedule": (three("w-0", "x"), 9),
        "insert_schedule": ("new", "w", 1, "{}"),
        "save_schedules": (three("s-1", "s-2", "s-3"), three("w", "w", "w"), "1,,3", three("{}", "{}", "{}")),
        "remove_schedule": ("s-1",),
        "left_out": ("s-1", 3),
        "leave_out": (three("s-1", "s-2", "s-3"), three("{}", "{}", "{}"), NOW),
        "forget_builds": ("app-1", 10**6),
        "show_build": ("app-1", "b-1"),
        "declaring_build": ("app-1",),
    }


READS_MORE: Final = {
    "hold_life": "a lock of the session, and no table",
    "patience": "a setting",
    "impatience": "a setting",
    "tell": "touches no table",
    "poll_inboxes": "a worker's first look: at all that it owns",
    "forget_old_deaths": "only after a worker has died",
    "forget_old_parks": "only where a build has parked something",
    "keep_due": "only after the clock went back",
    "forget_left_out": "a thousand rows of one schedule, when one of its slots was left out",
    "index_turned": "a part of `advance`, and no statement of its own",
    "prune_events": "ten thousand at a time, every few minutes",
    "suspects": "the ten thousand oldest that have not ended, for people",
    "worker_details": "counts what each worker owns, for people",
}


@attrs.frozen
class Planned:
    """A connection that prepared all statements of a schema, and plans them once, or each time anew."""

    connection: psycopg.Connection[Any]
    schema: str

    def prepare(self, *, once: bool = True) -> None:
        self.connection.execute("SET statement_timeout = '5s'")
        self.connection.execute(f"SET plan_cache_mode = force_{'generic' if once else 'custom'}_plan")
        for name in self.names():
            text = queries(self.schema)[name].decode().strip().rstrip(";")
            self.connection.execute(f"PREPARE {name} AS {text}".encode())
            self.explain(name, None)

    def names(self) -> list[str]:
        return sorted(set(TEXT) - set(READS_MORE))

    def explain(self, name: str, given: Sequence[object] | None) -> dict[str, Any]:
        """The plan that is kept; run it, and take all back, if it is *given* something."""
        ((count,),) = self.connection.execute(
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = %s", [name]
        ).fetchall()
        values = [None] * count if given is None else list(given)
        assert len(values) == count, name
        call = sql.SQL("EXECUTE {}").format(sql.Identifier(name))
        if values:
            call += sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, map(str_or_none, values))))
        options = "FORMAT JSON" if given is None else "ANALYZE, BUFFERS, FORMAT JSON"
        with self.connection.transaction(force_rollback=True):
            cursor = psycopg.ClientCursor(self.connection)
            cursor.execute(sql.SQL("EXPLAIN ({}) ").format(sql.SQL(options)) + call)
            ((found,),) = cursor.fetchall()
        return dict(found[0])

    def touches(self, name: str, given: Sequence[object]) -> int:
        """Pages that the statement touched."""
        try:
            plan = self.explain(name, given)["Plan"]
        except psycopg.errors.QueryCanceled:
            return 10**9
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def str_or_none(value: object) -> str | None:
    return None if value is None else str(value)


@attrs.frozen
class Case:
    """Full tables, and connections: one whose plans are *kept* from when they were small, one whose plans were *made* since, and one
    whose session has no settings of ours and plans each time, as behind PgBouncer."""

    kept: Planned
    made: Planned
    pooled: Planned
    asked: dict[str, tuple[object, ...]]


async def _make(url: str) -> None:
    store = PostgresStore(url)
    await store.open()
    await store.close()


SMALL: Final[dict[str, Callable[[Server, str], None]]] = {}


def small(how: Callable[[Server, str], None]) -> Callable[[Server, str], None]:
    SMALL[how.__name__] = how
    return how


def in_schema(script: str, schema: str) -> str:
    return script.replace("redrive.", f"{schema}.")


def analyse(server: Server, schema: str) -> None:
    server.execute(*(f"VACUUM ANALYZE {schema}.{table}" for table in TABLES))


@small
def never_analysed(server: Server, schema: str) -> None:
    pass


@small
def analysed_when_empty(server: Server, schema: str) -> None:
    analyse(server, schema)


@small
def analysed_with_few(server: Server, schema: str) -> None:
    server.execute(in_schema(FEW, schema))
    analyse(server, schema)


@small
def analysed_and_nothing_owned(server: Server, schema: str) -> None:
    """As after a good night: thousands have ended, and nobody owns or awaits anything."""
    server.execute(
        in_schema(
            """INSERT INTO redrive.executions (id, workflow, run, status, stored_us, updated_us, created_us, attributes)
            SELECT 'old-' || i, 'w', 'r', 'completed', 1, 1, 1, '{}' FROM generate_series(1, 2000) AS i;
            INSERT INTO redrive.history SELECT n, 1, 1, 1, '"row"', '1' FROM redrive.executions""",
            schema,
        )
    )
    analyse(server, schema)


@pytest.fixture(scope="module", params=["postgres", "stock"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module", params=sorted(SMALL))
def planned(server: Server, request: pytest.FixtureRequest) -> Iterator[Case]:
    schema = f"kept_{request.param}"
    asyncio.run(_make(server.url(schema=schema)))
    server.execute(*(f"ALTER TABLE {schema}.{table} SET (autovacuum_enabled = off)" for table in TABLES))
    server.execute(
        f"INSERT INTO {schema}.workers VALUES ('worker-1', {4 * NOW}, 1, 1, 'b', '[]')",
        f"INSERT INTO {schema}.handlers VALUES ('h', 'x', 0, 'worker-1')",
    )
    SMALL[request.param](server, schema)
    with server.connect(options=SESSION) as before, server.connect(options=SESSION) as after, server.connect() as pooled:
        kept = Planned(before, schema)
        kept.prepare()
        server.execute(in_schema(FILL, schema))
        ((xact,),) = after.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchall()
        server.execute(in_schema(LATER, schema))
        rows = after.execute(f"SELECT n FROM {schema}.executions WHERE id IN ('e-1', 'e-2', 'e-3') ORDER BY n".encode()).fetchall()
        made = Planned(after, schema)
        made.prepare()
        plain = Planned(pooled, schema)
        plain.prepare(once=False)
        yield Case(kept, made, plain, arguments([n for (n,) in rows], xact))
    server.execute(f"DROP SCHEMA {schema} CASCADE")


def too_much(planned: Planned, asked: dict[str, tuple[object, ...]]) -> dict[str, int]:
    touched = {name: planned.touches(name, asked[name]) for name in planned.names()}
    return {name: count for name, count in touched.items() if count > MOST_PAGES}


def test_every_statement_is_asked_something(planned: Case) -> None:
    assert set(planned.asked) == set(TEXT) - set(READS_MORE)


def test_a_plan_kept_from_when_tables_were_small_reads_no_more_than_it_must(planned: Case) -> None:
    assert too_much(planned.kept, planned.asked) == {}


def test_a_plan_made_on_full_tables_with_stale_statistics_reads_no_more_than_it_must(planned: Case) -> None:
    assert too_much(planned.made, planned.asked) == {}


def test_a_plan_made_with_the_servers_own_settings_reads_no_more_than_it_must(planned: Case) -> None:
    found = too_much(planned.pooled, planned.asked)
    found.pop("take_back_deaths", None)  # only when a worker that was taken for dead is back
    assert found == {}


def test_nothing_costs_so_much_by_the_planners_count_that_it_is_compiled(planned: Case) -> None:
    """Not even where a session has JIT: behind PgBouncer."""
    for session, most in ((planned.kept, DISABLED), (planned.made, DISABLED), (planned.pooled, JIT_ABOVE)):
        costs = {name: session.explain(name, planned.asked[name])["Plan"]["Total Cost"] for name in session.names()}
        assert {name: cost for name, cost in costs.items() if cost > most} == {}


def test_fresh_statistics_change_nothing(planned: Case, server: Server) -> None:
    """The last of a schema: statistics are made, and every plan is made anew."""
    analyse(server, planned.kept.schema)
    assert too_much(planned.kept, planned.asked) == {}
    assert too_much(planned.made, planned.asked) == {}
