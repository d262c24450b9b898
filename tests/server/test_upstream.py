"""The connection to an engine, byte by byte over real sockets."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.upstream import UpstreamLostError, UpstreamRefusedError
from server.upstream_http import http_upstream
from tests.server.waiting import WAIT_S

pytestmark = pytest.mark.anyio
Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\ntransfer-encoding: chunked\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nX-Name: A b\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class FakePeer:
    """Answers each request with the next of `answers`; the last one stays."""

    answers: list[bytes]
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """The gateway's side has ended a connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                await reader.readexactly(2)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer)
                if answer.startswith(b"HTTP/1.0"):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()


@asynccontextmanager
async def listening(
    peer: FakePeer, *, uds: Path | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Its URL."""
    if uds is not None:
        server = await asyncio.start_unix_server(peer.serve, uds)
        url = "http://engine"
    else:
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls)
        scheme = "https" if tls else "http"
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield url
    finally:
        server.close()


async def asked(url: str, *, uds: Path | None = None) -> tuple[int, dict[str, str], bytes]:
    async with (
        http_upstream(url, uds=uds, connect_s=5) as upstream,
        upstream.post("/v1/x", b"{}") as answer,
    ):
        return answer.status, answer.headers, await answer.rest()


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (SIZED, b"ok"),
        (CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok"),
        (CHUNKED + b"2\r\nok\r\n0\r\ntrailer: x\r\n\r\n", b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        # No length: the end of the connection is the end of the body.
        (b"HTTP/1.0 200 OK\r\n\r\nok", b"ok"),
    ],
)
async def test_a_body_ends_where_http_says(sent: bytes, body: bytes) -> None:
    peer = FakePeer([sent])
    async with listening(peer) as url:
        status, _, found = await asked(url)
    assert status == (204 if b" 204 " in sent else 200)
    assert found == body


async def test_the_request_is_what_an_engine_expects() -> None:
    peer = FakePeer([SIZED])
    async with listening(peer) as url:
        _, headers, _ = await asked(url)
    lines = peer.requests[0].decode().split("\r\n")
    assert lines[0] == "POST /v1/x HTTP/1.1"
    assert f"host: {url.removeprefix('http://')}" in lines
    assert "content-length: 2" in lines
    assert headers["x-name"] == "A b"


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"hello\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_lost(sent: bytes) -> None:
    async with listening(FakePeer([sent])) as url:
        with pytest.raises(UpstreamLostError):
            await asked(url)


async def test_a_unix_socket(tmp_path: Path) -> None:
    peer, uds = FakePeer([SIZED]), tmp_path / "engine.sock"
    async with listening(peer, uds=uds) as url:
        assert (await asked(url, uds=uds))[2] == b"ok"
    with pytest.raises(UpstreamRefusedError):
        await asked("http://engine", uds=tmp_path / "nothing.sock")


async def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = self_signed(tmp_path)
    async with listening(FakePeer([SIZED]), tls=context) as url:
        with pytest.raises(UpstreamRefusedError):
            await asked(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert (await asked(url))[2] == b"ok"


@pytest.mark.parametrize(
    ("first", "connections"),
    [
        (SIZED, 1),
        # The engine will close it, or has sent what nobody asked for.
        (SIZED.replace(b"X-Name: A b", b"connection: close"), 2),
        (SIZED + b"more", 2),
    ],
)
async def test_a_connection_is_used_again_only_where_it_can_be(
    first: bytes, connections: int
) -> None:
    peer = FakePeer([first, SIZED])
    async with listening(peer) as url, http_upstream(url, connect_s=5) as upstream:
        for _ in range(2):
            async with upstream.post("/v1/x", b"{}") as answer:
                assert await answer.rest() == b"ok"
    assert peer.connections == connections


async def test_what_is_left_early_is_closed() -> None:
    peer = FakePeer([CHUNKED + b"1\r\no\r\n"])
    async with listening(peer) as url, http_upstream(url, connect_s=5) as upstream:
        async with upstream.post("/v1/x", b"{}") as answer:
            assert await answer.feed(lambda piece: False)
        with anyio.fail_after(WAIT_S):
            await peer.closed.wait()


async def test_pieces_come_until_no_more_are_wanted() -> None:
    taken: list[bytes] = []

    def take(piece: bytes) -> bool:
        taken.append(piece)
        return b"stop" not in piece

    peer = FakePeer([CHUNKED + b"4\r\nstop\r\n" + b"4\r\nmore\r\n0\r\n\r\n"])
    async with (
        listening(peer) as url,
        http_upstream(url, connect_s=5) as upstream,
        upstream.post("/v1/x", b"{}") as answer,
    ):
        assert await answer.feed(take)
        assert not await answer.feed(take)
    assert b"".join(taken) == b"stopmore"


async def test_what_take_raises_reaches_who_waits() -> None:
    def take(piece: bytes) -> bool:
        raise LookupError

    async with (
        listening(FakePeer([CHUNKED + b"1\r\no\r\n"])) as url,
        http_upstream(url, connect_s=5) as upstream,
        upstream.post("/v1/x", b"{}") as answer,
    ):
        with pytest.raises(LookupError):
            await answer.feed(take)


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "engine.pem", folder / "engine.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return pem, context
