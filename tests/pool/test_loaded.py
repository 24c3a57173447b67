"""A request imports nothing: all that it may need is imported when the pool is made. So a fork may happen at any time.
The library idna is imported later, with the first host that is not ASCII; the libraries of content codings are imported
later too; a fork waits for these imports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from h2_conversation import Conversation
from servers import Peer, ScriptedServer, ok

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1", "localhost")
TESTS = Path(__file__).resolve().parent


def coded(name: str) -> bytes:
    """A body in one content coding."""
    import gzip
    import zlib

    import brotli
    from backports import zstd

    makers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": brotli.compress,
        "zstd": zstd.compress,
    }
    return makers[name](b"content")


def speak_http11(peer: Peer) -> None:
    while head := peer.head():
        name = head.split(b" ")[1].rpartition(b"/")[2].decode()
        if name in ("gzip", "deflate", "br", "zstd"):
            peer.send(ok(coded(name), b"Content-Encoding: " + name.encode()))
        else:
            peer.send(ok(b"content"))


def speak_http2(peer: Peer) -> None:
    Conversation(peer).run()


@pytest.fixture(scope="module")
def server_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str, str]]:
    """URLs of HTTP/1.1, of HTTP/2, and of HTTPS, and the file of its authority."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    with (
        ScriptedServer(speak_http11) as plain,
        ScriptedServer(speak_http2) as http2,
        ScriptedServer(speak_http11, context) as secure,
    ):
        yield plain.url, http2.url, secure.url, str(path)


PROGRAM = """
import sys, threading
import httpcore

runtime, plain, http2, secure, authority = sys.argv[1:]
kind = httpcore.SyncConnectionPool if runtime == "threads" else httpcore.ConnectionPool
if runtime == "asyncio":
    import asyncio
elif runtime == "trio":
    import trio
own = httpcore.SSLConfig(verify=authority)
pinned = httpcore.SSLConfig(verify=authority, fingerprints=("0" * 64,))
port = plain.rpartition(":")[2]
names = {"localhost.test": "127.0.0.1"}
pools = {
    "usual": kind(resolve=names, retries=2, timeout=1.0),
    "HTTP/2": kind(http1=False),
    "proxy": kind(proxy=plain, timeout=1.0),
    "SOCKS": kind(proxy="socks5://127.0.0.1:" + port, timeout=0.2),
    "policy": kind(network_policy=httpcore.NetworkPolicy.public_only()),
}
MADE = [
    ("usual", plain + "/a", {}),
    ("usual", f"http://localhost:{port}/", {}),
    *[("usual", f"{plain}/{coding}", {}) for coding in ("gzip", "deflate", "br", "zstd")],
    *[("usual", f"http://{name}:{port}/", {}) for name in names],
    ("usual", "http://[::1]:1/", {"timeout": 0.2}),
    ("usual", plain + "/a", {"trace": lambda event: None}),
    ("usual", "http://127.0.0.1:1/", {"trace": lambda event: None, "timeout": 0.1}),
    ("usual", secure + "/a", {}),
    ("usual", secure + "/a", {"ssl": own}),
    ("usual", secure + "/a", {"ssl": pinned}),
    ("HTTP/2", http2 + "/0/a", {}),
    ("proxy", "http://a.test/", {}),
    ("proxy", "https://a.test/", {}),
    ("proxy", "http://b\\u00fccher.test/", {}),  # which is not looked up here
    ("proxy", "http://xn--bcher-kva.test/", {}),
    ("SOCKS", "http://a.test/", {}),
    ("policy", plain + "/a", {}),
]
imported = []
watched = True
from httpcore._forking import OPENSSL  # the gate for which a fork waits until no thread is in it


def hook(event, arguments):
    if event == "import" and watched:
        gated = threading.get_ident() in OPENSSL._threads_inside
        name = arguments[0]
        imported.append("gated:" + name if gated else name)


async def main():
    for pool, url, options in MADE:
        try:
            await pools[pool].request("GET", url, **options)
        except httpcore.HTTPCoreError:
            pass


def in_threads():
    for pool, url, options in MADE:
        try:
            pools[pool].request("GET", url, **options)
        except httpcore.HTTPCoreError:
            pass


if runtime == "asyncio":
    async def watched_main():
        sys.addaudithook(hook)
        await main()
        global watched
        watched = False
    asyncio.run(watched_main())
elif runtime == "trio":
    async def watched_main():
        sys.addaudithook(hook)
        await main()
        global watched
        watched = False
    trio.run(watched_main)
else:
    sys.addaudithook(hook)
    in_threads()
    watched = False
print(*imported)
"""


@pytest.mark.parametrize("runtime", ["threads", "asyncio", "trio"])
def test_a_request_imports_only_few_libraries_behind_the_gate(runtime: str, server_urls: tuple[str, ...]) -> None:
    program = [sys.executable, "-c", PROGRAM, runtime, *server_urls]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    imported = done.stdout.split()
    assert "gated:idna.uts46data" in imported  # trio has imported the other modules of idna
    assert [name for name in imported if not name.startswith("gated:")] == []
    own = {"idna", "bisect", "_bisect", "unicodedata", "re", "typing"}  # idna, and the modules that it imports
    own |= {"encodings", "stringprep"}  # codecs of host names
    own |= {"brotli", "_brotli", "brotlicffi", "backports", "compression", "_zstd"}
    own |= {"pkgutil"}  # this makes backports a namespace package
    assert {name.removeprefix("gated:").partition(".")[0] for name in imported} <= own


FORK = """
import os, signal, sys, threading, time
import httpcore

url, delay, authority = sys.argv[1], float(sys.argv[2]), sys.argv[3]
pool = httpcore.SyncConnectionPool(httpcore.SSLConfig(verify=authority) if url.startswith("https") else None)
first = threading.Thread(target=lambda: pool.request("GET", url + "/gzip"))
first.start()
time.sleep(delay)
child = os.fork()
if not child:
    signal.alarm(20)  # what hangs is killed
    try:
        assert pool.request("GET", url + "/gzip").body == b"content"
    except BaseException:
        os._exit(1)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
first.join()
os._exit(0 if status == 0 else 3)
"""

FORKS = int(os.environ.get("HTTPCORE_FORKS", "4"))


@pytest.mark.proofs
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_fork_beside_a_first_request_leaves_no_child_hanging(server_urls: tuple[str, ...], secure: bool) -> None:
    """`HTTPCORE_FORKS` forks at different moments of the first request."""
    plain, _, https, authority = server_urls
    for run in range(FORKS):
        delay = str(run % 10 * 0.003)
        program = [sys.executable, "-W", "ignore", "-c", FORK, https if secure else plain, delay, authority]
        done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), f"after {delay} s"


def test_a_pool_imports_the_backends_of_possible_runtimes() -> None:
    program = (
        "import sys, {library}, httpcore; httpcore.ConnectionPool()\n"
        "print(*[name for name in sys.modules if name.startswith('httpcore._backends')])"
    )
    for library, backend in (("asyncio", "asyncio"), ("trio", "trio"), ("json", "asyncio")):
        done = subprocess.run(
            [sys.executable, "-c", program.format(library=library)], capture_output=True, text=True, check=True
        )
        assert f"httpcore._backends.{backend}" in done.stdout.split()


UNUSUAL = b"HTTP/1.1 200 OK\nContent-Length: 7\n\ncontent"

IMPORTING = """
import sys
import httpcore
from httpcore import _forking

pool = httpcore.SyncConnectionPool()
url = sys.argv[1]
assert pool.request("GET", url + "/usual").body == b"content"
assert "h11" not in sys.modules
gated = []


def hook(event, arguments):
    if event == "import" and arguments[0] == "h11":
        gated.append(bool(_forking.OPENSSL._threads_inside))


sys.addaudithook(hook)
assert pool.request("GET", url + "/odd").info.lenient == ("line-end",)
assert "h11" in sys.modules
assert gated == [True], gated
gated.clear()
assert pool.request("GET", url + "/odd").info.lenient == ("line-end",)
assert gated == []
"""


@pytest.fixture(scope="module")
def unusual_server() -> Iterator[str]:
    """A server whose response to /odd has lines that end in LF."""

    def speak(peer: Peer) -> None:
        while head := peer.head():
            peer.send(UNUSUAL if b" /odd " in head else ok(b"content"))

    with ScriptedServer(speak) as server:
        yield server.url


def test_an_unusual_response_imports_h11_under_a_gate(unusual_server: str) -> None:
    program = [sys.executable, "-c", IMPORTING, unusual_server]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.proofs
def test_a_fork_beside_the_first_unusual_response_hangs_no_child(unusual_server: str) -> None:
    for run in range(FORKS):
        program = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            FORK.replace("/gzip", "/odd"),
            unusual_server,
            str(run % 10 * 0.003),
            "",
        ]
        done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
