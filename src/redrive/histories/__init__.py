"""Histories as files: one row a line, replayed as tests, with payloads redacted where they are private.

The format of a row is documented in `redrive_interpreter.history.row_json`, and as a JSON Schema in ``history.schema.json``.
"""

from __future__ import annotations

from redrive.histories.app import App, load_app
from redrive.histories.files import BrokenFile, read, schema, write
from redrive.histories.redaction import named, redact
from redrive.histories.replaying import DoesNotFit, replay_file

__all__ = ["App", "BrokenFile", "DoesNotFit", "load_app", "named", "read", "redact", "replay_file", "schema", "write"]
