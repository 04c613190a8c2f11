"""The memory store keeps what the store port promises."""

from __future__ import annotations

from datetime import timedelta

import pytest

from redrive.stores.memory import MemoryStore
from redrive.testing.contracts import Lab, QueueContract, ScheduleContract, StoreContract
from tests.contracts.clocks import Clock


class MemoryLab(Lab):
    def __init__(self) -> None:
        super().__init__()
        self._clock = Clock()
        self._store = MemoryStore(self._clock)

    def connect(self) -> MemoryStore:
        return self._store

    def pass_time(self, by: timedelta) -> None:
        self._clock.now += by


class TestMemoryStore(StoreContract, ScheduleContract, QueueContract):
    @pytest.fixture
    def lab(self) -> Lab:
        return MemoryLab()
