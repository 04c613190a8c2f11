"""Starts thirty executions by id on the store of argv[1], and waits for all; others do the same at the same time."""

from __future__ import annotations

import os
import sys

from redrive import DurableService, Flow, step, workflow

URL, LOG = sys.argv[1:]


@step
def leave(n: int) -> int:
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{n}\n".encode())
    os.close(handle)
    return n


@workflow("starts.one")
def one(n: int) -> Flow[int]:
    return (yield from leave(n))


with DurableService(URL, workflows=[one], build="one") as service:
    executions = [service.start(one(n), id=f"it-{n}") for n in range(30)]
    print([execution.result(30) for execution in executions])
