"""A proxy and the origin behind it, played by one scripted peer over real sockets: every hop of a route, byte for byte.

A route is a list of steps. For each connection the peer carries out one step after the other and records the received
bytes, unencrypted, under the step's name. `acts` replace single steps: the proxy then refuses, resets, sends nonsense
or sends nothing at this step.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import h2.config
import h2.connection
import h2.events
import trustme
from servers import Peer, ScriptedServer, ok

# The steps.
TLS_PROXY = "TLS with the proxy"
CONNECT = "CONNECT"
GREETING = "SOCKS5 greeting"
PASSWORD = "SOCKS5 password"
SOCKS5 = "SOCKS5 request"
SOCKS4 = "SOCKS4 request"
TLS_ORIGIN = "TLS with the origin"
EXCHANGE = "exchange"
CERTIFICATE = "certificate"
"""The certificates that a client shows in either TLS handshake; this name is no step."""

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
BODY = b"Hello, world"
GARBAGE = b"\xff\xfe! this is not what you asked for\r\n\r\n" * 3


class TLSServerSide:
    """The server's side of TLS over any object that has `recv` and `sendall`, for example another object of this class.

    Attributes:
        under: the stream below it.
        incoming, outgoing: the encrypted bytes on their way to and from OpenSSL.
    """

    def __init__(self, under: Any, context: ssl.SSLContext) -> None:
        self.under = under
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self._done(self.tls.do_handshake)

    def _done(self, act: Callable[[], Any]) -> Any:
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.under.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            finally:
                self.flush()

    def flush(self) -> None:
        if self.outgoing.pending:
            self.under.sendall(self.outgoing.read())

    def recv(self, size: int) -> bytes:
        try:
            data: bytes = self._done(lambda: self.tls.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        return data

    def sendall(self, data: bytes) -> None:
        self._done(lambda: self.tls.write(data))


class Visit(Peer):
    """One connection. `step` is the current step; `number` counts from 1."""

    def __init__(self, proxy: ScriptedProxy, raw_socket: socket.socket, number: int) -> None:
        super().__init__(raw_socket, number)
        self.proxy = proxy
        self.raw_socket = raw_socket
        self.step = ""

    def receive(self, data: bytes) -> bytes:
        self.proxy.note(self.step, data)
        return data

    def wait_for_input(self) -> None:
        """Wait until the client has sent something."""
        if not self.held:
            self.held = self.socket.recv(65536)

    def exactly(self, size: int) -> bytes:
        data = super().exactly(size)
        if len(data) < size:
            raise ConnectionResetError("the client has disconnected")
        return data

    def secure(self, context: ssl.SSLContext) -> None:
        assert not self.held, "the client sent bytes before the proxy's answer"
        secured = TLSServerSide(self.socket, context)
        self.socket = secured  # type: ignore[assignment]  # has the methods that Visit uses
        self.receive((getattr(secured.tls, "asked_for", None) or "").encode())
        if certificate := secured.tls.getpeercert(binary_form=True):
            self.proxy.note(CERTIFICATE, certificate)

    def reset(self) -> None:
        self.raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw_socket.close()


Act = Callable[[Visit], object]


class ScriptedProxy(ScriptedServer):
    """Carries out `steps` with each connection; `acts` replace some of them for the first `faulty` connections. After
    an act that returned a true value the next step follows; after any other act the connection is closed.

    Arguments:
        proxy, origin: contexts for TLS at either hop.
        path: the path of a unix socket to listen on instead of a port.

    Attributes:
        received: the received bytes of each step, in order, as (step, bytes); for TLS the requested server name.
        raw: all bytes of all connections, as received.
        silent: how many connections have stopped sending.
    """

    def __init__(
        self,
        steps: Sequence[str],
        acts: Mapping[str, Act] | None = None,
        *,
        faulty: int = 1_000_000,
        proxy: ssl.SSLContext | None = None,
        origin: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> None:
        self._steps = tuple(steps)
        self.requires_password = PASSWORD in steps
        self._acts = dict(acts or {})
        self._faulty = faulty
        self._contexts = {TLS_PROXY: proxy, TLS_ORIGIN: origin}
        self.counters_lock = threading.Lock()
        self.received: list[tuple[str, bytes]] = []
        self.silent = 0
        self.raw = bytearray()
        listener = None
        if path is not None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(64)
        super().__init__(self._walk, listener=listener)

    def note(self, step: str, data: bytes) -> None:
        with self.counters_lock:
            self.received.append((step, data))

    def seen(self, step: str) -> list[bytes]:
        """The received bytes of that step, one entry for each connection."""
        with self.counters_lock:
            return [data for at, data in self.received if at == step]

    @property
    def open(self) -> int:
        """How many connections the clients have not closed."""
        return len(self._open)

    def _walk(self, peer: Peer) -> None:
        visit = Visit(self, _Tap(peer.socket, self.raw), peer.number)  # type: ignore[arg-type]
        for step in self._steps:
            visit.step = step
            act = self._acts.get(step) if visit.number <= self._faulty else None
            if act is not None:
                if not act(visit):
                    return
            elif (context := self._contexts.get(step)) is not None:
                visit.secure(context)
            else:
                USUAL[step](visit)


class _Tap:
    """A socket that keeps the received bytes."""

    def __init__(self, sock: socket.socket, kept: bytearray) -> None:
        self._socket = sock
        self._kept = kept

    def recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        self._kept += data
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def server_context(certificate: trustme.LeafCert, *offers: str, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """A context for one hop; it records the name that a client requests. With `clients` it requests client
    certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.set_alpn_protocols(list(offers))
    context.sni_callback = lambda tls, name, _: setattr(tls, "asked_for", name)
    if clients is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        clients.configure_trust(context)
    return context


# The steps of a correct peer.


def connect(visit: Visit) -> Literal[True]:
    """This function is also an act: bytes that follow a granted CONNECT belong to the next step."""
    visit.receive(visit.head())
    visit.send(ESTABLISHED)
    return True


def greet(visit: Visit) -> None:
    head = visit.exactly(2)
    methods = visit.exactly(head[1])
    visit.receive(head + methods)
    visit.send(b"\x05\x02" if visit.proxy.requires_password else b"\x05\x00")


def password(visit: Visit) -> None:
    seen = visit.exactly(2)
    seen += visit.exactly(seen[1] + 1)
    visit.receive(seen + visit.exactly(seen[-1]))
    visit.send(b"\x01\x00")


def socks5(visit: Visit) -> None:
    seen = visit.exactly(5)
    size = {1: 4, 4: 16, 3: seen[4] + 1}[seen[3]]
    visit.receive(seen + visit.exactly(size - 1 + 2))
    visit.send(b"\x05\x00\x00\x03\x04some\x00\x50")  # the address may be a name


def socks4(visit: Visit) -> None:
    seen = visit.exactly(8) + visit.until(b"\0")
    if seen[4:7] == b"\0\0\0" and seen[7]:
        seen += visit.until(b"\0")
    visit.receive(seen)
    visit.send(b"\x00\x5a" + bytes(6))


def exchange(visit: Visit) -> None:
    """An origin that responds hello to each request until the client disconnects, over the client's protocol."""
    visit.wait_for_input()
    if visit.held.startswith(b"PRI"):
        _exchange_2(visit)
        return
    while head := visit.head():
        visit.receive(head)
        visit.send(ok(BODY))


def _exchange_2(visit: Visit) -> None:
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    peer.initiate_connection()
    data, visit.held = visit.held, b""
    while data:
        for event in peer.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                visit.receive(b"".join(b"%b: %b\r\n" % (bytes(name), bytes(value)) for name, value in event.headers))
            elif isinstance(event, h2.events.StreamEnded):
                peer.send_headers(event.stream_id, [(b":status", b"200"), (b"content-length", b"%d" % len(BODY))])
                peer.send_data(event.stream_id, BODY, end_stream=True)
        visit.send(peer.data_to_send())
        data = visit.socket.recv(65536)


USUAL: dict[str, Act] = {
    CONNECT: connect,
    GREETING: greet,
    PASSWORD: password,
    SOCKS5: socks5,
    SOCKS4: socks4,
    EXCHANGE: exchange,
}


# Acts: faults at any step.


def reset(visit: Visit) -> None:
    visit.wait_for_input()
    visit.reset()


def end(visit: Visit) -> None:
    visit.wait_for_input()


def garbage(visit: Visit) -> None:
    visit.wait_for_input()
    visit.send(GARBAGE)
    visit.rest()


def silence(visit: Visit) -> None:
    visit.wait_for_input()
    with visit.proxy.counters_lock:
        visit.proxy.silent += 1
    visit.rest()


def refusal(visit: Visit) -> None:
    """A refusal in the protocol of the step."""
    visit.wait_for_input()
    with suppress(OSError):
        visit.send(REFUSALS[visit.step])
    visit.rest()


REFUSALS = {
    TLS_PROXY: b"\x15\x03\x03\x00\x02\x02\x28",  # alert, fatal, handshake_failure
    TLS_ORIGIN: b"\x15\x03\x03\x00\x02\x02\x28",
    CONNECT: b"HTTP/1.1 403 Not for you\r\nX-Why: rules\r\nContent-Length: 4\r\n\r\nbody",
    GREETING: b"\x05\xff",
    PASSWORD: b"\x01\x01",
    SOCKS5: b"\x05\x05\x00\x01" + bytes(6),
    SOCKS4: b"\x00\x5b" + bytes(6),
}
