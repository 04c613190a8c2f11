"""Notifications: a hint to others, sent a few dozen times a second however much there is to tell (W6)."""

from __future__ import annotations

import time

from redrive import AsyncDurableService, Flow, Signal, WaitSignal, workflow
from redrive.stores.postgres.notifications import AT_ONCE, TELL_EVERY, channel_of
from tests.postgres.server import Server

word = Signal("notifications.word", int)


@workflow("notifications.waits", signals=[word])
def waits() -> Flow[int]:
    return (yield from WaitSignal(word))


async def test_a_storm_of_news_is_told_a_few_dozen_times_a_second(postgres: Server, schema: str) -> None:
    async with AsyncDurableService(postgres.url(schema=schema), [waits], worker=False) as client:
        await client.start(waits(), id="it")
        with postgres.connect() as listener:
            listener.execute(f'LISTEN "{channel_of(schema)}"'.encode())
            begun = time.monotonic()
            for n in range(300):
                await client.signal("it", word, n)
            await client.close()  # what is untold is told first
            seconds = time.monotonic() - begun
            told = len(list(listener.notifies(timeout=0.2)))
    assert 1 <= told <= AT_ONCE + 1 + seconds / TELL_EVERY
    assert told < 150, "far fewer than there was to tell"
