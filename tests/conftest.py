"""Fixtures of several test files, made once and at their first use: certificates, real servers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import proxies
import pytest
import real_servers
import trustme
from engines import mark_expected_failures
from hypothesis import HealthCheck, settings
from real_servers import Ports
from servers import uvicorn

import httpcore

TESTS = Path(__file__).resolve().parent
MARKED_FOLDERS = ("servers", "hostile", "project", "proofs")
SERVER_FIXTURES = {"nginx", "nghttpd", "hypercorn", "squid", "tinyproxy", "dante", "microsocks", "uvicorn_socket"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder, and also as `servers` if it uses a server of Debian or PyPI."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)
        if SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")
    mark_expected_failures(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test that measures CPU time runs without the trace function of coverage, which multiplies this time."""
    if item.get_closest_marker("cpu_time") is None:
        return (yield)
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(in_threads)


# Examples are the same in each run, and may take long: a busy machine must not fail a test.
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, `server.pem` (for localhost and 127.0.0.1, its key included), and `documents`."""
    folder = tmp_path_factory.mktemp("real")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    real_servers.documents(folder)
    return folder


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the test names no proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def trusting_real(place: Path) -> httpcore.SSLConfig:
    """A config that trusts the certificates of the servers of `place`."""
    return httpcore.SSLConfig(verify=str(place / "ca.pem"))


@pytest.fixture(scope="session")
def nginx(place: Path) -> Iterator[Ports]:
    with (
        uvicorn("apps:app", "--app-dir", "tests/support") as app,
        real_servers.nginx(place, place / "server.pem", app) as ports,
    ):
        yield ports


@pytest.fixture(scope="session")
def nghttpd(place: Path) -> Iterator[Ports]:
    with real_servers.nghttpd(place, place / "server.pem") as ports:
        yield ports


@pytest.fixture(scope="session")
def hypercorn(place: Path) -> Iterator[Ports]:
    with real_servers.hypercorn(place, place / "server.pem") as ports:
        yield ports


@pytest.fixture(scope="session")
def squid(place: Path) -> Iterator[proxies.Ports]:
    with proxies.squid(place / "server.pem") as ports:
        yield ports


@pytest.fixture(scope="session")
def tinyproxy(place: Path) -> Iterator[proxies.Ports]:
    with proxies.tinyproxy(place) as ports:
        yield ports


@pytest.fixture(scope="session")
def dante(place: Path) -> Iterator[proxies.Ports]:
    with proxies.dante(place) as ports:
        yield ports


@pytest.fixture(scope="session")
def microsocks() -> Iterator[proxies.Ports]:
    with proxies.microsocks() as ports:
        yield ports


@pytest.fixture(scope="session")
def uvicorn_socket() -> Iterator[str]:
    with proxies.uvicorn_on_a_socket("apps:app") as path:
        yield path
