"""A payment provider: it charges once for each idempotency key, and logs every call."""

from __future__ import annotations

import json
import os
from pathlib import Path

import attrs


@attrs.frozen
class Call:
    """One call as the provider saw it. *charged*: money moved; else the key was known, and the old charge was given back."""

    key: str
    charge_id: str
    amount: int
    charged: bool
    caller: int


@attrs.frozen
class Payments:
    """The provider's ledger, one JSON line a call, so that it outlives every worker."""

    ledger: Path

    def charge(self, amount: int, key: str) -> Call:
        known = next((call for call in self.calls() if call.key == key and call.charged), None)
        charge_id = f"ch_{len(self.calls()) + 1}" if known is None else known.charge_id
        call = Call(key, charge_id, amount, known is None, os.getpid())
        line = json.dumps(attrs.asdict(call)) + "\n"
        with self.ledger.open("ab", buffering=0) as file:
            file.write(line.encode())  # one write: a kill leaves the whole line or none
        return call

    def calls(self) -> list[Call]:
        if not self.ledger.exists():
            return []
        return [Call(**json.loads(line)) for line in self.ledger.read_text().splitlines()]
