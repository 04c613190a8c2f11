"""A third store is small, and keeps what the store port promises: a directory of JSON files on the rules of the ledger."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from redrive.testing.contracts import Lab, StoreContract
from tests import json_store
from tests.contracts.clocks import Clock
from tests.json_store.store import JsonStore


class JsonLab(Lab):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._clock, self._path = Clock(), path

    def connect(self) -> JsonStore:
        return JsonStore(self._path, self._clock)

    def pass_time(self, by: timedelta) -> None:
        self._clock.now += by


class TestJsonStore(StoreContract):
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Lab:
        return JsonLab(tmp_path / "store")


def test_a_new_store_is_no_more_than_six_hundred_lines() -> None:
    home = Path(json_store.__file__).parent
    assert sum(len(path.read_text().splitlines()) for path in home.glob("*.py")) <= 600
