"""Where a store is: the URL, taken apart into what is libpq's and what is ours."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

import attrs

from redrive.passwords import without_password

SCHEMA: Final = "redrive"
CONNECTIONS: Final = 6
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
_YES_OR_NO: Final = {"true": True, "false": False}


@attrs.frozen(kw_only=True)
class Address:
    """*conninfo* is for libpq. With *migrate*, `open` creates and updates the tables. With *pgbouncer*, nothing is kept in a
    server session: no prepared statements, no LISTEN. *connections*: at most so many, apart from the one that listens."""

    conninfo: str = attrs.field(repr=False)
    shown: str
    schema: str = SCHEMA
    migrate: bool = True
    pgbouncer: bool = False
    connections: int = CONNECTIONS


def parse(url: str) -> Address:
    """Raises ValueError for an option that is not what it should be; what is not ours is left to libpq."""
    shown = without_password(url)
    base, _, query = url.partition("?")
    schema, connections = SCHEMA, CONNECTIONS
    flags = {"migrate": True, "pgbouncer": False}
    rest: list[str] = []
    for part in filter(None, query.split("&")):
        option, _, given = part.partition("=")
        value = unquote(given)
        if option in flags:
            if value.lower() not in _YES_OR_NO:
                raise ValueError(f"{shown}: {option} is true or false, not {value!r}")
            flags[option] = _YES_OR_NO[value.lower()]
        elif option == "schema":
            if not _IDENTIFIER.match(value):
                raise ValueError(f"{shown}: a schema is named by letters, digits and _, 63 at most, not {value!r}")
            schema = value
        elif option == "connections":
            if not value.isdigit() or not 2 <= int(value) <= 1000:
                raise ValueError(f"{shown}: connections is a number from 2 to 1000, not {value!r}")
            connections = int(value)
        else:
            rest.append(part)
    return Address(conninfo=base + ("?" + "&".join(rest) if rest else ""), shown=shown, schema=schema, connections=connections, **flags)
