"""``redrive lint``: what a workflow function must not do, found in its source. Imports nothing that it looks at."""

from __future__ import annotations

from redrive.lint.findings import Finding
from redrive.lint.linter import lint, lint_sources
from redrive.lint.rules import RULES, Rule, chosen, table

__all__ = ["RULES", "Finding", "Rule", "chosen", "lint", "lint_sources", "table"]
