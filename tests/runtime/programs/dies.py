"""Runs one execution on the store of argv[1], and dies by SIGKILL where argv[2] says; another process goes on."""

from __future__ import annotations

import os
import signal
import sys

from redrive import DurableService, Flow, StepInterrupted, current_step, step, workflow

URL, DIES_IN = sys.argv[1:]
LOG = URL.removeprefix("sqlite:///") + ".log"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@step
def charge() -> str:
    with open(LOG, "a") as log:
        log.write(current_step().idempotency_key + "\n")
    if DIES_IN == "body":
        die()
    return "charged"


@step(at_most_once=True)
def charge_once() -> str:
    if DIES_IN == "at_most_once":
        die()
    return "charged"


@workflow("dies.order")
def order() -> Flow[str]:
    yield from charge()
    if DIES_IN == "turn":
        die()
    try:
        yield from charge_once()
    except StepInterrupted:
        return "interrupted"
    with open(LOG) as log:
        keys = log.read().split()
    return f"charged twice with one key: {len(keys) == 2 and len(set(keys)) == 1}"


with DurableService(URL, workflows=[order], lease=1, build="one") as service:
    print(service.start(order(), id="it").result(timeout=30))
