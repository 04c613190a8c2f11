"""The SQLite store keeps what the store port promises."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from redrive.stores.sqlite import SQLiteStore
from redrive.testing.contracts import Lab, QueueContract, ScheduleContract, StoreContract
from tests.contracts.clocks import Clock


class SQLiteLab(Lab):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._clock = Clock()
        self._path = path

    def connect(self) -> SQLiteStore:
        return SQLiteStore(str(self._path), clock=self._clock)

    def pass_time(self, by: timedelta) -> None:
        self._clock.now += by


class TestSQLiteStore(StoreContract, ScheduleContract, QueueContract):
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Lab:
        return SQLiteLab(tmp_path / "redrive.db")
