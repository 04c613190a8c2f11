"""The audit of operators' acts, as people read it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from redrive.ports.rewrites import Audit


@attrs.frozen(kw_only=True)
class AuditEntry:
    """An act of an operator: what was done to *execution*, when, by whom and why. *detail* is the change as data."""

    execution: str
    at: datetime
    by: str
    verb: str
    reason: str
    detail: dict[str, Any]

    def __str__(self) -> str:
        by, why = f" by {self.by}" if self.by else "", f": {self.reason}" if self.reason else ""
        return f"{self.at.isoformat(timespec='seconds')} {self.verb} of {self.execution}{by}{why}"


def audit_entry(one: Audit) -> AuditEntry:
    return AuditEntry(execution=one.execution, at=one.at, by=one.by, verb=one.verb, reason=one.reason, detail=json.loads(one.detail))
