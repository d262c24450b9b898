"""One HTTP request over one fresh connection; every socket read is stamped before anything else."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.errors import UsageProblemError

Clock = Callable[[], int]


@dataclass(frozen=True)
class Limits:
    """Seconds; a request that passes one of them ends with a named problem."""

    connect_s: float = 10.0
    first_read_s: float = 180.0
    idle_s: float = 60.0
    total_s: float = 900.0


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    tls: bool = False
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> "Address":
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageProblemError(f"URL {url!r}: write it as http://HOST:PORT.")
        tls = parts.scheme == "https"
        try:
            port = parts.port
        except ValueError as error:
            raise UsageProblemError(f"URL {url!r}: {error}.") from error
        return cls(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/"))


@dataclass(frozen=True)
class Read:
    at_ns: int
    data: bytes


@dataclass(frozen=True)
class Exchange:
    """Times are the clock's own; `problem` names a transport fault."""

    sent_ns: int
    ended_ns: int
    reads: tuple[Read, ...]
    problem: str | None = None


class _Recorder(asyncio.Protocol):
    def __init__(self, clock: Clock, closed: asyncio.Future[None]) -> None:
        self._clock = clock
        self._closed = closed
        self.reads: list[Read] = []
        self.problem: str | None = None

    def data_received(self, data: bytes) -> None:
        self.reads.append(Read(self._clock(), data))

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.problem = f"connection lost: {exc}"
        if not self._closed.done():
            self._closed.set_result(None)


async def exchange(
    address: Address,
    request: bytes,
    limits: Limits = DEFAULT_LIMITS,
    clock: Clock = time.perf_counter_ns,
) -> Exchange:
    """Sends `request` (which must ask for `Connection: close`) and records reads until the close.

    The connection is made before the clock starts, so no figure contains it.
    """
    loop = asyncio.get_running_loop()
    closed: asyncio.Future[None] = loop.create_future()
    recorder = _Recorder(clock, closed)
    try:
        async with asyncio.timeout(limits.connect_s):
            transport = await _connect(address, recorder)
    except TimeoutError:
        now = clock()
        return Exchange(now, now, (), f"no connection within {limits.connect_s:g} s")
    except OSError as error:
        now = clock()
        return Exchange(now, now, (), f"no connection: {error}")
    try:
        sent = clock()
        transport.write(request)
        problem = await _until_closed(recorder, closed, sent, limits, clock)
        return Exchange(sent, clock(), tuple(recorder.reads), problem or recorder.problem)
    finally:
        transport.abort()


async def _connect(address: Address, recorder: _Recorder) -> asyncio.Transport:
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: recorder,
        address.host,
        address.port,
        ssl=ssl.create_default_context() if address.tls else None,
    )
    return transport


async def _until_closed(
    recorder: _Recorder, closed: asyncio.Future[None], sent: int, limits: Limits, clock: Clock
) -> str | None:
    while not closed.done():
        last = recorder.reads[-1].at_ns if recorder.reads else sent
        allowed = limits.idle_s if recorder.reads else limits.first_read_s
        now = clock()
        quiet = allowed - (now - last) / 1e9
        left = limits.total_s - (now - sent) / 1e9
        if quiet <= 0:
            return f"nothing arrived for {allowed:g} s"
        if left <= 0:
            return f"not finished within {limits.total_s:g} s"
        # Never longer than idle_s: a read that arrives meanwhile changes which limit holds.
        await asyncio.wait({closed}, timeout=min(quiet, left, limits.idle_s))
    return None
