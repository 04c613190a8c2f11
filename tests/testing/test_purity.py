"""The purity check: whatever a history does not hold may not show in what a workflow asks."""

from __future__ import annotations

import datetime as dt
import os
import random
import time
import uuid
from datetime import UTC, date
from datetime import datetime as datetime_
from time import time as now
from typing import TYPE_CHECKING

import attrs
import pytest

from redrive.testing import Impure, in_turn, play
from redrive.testing.play import checked_play
from redrive_interpreter import Flow, NewId, Note, Now, Random, Sleep, step, workflow

if TYPE_CHECKING:
    from collections.abc import Callable


@attrs.frozen
class Order:
    id: str
    tags: frozenset[str]


@step
def tell(what: str) -> None: ...


@workflow("clock")
def by_clock() -> Flow[None]:
    yield from tell(str(time.time()))


@workflow("imported.clock")
def by_imported_clock() -> Flow[None]:
    yield from tell("late" if now() > 2e9 or now() < 0 else str(int(now() / 86400)))


@workflow("wall.clock")
def by_wall_clock() -> Flow[None]:
    yield from tell(str(dt.datetime.now(UTC).date()))


@workflow("imported.wall.clock")
def by_imported_wall_clock() -> Flow[None]:
    yield from Note(str(datetime_.now(UTC).date()))
    yield from tell(str(isinstance(datetime_(2026, 1, 1, tzinfo=UTC), datetime_)))


@workflow("today")
def by_date() -> Flow[None]:
    yield from tell(date.today().isoformat())  # noqa: DTZ011


@workflow("lots")
def by_lot() -> Flow[None]:
    if random.random() < 0.5:
        yield from tell("heads")


@workflow("environment")
def by_environment() -> Flow[None]:
    if os.environ.get("REDRIVE_NO_SUCH_VARIABLE"):
        yield from tell("debugging")


@workflow("uuid")
def by_uuid() -> Flow[None]:
    yield from tell(str(uuid.uuid4()))


@workflow("tags")
def by_tags(order: Order) -> Flow[None]:
    for tag in order.tags:
        yield from tell(tag)


@workflow("words")
def by_set(order: Order) -> Flow[None]:
    for word in set(order.id.split()):
        yield from tell(word)


@attrs.frozen
class Basket:
    articles: set[str]
    by_shelf: dict[str, set[str]]


@workflow("middle")
def by_the_middle(basket: Basket) -> Flow[None]:
    yield from tell(list(basket.articles)[len(basket.articles) // 2])


@workflow("popped")
def by_pop(basket: Basket) -> Flow[None]:
    yield from tell(basket.by_shelf["top"].pop())


@workflow("kept")
def kept(basket: Basket) -> Flow[Basket]:
    basket.articles.add("z")
    copied = basket.articles.copy()
    copied.discard("a")
    yield from tell(",".join(sorted(copied - basket.by_shelf["top"])))
    yield from tell(str(len(copied | {"y"})))
    return basket


@workflow("pure")
def pure(order: Order) -> Flow[list[str]]:
    told = []
    for tag in sorted(order.tags | set(order.id.split())):
        yield from tell(tag)
        told.append(tag)
    yield from tell(f"{yield from Now()} {yield from Random()} {yield from NewId()}")
    yield from Sleep(5)
    return told


ORDER = Order("o p q r s t", frozenset("abcdefg"))
BASKET, PAIR = Basket(set("abc"), {"top": set("xy")}), Basket(set("ab"), {})
CLOCK, LUCK, ENVIRONMENT, ORDERING = "the clock", "random numbers", "the environment", "the order of a set"


@pytest.mark.parametrize(
    ("invocation", "cause"),
    [
        (by_imported_clock(), CLOCK),
        (by_wall_clock(), CLOCK),
        (by_imported_wall_clock(), CLOCK),
        (by_date(), CLOCK),
        (by_lot(), LUCK),
        (by_environment(), ENVIRONMENT),
        (by_tags(ORDER), ORDERING),
        (by_set(ORDER), ORDERING),
        (by_the_middle(BASKET), ORDERING),
        (by_the_middle(PAIR), ORDERING),
        (by_pop(BASKET), ORDERING),
    ],
    ids=lambda value: getattr(getattr(value, "workflow", None), "name", ""),
)
def test_what_a_history_does_not_hold_is_found_and_named(invocation: object, cause: str) -> None:
    with pytest.raises(Impure) as found:
        play(invocation, {tell: None}, check_purity=True)  # type: ignore[type-var, arg-type]
    assert list(found.value.causes) == [cause]
    assert "--- as it was" in str(found.value)


@pytest.mark.parametrize("invocation", [by_uuid(), by_clock()])
def test_what_differs_each_time_is_found_without_a_name(invocation: object) -> None:
    with pytest.raises(Impure, match="something outside of it"):
        play(invocation, {tell: None}, check_purity=True)  # type: ignore[type-var, arg-type]


def test_a_pure_workflow_passes_and_the_world_is_put_back() -> None:
    before = (time.time, dt.datetime, os.environ, random.getstate(), dict(globals()))
    run = play(pure(ORDER), {tell: in_turn(None)}, check_purity=True)
    assert run.result == sorted([*"abcdefg", *"opqrst"])
    assert (time.time, dt.datetime, os.environ, random.getstate()) == before[:4]
    assert dict(globals()) == before[4]


def test_sets_that_are_used_and_given_back_are_what_they_were() -> None:
    run = play(kept(BASKET), {tell: None}, check_purity=True)
    assert run.result == Basket(set("abcz"), {"top": set("xy")})
    assert 'asks tell: step tell {"what":"b,c,z"}' in run.trace()


def test_a_scripted_run_is_checked_when_it_ends_or_when_asked() -> None:
    run = play(by_wall_clock(), check_purity=True)
    with pytest.raises(Impure):
        run.check_purity()
    asked = run.asked[0]
    with pytest.raises(Impure):
        run.answer(asked, None)


def test_the_fixture_checks_when_the_test_is_over() -> None:
    with pytest.raises(Impure), checked_play() as playing:
        assert playing(by_wall_clock()).asked
    with checked_play() as playing:
        assert playing(by_wall_clock(), check_purity=False).asked


def test_the_check_costs_less_than_the_run_itself() -> None:
    """Only the smallest of many timings is compared: a busy machine makes no difference to it."""
    answers = {tell: in_turn(None)}

    @workflow("plain")
    def plain() -> Flow[None]:
        for n in range(20):
            yield from tell(str(n))
            yield from Sleep(60)

    def timed(action: Callable[[], object]) -> float:
        took = []
        for _ in range(50):
            began = time.perf_counter()
            action()
            took.append(time.perf_counter() - began)
        return min(took)

    run = play(plain(), answers)
    assert timed(run.check_purity) < timed(lambda: play(plain(), answers))
