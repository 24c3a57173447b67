"""`engines=` and HTTPCORE_ENGINES: which engine reads, where this is shown, and the cost of the others for a native
pool.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from h2_peer import H2Peer

import httpcore
from httpcore import EngineDifference
from httpcore._http1.parser import H1Response
from httpcore._message.head import LIBRARY
from httpcore._pool.engines import NATIVE, checked_engines
from httpcore.testing import ServerEnd, Simulation

H2 = f"h2 {version('h2')}"
H11 = f"h11 {version('h11')}"


@pytest.fixture(autouse=True)
def _without_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTPCORE_ENGINES", raising=False)


async def serve(peer: ServerEnd) -> None:
    while await peer.recv_until(b"\r\n\r\n"):
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def get(events: list[httpcore.TraceEvent] | None = None, **settings: Any) -> httpcore.Response:
    """The response to one GET of a pool with these settings."""
    simulation = Simulation()
    simulation.listen("a.test", 80, serve)

    async def main() -> httpcore.Response:
        trace = None if events is None else events.append
        async with httpcore.ConnectionPool(trace=trace, **settings) as http:
            return await http.request("GET", "http://a.test/")

    return simulation.run(main())


HTTP2_NAMES = {"native": LIBRARY, "reference": H2, "shadow": f"{LIBRARY}, {H2}"}
NAMES = {"native": LIBRARY, "reference": H11, "shadow": f"{LIBRARY}, {H11}"}


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_of_a_response_is_library_and_version(name: str) -> None:
    response = get(engines={"http/1.1": name})
    assert response.info.engine == NAMES[name]
    assert response.body == b"ok"


@pytest.mark.parametrize("name", HTTP2_NAMES)
def test_the_engine_over_http2_is_library_and_version(name: Any) -> None:
    simulation = Simulation()

    async def serve(end: ServerEnd) -> None:
        peer = H2Peer(end)
        await peer.begin()
        await peer.answer(await peer.whole())
        await end.recv()

    async def main() -> httpcore.Response:
        async with httpcore.ConnectionPool(http1=False, engines={"http/2": name}) as http:
            return await http.request("GET", "http://a.test/")

    simulation.listen("a.test", 80, serve)
    response = simulation.run(main())
    assert (response.info.engine, response.protocol, response.body) == (HTTP2_NAMES[name], "HTTP/2", b"ok")


def test_the_trace_of_a_connection_names_its_engine() -> None:
    events: list[httpcore.TraceEvent] = []
    get(events, engines={"http/1.1": "reference"})
    assert [event.engine for event in events if isinstance(event, httpcore.ConnectionOpened)] == [H11]


def test_without_a_choice_the_engines_are_native() -> None:
    assert checked_engines(None) is NATIVE
    assert get().info.engine == LIBRARY


@pytest.mark.parametrize(
    ("text", "http1"), [("native", "native"), ("http/1.1=reference, http/2=native", "reference"), ("", "native")]
)
def test_the_environment_chooses_where_the_argument_does_not(
    text: str, http1: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPCORE_ENGINES", text)
    assert get().info.engine == NAMES[http1]
    assert get(engines={}).info.engine == LIBRARY


def test_both_pools_and_the_transport_take_engines() -> None:
    engines: Any = {"http/1.1": "reference"}
    # No public name shows the chosen engine before the first response.
    assert httpcore.SyncConnectionPool(engines=engines)._pool._leases.engines.http1[0] == H11
    assert httpcore.ConnectionPool(engines=engines)._leases.engines.http1[0] == H11
    with httpcore.HTTPTransport(engines=engines) as transport:
        # No public name shows the engine of the transport's pools either.
        assert transport._sync is not None
        assert transport._sync._leases.engines.http1[0] == H11
        assert transport._make()._leases.engines.http1[0] == H11


@pytest.mark.parametrize(
    ("engines", "kind", "message"),
    [
        (1, TypeError, "engines is of type int: expected 'native', 'reference' or 'shadow', or one of them for each"),
        ({1: "native"}, TypeError, "engines has an item of type int: expected"),
        ({"http/2": None}, TypeError, "engines has an item of type NoneType: expected"),
        ("fast", ValueError, "engines names the engine 'fast' for http/1.1: expected 'native', 'reference' or"),
        ({"h2": "native"}, ValueError, "engines names the protocol 'h2': expected 'http/1.1' or 'http/2'"),
        ("", ValueError, "engines names the engine '' for http/1.1"),
    ],
)
def test_an_unknown_engine_is_refused_with_the_expected_ones(engines: Any, kind: Any, message: str) -> None:
    for pool in (httpcore.ConnectionPool, httpcore.SyncConnectionPool, httpcore.HTTPTransport):
        with pytest.raises(kind) as caught:
            pool(engines=engines)
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "the environment variable HTTPCORE_ENGINES names the engine 'fast'"),
        ("http/1.1=native,fast", "the environment variable HTTPCORE_ENGINES has the part 'fast': expected protocol="),
        ("http/3=native", "the environment variable HTTPCORE_ENGINES names the protocol 'http/3'"),
    ],
)
def test_an_unknown_engine_in_the_environment_is_refused(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPCORE_ENGINES", text)
    with pytest.raises(ValueError) as caught:
        httpcore.ConnectionPool()
    assert str(caught.value).startswith(message)


LOADED = "print(*[name for name in ('h11', 'h2', 'hpack', 'hyperframe') if name in sys.modules])"


@pytest.mark.parametrize(
    ("engines", "loaded"),
    [
        ("None", []),
        ("'native'", []),
        ("{'http/1.1': 'reference'}", ["h11"]),
        ("{'http/2': 'reference'}", ["h2", "hpack", "hyperframe"]),
        ("'shadow'", ["h11", "h2", "hpack", "hyperframe"]),
    ],
)
def test_a_pool_loads_only_the_libraries_of_its_engines(engines: str, loaded: list[str]) -> None:
    program = f"import sys, httpcore; httpcore.SyncConnectionPool(engines={engines}); {LOADED}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (done.stderr, done.stdout.split()) == ("", loaded)


# The shadow.


def wrong_head(raw: bytes, method: bytes, upgrade: bool, most: int = 1000) -> Any:
    head, framing, length, persistent = READ(raw, method, upgrade)
    return head, framing, length, not persistent


READ = H1Response.read_head


def test_a_difference_of_the_shadow_ends_the_request_in_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(H1Response, "read_head", staticmethod(wrong_head))
    with pytest.raises(
        RuntimeWarning, match=r"h11 .* reads a peer's bytes differently: whether the connection is kept"
    ):
        get(engines={"http/1.1": "shadow"})


@pytest.mark.filterwarnings("ignore:h11 .* reads a peer's bytes differently:RuntimeWarning")
def test_a_difference_of_the_shadow_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(H1Response, "read_head", staticmethod(wrong_head))
    events: list[httpcore.TraceEvent] = []
    response = get(events, engines={"http/1.1": "shadow"})
    assert response.body == b"ok"
    found = [(event.engine, event.difference) for event in events if isinstance(event, EngineDifference)]
    assert found == [(H11, "whether the connection is kept")]


def test_a_shadow_that_agrees_reports_nothing() -> None:
    events: list[httpcore.TraceEvent] = []
    get(events, engines={"http/1.1": "shadow"})
    assert not [event for event in events if isinstance(event, EngineDifference)]
