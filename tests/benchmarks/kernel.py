"""Replay: the kernel alone, and with loading and decoding."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

from redrive.codec import JsonCodec
from redrive.worker.gc_pause import no_collection
from redrive_interpreter import LIVE, Answered, Codec, Key, Machine, Ok, Row, Started, dump_row, load_row, replay
from tests.benchmarks import raw
from tests.benchmarks.program import steps
from tests.benchmarks.timing import Result, best

_T0 = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> list[Result]:
    """Ratios to a bare ``.send()`` loop over the same generator, per recorded step."""
    codec = JsonCodec()
    results: list[Result] = []
    count = 20_000
    rows = _recorded(LIVE, count)
    loop = best(9, lambda: raw.generator(steps, count))
    alone = best(9, lambda: replay(steps, rows).machine.close())
    results.append(
        Result("replay of recorded steps, kernel alone", _loop(loop, count), alone / loop, "x", 6, f"{alone / count * 1e6:.2f} µs a step")
    )
    for size in (1_000, 100_000):
        count = size // 2
        text = json.dumps([dump_row(row) for row in _recorded(codec, count)], separators=(",", ":"))
        loop = best(5, lambda count=count: raw.generator(steps, count))  # type: ignore[misc]
        whole = best(5, lambda text=text: _load_and_replay(codec, text))  # type: ignore[misc]
        what = f"replay with load and decode, {size:,} rows"
        results.append(Result(what, _loop(loop, count), whole / loop, "x", 15, f"{whole / count * 1e6:.2f} µs a step"))
    return results


def _load_and_replay(codec: JsonCodec, text: str) -> None:
    with no_collection(len(text)):  # as the worker does
        rows = [load_row(data) for data in json.loads(text)]
        replay(steps, rows, codec).machine.close()


def _recorded(codec: Codec, count: int) -> list[Row]:
    machine = Machine(steps, codec)
    machine.receive(Started(id="bench", run=UUID(int=1), args=(count,), at=_T0))
    for number in range(count):
        machine.receive(Answered(Key("add" if number == 0 else f"add#{number + 1}"), Ok(number + 1), at=_T0))
    return machine.take()


def _loop(seconds: float, count: int) -> str:
    return f"bare generator loop, {seconds / count * 1e6:.2f} µs a step"
