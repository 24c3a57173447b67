"""Ctrl-C at every line of our code that a request passes: the promises for a cancellation hold for Ctrl-C too.

The test leaves out lines with `with`, since tracing reaches them a second time between the end of the block and the
release of the lock, where CPython does not check for signals. It leaves out the streams, whose marks are set by single
C calls and which are tested with real signals, and finalisers, whose errors are only printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from linecache import getline
from types import FrameType
from typing import Any

import pytest
from servers import ScriptedServer, ok
from strikes import traced

import httpcore

PACKAGE = os.path.dirname(httpcore.__file__)
LEFT_OUT = (os.path.join(PACKAGE, "_backends"), os.path.join(PACKAGE, "testing"))


answers: dict[bytes, int] = {}
"""By path, the sizes of all answers of the server."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    def script(peer: Any) -> None:
        while head := peer.head():
            path = head.split(b" ")[1]
            answers[path] = len(ok(path))
            peer.send(ok(path))

    with ScriptedServer(script) as server:
        yield server.url


def in_finaliser(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def interrupted(act: Callable[[], object], line: int) -> bool:
    """Run `act`, with KeyboardInterrupt at its n-th line of httpcore. Return False if it has fewer lines."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) or os.path.dirname(name) in LEFT_OUT or in_finaliser(frame):
            return None
        if event == "line" and not getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
            count += 1
            if count == line:
                raise KeyboardInterrupt
        return trace

    try:
        with traced(trace):
            act()
    except KeyboardInterrupt:
        return True
    return False


def is_clean(pool: httpcore.SyncConnectionPool, url: str) -> bool:
    for number in range(3):
        assert pool.request("GET", f"{url}/{number}").body == f"/{number}".encode()
    stats = pool.stats()
    return (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:a response was dropped unread:ResourceWarning")
@pytest.mark.parametrize("warm", [True, False], ids=["reused connection", "new connection"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_pool_is_clean_after_ctrl_c_at_any_line_of_a_request(url: str, warm: bool, stream: bool) -> None:
    line, step = 1, 1 if warm else 3
    while True:
        answers.clear()
        pool = httpcore.SyncConnectionPool(limits=httpcore.PoolLimits(max_connections=2))
        if warm:
            pool.request("GET", url + "/warm")

        def act(pool: httpcore.SyncConnectionPool = pool) -> None:
            with pool.request("GET", url + "/victim", stream=stream) as response:
                assert response.read() == b"/victim"

        struck = interrupted(act, line)
        assert is_clean(pool, url), f"line {line}"
        check_totals(pool.stats().totals)
        pool.close()
        if not struck:
            break
        line += step
    assert line > 300


def check_totals(totals: httpcore.PoolTotals) -> None:
    """All requests except the victim are counted, and of the victim at most the bytes of one system call are
    missing.
    """
    others = [size for path, size in answers.items() if path != b"/victim"]
    assert totals.requests in (len(others), len(others) + 1)
    assert totals.dials + totals.reuses >= len(others)
    assert sum(others) <= totals.bytes_received <= sum(answers.values())


@pytest.mark.parametrize("warm", [True, False], ids=["reused connection", "new connection"])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning")
def test_a_pool_is_clean_after_ctrl_c_at_any_line_of_connect(url: str, warm: bool) -> None:
    line, step, struck = 1, 1 if warm else 3, True
    while struck:
        pool = httpcore.SyncConnectionPool(limits=httpcore.PoolLimits(max_connections=2))
        if warm:
            pool.request("GET", url + "/warm")
        struck = interrupted(lambda pool=pool: pool.connect(url), line)  # type: ignore[misc]
        assert is_clean(pool, url), f"line {line}"
        pool.close()
        line += step
    assert line > 100


# Drains: no later drain waits for a request that Ctrl-C has ended.


class Local(httpcore.Transport):
    """Answers with a redirect, then with a body in pieces."""

    async def handle(self, request: httpcore.TransportRequest) -> httpcore.TransportResponse:
        if b"away" in str(request.url).encode():
            return httpcore.TransportResponse(302, [(b"location", b"/near")])
        return httpcore.TransportResponse(200, [], iter([b"near", b"by"]))


def in_a_call(client: httpcore.Client) -> None:
    assert client.get("http://a.test/away").content == b"nearby"


def in_a_stream(client: httpcore.Client) -> None:
    with client.stream("GET", "http://a.test/near") as response:
        next(response.stream())


def in_a_drain(client: httpcore.Client) -> None:
    with client.stream("GET", "http://a.test/near"):
        assert client.drain(0.001) is False


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("act", [in_a_call, in_a_stream, in_a_drain])
def test_a_client_drains_after_ctrl_c_at_any_line_of_a_call(act: Callable[[httpcore.Client], None]) -> None:
    line, struck = 1, True
    while struck:
        with httpcore.Client(transport=Local(), trust_env=False) as client:
            struck = interrupted(partial(act, client), line)
            assert client.drain(0.5) is True, f"line {line}"
            assert client._session.in_flight.marks == set()  # no public name shows the calls that are kept there
        line += 3 if act is in_a_call else 1
    assert line > 60


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning")
def test_a_pool_drains_after_ctrl_c_at_any_line(url: str) -> None:
    line, struck = 1, True
    while struck:
        pool = httpcore.SyncConnectionPool()

        def act(pool: httpcore.SyncConnectionPool = pool) -> None:
            with pool.request("GET", url + "/big", stream=True):
                assert [one.url for one in pool.requests()] in ([], [url + "/big"])  # the whole body may have arrived
                pool.drain(0.001)

        struck = interrupted(act, line)
        line += 7
        if not struck:
            break
        assert pool.drain(0.5) is True, f"line {line}"
        stats = pool.stats()
        assert (pool.requests(), stats.leased, stats.waiting) == ([], 0, 0)
        pool.close(abort=True)
    pool.close()
    assert line > 100
