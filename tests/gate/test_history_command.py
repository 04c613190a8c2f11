"""``redrive history ID --json``: from a store to a file that is a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from redrive.cli import main
from redrive.codec import JsonCodec
from redrive.gate import check
from redrive.histories import read, replay_file
from tests.gate.conftest import Shop

STORE = ["--store", "sqlite:///shop.db"]


def test_the_output_is_a_history_file(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.orders()
    assert main(["history", "order-1", *STORE, "--json"]) == 0
    Path("case.jsonl").write_text(capsys.readouterr().out)
    assert [row["row"] for row in read(Path("case.jsonl"))] == ["started", "asked", "answered", "asked", "answered", "asked"]
    replay_file(Path("case.jsonl"), ["shop:service"])


def test_fields_are_redacted_on_the_way_out(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.orders()
    assert main(["history", "order-1", *STORE, "--json", "--redact", "id,nothing"]) == 0
    text = capsys.readouterr().out
    assert "o-1" not in text
    Path("case.jsonl").write_text(text)
    assert check(shop.code.service.aio.workflows, read(Path("case.jsonl")), JsonCodec()) is None
