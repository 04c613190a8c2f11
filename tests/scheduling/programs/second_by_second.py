"""A worker that fires a schedule of one slot a second, until it is killed: ``python second_by_second.py sqlite:///it.db``."""

from __future__ import annotations

import sys
import time

from redrive import DurableService, Flow, Info, Schedule, step, workflow


@step
def note(slot: str) -> str:
    return slot


@workflow("each-second")
def each_second() -> Flow[str]:
    info = yield from Info()
    return (yield from note(str(info.scheduled_for)))


EACH_SECOND = Schedule("tick", each_second(), every=1, overlap="allow", catch_up="all")


def main() -> None:
    with DurableService(sys.argv[1], workflows=[each_second], schedules=[EACH_SECOND], app="clock", lease=2) as service:
        print("ready", service.aio.worker_id, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
