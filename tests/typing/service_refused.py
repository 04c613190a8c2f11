"""The service, wrongly used: every marked line must be reported by both checkers, and no other."""

from __future__ import annotations

from redrive import AsyncDurableService, DurableService, Flow, Signal, Sleep, workflow

approved = Signal("approved", str)
tick = Signal("tick")


@workflow("typed")
def typed(n: int) -> Flow[str]:
    yield from Sleep(1)
    return str(n)


def blocking(service: DurableService) -> None:
    execution = service.start(typed(1), colour="red")  # wrong: no such option
    execution.signal(approved, 3)  # wrong: the payload is a str
    execution.signal(approved)  # wrong: it has a payload
    service.start(typed)  # wrong: an invocation is wanted
    service.start(typed("1"))  # wrong: n is an int
    wrong: int = service.execute(typed(1))  # wrong: the result is a str
    service.signal_with_start(typed(1), id="t", signal=tick, payload=3)  # wrong: it has no payload
    DurableService("memory://", [typed], leash=3)  # wrong: no such option
    print(wrong)


async def not_blocking(service: AsyncDurableService) -> None:
    execution = await service.start(typed(1))
    await execution.signal(approved, 3)  # wrong: the payload is a str
    wrong: int = await execution.result()  # wrong: the result is a str
    print(wrong)
