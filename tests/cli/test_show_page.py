"""The page of `redrive show`: it fits a terminal, folds what is many, names children, and says when a day is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from redrive.cli.colors import Colors
from redrive.cli.execution_pages import View
from redrive.timeline import timeline
from redrive_interpreter import Answered, Asked, Err, Failure, Key, Ok, Row, Started, TimerFired
from tests.cli.test_view import BEGIN, NOW, at, park, snapshot


def page(rows: list[Row], *, width: int | None = 80, **changes: Any) -> list[str]:
    return "\n".join(View(Colors(False), NOW, width).execution(snapshot(**changes), timeline(rows), ())).split("\n")


def start() -> Started:
    return Started(id="order-1", run=UUID(int=1), at=BEGIN, input={"order": {"id": "o-1"}})


def fan_out(count: int) -> list[Row]:
    rows: list[Row] = [start(), Asked(Key("map"), "map", "", None)]
    rows += [Asked(Key(f"map/{n}/quote"), "step", "quote", {"sku": n}) for n in range(count)]
    for n in range(count - 2):
        outcome: Any = Err(Failure("NoStock", f"sku {n}")) if n == 7 else Ok(n)
        rows.append(Answered(Key(f"map/{n}/quote"), outcome, at=at(1)))
    return rows


def test_a_fan_out_of_fifty_is_one_line_with_counts_and_its_failures() -> None:
    lines = page(fan_out(50))
    assert any("50 branches: 1 failed, 2 waiting, 47 done; 47 are not shown" in line for line in lines)
    text = "\n".join(lines)
    assert "map/7/quote" in text
    assert "NoStock: sku 7" in text
    assert "map/3/quote" not in text
    assert len(lines) < 25


def test_a_fan_out_of_ten_is_shown_whole() -> None:
    text = "\n".join(page(fan_out(10)))
    assert all(f"map/{n}/quote" in text for n in range(10))
    assert "branches" not in text


def test_the_page_fits_eighty_columns() -> None:
    rows = [
        *fan_out(50),
        Asked(Key("a_step_with_a_very_long_name_that_goes_on_and_on_and_on_for_ever"), "step", "x", {"text": "y" * 300}),
        Answered(Key("a_step_with_a_very_long_name_that_goes_on_and_on_and_on_for_ever"), Ok("z" * 300), at=at(2)),
    ]
    parked = park("history has charge and the code asks quote " * 5)
    lines = page(rows, parks=(parked,), status="parked", attributes='{"note": "' + "word " * 60 + '"}')
    assert [line for line in lines if len(line) > 80] == []
    assert any(line.endswith("…") for line in lines)
    assert "history has charge and the code asks quote" in " ".join(" ".join(lines).split())


def test_a_child_is_named_by_its_id() -> None:
    rows = [start(), Asked(Key("pay"), "run_child", "shop.pay", {"id": "order-1-pay", "input": {}})]
    assert any("child order-1-pay (shop.pay)" in line for line in page(rows))


def test_a_day_that_is_over_is_said() -> None:
    day = timedelta(days=1).total_seconds()
    rows = [
        start(),
        Asked(Key("__sleep"), "sleep", "", {"seconds": day}),
        TimerFired(Key("__sleep"), at=at(day)),
        Asked(Key("charge"), "step", "charge", {}),
    ]
    lines = page(rows)
    crossed = next(number for number, line in enumerate(lines) if line.strip() == "2026-11-23")
    assert "charge" in lines[crossed + 1]
    assert sum(line.strip() == "2026-11-23" for line in lines) == 1
