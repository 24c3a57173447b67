"""Shows the main functions: real servers on loopback, real requests, and their results. Run it with `scripts/demo`."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import trio
import trustme

import httpcore
from examples.download import download
from examples.threads import fetch_all
from examples.upload import upload

SIZE = 50_000_000
PROJECT = Path(__file__).resolve().parent.parent


async def server(scope: Any, receive: Any, send: Any) -> None:
    """The app that uvicorn serves: /hello says hello, /download streams SIZE bytes, /upload counts the received
    bytes.
    """
    if scope["type"] != "http":
        return
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
    if scope["path"] == "/download":
        start["headers"] = [(b"content-length", str(SIZE).encode())]
        await send(start)
        for _ in range(SIZE // 50_000):
            await send({"type": "http.response.body", "body": bytes(50_000), "more_body": True})
        await send({"type": "http.response.body"})
        return
    received, more = 0, True
    while more:
        message = await receive()
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send(start)
    text = f"{received:,} bytes came" if scope["path"] == "/upload" else "Hello, world"
    await send({"type": "http.response.body", "body": text.encode()})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def uvicorn(app: str, *options: str, **environment: str) -> Iterator[int]:
    """A uvicorn process that serves `app`; yields its port when it listens."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "error", *options]
    process = subprocess.Popen(command, cwd=PROJECT, env={**os.environ, **environment})
    try:
        for _ in range(200):
            if process.poll() is not None:
                raise SystemExit(f"demo: uvicorn did not start: {' '.join(command)}")
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        else:
            raise SystemExit(f"demo: uvicorn did not listen on port {port} within 10 seconds")
        yield port
    finally:
        process.terminate()
        process.wait()


def described(response: Any) -> str:
    info = response.info
    secured = f" under {info.tls.version}" if info.tls else ""
    again = "an open connection" if info.reused else "a new connection"
    return (
        f"{response.protocol} {response.status_code} {response.reason}, {len(response.body)} bytes, "
        f"{again} to {info.peer}{secured}, {info.head_after * 1000:.1f} ms"
    )


class Demo:
    """Runs the steps, one line each, and counts those that failed."""

    def __init__(self) -> None:
        self.steps = 0
        self.failures = 0

    def step(self, what: str, act: Callable[[], str]) -> None:
        self.steps += 1
        print(f"\n{self.steps}. {what}", flush=True)
        try:
            print(f"   {act()}", flush=True)
        except Exception as error:
            self.failures += 1
            print(f"   FAILED: {type(error).__name__}: {error}", flush=True)

    def end(self) -> int:
        if self.failures:
            print(f"\n{self.failures} of {self.steps} steps failed")
            return 1
        print(f"\nall {self.steps} steps worked")
        return 0


def get_twice(run: Callable[..., str], url: str, ssl: httpcore.SSLConfig | None = None) -> str:
    """Two requests over one connection, in the event loop that `run` starts."""

    async def main() -> str:
        async with httpcore.ConnectionPool(ssl=ssl) as http:
            first, second = await http.request("GET", url), await http.request("GET", url)
            assert first.body == second.body == b"Hello, world"
            return f"{described(first)}\n   {described(second)}"

    return run(main)


def in_asyncio(main: Callable[[], Awaitable[str]]) -> str:
    async def body() -> str:
        return await main()

    return asyncio.run(body())


def sync_get(url: str) -> str:
    with httpcore.SyncConnectionPool() as http:
        response = http.request("GET", url)
        assert response.body == b"Hello, world"
        return described(response)


def many_threads(url: str) -> str:
    with httpcore.SyncConnectionPool(limits=httpcore.PoolLimits(max_connections=4)) as http:
        codes = fetch_all(http, [url] * 200)
        assert codes == [200] * 200
        return f"200 requests from 16 threads over {http.stats().open} connections, all 200 OK"


async def transfer_down(url: str, path: str) -> str:
    async with httpcore.ConnectionPool() as http:
        began = time.perf_counter()
        size = await download(http, url, path)
        assert size == SIZE == os.path.getsize(path)  # noqa: ASYNC240 - a local file
        return f"{size:,} bytes in {path}, {size / 1e6 / (time.perf_counter() - began):.0f} MB/s"


async def transfer_up(url: str, path: str) -> str:
    async with httpcore.ConnectionPool() as http:
        response = await upload(http, url, path)
        assert response.body == f"{SIZE:,} bytes came".encode()
        return f"{response.status_code} {response.reason}: {response.body.decode()}"


async def cut_off(url: str) -> str:
    """A response that is not read to its end, and a timeout: the pool works normally after both."""
    async with httpcore.ConnectionPool() as http:
        async with await http.request("GET", url + "/download", stream=True) as response:
            async for _ in response.raw():
                break
        try:
            await http.request("GET", url + "/download", timeout=httpcore.TimeoutConfig(total_timeout=0.001))
            raise AssertionError("50 MB came in a millisecond")
        except httpcore.TotalTimeout as error:
            text = str(error)
        assert (await http.request("GET", url + "/hello")).body == b"Hello, world"
        stats = http.stats()
        assert stats.leased == 0
        return f"{text}\n   then 200 OK again; {stats.open} open, {stats.leased} leased, {stats.waiting} waiting"


def through_the_gateway(upstream: str) -> str:
    with uvicorn("examples.gateway:app", UPSTREAM=upstream) as port, httpcore.SyncConnectionPool() as http:
        response = http.request("POST", f"http://127.0.0.1:{port}/upload", body=bytes(1_000_000))
        assert response.body == b"1,000,000 bytes came"
        return f"{described(response)}: {response.body.decode()}"


def main() -> int:
    demo = Demo()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        print("starting uvicorn, with and without TLS, on loopback...", flush=True)
        plain = f"http://127.0.0.1:{stack.enter_context(uvicorn('examples.demo:server'))}"
        options = ("--ssl-keyfile", str(folder / "server.pem"), "--ssl-certfile", str(folder / "server.pem"))
        secure = f"https://localhost:{stack.enter_context(uvicorn('examples.demo:server', *options))}"
        trusted = httpcore.SSLConfig(verify=str(folder / "ca.pem"))
        file = str(folder / "download")

        demo.step(f"asyncio: GET {plain}/hello, twice", lambda: get_twice(in_asyncio, plain + "/hello"))
        demo.step(f"asyncio: GET {secure}/hello, twice", lambda: get_twice(in_asyncio, secure + "/hello", trusted))
        demo.step(f"trio: GET {plain}/hello, twice", lambda: get_twice(trio.run, plain + "/hello"))
        demo.step("sync: the same without a loop", lambda: sync_get(plain + "/hello"))
        demo.step("sync: one pool, many threads", lambda: many_threads(plain + "/hello"))
        demo.step(
            "streaming: a download of 50 MB, in pieces", lambda: asyncio.run(transfer_down(plain + "/download", file))
        )
        demo.step("streaming: the upload of that file", lambda: asyncio.run(transfer_up(plain + "/upload", file)))
        demo.step("a response left half-read, and a timeout", lambda: asyncio.run(cut_off(plain)))
        demo.step("the gateway in front of it: POST of 1 MB", lambda: through_the_gateway(plain))
    return demo.end()


if __name__ == "__main__":
    sys.exit(main())
