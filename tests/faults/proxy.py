"""A proxy that loses acknowledgements: the server has done it, and whoever asked is never told."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from typing import Any

DONE = re.compile(rb"C\x00\x00\x00.(INSERT|UPDATE|DELETE|COMMIT|SELECT)[^\x00]*\x00", re.DOTALL)
COMMITTED = b"Z\x00\x00\x00\x05I"
"""ReadyForQuery, and no transaction is open: what went before is committed."""


class LossyProxy:
    """Passes on everything between clients and the server at *port*, until it is *armed*: from then on it keeps some of
    the answers to what has been committed to itself, and breaks the connection."""

    def __init__(self, port: int, chance: random.Random, share: float) -> None:
        self._port, self._chance, self._share = port, chance, share
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[Any]] = set()
        self.armed = False
        self.lost: list[str] = []
        """What the server had said of each: the tag of the command that was committed."""

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> LossyProxy:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=5)
            assert not left, "whoever connected is gone, and so is the connection"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._tasks.add(me)
        me.add_done_callback(self._tasks.discard)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        there = asyncio.create_task(self._pass_on(reader, to_server))
        back = asyncio.create_task(self._answer(from_server, writer))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            for end in (writer, to_server):
                end.transport.abort()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            tags = [tag.decode() for tag in DONE.findall(data)]
            wrote = [tag for tag in tags if tag != "SELECT"]
            if self.armed and wrote and data.endswith(COMMITTED) and self._chance.random() < self._share:
                self.lost.append(wrote[-1])
                return
            writer.write(data)
            await writer.drain()


class HalfOpenProxy:
    """Passes on everything between clients and the server at *port*. `freeze` has it forget the server's half of all connections
    there are: it goes on to take, and so to acknowledge, what clients send. Connections that are made later work, unless *dead*."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[Any]] = set()
        self._frozen: list[asyncio.Event] = []
        self.dead = False

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def open(self) -> int:
        """How many connections clients have."""
        return len(self._tasks)

    async def __aenter__(self) -> HalfOpenProxy:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def freeze(self) -> None:
        for frozen in self._frozen:
            frozen.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me, frozen = asyncio.current_task(), asyncio.Event()
        assert me is not None
        self._tasks.add(me)
        self._frozen.append(frozen)
        if self.dead:
            frozen.set()
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._copy(from_server, writer, frozen))
        try:
            await self._copy(reader, to_server, frozen)
        except OSError:
            pass
        finally:
            back.cancel()
            self._tasks.discard(me)
            self._frozen.remove(frozen)
            for end in (writer, to_server):
                end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frozen: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if not frozen.is_set():
                writer.write(data)
                await writer.drain()
