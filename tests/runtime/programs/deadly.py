"""Works on the store of argv[1] until a step kills the process with SIGKILL; leaves a line in argv[2] each time."""

from __future__ import annotations

import os
import signal
import sys

from redrive import DurableService, Flow, step, workflow


@step
def deadly() -> None:
    with open(sys.argv[2], "a") as log:
        log.write("began\n")
    os.kill(os.getpid(), signal.SIGKILL)


@workflow("deadly.it")
def it() -> Flow[None]:
    yield from deadly()


if __name__ == "__main__":
    with DurableService(sys.argv[1], workflows=[it], max_recoveries=2, build="b", lease=60) as service:
        service.start(it(), id="it").result(timeout=30)
