"""A line between two machines that can be cut, slow, late, or lose an answer; told so on stdin.

`python -m federation.tcp_proxy PORT TARGET:PORT` prints `ready` and then reads one order a line:

    pass                       forward at once (how it begins)
    cut                        close every connection and accept none
    delay SECONDS              hold each piece this long
    throttle BYTES_PER_S       let no more through in each direction
    lose-answer BYTES          once, after this many bytes went out: drop what comes back and close

It prints `lost` when an answer is lost. Bytes stay encrypted: it sees as much as a hospital's wire.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from federation.hosts import Host

PIECE_BYTES = 16_384
TESTS = Path(__file__).parents[1]


class Proxy:
    """The proxy as a test sees it: a process on a host that takes orders."""

    def __init__(self, host: Host, port: int, target: str) -> None:
        words = ["-m", "federation.tcp_proxy", str(port), target]
        self._process = host.start(
            "env", f"PYTHONPATH={TESTS}", sys.executable, *words,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout.readline() == "ready\n"

    def order(self, *words: str | float) -> None:
        """Change how the line behaves; it does from the next piece on."""
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def wait_until_lost(self) -> None:
        """Return when an answer has been lost."""
        assert self._process.stdout.readline() == "lost\n"

    def close(self) -> None:
        """End the line and every connection on it."""
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@dataclass
class Line:
    """How the line behaves now."""

    target: tuple[str, int]
    is_cut: bool = False
    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    lose_after_bytes: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def obey(self, order: str) -> None:
        """Take one order."""
        match order.split():
            case ["pass"]:
                self.is_cut, self.delay_s, self.bytes_per_s = False, 0.0, 0.0
            case ["cut"]:
                self.is_cut = True
                for writer in self.writers:
                    writer.transport.abort()
            case ["delay", seconds]:
                self.delay_s = float(seconds)
            case ["throttle", speed]:
                self.bytes_per_s = float(speed)
            case ["lose-answer", size]:
                self.lose_after_bytes = int(float(size))

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect one caller with the target until either hangs up."""
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self.writers |= ends
        sent = Sent()
        try:
            await asyncio.gather(
                self._out(reader, far_writer, sent), self._back(far_reader, writer, sent)
            )
        finally:
            self.writers -= ends
            for end in ends:
                end.transport.abort()

    async def _out(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Sent
    ) -> None:
        async for piece in self._pieces(reader):
            sent.since_answer_bytes += len(piece)
            await _written(writer, piece)
        with suppress(OSError):
            writer.write_eof()

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Sent
    ) -> None:
        async for piece in self._pieces(reader):
            if 0 < self.lose_after_bytes <= sent.since_answer_bytes:
                self.lose_after_bytes = 0
                print("lost", flush=True)  # noqa: T201 - the protocol with the test
                writer.transport.abort()
                return
            sent.since_answer_bytes = 0
            await _written(writer, piece)
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()

    async def _pieces(self, reader: asyncio.StreamReader):
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                slow_s = len(piece) / self.bytes_per_s if self.bytes_per_s else 0.0
                await asyncio.sleep(self.delay_s + slow_s)
                yield piece


@dataclass
class Sent:
    """Bytes that went out since the last byte came back."""

    since_answer_bytes: int = 0


async def _written(writer: asyncio.StreamWriter, piece: bytes) -> None:
    with suppress(OSError):
        writer.write(piece)
        await writer.drain()


async def main(port: str, target: str) -> None:
    """Serve until stdin ends."""
    host, _, target_port = target.rpartition(":")
    line = Line((host, int(target_port)))
    server = await asyncio.start_server(line.carry, "0.0.0.0", int(port))  # noqa: S104 - the only interface of its host
    print("ready", flush=True)  # noqa: T201 - the protocol with the test
    while order := await asyncio.to_thread(sys.stdin.readline):
        line.obey(order)
    server.close()
    line.obey("cut")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
