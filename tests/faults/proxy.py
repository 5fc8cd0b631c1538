"""A small TCP proxy between one server process and Redis, which can be slow, silent, cut off or talk rubbish."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset
CHUNK = 65536


@dataclass
class Weather:
    """What becomes of the replies; all off: nothing is changed."""

    delay_seconds: float = 0.0
    is_black_hole: bool = False  # connections are taken and bytes read, nothing ever comes back
    is_cut: bool = False  # connections are reset
    reply: bytes = b""  # in the place of every reply
    rubbish_share: float = 0.0  # of the replies that are replaced by random bytes


class Proxy:
    """Listens on loopback and passes bytes on to a Unix socket."""

    def __init__(self, target: Path, *, chance: random.Random) -> None:
        self.weather = Weather()
        self._target = target
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, sock=self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        self.reset_connections()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def in_weather(self, weather: Weather) -> Iterator[None]:
        """Have this weather for a while; a connection that was disturbed does not come back to life."""
        self.weather = weather
        if weather.is_cut:
            self.reset_connections()
        try:
            yield
        finally:
            self.weather = Weather()
            if not weather.delay_seconds:
                self.reset_connections()

    def reset_connections(self) -> None:
        """Break all connections with a reset."""
        for writer in list(self._writers):
            _reset(writer)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if not self.weather.is_cut:
                await self._connect(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # that is what it is for
        finally:
            self._writers.discard(writer)
            _reset(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(str(self._target))
        try:
            sending = asyncio.create_task(self._pass(reader, back, is_reply=False))
            replying = asyncio.create_task(self._pass(there, writer, is_reply=True))
            both = {sending, replying}
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in both:
                    each.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        finally:
            back.close()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        while data := await source.read(CHUNK):
            weather = self.weather
            if weather.is_black_hole:
                continue
            if is_reply:
                if weather.delay_seconds:
                    await asyncio.sleep(weather.delay_seconds)
                data = weather.reply or data
                if self._chance.random() < weather.rubbish_share:
                    data = self._chance.randbytes(self._chance.randint(1, 400))
            target.write(data)
            await target.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        connection = writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
