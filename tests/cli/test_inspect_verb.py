"""`redrive inspect`: the line and the locals, from a shell."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

import pytest

from redrive import DurableService
from redrive.cli import main

APP = ["--app", "shop:service"]


@pytest.fixture
def waiting(shop: Path) -> None:
    sys.path.insert(0, str(shop))
    module = importlib.import_module("shop")
    service: DurableService = module.blocking
    with service:
        service.start(module.process_order(module.Order("o-1", 900)), id="order-1")
        while service.execution("order-1").info().status != "suspended":
            time.sleep(0.01)
    sys.modules.pop("shop")


@pytest.mark.usefixtures("waiting")
def test_the_line_and_the_locals_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "order-1", *APP]) == 0
    shown = capsys.readouterr().out
    assert "order-1  orders.process  after row 4 of 4, " in shown
    assert "the workflow  waits for signal orders.approved" in shown
    assert "→   28      by = yield from WaitSignal(approved)" in shown
    assert '      order = {"id": "o-1", "total": 900}' in shown
    assert '      charged = "ch_o-1"' in shown


@pytest.mark.usefixtures("waiting")
def test_a_row_is_chosen_and_one_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "order-1", "--row", "1", *APP]) == 0
    shown = capsys.readouterr().out
    assert "after row 2 of 4" in shown
    assert "charged = yield from charge(order)" in shown
    assert main(["inspect", "order-1", "--row", "9", *APP]) == 2
    assert "has rows 1 to 4 in run 1, not 9" in capsys.readouterr().err


@pytest.mark.usefixtures("waiting")
def test_without_the_code_it_says_how_to_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "order-1", "--store", "sqlite:///shop.db"]) == 0
    assert "the code of workflow 'orders.process' is not here" in capsys.readouterr().out
