"""Real servers, in every runtime: uvicorn and hypercorn over HTTP and TLS, bodies of every shape, both ways."""

from __future__ import annotations

import hashlib
import io
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from runtimes import Runtime, each_runtime
from servers import free_port, process, uvicorn

import httpcore

APP = ("apps:app", "--app-dir", "tests/support")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


@pytest.fixture(scope="module", params=["uvicorn", "hypercorn"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "uvicorn":
        with uvicorn(*APP) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        import sys

        port = free_port()
        command = [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "tests.support.apps:app"]
        with process(command, port):
            yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[str]:
    pem = str(folder / "server.pem")
    with uvicorn(*APP, "--ssl-keyfile", pem, "--ssl-certfile", pem) as port:
        yield f"https://localhost:{port}"


def run(runtime: Runtime, body: Any, **settings: Any) -> None:
    async def main() -> None:
        async with runtime.pool(**settings) as http:
            await body(http)
            stats = http.stats()
            assert (stats.leased, stats.waiting, stats.busy) == (0, 0, 0)

    runtime.run(main)


@each_runtime
def test_each_method_and_status_is_read_on_one_connection(runtime: Runtime, url: str) -> None:
    async def body(http: Any) -> None:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            response = await http.request(method, url + "/a%20b")
            assert response.body == f"Hello, {method} /a%20b".encode()
        head = await http.request("HEAD", url + "/hello")
        assert (head.status_code, head.body) == (200, b"")
        for status in (204, 304, 404, 500):
            response = await http.request("GET", f"{url}/status?n={status}")
            assert (response.status_code, response.body) == (status, b"")
        assert response.info.reused
        assert http.stats().connections == 1

    run(runtime, body)


@each_runtime
def test_bodies_of_every_shape_come_back(runtime: Runtime, url: str, tmp_path: Path) -> None:
    text = b"0123456789" * 10_000
    path = tmp_path / "body"
    path.write_bytes(text)

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(text), 7_000):
            yield text[at : at + 7_000]

    async def generated() -> Any:
        for piece in pieces():
            yield piece

    async def body(http: Any) -> None:
        shapes: list[Any] = [
            text,
            bytearray(text),
            memoryview(text),
            text.decode(),
            pieces(),
            pieces,
            list(pieces()),
            httpcore.ReplayableBody(pieces),
            io.BytesIO(text),
        ]
        if runtime.name != "threads":
            shapes += [generated(), generated]
        for shape in shapes:
            assert (await http.request("POST", url + "/echo", body=shape)).body == text
        with path.open("rb") as file:
            assert (await http.request("POST", url + "/echo", body=file)).body == text
        for size in (0, 1, 65_536, 1_000_000):
            assert (await http.request("POST", url + "/echo", body=bytes(size))).body == bytes(size)

    run(runtime, body)


@each_runtime
def test_twenty_megabytes_go_up_and_come_down(runtime: Runtime, url: str) -> None:
    piece = bytes(range(250)) * 400
    digest = hashlib.sha256(piece * 200).hexdigest()

    async def body(http: Any) -> None:
        response = await http.request("POST", url + "/digest", body=(piece for _ in range(200)), timeout=30)
        assert response.body.decode() == f"20000000 {digest}"
        async with await http.request("GET", url + "/bytes?n=20000000", stream=True, timeout=30) as response:
            assert sum([len(part) async for part in response.stream()]) == 20_000_000

    run(runtime, body)


@each_runtime
def test_a_hundred_requests_at_once_get_their_own_responses(runtime: Runtime, url: str) -> None:
    async def body(http: Any) -> None:
        async def one(number: int) -> bytes:
            return bytes((await http.request("POST", url + "/echo", body=b"%d" % number, timeout=30)).body)

        results = await runtime.gather(*[lambda number=number: one(number) for number in range(100)])
        assert results == [b"%d" % number for number in range(100)]
        assert http.stats().connections <= 20

    run(runtime, body, limits=httpcore.PoolLimits(max_connections=20))


@each_runtime
def test_codings_are_decoded_or_left_alone(runtime: Runtime, url: str) -> None:
    async def body(http: Any) -> None:
        response = await http.request("GET", url + "/gzip")
        assert response.body == b"Hello, world" * 1000
        async with await http.request("GET", url + "/gzip", stream=True) as response:
            assert b"".join([part async for part in response.raw()])[:2] == b"\x1f\x8b"

    run(runtime, body)


@each_runtime
def test_timeouts_name_the_limit_that_expired(runtime: Runtime, url: str) -> None:
    async def body(http: Any) -> None:
        with pytest.raises(httpcore.ReadTimeout) as caught:
            await http.request("GET", url + "/slow", timeout=httpcore.TimeoutConfig(read_timeout=0.05))
        error = caught.value
        assert (error.limit, error.method, error.url) == (0.05, "GET", url + "/slow")
        assert error.peer == url.removeprefix("http://")
        assert error.elapsed is not None
        assert error.elapsed >= 0.05
        with pytest.raises(httpcore.TotalTimeout):
            await http.request("GET", url + "/slow", timeout=httpcore.TimeoutConfig(total_timeout=0.05))

    run(runtime, body)


@each_runtime
def test_tls_works_by_file_directory_context_and_unverified(runtime: Runtime, secure: str, folder: Path) -> None:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    async def body(http: Any) -> None:
        for settings in (
            httpcore.SSLConfig(verify=str(folder / "ca.pem")),
            httpcore.SSLConfig(verify=str(folder)),
            httpcore.SSLConfig(verify=False),
            context,
        ):
            response = await http.request("GET", secure + "/", ssl=settings)
            assert response.body == b"Hello, GET /"
            assert response.info.tls is not None
            assert response.info.tls.version == "TLSv1.3"
        assert http.stats().connections == 4, "requests with different settings share no connection"
        again = httpcore.SSLConfig(verify=str(folder / "ca.pem"))
        assert (await http.request("GET", secure + "/", ssl=again)).info.reused
        assert http.stats().connections == 4, "requests with equal settings share connections"
        with pytest.raises(httpcore.TLSError, match="certificate"):
            await http.request("GET", secure + "/")

    run(runtime, body)


@each_runtime
def test_tls_carries_bodies_in_both_directions(runtime: Runtime, secure: str, folder: Path) -> None:
    piece = bytes(range(250)) * 400

    async def body(http: Any) -> None:
        response = await http.request("POST", secure + "/digest", body=(piece for _ in range(50)), timeout=30)
        assert response.body.decode() == f"5000000 {hashlib.sha256(piece * 50).hexdigest()}"
        assert len((await http.request("GET", secure + "/bytes?n=5000000", timeout=30)).body) == 5_000_000

    run(runtime, body, ssl=httpcore.SSLConfig(verify=str(folder / "ca.pem")))
