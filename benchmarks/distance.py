"""A server that is far away: a relay on loopback that delays every byte.

It is a process of Python, and takes a share of the processors that distance would not take."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.servers import free_port, wait_for

ROUND_TRIP_SECONDS = 0.014


@contextmanager
def far_away(port: int) -> Iterator[int]:
    """A port behind which the server at `port` seems to be `ROUND_TRIP_SECONDS` away."""
    relay = free_port()
    process = multiprocessing.get_context("fork").Process(target=_relay, args=(relay, port), daemon=True)
    process.start()
    try:
        wait_for(relay)
        yield relay
    finally:
        process.terminate()
        process.join()


def _relay(listening: int, behind: int) -> None:
    class Half(asyncio.Protocol):
        """One side of a connection: what comes goes to the other side half a round trip later."""

        def __init__(self, other: Half | None = None) -> None:
            self.other = other
            self.transport: asyncio.Transport | None = None
            self.early: list[bytes] = []

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            if self.other is None:
                self.other = Half(self)
                loop = asyncio.get_running_loop()
                self.connecting = loop.create_task(loop.create_connection(lambda: self._behind, "127.0.0.1", behind))
            else:
                for data in self.early:
                    transport.write(data)

        @property
        def _behind(self) -> Half:
            assert self.other is not None
            return self.other

        def data_received(self, data: bytes) -> None:
            asyncio.get_running_loop().call_later(ROUND_TRIP_SECONDS / 2, self._behind.send, data)

        def send(self, data: bytes) -> None:
            if self.transport is None:
                self.early.append(data)
            elif not self.transport.is_closing():
                self.transport.write(data)

        def connection_lost(self, _error: Exception | None) -> None:
            if self._behind.transport is not None:
                self._behind.transport.close()

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Half, "127.0.0.1", listening, backlog=512)
        await server.serve_forever()

    asyncio.run(run())
