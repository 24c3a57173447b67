"""TLS over any stream: checks, the time of sending, the state after a cancelled call, and error texts."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import trustme

from httpcore._backends.base import PIECE, Stream, StreamInfo
from httpcore._connect import tls

# The bound of waiting encrypted bytes is not promised to callers; the tests check its effect.
from httpcore._connect.tls import _ENCRYPTED, _UNPRODUCTIVE, TLSStream, start_tls
from httpcore._errors import (
    ConnectTimeout,
    HTTPCoreError,
    LocalProtocolError,
    ReadError,
    ReadTimeout,
    TLSError,
    WriteError,
    WriteTimeout,
)
from httpcore.testing import PeerGone, ServerEnd
from httpcore.testing import Simulation as Runtime
from httpcore.testing import at_every_await as at_every_point

NAME = "a.test"
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert(NAME)
MUCH = bytes(range(256)) * 1200  # 300 KB

Body = Callable[[TLSStream, "TLSPeer"], Coroutine[Any, Any, None]]


def client_context(*, version: ssl.TLSVersion = TLS13, trusted: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.maximum_version = version
    trusted.configure_trust(context)
    return context


def server_context(certificate: trustme.LeafCert = CERTIFICATE, *, tickets: int = 2) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.num_tickets = tickets
    return context


CLIENT = client_context()
SERVER = server_context()


class TLSPeer:
    """The server's side of TLS: plain bytes above, records below. It has the interface of `ServerEnd`, so that one
    TLSPeer can be layered on another.
    """

    def __init__(self, below: ServerEnd | TLSPeer, context: ssl.SSLContext = SERVER) -> None:
        self.below = below
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    async def shake_hands(self) -> None:
        await self._until_done(self.session.do_handshake)

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        try:
            return cast(bytes, await self._until_done(lambda: self.session.read(max_bytes)))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def recv_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await self.recv(size - len(data))
            assert piece, f"the client ended after {len(data)} of {size} bytes"
            data += piece
        return data

    async def recv_all(self) -> bytes:
        data = b""
        while piece := await self.recv():
            data += piece
        return data

    def record(self, data: bytes) -> bytes:
        self.session.write(data)
        return self.outgoing.read()

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), 16384):
            await self.below.send(self.record(data[start : start + 16384]))

    async def end(self) -> None:
        with pytest.raises(ssl.SSLError):  # the client's own close_notify has not arrived yet
            self.session.unwrap()
        await self.below.send(self.outgoing.read())

    async def _until_done(self, act: Callable[[], object]) -> object:
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                await self.exchange()
            except ssl.SSLError:
                await self.below.send(self.outgoing.read())
                raise
            else:
                await self.below.send(self.outgoing.read())
                return result

    async def exchange(self) -> None:
        await self.below.send(self.outgoing.read())
        data = await self.below.recv()
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()


async def hold(runtime: Runtime) -> None:
    await runtime.event().wait(None)


async def connect(runtime: Runtime, context: ssl.SSLContext = CLIENT, name: str | None = NAME) -> TLSStream:
    stream = await runtime.backend().connect_tcp([NAME], 443, 5.0)
    return await start_tls(stream, context, name, timeout=5.0, now=runtime.backend().now)


def joined(
    body: Body,
    runtime: Runtime | None = None,
    *,
    client: ssl.SSLContext = CLIENT,
    server: ssl.SSLContext = SERVER,
    **place: Any,
) -> Runtime:
    """Run `body` with both ends of one connection, after the handshake."""
    runtime = runtime or Runtime()
    peers: list[TLSPeer] = []

    async def serve(end: ServerEnd) -> None:
        peer = TLSPeer(end, server)
        await peer.shake_hands()
        peers.append(peer)
        await hold(runtime)

    async def main() -> None:
        stream = await connect(runtime, client)
        while not peers:
            await runtime.sleep(0.001)
        await body(stream, peers[0])

    runtime.listen(NAME, 443, serve, **place)
    runtime.run(main())
    return runtime


def handshake_error(
    serve: Callable[[ServerEnd], Coroutine[Any, Any, None]],
    client: ssl.SSLContext = CLIENT,
    name: str | None = NAME,
) -> tuple[HTTPCoreError, Runtime]:
    """The error of a failed handshake, and the runtime. The connection is closed, whatever the error."""
    runtime = Runtime()
    runtime.listen(NAME, 443, serve)

    async def main() -> HTTPCoreError:
        with pytest.raises(HTTPCoreError) as caught:
            await connect(runtime, client, name)
        assert runtime.connections[0].client_closed
        caught.value.add(elapsed=runtime.now)
        await runtime.sleep(0)  # the server is notified
        return caught.value

    error = runtime.run(main())
    assert error.peer == "a.test:443"
    return error, runtime


def tls_server(context: ssl.SSLContext) -> Callable[[ServerEnd], Coroutine[Any, Any, None]]:
    async def serve(end: ServerEnd) -> None:
        try:
            await TLSPeer(end, context).shake_hands()
        except ssl.SSLError:
            pass
        await end.recv()

    return serve


async def write_all(stream: Stream, data: bytes, timeout: float | None = 5.0) -> None:
    taken = 0
    while taken < len(data):
        taken += await stream.write_some(data[taken:], timeout, duplex=True)
    assert await stream.flush(timeout, duplex=True)


async def read_exactly(stream: Stream, size: int, timeout: float | None = 5.0) -> bytes:
    data = b""
    while len(data) < size:
        piece = await stream.read(size - len(data), timeout)
        assert piece, f"the server ended after {len(data)} of {size} bytes"
        data += piece
    return data


# The handshake: trusted servers.


@pytest.mark.parametrize(
    ("names", "host", "accepted"),
    [
        (["a.test"], "a.test", True),
        (["a.test"], "A.TEST", True),
        (["a.test"], "a.test.", True),
        (["a.test"], "b.test", False),
        (["a.test"], "b.a.test", False),
        (["a.test", "b.test"], "b.test", True),
        (["*.a.test"], "b.a.test", True),
        (["*.a.test"], "a.test", False),
        (["*.a.test"], "c.b.a.test", False),
        (["xn--bcher-kva.test"], "xn--bcher-kva.test", True),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["::1"], "::1", True),
        (["::1"], "0:0:0:0:0:0:0:1", True),
        (["fe80::1"], "fe80::1%eth0", True),
        (["0:0:0:0:0:0:0:1"], "::2", False),
        (["127.0.0.1"], "::ffff:127.0.0.1", False),
        (["a.test"], "127.0.0.1", False),
        (["127.0.0.1"], "a.test", False),
    ],
)
def test_the_certificate_must_be_for_the_host(names: list[str], host: str, accepted: bool) -> None:
    server = server_context(AUTHORITY.issue_cert(*names))
    if accepted:
        runtime = Runtime()
        runtime.listen(NAME, 443, tls_server(server))
        runtime.run(connect(runtime, CLIENT, host))
    else:
        error, _ = handshake_error(tls_server(server), name=host)
        assert type(error) is TLSError
        assert f"not for host {host!r}; it is for {names[0]!r}" in str(error)


def test_a_common_name_is_not_a_host_name() -> None:
    server = server_context(AUTHORITY.issue_cert("b.test", common_name="a.test"))
    error, _ = handshake_error(tls_server(server))
    assert "it is for 'b.test'" in str(error)


@pytest.mark.parametrize(
    ("host", "sent"),
    [("a.test", "a.test"), ("a.test.", "a.test"), ("127.0.0.1", None), ("::1", None), ("fe80::1%eth0", None)],
)
def test_names_are_sent_in_the_handshake_and_addresses_are_not(host: str, sent: str | None) -> None:
    seen: list[str | None] = []
    server = server_context(AUTHORITY.issue_cert("a.test", "127.0.0.1", "::1", "fe80::1"))
    server.sni_callback = lambda session, name, context: seen.append(name)
    runtime = Runtime()
    runtime.listen(NAME, 443, tls_server(server))
    runtime.run(connect(runtime, CLIENT, host))
    assert seen == [sent]


def test_info_has_the_facts_of_tls_and_both_ends() -> None:
    client, server = client_context(), server_context()
    client.set_alpn_protocols(["h2", "http/1.1"])
    server.set_alpn_protocols(["http/1.1"])
    infos: list[StreamInfo] = []

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        stream.close()
        infos.append(stream.info())

    joined(body, client=client, server=server)
    tls = infos[0].tls
    assert infos[0].peer == "a.test:443"
    assert tls is not None
    assert (tls.version, tls.alpn, tls.server_name, tls.session_reused) == ("TLSv1.3", "http/1.1", NAME, False)
    assert tls.cipher.startswith("TLS_")
    assert tls.certificate == ssl.PEM_cert_to_DER_cert(CERTIFICATE.cert_chain_pems[0].bytes().decode())


def test_no_protocol_is_named_when_the_server_picks_none() -> None:
    client = client_context()
    client.set_alpn_protocols(["h2"])

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        agreed = stream.info().tls
        assert agreed is not None
        assert agreed.alpn is None

    joined(body, client=client)


# The handshake: how it fails.


def test_an_untrusted_certificate_is_refused_with_an_alert() -> None:
    collected: list[ssl.SSLError] = []

    async def serve(end: ServerEnd) -> None:
        try:
            await TLSPeer(end).shake_hands()
        except ssl.SSLError as error:
            collected.append(error)

    error, _ = handshake_error(serve, client_context(trusted=trustme.CA()))
    assert type(error) is TLSError
    assert "with 'a.test' failed: the certificate is not trusted: unable to get local issuer" in str(error)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert collected[0].reason == "TLSV1_ALERT_UNKNOWN_CA"


def test_an_expired_certificate_is_called_expired() -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    server = server_context(AUTHORITY.issue_cert(NAME, not_before=past.replace(year=2001), not_after=past))
    error, _ = handshake_error(tls_server(server))
    assert "has expired" in str(error)


def test_a_certificate_that_is_not_valid_yet_is_refused() -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    server = server_context(AUTHORITY.issue_cert(NAME, not_before=soon, not_after=soon.replace(year=2099)))
    error, _ = handshake_error(tls_server(server))
    assert "is not valid yet" in str(error)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"220 mail\x1b[2J\r\n", b"\x16H"]
)
def test_a_server_of_plain_text_is_quoted(answer: bytes) -> None:
    async def serve(end: ServerEnd) -> None:
        await end.recv()
        await end.send(answer, piece=7)

    error, _ = handshake_error(serve)
    assert type(error) is TLSError
    assert "does not speak TLS, it looks like a plain-text server: it sent " in str(error)
    assert repr(answer[:7])[2:-1] in str(error)
    assert "\x1b" not in str(error)


@pytest.mark.parametrize(("sent", "words"), [(b"", "without an answer"), (b"\x16\x03\x03", "before the handshake")])
def test_a_server_that_closes_during_the_handshake_is_an_error(sent: bytes, words: str) -> None:
    async def serve(end: ServerEnd) -> None:
        await end.recv()
        await end.send(sent)

    error, _ = handshake_error(serve)
    assert type(error) is TLSError
    assert f"the peer closed the connection {words}" in str(error)


def test_a_reset_during_the_handshake_keeps_its_number() -> None:
    async def serve(end: ServerEnd) -> None:
        await end.recv()
        end.reset()

    error, _ = handshake_error(serve)
    assert type(error) is TLSError
    assert error.errno is not None
    assert isinstance(error.__cause__, ReadError)


def test_server_without_our_versions_is_an_error_with_its_alert() -> None:
    server = server_context()
    server.minimum_version = TLS13
    error, _ = handshake_error(tls_server(server), client_context(version=TLS12))
    assert 'the peer sent the alert "protocol version" (it speaks no TLS version that we allow)' in str(error)


def test_a_server_that_needs_a_certificate_is_named_in_tls_1_2() -> None:
    server = server_context()
    server.verify_mode = ssl.CERT_REQUIRED
    error, _ = handshake_error(tls_server(server), client_context(version=TLS12))
    assert 'the peer sent the alert "handshake failure"' in str(error)


@pytest.mark.parametrize("noise", [b"\x16\x03\x03\x00\x10" + b"\xff" * 16, b"\x15\x03\x03\x00\x02\x02\x28"])
def test_records_that_make_no_sense_are_a_tls_error(noise: bytes) -> None:
    async def serve(end: ServerEnd) -> None:
        await end.recv()
        await end.send(noise)
        await end.recv()

    error, _ = handshake_error(serve)
    assert type(error) is TLSError
    assert isinstance(error.__cause__, ssl.SSLError)


@pytest.mark.parametrize(
    ("piece", "delay"), [(0, 0.0), (1, 1.0), (1, 0.01)], ids=["silent", "a byte per second", "100 bytes per second"]
)
def test_the_handshake_ends_at_its_deadline_however_bytes_drip(piece: int, delay: float) -> None:
    async def serve(end: ServerEnd) -> None:
        peer = TLSPeer(end)
        peer.incoming.write(await end.recv())
        with pytest.raises(ssl.SSLWantReadError):
            peer.session.do_handshake()
        if piece:
            await end.send(peer.outgoing.read(), piece=piece, delay=delay)
        await end.recv()

    error, _ = handshake_error(serve)
    assert type(error) is ConnectTimeout
    assert error.limit == 5.0
    assert error.elapsed == pytest.approx(5.0, abs=0.001)


def test_a_handshake_cancelled_anywhere_closes_its_connection() -> None:
    async def scenario(runtime: Runtime) -> None:
        runtime.listen(NAME, 443, tls_server(SERVER))
        stream = await runtime.backend().connect_tcp([NAME], 443, 5.0)
        task = await runtime.victim(start_tls(stream, CLIENT, NAME, timeout=5.0, now=runtime.backend().now))
        if task.cancelled and task.suspensions:
            assert runtime.connections[0].client_closed
            assert task.lingered == []

    assert at_every_point(scenario, lambda runtime, task: task.cancel()) > 5


@pytest.mark.parametrize("name", [None, "", ".a.test", "a\0b", "a" * 64 + ".test"])
def test_a_name_that_cannot_be_checked_is_refused(name: str | None) -> None:
    error, runtime = handshake_error(tls_server(SERVER), name=name)
    assert type(error) is LocalProtocolError
    assert f"server_name {name!r}" in str(error)
    assert runtime.connections[0].sent == b""


# Reading and writing.


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize(
    "make",
    [Runtime, lambda: Runtime(checkpoints=False), lambda: Runtime(max_read=1000, max_write=777)],
    ids=["as trio", "as asyncio", "small steps"],
)
def test_bytes_of_every_length_go_there_and_come_back(version: ssl.TLSVersion, make: Callable[[], Runtime]) -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        for size in (1, 16383, 16384, 16385, len(MUCH)):
            back = runtime.spawn(peer.recv_exactly(size))
            await write_all(stream, MUCH[:size])
            await back.wait()
            assert back.result() == MUCH[:size]
            runtime.spawn(peer.send(MUCH[:size]))
            assert await read_exactly(stream, size) == MUCH[:size]

    runtime = make()
    joined(body, runtime, client=client_context(version=version), window=30_000)


def test_a_read_returns_at_most_the_size_and_keeps_the_rest() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"0123456789")
        assert await stream.read(4, 5.0) == b"0123"
        assert await stream.read(4, 5.0) == b"4567"
        assert await stream.read(4, 5.0) == b"89"
        await peer.below.send(b"".join(peer.record(b"x" * 16384) for _ in range(5)))  # ServerEnd has room for 64 KiB
        assert len(await stream.read(10**9, 5.0)) <= PIECE

    joined(body, window=200_000)


def test_whole_records_come_in_one_piece() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.below.send(b"".join(peer.record(b"x" * 10_000) for _ in range(4)))
        assert len(await stream.read(PIECE, 5.0)) == 40_000

    joined(body)


def test_data_right_behind_the_handshake_is_received() -> None:
    """In TLS 1.2 the server sends the last message, so that its first data can arrive with the end of its handshake."""
    runtime = Runtime()

    async def serve(end: ServerEnd) -> None:
        peer = TLSPeer(end)
        for _ in range(2):
            peer.incoming.write(await end.recv())
            try:
                peer.session.do_handshake()
            except ssl.SSLWantReadError:
                await end.send(peer.outgoing.read())
        await end.send(peer.outgoing.read() + peer.record(b"hello"))
        await hold(runtime)

    async def main() -> None:
        stream = await connect(runtime, client_context(version=TLS12))
        assert stream.take() == b"hello"

    runtime.listen(NAME, 443, serve)
    runtime.run(main())


def test_reading_sends_nothing() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        sent = runtime.connections[0].sent
        await peer.send(MUCH[:50_000])
        assert await read_exactly(stream, 50_000) == MUCH[:50_000]
        assert runtime.connections[0].sent == sent

    runtime = Runtime()
    joined(body, runtime)


def test_a_write_takes_256_kib_and_leaves_them_for_the_next_call() -> None:
    much = MUCH * 2
    assert _ENCRYPTED == 256 * 1024

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        sent = len(runtime.connections[0].sent)
        assert await stream.write_some(much, 5.0, duplex=True) == _ENCRYPTED
        assert len(runtime.connections[0].sent) == sent
        assert stream.owes
        assert await stream.write_some(much[_ENCRYPTED:], 5.0, duplex=True) == _ENCRYPTED
        assert sent + _ENCRYPTED < len(runtime.connections[0].sent) < sent + _ENCRYPTED + 1000
        assert await stream.flush(5.0)
        assert not stream.owes
        assert await peer.recv_exactly(2 * _ENCRYPTED) == much[: 2 * _ENCRYPTED]

    runtime = Runtime()
    joined(body, runtime, window=700_000)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_can_be_written_also_empty_bytes(kind: Callable[[bytes], Any]) -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        assert await stream.write_some(kind(b""), 5.0) == 0
        assert not stream.owes
        assert await stream.write_some(kind(b"x" * 270_000), 5.0) == _ENCRYPTED
        assert await stream.flush(5.0)
        assert await peer.recv_exactly(_ENCRYPTED) == b"x" * _ENCRYPTED

    joined(body)


def test_a_writer_sees_an_early_answer() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"413")
        taken = 0
        while step := await stream.write_some(MUCH, 5.0):
            taken += step
        assert taken <= _ENCRYPTED  # these bytes were encrypted before the flag was checked
        assert not await stream.flush(5.0)
        assert stream.take() == b"413"
        assert await stream.flush(5.0)  # the input has been read, so it no longer stops the flush

    joined(body)


def test_with_duplex_a_writer_leaves_the_input_alone() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"news")
        for _ in range(3):
            assert await stream.write_some(b"x" * 10, 5.0, duplex=True) == 10
        assert await stream.flush(5.0, duplex=True)
        assert await peer.recv_exactly(30) == b"x" * 30
        assert await stream.read(100, 5.0) == b"news"

    joined(body)


def test_a_session_ticket_is_not_input() -> None:
    """After the handshake of TLS 1.3 the socket is readable, but holds only tickets: no bytes of HTTP."""

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        waiting = runtime.connections[0]
        assert len(waiting.replied) > 0
        await stream.write_some(b"x" * 10, 5.0)
        assert await stream.flush(5.0)  # the tickets do not stop the flush
        assert await peer.recv_exactly(10) == b"x" * 10
        assert stream.take() is None
        await write_all(stream, b"again")
        assert await peer.recv_exactly(5) == b"again"
        await peer.send(b"yes")
        assert await stream.read(10, 5.0) == b"yes"

    runtime = Runtime()
    joined(body, runtime)


def test_is_quiet_of_tls_takes_nothing_and_skips_tickets() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        assert [stream.is_quiet(), stream.is_quiet()] == [True, True]
        await peer.send(b"surplus")
        assert [stream.is_quiet(), stream.is_quiet()] == [False, False]
        assert stream.take() == b"surplus"
        assert [stream.is_quiet(), stream.is_quiet()] == [True, True]
        await peer.end()
        assert [stream.is_quiet(), stream.is_quiet()] == [False, False]
        assert stream.take() == b""
        assert not stream.is_quiet()

    joined(body)


def test_take_skips_tickets_and_finds_data_behind_them() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        assert stream.take() is None
        await peer.send(b"surplus")
        assert stream.take() == b"surplus"
        assert stream.take() is None
        await peer.end()
        assert stream.take() == b""

    joined(body)


def test_session_tickets_without_end_are_a_read_error() -> None:
    runtime = Runtime()

    async def main() -> None:
        stream = await connect(runtime)
        with pytest.raises(ReadError, match="bytes of records that carry no data"):  # noqa: PT012
            while stream.take() is None:
                await runtime.sleep(0.01)
        with pytest.raises(ReadError, match="bytes of records that carry no data"):
            await stream.read(10, 5.0)

    runtime.listen(NAME, 443, tls_server(server_context(tickets=1500)))
    runtime.run(main())
    assert len(runtime.connections[0].replied) > 256 * 1024


def test_bytes_that_we_owe_the_peer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each KeyUpdate requires a reply, for which there is no room here. Python's `ssl` cannot send a KeyUpdate, so
    unflushed bytes of a write take the place of the replies.
    """

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        while stream.give(b"x" * 10_000):
            pass
        # A caller cannot write so much. These bytes stand for replies that the peer's own records make OpenSSL hold.
        stream._encrypt(b"x" * 10_000)
        await peer.send(b"fine")
        assert await stream.read(10, 5.0) == b"fine"
        # A smaller bound keeps the test fast.
        monkeypatch.setattr(tls, "_MOST_PENDING", 9_999)
        await peer.send(b"too much")
        assert await stream.read(10, 5.0) == b"too much"
        with pytest.raises(ReadError, match="records that carry no data"):
            await stream.read(10, 5.0)

    joined(body, window=20_000)


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_an_unsent_write_is_no_debt_to_the_peer(version: ssl.TLSVersion) -> None:
    """As much ciphertext as one write makes may wait while records are received, whether they contain data or
    tickets.
    """

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        assert await stream.write_some(MUCH, 5.0) == _ENCRYPTED
        # This is more than may arrive without data. No public name shows ciphertext that waits to be sent.
        assert stream._outgoing.pending > _UNPRODUCTIVE
        assert stream.take() is None
        await peer.send(b"early")
        assert await stream.read(10, 5.0) == b"early"
        assert await stream.flush(5.0)
        assert await peer.recv_exactly(_ENCRYPTED) == MUCH[:_ENCRYPTED]

    joined(body, client=client_context(version=version), window=700_000)


def test_a_watcher_is_called_for_data_and_the_end_alone() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        calls: list[bytes | None] = []
        assert stream.watch(lambda: calls.append(stream.take()))

        async def calls_after(data: bytes) -> list[bytes | None]:
            await peer.below.send(data)
            await runtime.sleep(0.1)
            return calls

        record = peer.record(b"news")
        assert await calls_after(record[:10]) == []
        assert await calls_after(record[10:]) == [b"news"]
        await peer.end()
        assert await calls_after(b"") == [b"news", b""]
        stream.watch(None)
        assert len(await calls_after(b"ignored")) == 2

    runtime = Runtime()
    joined(body, runtime)


def test_tickets_do_not_wake_a_watcher() -> None:
    runtime = Runtime()
    taken: list[bytes | None] = []

    async def serve(end: ServerEnd) -> None:
        peer = TLSPeer(end)
        await peer.shake_hands()
        await runtime.sleep(1.0)
        assert len(runtime.connections[0].replied) > 0
        assert taken == []
        await peer.send(b"late")
        await hold(runtime)

    async def main() -> None:
        stream = await connect(runtime)
        assert stream.watch(lambda: taken.append(stream.take()))
        await runtime.sleep(2.0)
        assert taken == [b"late"]

    runtime.listen(NAME, 443, serve, delay_back=0.1)
    runtime.run(main())


# The end.


def test_the_end_with_close_notify_is_whole() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"last")
        await peer.end()
        assert await stream.read(10, 5.0) == b"last"
        assert await stream.read(10, 5.0) == b""
        assert await stream.read(10, 5.0) == b""
        assert not stream.truncated

    joined(body)


@pytest.mark.parametrize("part", [0, 10], ids=["between records", "within a record"])
def test_an_end_without_close_notify_is_marked(part: int) -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"last")
        await peer.below.send(peer.record(b"lost")[:part])
        cast(ServerEnd, peer.below).close()
        assert await stream.read(10, 5.0) == b"last"
        assert not stream.truncated
        assert await stream.read(10, 5.0) == b""
        assert stream.truncated
        assert stream.take() == b""

    joined(body)


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_half_close_ends_our_side_only(version: ssl.TLSVersion) -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"before ")
        await stream.write_some(b"question", 5.0, duplex=True)
        await stream.end(5.0)
        await stream.end(5.0)
        with pytest.raises(WriteError, match="ended for writing"):
            await stream.write_some(b"more", 5.0)
        assert await peer.recv_all() == b"question"
        if version is TLS13:  # in TLS 1.2 a close_notify ends both sides
            peer.session.write(MUCH[:40_000])
            await peer.below.send(peer.outgoing.read())
            assert await read_exactly(stream, 40_007) == b"before " + MUCH[:40_000]
        else:
            assert await stream.read(10, 5.0) == b"before "

    joined(body, client=client_context(version=version))


def test_input_that_came_before_a_half_close_is_not_lost() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"0123456789")
        assert await stream.read(2, 5.0) == b"01"
        record = peer.record(b"abcdef")
        await peer.below.send(record[:9])
        await stream.end(5.0)
        assert await stream.read(20, 5.0) == b"23456789"
        await peer.below.send(record[9:])
        assert await stream.read(20, 5.0) == b"abcdef"

    joined(body)


def test_after_the_peer_s_end_was_read_writing_goes_on() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.end()
        await stream.write_some(b"x", 5.0)
        assert not await stream.flush(5.0)
        assert await stream.write_some(b"x", 5.0) == 0
        assert await stream.read(10, 5.0) == b""
        assert await stream.write_some(b"y", 5.0) == 1
        assert await stream.flush(5.0)
        assert await peer.recv_exactly(2) == b"xy"

    joined(body)


def test_bytes_after_close_notify_are_ignored() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.end()
        assert await stream.read(10, 5.0) == b""
        for _ in range(10):
            await peer.below.send(b"\x17" * 60_000)
            await stream.write_some(b"x", 5.0)
            assert await stream.flush(5.0)
            assert await stream.read(10, 5.0) == b""
        assert not stream.truncated

    joined(body)


def test_close_is_immediate_and_sends_nothing() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"unread")
        await stream.write_some(b"unsent", 5.0)
        sent = runtime.connections[0].sent
        stream.close()
        stream.close()
        assert runtime.connections[0].client_closed
        assert runtime.connections[0].sent == sent
        with pytest.raises(ReadError, match="closed"):
            stream.take()
        with pytest.raises(ReadError, match="closed"):
            await stream.read(10, 5.0)
        with pytest.raises(WriteError, match="closed"):
            await stream.write_some(b"x", 5.0)
        with pytest.raises(WriteError, match="closed"):
            await stream.flush(5.0)

    runtime = Runtime()
    joined(body, runtime)


def test_close_ends_a_read_that_waits() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        waiting = runtime.spawn(stream.read(10, None))
        await runtime.sleep(1.0)
        stream.close()
        await waiting.wait()
        assert isinstance(waiting.error, ReadError)

    runtime = Runtime()
    joined(body, runtime)


def test_abandon_goes_to_the_stream_below() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        stream.abandon()
        assert runtime.connections[0].abandoned
        with pytest.raises(ReadError, match="closed"):
            stream.take()

    runtime = Runtime()
    joined(body, runtime)


# Broken records and connections.


def test_damaged_record_is_a_read_error_behind_data_before_it() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        good, bad = peer.record(b"good"), bytearray(peer.record(b"evil"))
        bad[-1] ^= 1
        await peer.below.send(good + bytes(bad))
        assert await stream.read(10, 5.0) == b"good"
        for _ in range(2):
            with pytest.raises(ReadError, match=r"TLS failed while reading: .*bad record mac") as caught:
                await stream.read(10, 5.0)
        assert isinstance(caught.value.__cause__, ssl.SSLError)
        assert caught.value.peer == "a.test:443"
        with pytest.raises(ReadError, match=r"TLS failed while reading: .*bad record mac"):
            stream.take()
        with pytest.raises(WriteError, match=r"TLS failed while writing: .*bad record mac"):
            await stream.write_some(b"x", 5.0)

    joined(body)


def test_a_refused_certificate_in_tls_1_3_fails_the_first_read() -> None:
    runtime = Runtime()
    server = server_context()
    server.verify_mode = ssl.CERT_REQUIRED

    async def main() -> None:
        stream = await connect(runtime)
        with pytest.raises(ReadError, match=r'the alert "certificate required".*SSLConfig\(cert=') as caught:
            await stream.read(10, 5.0)
        assert isinstance(caught.value.__cause__, ssl.SSLError)

    runtime.listen(NAME, 443, tls_server(server))
    runtime.run(main())


def test_a_broken_connection_below_is_reported_as_it_is() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        cast(ServerEnd, peer.below).reset()
        with pytest.raises(ReadError, match="reset"):
            await stream.read(10, 5.0)
        await stream.write_some(b"x", 5.0, duplex=True)
        with pytest.raises(WriteError):
            await stream.flush(5.0, duplex=True)

    joined(body)


# Time.


@pytest.mark.parametrize("delay", [0.0, 1.0], ids=["silence", "one byte of a record per second"])
def test_a_read_ends_at_its_deadline(delay: float) -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        began = runtime.now
        record = peer.record(b"x" * 100)
        if delay:
            runtime.spawn(cast(ServerEnd, peer.below).send(record, piece=1, delay=delay))
        with pytest.raises(ReadTimeout) as caught:
            await stream.read(10, 3.5)
        assert caught.value.limit == 3.5
        assert runtime.now - began == pytest.approx(3.5, abs=0.01)
        if delay:
            assert await stream.read(1000, None) == b"x" * 100  # no byte of the record is lost

    runtime = Runtime()
    joined(body, runtime)


def test_a_write_without_room_times_out_and_is_repeatable() -> None:
    much = MUCH * 2

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        began = runtime.now
        taken = await stream.write_some(much, 2.0, duplex=True)
        taken += await stream.write_some(much[taken:], 2.0, duplex=True)
        with pytest.raises(WriteTimeout) as caught:
            await stream.write_some(much[taken:], 2.0, duplex=True)
        assert caught.value.limit == 2.0
        assert runtime.now - began == pytest.approx(2.0, abs=0.01)
        rest = runtime.spawn(write_all(stream, much[taken:]))
        assert await peer.recv_exactly(len(much)) == much
        await rest.wait()

    runtime = Runtime()
    joined(body, runtime, window=280_000)


def test_a_slow_write_has_its_timeout_for_each_wait() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        upload = runtime.spawn(write_all(stream, MUCH, timeout=2.0))
        began = runtime.now
        got = 0
        while got < len(MUCH):
            await runtime.sleep(0.9)
            got += len(await peer.recv_exactly(min(16384, len(MUCH) - got)))
        await upload.wait()
        assert upload.error is None
        assert runtime.now - began > 10.0

    runtime = Runtime()
    joined(body, runtime, window=20_000)


# Cancellation.


def cancel(runtime: Runtime, task: Any) -> None:
    task.cancel()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("duplex", [False, True])
def test_a_cancelled_write_that_is_repeated_sends_each_byte_once(times: int, duplex: bool) -> None:
    data = MUCH[:50_000]

    async def upload(stream: Stream, taken: list[int]) -> None:
        while taken[0] < len(data):
            taken[0] += await stream.write_some(data[taken[0] :], 5.0, duplex=duplex)
        while not await stream.flush(5.0, duplex=duplex):
            pass
        await stream.end(5.0)

    async def scenario(runtime: Runtime) -> None:
        async def serve(end: ServerEnd) -> None:
            peer = TLSPeer(end)
            await peer.shake_hands()
            received.append(await peer.recv_all())

        received: list[bytes] = []
        runtime.listen(NAME, 443, serve, window=3000)
        stream = await connect(runtime)
        taken = [0]
        for _ in range(times):
            task = await runtime.victim(upload(stream, taken))
            assert task.lingered == []
        await upload(stream, taken)
        stream.close()
        await runtime.sleep(1.0)
        assert received == [data]

    assert at_every_point(scenario, cancel, times=times) > 20


def test_a_cancelled_read_loses_nothing() -> None:
    data = MUCH[:40_000]

    async def download(stream: Stream, got: list[bytes]) -> None:
        while piece := await stream.read(PIECE, 5.0):
            got.append(piece)

    async def scenario(runtime: Runtime) -> None:
        async def serve(end: ServerEnd) -> None:
            peer = TLSPeer(end)
            await peer.shake_hands()
            await peer.send(data)
            await peer.end()
            await hold(runtime)

        runtime.listen(NAME, 443, serve)
        stream = await connect(runtime)
        got: list[bytes] = []
        await runtime.victim(download(stream, got))
        await download(stream, got)
        assert b"".join(got) == data
        assert not stream.truncated

    def make() -> Runtime:
        return Runtime(max_read=3000)

    assert at_every_point(scenario, cancel, make=make) > 20


def test_a_cancelled_half_close_is_finished_by_the_next() -> None:
    async def scenario(runtime: Runtime) -> None:
        received: list[bytes] = []

        async def serve(end: ServerEnd) -> None:
            peer = TLSPeer(end)
            await peer.shake_hands()
            received.append(await peer.recv_all())
            assert not end.eof  # close_notify was the signal, not the FIN

        runtime.listen(NAME, 443, serve)
        stream = await connect(runtime)
        await stream.write_some(b"all", 5.0, duplex=True)
        await runtime.victim(stream.end(5.0))
        await stream.end(5.0)
        await runtime.sleep(1.0)
        assert received == [b"all"]

    assert at_every_point(scenario, cancel) > 2


# Both directions at once.


@pytest.mark.parametrize("seed", range(8))
def test_one_reads_while_another_writes(seed: int) -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        tasks: list[Any] = [
            runtime.spawn(write_all(stream, MUCH)),
            runtime.spawn(peer.send(MUCH)),
            runtime.spawn(read_exactly(stream, len(MUCH))),
            runtime.spawn(peer.recv_exactly(len(MUCH))),
        ]
        for task in tasks:
            await task.wait()
        assert tasks[2].result() == tasks[3].result() == MUCH

    runtime = Runtime(seed, shuffle=True, max_read=7000, max_write=5000)
    joined(body, runtime, window=10_000)


class SocketStream:
    """The part of a Stream over a blocking socket that two threads need."""

    owes = False
    truncated = False

    def __init__(self, end: socket.socket) -> None:
        self.end_ = end

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        return self.end_.recv(max_bytes)

    async def write_some(self, data: Any, timeout: float | None, *, duplex: bool = False) -> int:
        return self.end_.send(data)

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        return True

    def close(self) -> None:
        self.end_.close()

    def info(self) -> StreamInfo:
        return StreamInfo("there", "here")


def driven(coro: Coroutine[Any, None, Any]) -> Any:
    """Run a coroutine to its end in this thread: nothing in it suspends."""
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    return stop.value.value


def test_two_threads_use_one_stream_at_once() -> None:
    ours, theirs = socket.socketpair()
    rounds = 12
    received: list[bytes] = []

    def echo() -> None:
        with SERVER.wrap_socket(theirs, server_side=True) as server:
            while data := server.recv(PIECE):
                server.sendall(data)

    async def download(stream: TLSStream) -> None:
        received.append(await read_exactly(stream, rounds * len(MUCH)))

    async def upload(stream: TLSStream) -> None:
        for _ in range(rounds):
            await write_all(stream, MUCH)

    server = threading.Thread(target=echo)
    server.start()
    below = cast(Stream, SocketStream(ours))
    stream = driven(start_tls(below, CLIENT, NAME, timeout=5.0, now=time.monotonic))
    reader = threading.Thread(target=lambda: driven(download(stream)))
    reader.start()
    driven(upload(stream))
    reader.join(60)
    driven(stream.end(5.0))
    stream.close()
    server.join(60)
    assert received == [MUCH * rounds]


class Guarded:
    """Replaces an object of `ssl` and fails when it is used without the lock."""

    def __init__(self, used: Any, lock: Any, calls: set[str]) -> None:
        self.used, self.lock, self.calls = used, lock, calls

    def __getattr__(self, name: str) -> Any:
        if name != "pending":  # a count, which `owes` may read at any time
            # An RLock has no public name for its owner.
            assert self.lock._is_owned(), f"{name} without the lock"
            self.calls.add(name)
        return getattr(self.used, name)


def test_openssl_is_entered_only_with_the_lock() -> None:
    """Two threads inside OpenSSL at once cause errors too rarely for a test to detect."""
    calls: set[str] = set()

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        for part in ("_session", "_incoming", "_outgoing"):
            # OpenSSL's objects are wrapped where they are used, to check that each use holds the lock.
            setattr(stream, part, Guarded(getattr(stream, part), stream._lock, calls))
        await write_all(stream, MUCH[:40_000])
        assert await peer.recv_exactly(40_000) == MUCH[:40_000]
        await peer.send(b"answer")
        assert stream.take() == b"answer"
        await peer.send(b"answer")
        assert await stream.read(10, 5.0) == b"answer"
        await stream.end(5.0)

    joined(body)
    assert calls == {"read", "write", "unwrap"}


# TLS within TLS, as over an https proxy.


def within(body: Body, runtime: Runtime, *, window: int = PIECE) -> None:
    peers: list[TLSPeer] = []

    async def serve(end: ServerEnd) -> None:
        outer = TLSPeer(end, server_context(AUTHORITY.issue_cert("proxy.test")))
        await outer.shake_hands()
        inner = TLSPeer(outer)
        await inner.shake_hands()
        peers.append(inner)
        await hold(runtime)

    async def main() -> None:
        outer = await connect(runtime, CLIENT, "proxy.test")
        inner = await start_tls(outer, CLIENT, NAME, timeout=5.0, now=runtime.backend().now)
        while not peers:
            await runtime.sleep(0.001)
        await body(inner, peers[0])

    runtime.listen(NAME, 443, serve, window=window)
    runtime.run(main())


def test_tls_within_tls_carries_bytes_in_both_directions() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        agreed = stream.info().tls
        assert agreed is not None
        assert agreed.server_name == NAME
        writing = runtime.spawn(write_all(stream, MUCH))
        assert await peer.recv_exactly(len(MUCH)) == MUCH
        await writing.wait()
        assert not stream.owes
        assert stream.take() is None  # the tickets of both sessions are no input
        runtime.spawn(peer.send(MUCH))
        assert await read_exactly(stream, len(MUCH)) == MUCH
        await stream.write_some(b"x" * 30_000, 5.0)
        assert stream.owes
        assert await stream.flush(5.0)  # through both sessions
        assert await peer.recv_exactly(30_000) == b"x" * 30_000
        await peer.send(b"early")
        await stream.write_some(b"y", 5.0)
        assert not await stream.flush(5.0)
        assert await stream.read(10, 5.0) == b"early"
        await peer.end()
        assert await stream.read(10, 5.0) == b""
        assert not stream.truncated

    runtime = Runtime()
    within(body, runtime, window=40_000)


def test_a_cancelled_write_through_both_gives_each_byte_once() -> None:
    data = MUCH[:20_000]

    async def upload(stream: Stream, taken: list[int]) -> None:
        while taken[0] < len(data):
            taken[0] += await stream.write_some(data[taken[0] :], 5.0)
        assert await stream.flush(5.0)

    async def scenario(runtime: Runtime) -> None:
        async def serve(end: ServerEnd) -> None:
            outer = TLSPeer(end, server_context(AUTHORITY.issue_cert("proxy.test")))
            await outer.shake_hands()
            inner = TLSPeer(outer)
            await inner.shake_hands()
            received.append(await inner.recv_exactly(len(data)))
            await hold(runtime)

        received: list[bytes] = []
        runtime.listen(NAME, 443, serve, window=6000)
        outer = await connect(runtime, CLIENT, "proxy.test")
        stream = await start_tls(outer, CLIENT, NAME, timeout=5.0, now=runtime.backend().now)
        taken = [0]
        await runtime.victim(upload(stream, taken))
        await upload(stream, taken)
        await runtime.sleep(1.0)
        assert received == [data]

    assert at_every_point(scenario, cancel) > 10


def test_a_reset_or_cut_at_every_point_is_an_error_of_ours() -> None:
    async def exchange(runtime: Runtime) -> None:
        stream = await connect(runtime)
        try:
            await write_all(stream, MUCH[:20_000], 1.0)
            await read_exactly(stream, 20_000, 1.0)
        finally:
            stream.close()
            await runtime.sleep(0)  # a reset at the last moment wakes the victim once more

    def scenario(runtime: Runtime) -> Coroutine[Any, Any, None]:
        async def serve(end: ServerEnd) -> None:
            peer = TLSPeer(end)
            try:
                await peer.shake_hands()
                await peer.send(await peer.recv_exactly(20_000))
            except (ssl.SSLError, AssertionError, PeerGone):
                pass

        async def run() -> None:
            task = await runtime.victim(exchange(runtime))
            assert task.error is None or isinstance(task.error, HTTPCoreError)
            assert all(connection.client_closed for connection in runtime.connections)

        runtime.listen(NAME, 443, serve, window=9000)
        return run()

    def reset(runtime: Runtime, task: Any) -> None:
        for connection in runtime.connections:
            connection.reset()

    assert at_every_point(scenario, reset) > 20
    assert at_every_point(scenario, lambda runtime, task: runtime.cut()) > 20


# `give`, the write that never waits.


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_bytes_of_give_arrive_in_order_with_written_ones(version: ssl.TLSVersion) -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        assert stream.give(b"one ") == 4
        assert not stream.owes
        await write_all(stream, b"two ")
        assert stream.give(bytes(270_000)) == _ENCRYPTED
        assert await peer.recv_exactly(8 + _ENCRYPTED) == b"one two " + bytes(_ENCRYPTED)

    joined(body, client=client_context(version=version))


def test_without_room_give_keeps_its_bytes_and_takes_no_more() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        given = 0
        while count := stream.give(bytes(16384)):
            given += count
        assert stream.owes
        assert stream.give(b"x") == 0
        back = runtime.spawn(peer.recv_exactly(given))
        assert await stream.flush(5.0)
        await back.wait()
        assert back.result() == bytes(given)

    runtime = Runtime()
    joined(body, runtime, window=30_000)


# The watcher, and tasks that wait meanwhile.


def test_a_watcher_takes_no_input_of_a_listening_writer() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        stream.watch(lambda: None)
        while await stream.write_some(bytes(16384), 5.0) and not stream.owes:
            pass
        writing = runtime.spawn(write_all(stream, bytes(100_000)))
        await runtime.sleep(1)
        await peer.send(b"read me first")
        await writing.wait()
        with pytest.raises(AssertionError, match="input"):
            writing.result()
        assert stream.take() == b"read me first"

    async def write_all(stream: TLSStream, data: bytes) -> None:
        for _ in range(100):
            assert await stream.write_some(data, 5.0), "expected no input before the write"

    runtime = Runtime()
    joined(body, runtime, window=30_000)
