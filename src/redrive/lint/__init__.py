"""``redrive lint``: find in the source of workflow functions what they must not do. The linter imports no code that it checks."""

from __future__ import annotations

from redrive.lint.findings import Finding
from redrive.lint.linter import lint, lint_sources
from redrive.lint.rules import RULES, Rule, chosen, table

__all__ = ["RULES", "Finding", "Rule", "chosen", "lint", "lint_sources", "table"]
