"""The gateway on the wire, raw sockets on both sides, under each server that it is run with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_servers import SERVERS, serving
from wire_checks import CHECKS, Wire

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "gateway.md"

pytestmark = pytest.mark.servers

# What a server does before the gateway is asked, or does not tell it.
THE_SERVERS: dict[str, dict[str, str]] = {
    "uvicorn-httptools": {"an_absolute_target_names_the_host": "tells the path of it alone"},
    "uvicorn-h11": {},
    "hypercorn": {},
    "granian": {
        "an_absolute_target_names_the_host": "tells the path of it alone",
        "a_malformed_chunk_is_not_passed_as_whole": "tells it as a client that left, and answers 500",
    },
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    if request.param == "granian":
        pytest.importorskip("granian")
    return str(request.param)


@pytest.fixture(scope="module")
def wire(server: str) -> Iterator[Wire]:
    wire = Wire()
    with wire.upstream, serving(server, "plain", UPSTREAMS=wire.upstream.url) as port:
        wire.port = port
        yield wire


@pytest.mark.parametrize("name", CHECKS)
def test_the_gateway_on_the_wire(server: str, wire: Wire, name: str) -> None:
    """Strictly: a check that a server is excused from must fail, or the excuse goes."""
    if name in THE_SERVERS[server]:
        with pytest.raises(AssertionError):
            CHECKS[name](wire)
    else:
        CHECKS[name](wire)


def test_the_guide_names_what_each_server_does() -> None:
    rows = [
        f"| {server} | {name.replace('_', ' ')} | {reason} |"
        for server, excused in THE_SERVERS.items()
        for name, reason in excused.items()
    ]
    table = GUIDE.read_text(encoding="utf-8").partition("| what the server does |\n|---|---|---|\n")[2]
    assert table.partition("\n\n")[0].split("\n") == rows
    assert all(len(excused) <= 6 for excused in THE_SERVERS.values())
