"""The deploy gate: replay a store's live executions read-only, and report which of them this code can take over."""

from __future__ import annotations

from redrive.gate.check import Problem, Standing, check
from redrive.gate.pages import explained, pages, text
from redrive.gate.report import Group, Report, WorkflowReport
from redrive.gate.sweep import Progress, sweep

__all__ = ["Group", "Problem", "Progress", "Report", "Standing", "WorkflowReport", "check", "explained", "pages", "sweep", "text"]
