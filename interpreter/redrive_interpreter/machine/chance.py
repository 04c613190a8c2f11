"""Ids and random numbers that are the same on every replay: hashes of the run and the key."""

from __future__ import annotations

import hashlib
from uuid import UUID


def uuid_of(run: UUID, name: str) -> UUID:
    """The id named *name* in *run* (RFC 9562, version 5)."""
    digest = hashlib.sha1(run.bytes + name.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)


def random_of(run: UUID, name: str) -> float:
    """A number in [0, 1), uniform, with 53 random bits."""
    digest = hashlib.sha256(run.bytes + name.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53
