"""Which requests may share a connection. Every argument of a request or a pool is listed here as one of three kinds;
each argument is changed alone, both those that separate connections and those that do not. An argument that is not
listed fails a test.

The peer is one that any client can talk to: proxies of all kinds and any number of origins, HTTP/1.1 and HTTP/2, with
TLS and without, on the same two ports. Only the pool separates requests.
"""

from __future__ import annotations

import dataclasses
import inspect
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import Enum
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from runtimes import RUNTIMES, Runtime, each_runtime
from scripted_proxy import BODY, USUAL, TLSServerSide, Visit, server_context
from scripted_proxy import CONNECT as CONNECT_STEP
from scripted_proxy import EXCHANGE as EXCHANGE_STEP
from scripted_proxy import SOCKS5 as SOCKS5_STEP
from servers import Peer, ScriptedServer

import httpcore

# The test compares this private table with the settings of a context, so that no new setting is left out.
from httpcore._config import _DEMANDS, demands_of
from httpcore._connect.dial import Connector
from httpcore._connect.route import Route
from httpcore._message.url import URL
from httpcore._pool.connection import HTTPConnection

# A peer for any client.


class RewoundSocket:
    """A socket that returns once more the bytes that were already read from it."""

    def __init__(self, sock: Any, data: bytes) -> None:
        self._socket = sock
        self._data = data

    def recv(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data or bytes(self._socket.recv(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class AnyPeer(ScriptedServer):
    """Accepts any protocol: TLS, CONNECT, SOCKS5 and requests, also one inside the other."""

    requires_password = False

    def __init__(self, context: ssl.SSLContext) -> None:
        self._tls = context
        super().__init__(self._talk)

    def note(self, step: str, data: bytes) -> None:
        """Sent bytes are not checked."""

    def _talk(self, peer: Peer) -> None:
        visit = Visit(self, peer.socket, peer.number)  # type: ignore[arg-type]  # has the attributes that Visit uses
        while True:
            visit.wait_for_input()
            held = visit.held
            if held.startswith(b"\x16"):
                visit.held = b""
                secured = TLSServerSide(RewoundSocket(visit.socket, held), self._tls)
                visit.socket = secured  # type: ignore[assignment]  # has the methods that Visit uses
            elif held.startswith(b"\x05"):
                self._serve_socks(visit)
            elif held.startswith(b"CONNECT"):
                USUAL[CONNECT_STEP](visit)
            else:
                USUAL[EXCHANGE_STEP](visit)
                return

    def _serve_socks(self, visit: Visit) -> None:
        _, count = visit.exactly(2)
        methods = visit.exactly(count)
        if b"\x02" in methods:
            visit.send(b"\x05\x02")
            _, size = visit.exactly(2)
            (size,) = visit.exactly(size + 1)[-1:]
            visit.exactly(size)
            visit.send(b"\x01\x00")
        else:
            visit.send(b"\x05\x00")
        USUAL[SOCKS5_STEP](visit)


class Place(NamedTuple):
    """The two peers, the folder of their files, and the pin of their certificate."""

    one: AnyPeer
    two: AnyPeer
    folder: Path
    pin: str

    def file(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def connections(self) -> int:
        return self.one.connections + self.two.connections


class Certificates(NamedTuple):
    folder: Path
    context: ssl.SSLContext
    pin: str


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A folder with `ca.pem`, its equal `too.pem`, and the client certificates `me.pem` and `you.pem`."""
    folder, authority = tmp_path_factory.mktemp("pool-key"), trustme.CA()
    for name in ("ca.pem", "too.pem"):
        authority.cert_pem.write_to_path(str(folder / name))
    for name in ("me", "you"):
        authority.issue_cert(f"{name}.test").private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    certificate = authority.issue_cert("origin.test", "other.test", "localhost", "127.0.0.1")
    context = server_context(certificate, "h2", "http/1.1", clients=authority)
    pin = sha256(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())).hexdigest()
    return Certificates(folder, context, pin)


@pytest.fixture
def place(certificates: Certificates) -> Iterator[Place]:
    with ExitStack() as stack:
        one, two = (stack.enter_context(AnyPeer(certificates.context)) for _ in range(2))
        yield Place(one, two, certificates.folder, certificates.pin)


# A request, and the change to it.


class RequestCase(NamedTuple):
    """One request and the proxy that is chosen for it. `{one}` and `{two}` in `url` stand for the peers' ports."""

    url: str = "https://origin.test:{one}/"
    ssl: dict[str, Any] | None = None
    proxy: str | None = None
    proxy_ssl: dict[str, Any] | None = None
    proxied: dict[str, Any] | None = None
    more: dict[str, Any] | None = None

    def with_changes(self, **changed: Any) -> RequestCase:
        return self._replace(**changed)


def seen(value: Any, place: Place) -> Any:
    """A value with its placeholders replaced by the ports and files, which are known only when the test runs."""
    if isinstance(value, str):
        for name, port in (("{one}", place.one.port), ("{two}", place.two.port)):
            value = value.replace(name, str(port))
        return value.replace("{pin}", place.pin).replace("{folder}", str(place.folder))
    if isinstance(value, dict):
        return {key: seen(each, place) for key, each in value.items()}
    return tuple(seen(each, place) for each in value) if isinstance(value, tuple) else value


def config(place: Place, settings: Mapping[str, Any] | None) -> Any:
    """An SSLConfig; or, if `settings` has "context", a new context with these settings."""
    settings = {"verify": "{folder}/ca.pem", **(settings or {})}
    own = settings.pop("context", False)
    made = httpcore.SSLConfig(**seen(settings, place))
    return httpcore.ssl_context(made) if own else made


class Prepared(NamedTuple):
    """An `RequestCase` at a place. Its parts are made once, as a user would make them."""

    url: str
    ssl: Any
    proxy: httpcore.Proxy | None
    more: dict[str, Any]

    @classmethod
    def of(cls, requested: RequestCase, place: Place) -> Prepared:
        proxy = None
        if requested.proxy is not None:
            more = dict(requested.proxied or {})
            if requested.proxy.startswith("https"):
                more["ssl"] = config(place, requested.proxy_ssl)
            proxy = httpcore.Proxy(seen(requested.proxy, place), **more)
        return cls(
            seen(requested.url, place), config(place, requested.ssl), proxy, {"method": "GET", **(requested.more or {})}
        )


class Choosing:
    """Chooses the proxy that was set last."""

    proxy: httpcore.Proxy | None = None

    def proxy_for(self, scheme: str, host: str, port: int) -> httpcore.Proxy | None:
        return self.proxy


HERE = {"origin.test": "127.0.0.1", "other.test": "127.0.0.1"}


@contextmanager
def opened(runtime: Runtime, **settings: Any) -> Iterator[tuple[Any, Choosing]]:
    choosing = Choosing()
    yield runtime.pool(proxy=choosing, resolve=HERE, **settings), choosing


async def send_request(pool: Any, choosing: Choosing, what: Prepared) -> bool:
    """Whether the request used an existing connection."""
    choosing.proxy = what.proxy
    more = dict(what.more)
    response = await pool.request(more.pop("method"), what.url, ssl=what.ssl, **more)
    assert (response.status_code, response.body) == (200, BODY)
    reused: bool = response.info.reused
    return reused


# The three kinds of arguments.


class Kind(Enum):
    APART = "requests with different values share no connection"
    FIXED = "a pool has one value, and pools share no connection"
    SHARED = "requests with different values may share a connection"


class Fact(NamedTuple):
    """`pairs` differ only in this argument; `http2` has the values of a pool's `http2` for which that is tested."""

    kind: Kind
    reason: str
    pairs: tuple[tuple[RequestCase, RequestCase], ...] = ()
    http2: tuple[bool, ...] = (True, False)


def apart(reason: str, *pairs: tuple[RequestCase, RequestCase]) -> Fact:
    return Fact(Kind.APART, reason, pairs)


def fixed(reason: str) -> Fact:
    return Fact(Kind.FIXED, reason)


def shared(reason: str, *pairs: tuple[RequestCase, RequestCase]) -> Fact:
    return Fact(Kind.SHARED, reason, pairs)


def pair(base: RequestCase, **changed: Any) -> tuple[RequestCase, RequestCase]:
    return base, base.with_changes(**changed)


DIRECT = RequestCase()
PLAIN = RequestCase("http://origin.test:{one}/")
TUNNEL = RequestCase(proxy="http://127.0.0.1:{one}", proxied={"tunnel": True})
FORWARD = PLAIN.with_changes(proxy="http://127.0.0.1:{one}")
SECURE = RequestCase(proxy="https://127.0.0.1:{one}")
SECURE_FORWARD = PLAIN.with_changes(proxy="https://127.0.0.1:{one}")
SOCKS = RequestCase(proxy="socks5h://127.0.0.1:{one}")
CASES = (DIRECT, TUNNEL, SECURE, SOCKS)
"""Arguments of requests to an https origin."""


def everywhere(*cases: RequestCase, **changed: Any) -> tuple[tuple[RequestCase, RequestCase], ...]:
    return tuple(pair(case, **changed) for case in cases)


URLS = {
    "scheme": apart("TLS or none", *everywhere(DIRECT, TUNNEL, SOCKS, url="http://origin.test:{one}/")),
    "host": apart(
        "another origin, even with the same address and certificate: connections are not coalesced",
        *everywhere(*CASES, url="https://other.test:{one}/"),
        *everywhere(PLAIN, url="http://other.test:{one}/"),
    ),
    "port": apart("another origin", *everywhere(*CASES, url="https://origin.test:{two}/")),
    "target": shared("the resource at the origin", *everywhere(*CASES, url="https://origin.test:{one}/else?where")),
    "host_header": shared("a field of each request, derived from host and port"),
    "origin": shared("for messages, derived from scheme, host and port"),
    "userinfo": shared("not used", *everywhere(*CASES, url="https://who:ever@origin.test:{one}/")),
}

TLS: dict[str, tuple[str, tuple[Any, Any]]] = {
    "cert": ("the identity of the client", ("{folder}/me.pem", "{folder}/you.pem")),
    "verify": ("the trusted authorities", ("{folder}/ca.pem", "{folder}/too.pem")),
    "trust_env": ("whether the environment's variables are used", (True, False)),
    "server_hostname": ("the name that the certificate was checked for", (None, "other.test")),
    "alpn": ("the offered protocols", (None, ("http/1.1",))),
    "fingerprints": ("the accepted certificates", ((), ("{pin}",))),
    "minimum_version": ("the lowest accepted TLS version", (None, "TLSv1.3")),
    "maximum_version": ("the highest offered TLS version", (None, "TLSv1.3")),
    "ciphers": ("the accepted ciphers", (None, "ECDHE+AESGCM")),
}
"""Fields of an `SSLConfig`: they define which identities the two peers of a connection have proved."""
MORE_TLS: dict[str, tuple[tuple[Any, Any], ...]] = {
    "cert": ((None, "{folder}/me.pem"),),
    "verify": (("{folder}/ca.pem", False),),
    "server_hostname": (("origin.test", "other.test"), (None, "origin.test")),
    "alpn": ((None, ()), (("h2", "http/1.1"), ("http/1.1", "h2"))),
    "fingerprints": ((("{pin}",), ("{pin}", "0" * 64)),),
}
"""Further pairs for some arguments."""
CONTEXTS = ({"context": False}, {"context": True}, {"context": True})
"""A config, and two contexts with the same settings."""


def configs(where: str, cases: tuple[RequestCase, ...]) -> dict[str, Fact]:
    """The fields of the `SSLConfig` for the origin (`ssl`) or for the proxy (`proxy_ssl`)."""
    facts = {}
    for name, (reason, values) in TLS.items():
        cells = [(case, values) for case in cases] + [(cases[0], more) for more in MORE_TLS.get(name, ())]
        facts[name] = apart(
            reason,
            *(
                (case.with_changes(**{where: {name: one}}), case.with_changes(**{where: {name: two}}))
                for case, (one, two) in cells
            ),
        )
    return facts


def contexts(where: str, case: RequestCase) -> tuple[tuple[RequestCase, RequestCase], ...]:
    """Contexts are compared by identity."""
    return tuple(
        (case.with_changes(**{where: one}), case.with_changes(**{where: two})) for one, two in pairwise(CONTEXTS)
    )


SSL = configs("ssl", CASES)
PROXY_SSL = configs("proxy_ssl", (SECURE, SECURE_FORWARD))

PROXY = {
    "scheme": apart(
        "the protocol between client and proxy",
        pair(TUNNEL, proxy="https://127.0.0.1:{one}"),
        pair(SOCKS, proxy="socks5://127.0.0.1:{one}"),
        pair(FORWARD, proxy="https://127.0.0.1:{one}"),
    ),
    "host": apart(
        "another proxy, even with the same address",
        pair(TUNNEL, proxy="http://localhost:{one}"),
        pair(FORWARD, proxy="http://localhost:{one}"),
        pair(SOCKS, proxy="socks5h://localhost:{one}"),
    ),
    "port": apart(
        "another proxy",
        pair(TUNNEL, proxy="http://127.0.0.1:{two}"),
        pair(FORWARD, proxy="http://127.0.0.1:{two}"),
        pair(SOCKS, proxy="socks5h://127.0.0.1:{two}"),
    ),
    "auth": apart(
        "the identity of the client at the proxy",
        *(
            (case.with_changes(proxied={"auth": first}), case.with_changes(proxied={"auth": second}))
            for case in (TUNNEL, FORWARD, SECURE, SECURE_FORWARD, SOCKS)
            for first, second in ((None, ("u", "p")), (("u", "p"), ("v", "p")), (("u", "p"), ("u", "q")))
        ),
    ),
    "headers": apart(
        "they may identify the client at the proxy",
        *(
            (case.with_changes(proxied={"headers": first}), case.with_changes(proxied={"headers": second}))
            for case in (TUNNEL, FORWARD, SECURE, SECURE_FORWARD)
            for first, second in (([], [("X-Key", "a")]), ([("X-Key", "a")], [("X-Key", "b")]))
        ),
    ),
    "ssl": apart(
        "each of its fields separates; see PROXY_SSL", *(each for fact in PROXY_SSL.values() for each in fact.pairs[:1])
    ),
    "tunnel": apart(
        "a tunnel leads to one origin",
        pair(FORWARD, proxied={"tunnel": True}),
        pair(SECURE_FORWARD, proxied={"tunnel": True}),
    ),
    "_hash": shared("derived from the other fields"),
}

REQUEST = {
    "method": shared("a part of each request", *everywhere(*CASES, PLAIN, FORWARD, more={"method": "DELETE"})),
    "url": apart(
        "its scheme, host and port separate; see URLS", *(URLS[name].pairs[0] for name in ("scheme", "host", "port"))
    ),
    "headers": shared(
        "a part of each request", *everywhere(*CASES, PLAIN, FORWARD, more={"headers": [("Authorization", "me")]})
    ),
    "body": shared("a part of each request"),
    "stream": shared("the way to read the response"),
    "ssl": apart(
        "each of its fields separates; see SSL",
        *contexts("ssl", DIRECT),
        *(each for fact in SSL.values() for each in fact.pairs[:1]),
    ),
    "timeout": shared("limits the waits of one request", *everywhere(*CASES, FORWARD, more={"timeout": 60})),
    "target": shared("a part of each request", *everywhere(*CASES, more={"target": "/x"})),
    "trailers": shared("a part of each request"),
    "max_body": shared("a limit for the kept body of one response"),
    "trace": shared("the receiver of records", *everywhere(*CASES, FORWARD, more={"trace": lambda event: None})),
    "duplex": shared("the way to write the request"),
    "tag": shared("a value for the trace", *everywhere(DIRECT, more={"tag": "other"})),
}

POOL = {
    "ssl": apart("a request may have its own; see SSL", *(each for fact in SSL.values() for each in fact.pairs[:1])),
    "timeout": shared("a request may have its own; it limits waits", *everywhere(DIRECT, more={"timeout": 60})),
    "limits": fixed("the number of connections, not their peers"),
    "http1": fixed("the protocols of all connections; a request that needs HTTP/1.1 has a separate route"),
    "http2": fixed("see http1"),
    "proxy": apart(
        "it may be chosen for each request; see PROXY",
        *everywhere(DIRECT, proxy="http://127.0.0.1:{one}"),
        *everywhere(DIRECT, proxy="socks5h://127.0.0.1:{one}"),
        *everywhere(PLAIN, proxy="http://127.0.0.1:{one}"),
        *everywhere(PLAIN, proxy="socks5h://127.0.0.1:{one}"),
    ),
    "uds": fixed("the peer of all connections of a pool"),
    "local_address": fixed("the local address of all connections of a pool"),
    "socket_options": fixed("the options of all sockets of a pool"),
    "resolver": fixed("one resolver for all connections of a pool"),
    "resolve": fixed("one copy for all connections of a pool"),
    "network_policy": fixed("one policy for all connections of a pool"),
    "retries": fixed("see retry_stale"),
    "retry_stale": fixed("whether a request is sent again, on any connection"),
    "ping_interval": fixed("one interval for all connections of a pool"),
    "max_body": shared("a limit for the kept body of one response"),
    "trace": shared("a request may have its own", *everywhere(DIRECT, more={"trace": lambda event: None})),
    "backend": fixed("the runtime of all requests of a pool"),
    "engines": fixed("the code that reads all connections of a pool"),
    "strict": fixed("the rules for reading all connections of a pool"),
}

ROUTE = {
    "scheme": apart("see URLS; where a proxy forwards, see PROXY", *URLS["scheme"].pairs[:1]),
    "host": apart("see URLS; where a proxy forwards, see PROXY", *URLS["host"].pairs[:1]),
    "port": apart("see URLS; where a proxy forwards, see PROXY", *URLS["port"].pairs[:1]),
    "tls": apart("see SSL", *SSL["cert"].pairs[:1]),
    "offers": apart(
        "a request that needs HTTP/1.1 cannot use a connection that may become HTTP/2",
        *everywhere(*CASES, more={"headers": [("Connection", "upgrade"), ("Upgrade", "x")]}),
    )._replace(http2=(True,)),
    "proxy": apart("see PROXY", *PROXY["host"].pairs[:1]),
    "forwards": apart("see PROXY: tunnel", *PROXY["tunnel"].pairs[:1]),
    "uds": fixed("see POOL"),
    "demands": apart("see CHANGES: a context may become stricter", *contexts("ssl", DIRECT)),
}

DIAL = {
    "route": Fact(Kind.APART, "it is the key", ROUTE["host"].pairs[:1]),
    "backend": fixed("a pool lives in one runtime at a time"),
    "network": fixed("see POOL: local_address to network_policy"),
    "deadline": shared("limits the waits of one request"),
    "reached": fixed("closes an incomplete connection"),
    "steps": fixed("records the time of each step"),
    "spent": shared("limits the waits of one request"),
}
CONNECTION = {
    "route": DIAL["route"],
    "ping_interval": fixed("see POOL"),
    "engines": fixed("see POOL"),
    "totals": fixed("counts the work of all connections of a pool"),
}


def arguments(call: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(call).parameters) - {"self"}


def names(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


TABLES: dict[str, tuple[dict[str, Fact], set[str]]] = {
    "URL": (URLS, names(URL)),
    "SSLConfig": (SSL, names(httpcore.SSLConfig)),
    "SSLConfig of a proxy": (PROXY_SSL, names(httpcore.SSLConfig)),
    "Proxy": (PROXY, names(httpcore.Proxy)),
    "request": (REQUEST, arguments(httpcore.ConnectionPool.request)),
    "pool": (POOL, arguments(httpcore.ConnectionPool)),
    "Route": (ROUTE, set(Route._fields)),
    "dial": (DIAL, arguments(Connector) | arguments(Connector.dial)),
    "connection": (CONNECTION, arguments(HTTPConnection)),
}


# The tests.


@pytest.mark.parametrize("which", TABLES)
def test_every_argument_is_classified(which: str) -> None:
    """A new field or argument has to be put into its table, as one of the three kinds, with pairs that prove it."""
    table, there = TABLES[which]
    assert there - set(table) == set(), "classify the new arguments"
    assert set(table) - there == set(), "remove the rows of removed arguments"
    for name, fact in table.items():
        assert fact.reason, name
        assert fact.kind is not Kind.APART or fact.pairs, f"no pair proves that {name} separates connections"


def test_fixed_settings_cannot_be_given_with_request_nor_changed() -> None:
    sent_with_requests = arguments(httpcore.ConnectionPool.request)
    public = {name for name in dir(httpcore.ConnectionPool) if not name.startswith("_")}
    for name, fact in POOL.items():
        assert (fact.kind is Kind.FIXED) == (name not in sent_with_requests | {"proxy"}), name
    assert public == {
        "close",
        "connect",
        "drain",
        "limits",
        "max_body",
        "request",
        "requests",
        "ssl",
        "stats",
        "stream",
        "timeout",
    }
    for name in ("limits", "max_body", "ssl", "timeout"):
        with pytest.raises(AttributeError):
            setattr(httpcore.ConnectionPool(), name, None)


def test_the_synchronous_pool_has_the_same_texts() -> None:
    assert arguments(httpcore.SyncConnectionPool) == arguments(httpcore.ConnectionPool)
    assert arguments(httpcore.SyncConnectionPool.request) == arguments(httpcore.ConnectionPool.request)


FACTS = [
    pytest.param(fact, id=f"{which}-{name}")
    for which, (table, _) in TABLES.items()
    for name, fact in table.items()
    if fact.pairs
]


@each_runtime
@pytest.mark.parametrize("fact", FACTS)
def test_settings_in_the_key_share_nothing_and_others_share_all(runtime: Runtime, fact: Fact, place: Place) -> None:
    """In one pool, two requests differ in one argument, and both are then repeated. The deciding code is the same in
    every runtime, so one pair is sufficient for most arguments.
    """

    async def body(first: RequestCase, second: RequestCase, http2: bool) -> None:
        one, other = Prepared.of(first, place), Prepared.of(second, place)
        before = place.connections
        with opened(runtime, http2=http2) as (pool, choosing):
            async with pool:
                reused = [await send_request(pool, choosing, what) for what in (one, other, one, other)]
                stats = pool.stats()
        alike = fact.kind is Kind.SHARED
        assert reused == [False, alike, True, True], (first, second)
        assert (stats.connections, place.connections - before) == ((1, 1) if alike else (2, 2))

    first, *others = fact.pairs
    cells = [(*first, http2) for http2 in fact.http2] + [(*other, True) for other in others]
    for cell in cells if runtime is RUNTIMES[0] else cells[:1]:
        runtime.run(body, *cell)


# A context that is changed.


def check_names(context: ssl.SSLContext) -> None:
    context.check_hostname = True


def check_certificates(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_REQUIRED


def check_revocation(context: ssl.SSLContext) -> None:
    context.verify_flags |= ssl.VERIFY_X509_STRICT


def only_the_newest(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def not_the_newest(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def no_tickets(context: ssl.SSLContext) -> None:
    context.options |= ssl.OP_NO_TICKET


def other_names(context: ssl.SSLContext) -> None:
    context.hostname_checks_common_name = not context.hostname_checks_common_name


def more_authorities(context: ssl.SSLContext) -> None:
    context.load_verify_locations(cadata=trustme.CA().cert_pem.bytes().decode())


def late_authentication(context: ssl.SSLContext) -> None:
    context.post_handshake_auth = True


def stronger_keys(context: ssl.SSLContext) -> None:
    context.set_ciphers("DEFAULT:@SECLEVEL=2" if context.security_level != 2 else "DEFAULT:@SECLEVEL=1")


CHANGES = (
    check_names,
    check_certificates,
    check_revocation,
    only_the_newest,
    not_the_newest,
    no_tickets,
    other_names,
    more_authorities,
    late_authentication,
    stronger_keys,
)


def unchecked(place: Place) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(place.file("ca.pem"))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@each_runtime
@pytest.mark.parametrize("where", ["origin", "proxy", "forwarding proxy"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_context_shares_nothing_with_the_old_one(
    runtime: Runtime, change: Callable[[ssl.SSLContext], None], where: str, place: Place
) -> None:
    context = unchecked(place)
    if change is check_names:
        context.verify_mode = ssl.CERT_REQUIRED
    proxy = None if where == "origin" else httpcore.Proxy(f"https://127.0.0.1:{place.one.port}", ssl=context)
    url = f"{'http' if where == 'forwarding proxy' else 'https'}://origin.test:{place.one.port}/"
    what = Prepared(url, context if where == "origin" else config(place, {}), proxy, {"method": "GET"})

    async def body() -> None:
        before = place.connections
        with opened(runtime) as (pool, choosing):
            async with pool:
                reused = [await send_request(pool, choosing, what) for _ in range(2)]
                change(context)
                reused += [await send_request(pool, choosing, what) for _ in range(2)]
        assert reused == [False, True, False, True]
        assert place.connections - before == 2

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_a_context_that_begins_to_check_shares_nothing_unchecked(runtime: Runtime, alpn: str, place: Place) -> None:
    """Neither a connection nor a session that was made before is used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it trusts no authority
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    url = f"https://origin.test:{place.one.port}/"

    async def body() -> None:
        async with runtime.pool(context, resolve=HERE, http1=alpn == "http/1.1", http2=alpn == "h2") as pool:
            assert (await pool.request("GET", url)).status_code == 200
            context.verify_mode = ssl.CERT_REQUIRED
            for _ in range(2):
                with pytest.raises(httpcore.TLSError, match="is not trusted"):
                    await pool.request("GET", url)
            context.verify_mode = ssl.CERT_NONE
            assert (await pool.request("GET", url)).info.reused

    runtime.run(body)


@each_runtime
def test_a_context_that_changes_during_the_dial_is_an_error(runtime: Runtime, place: Place) -> None:
    """A connection with weaker checks must not be shared by requests that demand stronger ones."""
    context = unchecked(place)
    context.verify_mode = ssl.CERT_REQUIRED

    class LooseningResolver:
        async def resolve(self, host: str, system: object) -> list[str]:
            context.verify_mode = ssl.CERT_NONE
            return ["127.0.0.1"]

    async def body() -> None:
        async with runtime.pool(context, resolver=LooseningResolver()) as pool:
            with pytest.raises(httpcore.LocalProtocolError, match="was changed while a connection was made") as caught:
                await pool.request("GET", f"https://origin.test:{place.one.port}/")
            assert caught.value.safe_to_retry
            assert pool.stats().connections == 0

    runtime.run(body)


def test_every_readable_setting_of_a_context_is_compared() -> None:
    """A setting that a later Python adds has to be considered."""
    settings = {
        name
        for name, value in inspect.getmembers_static(ssl.SSLContext)
        if not name.startswith("_") and not callable(value)
    }
    of_servers_or_of_no_matter = {"num_tickets", "keylog_filename", "protocol", "sni_callback", "session_stats"}
    of_the_class = {"sslobject_class", "sslsocket_class"}
    assert settings - of_servers_or_of_no_matter - of_the_class == set(_DEMANDS)


def test_a_context_of_truststore_can_be_compared() -> None:
    truststore = pytest.importorskip("truststore")
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    before = demands_of(context)
    assert before == demands_of(context)
    context.check_hostname = False
    assert demands_of(context) != before
