"""Each filter alone is led by an index, on PostgreSQL, by the plan that a session keeps."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from redrive.ports.finding import StoredFilter
from redrive.stores.ledger.search import END, FEW, Lead, Scan, Source, Tally, leads_of, order_of
from redrive.stores.postgres.find_statements import DIALECT, _query
from tests.benchmarks.finding_many import filters
from tests.postgres.test_plans import filled, plan, scans

__all__ = ["filled"]
FILTERS = filters(30_000)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_alone_is_led_by_an_index(filled: tuple[psycopg.Connection[Any], str], name: str) -> None:
    """A4."""
    connection, schema = filled
    filter, order = FILTERS[name], order_of(FILTERS[name])
    if filter.queue is not None:
        return  # nothing is asked
    for lead in leads_of(filter) or [Lead((Source("every"),), StoredFilter())]:
        for text, values in (DIALECT.scan(Scan(lead, order, END, FEW)), DIALECT.tally(Tally(lead, None, FEW))):
            query = _query(text, schema)
            assert list(scans(plan(connection, query))) == [], query.decode()
            assert len(values) == query.count(b"$")
