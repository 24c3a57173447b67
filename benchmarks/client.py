"""Runs one job with one client in one process, and prints the cost of an operation as JSON. `run.py` calls it, on one
core.

    client.py CLIENT JOB TRANSPORT URL OPERATIONS CONCURRENCY CONNECTIONS

Jobs: `get` (a few bytes), `vary` (the same, but nothing repeats: each URL is new, with five request fields, twelve
response fields of which three always differ, and the list of them read), `post` (10 KB), `down` and `up` (200 MB,
streamed). Transports: `plain`, `tls` (HTTP/1.1 both) and
`h2`. Costs are CPU seconds (user and system) of this process over the operations, after a warm-up, so that other work
on the machine affects them little. Peers may bring PyPI's `httpcore`, whose import name is ours, so each side has a
virtual environment of its own. `LOOP=uvloop` runs asyncio clients on uvloop.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import resource
import socket
import ssl
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

NAME, JOB, TRANSPORT, URL = sys.argv[1:5]
OPERATIONS, CONCURRENCY, CONNECTIONS = (int(text) for text in sys.argv[5:8])
OPERATIONS = max(1, int(OPERATIONS * float(os.environ.get("SHARE", "1"))))
HTTP2 = TRANSPORT == "h2"
SIZE = 200_000_000
PIECE = 262_144
BODY = b"x" * 10_000
COUNTED = {"Content-Length": str(SIZE)}
MANY = max(1, OPERATIONS // 20)
BULK = JOB in ("down", "up")

FIELDS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip",
    "User-Agent": "benchmark/1",
    "Authorization": "Bearer 0123456789abcdef",
}
PAIRS = [(name.encode(), value.encode()) for name, value in FIELDS.items()]
FEWEST = 11
"""The smallest number of response fields of the varied work: HTTP/2 has no `Connection`."""

numbers = itertools.count()

uploads = 0
"""How many bodies were read to their end, since a client may stop when it receives an answer."""

Once = Callable[[], object]
OnceAsync = Callable[[], Awaitable[object]]


def clocks() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def report(start: tuple[float, float], operations: int, **more: float) -> None:
    end = clocks()
    if JOB == "up" and uploads < operations:
        raise SystemExit(f"{uploads} uploads were sent whole, not {operations}")
    cost = {
        "cpu_us": (end[1] - start[1]) / operations * 1e6,
        "wall_us": (end[0] - start[0]) / operations * 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **more,
    }
    print(json.dumps(cost), flush=True)
    os._exit(0)  # code that runs at exit does not count


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def pieces() -> Iterator[bytes]:
    global uploads
    piece = bytes(PIECE)
    for _ in range(SIZE // PIECE):
        yield piece
    yield bytes(SIZE % PIECE)
    uploads += 1


def varied() -> tuple[str, dict[str, str]]:
    """A URL and header fields that were never sent before."""
    number = next(numbers)
    return f"{URL}{number}?page={number}", {**FIELDS, "X-Number": str(number)}


def varied_pairs() -> tuple[str, list[tuple[bytes, bytes]]]:
    """The same, for clients whose native form is pairs of bytes."""
    number = next(numbers)
    return f"{URL}{number}?page={number}", [*PAIRS, (b"X-Number", b"%d" % number)]


async def async_pieces() -> Any:
    for piece in pieces():
        yield piece


def run_sync(once: Once) -> None:
    """Run the job in one thread, or in `CONCURRENCY` threads."""

    def work(operations: int) -> None:
        for _ in range(operations):
            once()

    def all_work(each: int) -> None:
        if CONCURRENCY == 1:
            work(each)
            return
        threads = [threading.Thread(target=work, args=(each,)) for _ in range(CONCURRENCY)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_work(max(1, MANY // CONCURRENCY))
    gc.collect()
    start = clocks()
    each = OPERATIONS // CONCURRENCY
    all_work(each)
    report(start, each * CONCURRENCY)


def run_async(make: Callable[[], Awaitable[OnceAsync]]) -> None:
    async def main() -> None:
        once = await make()

        async def work(operations: int) -> None:
            left = operations

            async def worker() -> None:
                nonlocal left
                while left > 0:
                    left -= 1
                    await once()

            await asyncio.gather(*[worker() for _ in range(CONCURRENCY)])

        await work(max(CONCURRENCY if not BULK else 1, MANY))
        gc.collect()
        selects = count_selects()
        start = clocks()
        await work(OPERATIONS)
        report(start, OPERATIONS, selects=selects() / OPERATIONS)

    if os.environ.get("LOOP") == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())


def count_selects() -> Callable[[], int]:
    """How often asyncio called its selector; 0 on uvloop, which does not report this."""
    loop = asyncio.get_running_loop()
    selector = getattr(loop, "_selector", None)
    if selector is None:
        return lambda: 0
    asked, select_ = 0, selector.select

    def counted(timeout: float | None = None) -> Any:
        nonlocal asked
        asked += 1
        return select_(timeout)

    selector.select = counted
    return lambda: asked


# The floors.


def bare_socket() -> None:
    """Only a blocking socket, with Python's own TLS around it if needed."""
    where = urlsplit(URL)
    sock = socket.create_connection((where.hostname or "", where.port or 80))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if TRANSPORT == "tls":
        sock = unverified().wrap_socket(sock, server_hostname=where.hostname)
    size = {"post": len(BODY), "up": SIZE}.get(JOB, 0)
    length = f"Content-Length: {size}\r\n" if size else ""
    head = f"{'POST' if size else 'GET'} {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\n{length}\r\n".encode()
    small = head + BODY if JOB == "post" else head
    buffer = memoryview(bytearray(PIECE))

    def once() -> None:
        sock.sendall(small)
        if JOB == "up":
            for piece in pieces():
                sock.sendall(piece)
        got = sock.recv_into(buffer)
        while JOB == "down" and got < SIZE:
            got += sock.recv_into(buffer)

    run_sync(once)


def bare_protocol() -> None:
    """Only an `asyncio.Protocol`."""
    where = urlsplit(URL)
    request = f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode()
    if JOB == "post":
        request = request[:-2].replace(b"GET", b"POST") + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY

    class Protocol(asyncio.Protocol):
        waiter: Any = None
        transport: Any = None

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            waiter, self.waiter = self.waiter, None
            waiter.set_result(data)

    async def make() -> OnceAsync:
        loop = asyncio.get_running_loop()
        context = unverified() if TRANSPORT == "tls" else None
        dialed = [
            await loop.create_connection(Protocol, where.hostname or "", where.port or 80, ssl=context)
            for _ in range(CONNECTIONS)
        ]
        idle = [protocol for _, protocol in dialed]

        async def once() -> None:
            protocol = idle.pop()
            protocol.waiter = loop.create_future()
            protocol.transport.write(request)
            await protocol.waiter
            idle.append(protocol)

        return once

    run_async(make)


def h2_alone() -> None:
    """The cost of the h2 library's client side for a small GET without a network: the server's frames are prepared."""
    import h2.config
    import h2.connection

    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=False))
    connection.initiate_connection()
    connection.receive_data(bytes.fromhex("000000040000000000"))
    headers = [(b":method", b"GET"), (b":authority", b"localhost:8443"), (b":scheme", b"https"), (b":path", b"/hello")]
    head = bytes.fromhex("8861") + bytes([20]) + b"x" * 20 + bytes.fromhex("5f0a") + b"text/plain"  # date, content-type

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def hundred() -> None:
        numbers = []
        for _ in range(100):
            number = connection.get_next_available_stream_id()
            connection.send_headers(number, headers, end_stream=True)
            numbers.append(number)
        connection.data_to_send()
        answers = b"".join(frame(1, 4, number, head) + frame(0, 1, number, b"Hello, world!") for number in numbers)
        for event in connection.receive_data(answers):
            size = getattr(event, "flow_controlled_length", 0)
            if size:
                connection.acknowledge_received_data(size, getattr(event, "stream_id", 0))
        connection.data_to_send()

    hundred()
    start = clocks()
    for _ in range(OPERATIONS // 100):
        hundred()
    report(start, OPERATIONS // 100 * 100)


# Ours.


def settings() -> dict[str, Any]:
    import httpcore

    limits = httpcore.PoolLimits(max_connections=CONNECTIONS)
    made = {"ssl": httpcore.SSLConfig(verify=False), "timeout": 60, "limits": limits, "http2": HTTP2}
    # Older commits, with which this one may be compared, have no choice of engines.
    return {**made, "engines": "reference"} if "reference" in NAME else made


def ours() -> None:
    import httpcore

    pool = httpcore.SyncConnectionPool(**settings())

    def down() -> None:
        for _ in pool.request("GET", URL, stream=True).raw():
            pass

    def vary() -> None:
        response = pool.request("GET", *varied_pairs())
        assert len(response.headers) >= FEWEST, response.headers
        assert response.body

    jobs: dict[str, Once] = {
        "get": lambda: pool.request("GET", URL).body,
        "vary": vary,
        "post": lambda: pool.request("POST", URL, body=BODY).body,
        "up": lambda: pool.request("POST", URL, COUNTED, pieces()).body,
        "down": down,
    }
    run_sync(jobs[JOB])


def our_jobs(pool: Any) -> OnceAsync:
    async def get() -> None:
        await pool.request("GET", URL)

    async def vary() -> None:
        response = await pool.request("GET", *varied_pairs())
        assert len(response.headers) >= FEWEST, response.headers

    async def post() -> None:
        await pool.request("POST", URL, body=BODY)

    async def up() -> None:
        await pool.request("POST", URL, COUNTED, pieces())

    async def down() -> None:
        async for _ in (await pool.request("GET", URL, stream=True)).raw():
            pass

    jobs: dict[str, OnceAsync] = {"get": get, "vary": vary, "post": post, "up": up, "down": down}
    return jobs[JOB]


def ours_async() -> None:
    import httpcore

    async def make() -> OnceAsync:
        return our_jobs(httpcore.ConnectionPool(**settings()))

    run_async(make)


def run_trio(make: Callable[[], Awaitable[OnceAsync]]) -> None:
    import trio

    async def main() -> None:
        once = await make()

        async def work(operations: int) -> None:
            left = operations

            async def worker() -> None:
                nonlocal left
                while left > 0:
                    left -= 1
                    await once()

            async with trio.open_nursery() as nursery:
                for _ in range(CONCURRENCY):
                    nursery.start_soon(worker)

        await work(max(CONCURRENCY, MANY))
        gc.collect()
        start = clocks()
        await work(OPERATIONS)
        report(start, OPERATIONS)

    trio.run(main)


def ours_trio() -> None:
    import httpcore

    async def make() -> OnceAsync:
        return our_jobs(httpcore.ConnectionPool(**settings()))

    run_trio(make)


def stacked(middlewares: int) -> Any:
    """A transport under a number of middlewares that only forward requests."""
    import httpcore

    transport: Any = httpcore.HTTPTransport(**settings())
    for _ in range(middlewares):
        transport = httpcore.Middleware(transport)
    return transport


def our_transport(middlewares: int = 0) -> None:
    transport = stacked(middlewares)

    def get() -> None:
        with transport.request("GET", URL) as (_, _, stream, _):
            b"".join(stream)

    run_sync({"get": get}[JOB])


def our_transport_async(middlewares: int = 0) -> None:
    async def make() -> OnceAsync:
        transport = stacked(middlewares)

        async def get() -> None:
            async with transport.arequest("GET", URL) as (_, _, stream, _):
                b"".join([piece async for piece in stream])

        return {"get": get}[JOB]

    run_async(make)


# Peers.


def httpcore2() -> None:
    import httpcore2 as peer

    pool = peer.ConnectionPool(ssl_context=unverified(), http2=HTTP2, max_connections=CONNECTIONS)

    def down() -> None:
        with pool.stream("GET", URL) as response:
            for _ in response.iter_stream():
                pass

    def vary() -> None:
        url, headers = varied_pairs()
        response = pool.request("GET", url, headers=headers)
        assert len(response.headers) >= FEWEST

    jobs: dict[str, Once] = {
        "get": lambda: pool.request("GET", URL).content,
        "vary": vary,
        "post": lambda: pool.request("POST", URL, content=BODY).content,
        "up": lambda: pool.request("POST", URL, headers=COUNTED, content=pieces()).content,
        "down": down,
    }
    run_sync(jobs[JOB])


async def make_httpcore2() -> OnceAsync:
    import httpcore2 as peer

    pool = peer.AsyncConnectionPool(ssl_context=unverified(), http2=HTTP2, max_connections=CONNECTIONS)

    async def get() -> None:
        await pool.request("GET", URL)

    async def vary() -> None:
        url, headers = varied_pairs()
        response = await pool.request("GET", url, headers=headers)
        assert len(response.headers) >= FEWEST

    async def post() -> None:
        await pool.request("POST", URL, content=BODY)

    async def up() -> None:
        await pool.request("POST", URL, headers=COUNTED, content=async_pieces())

    async def down() -> None:
        async with pool.stream("GET", URL) as response:
            async for _ in response.aiter_stream():
                pass

    jobs: dict[str, OnceAsync] = {"get": get, "vary": vary, "post": post, "up": up, "down": down}
    return jobs[JOB]


def httpx2_async() -> None:
    import httpx2 as peer

    async def make() -> OnceAsync:
        limits = peer.Limits(max_connections=CONNECTIONS)
        session = peer.AsyncClient(verify=False, http2=HTTP2, timeout=60, limits=limits)

        async def get() -> None:
            await session.get(URL)

        async def vary() -> None:
            url, headers = varied()
            assert len((await session.get(url, headers=headers)).headers.multi_items()) >= FEWEST

        async def post() -> None:
            await session.post(URL, content=BODY)

        async def up() -> None:
            await session.post(URL, content=async_pieces())

        async def down() -> None:
            async with session.stream("GET", URL) as response:
                async for _ in response.aiter_raw():
                    pass

        jobs: dict[str, OnceAsync] = {"get": get, "vary": vary, "post": post, "up": up, "down": down}
        return jobs[JOB]

    run_async(make)


def httpx2() -> None:
    import httpx2 as peer

    session = peer.Client(verify=False, http2=HTTP2, timeout=60)

    def down() -> None:
        with session.stream("GET", URL) as response:
            for _ in response.iter_raw():
                pass

    def vary() -> None:
        url, headers = varied()
        assert len(session.get(url, headers=headers).headers.multi_items()) >= FEWEST

    jobs: dict[str, Once] = {
        "get": lambda: session.get(URL).content,
        "vary": vary,
        "post": lambda: session.post(URL, content=BODY).content,
        "up": lambda: session.post(URL, content=pieces()).content,
        "down": down,
    }
    run_sync(jobs[JOB])


def our_client() -> None:
    import httpcore

    limits = httpcore.PoolLimits(max_connections=CONNECTIONS)
    transport = httpcore.HTTPTransport(verify=False, timeout=60, limits=limits, http2=HTTP2)
    session = httpcore.Client(transport=transport)

    def down() -> None:
        with session.stream("GET", URL) as response:
            for _ in response.raw():
                pass

    def vary() -> None:
        url, headers = varied()
        assert len(session.get(url, headers=headers).headers.raw) >= FEWEST

    jobs: dict[str, Once] = {
        "get": lambda: session.get(URL).content,
        "vary": vary,
        "post": lambda: session.post(URL, BODY).content,
        "up": lambda: session.post(URL, pieces(), headers=COUNTED).content,
        "down": down,
    }
    run_sync(jobs[JOB])


def our_client_async() -> None:
    import httpcore

    async def make() -> OnceAsync:
        limits = httpcore.PoolLimits(max_connections=CONNECTIONS)
        transport = httpcore.HTTPTransport(verify=False, timeout=60, limits=limits, http2=HTTP2)
        session = httpcore.AsyncClient(transport=transport)

        async def get() -> None:
            await session.get(URL)

        async def vary() -> None:
            url, headers = varied()
            assert len((await session.get(url, headers=headers)).headers.raw) >= FEWEST

        async def post() -> None:
            await session.post(URL, BODY)

        async def up() -> None:
            await session.post(URL, async_pieces(), headers=COUNTED)

        async def down() -> None:
            async with session.stream("GET", URL) as response:
                async for _ in response.raw():
                    pass

        jobs: dict[str, OnceAsync] = {"get": get, "vary": vary, "post": post, "up": up, "down": down}
        return jobs[JOB]

    run_async(make)


def urllib3() -> None:
    import urllib3 as peer

    peer.disable_warnings()
    pool = peer.PoolManager(cert_reqs="CERT_NONE", maxsize=CONNECTIONS)

    def down() -> None:
        response = pool.request("GET", URL, preload_content=False)
        for _ in response.stream(PIECE):
            pass
        response.release_conn()

    def vary() -> None:
        url, headers = varied()
        response = pool.request("GET", url, headers=headers)
        assert response.data
        assert len(list(response.headers.items())) >= FEWEST

    jobs: dict[str, Once] = {
        "get": lambda: pool.request("GET", URL).data,
        "vary": vary,
        "post": lambda: pool.request("POST", URL, body=BODY).data,
        "up": lambda: pool.request("POST", URL, body=pieces(), headers=COUNTED).data,
        "down": down,
    }
    run_sync(jobs[JOB])


def requests(module: str = "requests", below: str = "urllib3") -> None:
    peer = __import__(module)
    __import__(below).disable_warnings()
    session = peer.Session()
    session.verify = False

    def down() -> None:
        for _ in session.get(URL, stream=True).iter_content(PIECE):
            pass

    def vary() -> None:
        url, headers = varied()
        assert len(list(session.get(url, headers=headers).headers.items())) >= FEWEST

    jobs: dict[str, Once] = {
        "get": lambda: session.get(URL).content,
        "vary": vary,
        "post": lambda: session.post(URL, data=BODY).content,
        "up": lambda: session.post(URL, data=pieces()).content,
        "down": down,
    }
    run_sync(jobs[JOB])


def aiohttp_async() -> None:
    import aiohttp as peer

    async def make() -> OnceAsync:
        session = peer.ClientSession(connector=peer.TCPConnector(limit=CONNECTIONS, ssl=False))

        async def get() -> None:
            async with session.get(URL) as response:
                await response.read()

        async def vary() -> None:
            url, headers = varied()
            async with session.get(url, headers=headers) as response:
                await response.read()
                assert len(response.raw_headers) >= FEWEST

        async def post() -> None:
            async with session.post(URL, data=BODY) as response:
                await response.read()

        async def up() -> None:
            async with session.post(URL, data=async_pieces(), headers=COUNTED) as response:
                await response.read()

        async def down() -> None:
            async with session.get(URL) as response:
                async for _ in response.content.iter_any():
                    pass

        jobs: dict[str, OnceAsync] = {"get": get, "vary": vary, "post": post, "up": up, "down": down}
        return jobs[JOB]

    run_async(make)


def pycurl() -> None:
    from io import BytesIO

    import pycurl as peer

    curl = peer.Curl()
    for option, value in ((peer.URL, URL), (peer.SSL_VERIFYPEER, 0), (peer.SSL_VERIFYHOST, 0)):
        curl.setopt(option, value)
    if not HTTP2:
        curl.setopt(peer.HTTP_VERSION, peer.CURL_HTTP_VERSION_1_1)
    if JOB == "post":
        curl.setopt(peer.POSTFIELDS, BODY)
        curl.setopt(peer.HTTPHEADER, ["Expect:"])

    class Zeros:
        left = SIZE

        def read(self, size: int) -> bytes:
            global uploads
            size = min(size, self.left)
            self.left -= size
            uploads += self.left == 0 < size
            return bytes(size)

    received: list[bytes] = []
    if JOB == "vary":
        curl.setopt(peer.HEADERFUNCTION, received.append)

    def once() -> None:
        if JOB == "vary":
            url, headers = varied()
            curl.setopt(peer.URL, url)
            curl.setopt(peer.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
            received.clear()
        if JOB == "up":
            curl.setopt(peer.POST, 1)
            curl.setopt(peer.POSTFIELDSIZE_LARGE, SIZE)
            curl.setopt(peer.HTTPHEADER, ["Expect:"])
            curl.setopt(peer.READFUNCTION, Zeros().read)
        if JOB == "down":
            curl.setopt(peer.WRITEFUNCTION, lambda data: None)
        else:
            curl.setopt(peer.WRITEDATA, BytesIO())
        curl.perform()
        assert JOB != "vary" or len(received) > FEWEST

    run_sync(once)


def pyreqwest_async() -> None:
    from pyreqwest.client import ClientBuilder

    async def make() -> OnceAsync:
        builder = ClientBuilder().danger_accept_invalid_certs(True)
        session = (builder if HTTP2 else builder.http1_only()).build()

        async def get() -> None:
            await (await session.get(URL).build().send()).bytes()

        async def vary() -> None:
            url, headers = varied()
            response = await session.get(url).headers(headers).build().send()
            assert len(list(response.headers.items())) >= FEWEST
            await response.bytes()

        async def post() -> None:
            await (await session.post(URL).body_bytes(BODY).build().send()).bytes()

        async def up() -> None:
            await (await session.post(URL).body_stream(async_pieces()).build().send()).bytes()

        async def down() -> None:
            async with session.get(URL).build_streamed() as response:
                while await response.body_reader.read_chunk():
                    pass

        jobs: dict[str, OnceAsync] = {"get": get, "vary": vary, "post": post, "up": up, "down": down}
        return jobs[JOB]

    run_async(make)


def pyreqwest() -> None:
    from pyreqwest.client import SyncClientBuilder

    builder = SyncClientBuilder().danger_accept_invalid_certs(True)
    session = (builder if HTTP2 else builder.http1_only()).build()

    def down() -> None:
        with session.get(URL).build_streamed() as response:
            while response.body_reader.read_chunk():
                pass

    def vary() -> None:
        url, headers = varied()
        response = session.get(url).headers(headers).build().send()
        assert len(list(response.headers.items())) >= FEWEST
        assert response.bytes()

    jobs: dict[str, Once] = {
        "get": lambda: session.get(URL).build().send().bytes(),
        "vary": vary,
        "post": lambda: session.post(URL).body_bytes(BODY).build().send().bytes(),
        "up": lambda: session.post(URL).body_stream(pieces()).build().send().bytes(),
        "down": down,
    }
    run_sync(jobs[JOB])


CLIENTS: dict[str, Callable[[], None]] = {
    "bare socket": bare_socket,
    "bare Protocol": bare_protocol,
    "bare h2": h2_alone,
    "httpcore": ours,
    "httpcore async": ours_async,
    "httpcore trio": ours_trio,
    "httpcore reference": ours,
    "httpcore reference async": ours_async,
    "httpcore client": our_client,
    "httpcore client async": our_client_async,
    "httpcore transport": our_transport,
    "httpcore transport async": our_transport_async,
    "httpcore 3 middlewares": lambda: our_transport(3),
    "httpcore 3 middlewares async": lambda: our_transport_async(3),
    "httpcore2": httpcore2,
    "httpcore2 async": lambda: run_async(make_httpcore2),
    "httpcore2 trio": lambda: run_trio(make_httpcore2),
    "httpx2": httpx2,
    "httpx2 async": httpx2_async,
    "urllib3": urllib3,
    "requests": requests,
    "niquests": lambda: requests("niquests", "urllib3_future"),
    "aiohttp": aiohttp_async,
    "pycurl": pycurl,
    "pyreqwest": pyreqwest,
    "pyreqwest async": pyreqwest_async,
}

if __name__ == "__main__":
    CLIENTS[NAME]()
