"""The gateway on the wire, with raw sockets on both sides, under each server that is supported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_servers import SERVERS, serving
from wire_checks import CHECKS, H2_CHECKS, Wire

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "gateway.md"

pytestmark = pytest.mark.servers

# The exceptions: checks that fail because of what the server does, before it calls the gateway or without notifying it.
THE_SERVERS: dict[str, dict[str, str]] = {
    "uvicorn-httptools": {
        "an_absolute_target_names_the_host": "passes only its path",
        "trailers_of_a_request_do_not_become_fields": "adds those that it receives together with the head",
        "a_field_of_1_mb_is_refused": "has no limit for it",
    },
    "uvicorn-h11": {"an_unknown_version_is_refused": "treats any version as 1.1"},
    "hypercorn": {
        "an_unknown_version_is_refused": "treats any version as 1.1",
        "a_method_keeps_its_case": "passes it in upper case",
        "a_broken_response_resets_the_stream": "leaves it open until the connection ends, 5 s later",
    },
    "granian": {
        "an_absolute_target_names_the_host": "passes only its path",
        "a_malformed_chunk_is_not_passed_as_whole": "reports a disconnect, and answers 500",
        "early_hints_come_before_the_response": "has no way to send a 103",
    },
}

HTTP_2 = ("hypercorn", "granian")


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    if request.param == "granian":
        pytest.importorskip("granian")
    return str(request.param)


@pytest.fixture(scope="module")
def wire(server: str) -> Iterator[Wire]:
    wire = Wire()
    with wire.upstream, serving(server, "wired", UPSTREAMS=wire.upstream.url) as port:
        wire.port = port
        yield wire


def run(server: str, wire: Wire, name: str) -> None:
    """Run a check strictly: a check with an exception for a server must fail there, otherwise the exception must be
    removed.
    """
    check = {**CHECKS, **H2_CHECKS}[name]
    if name in THE_SERVERS[server]:
        with pytest.raises(AssertionError):
            check(wire)
    else:
        check(wire)


@pytest.mark.parametrize("name", CHECKS)
def test_the_gateway_keeps_each_rule_on_the_wire(server: str, wire: Wire, name: str) -> None:
    run(server, wire, name)


@pytest.mark.parametrize("server", HTTP_2, indirect=True, scope="module")
@pytest.mark.parametrize("name", H2_CHECKS)
def test_the_gateway_keeps_each_rule_over_http_2(server: str, wire: Wire, name: str) -> None:
    run(server, wire, name)


def rows() -> list[str]:
    return [
        f"| {server} | {name.replace('_', ' ')} | {reason} |"
        for server, excused in THE_SERVERS.items()
        for name, reason in excused.items()
    ]


def test_the_guide_names_the_limits_of_each_server() -> None:
    table = GUIDE.read_text(encoding="utf-8").partition("| what the server does |\n|---|---|---|\n")[2]
    assert table.partition("\n\n")[0].split("\n") == rows()
    assert f"{len(CHECKS) + len(H2_CHECKS)} checks" in GUIDE.read_text(encoding="utf-8")
    assert all(len(excused) <= 6 for excused in THE_SERVERS.values())
