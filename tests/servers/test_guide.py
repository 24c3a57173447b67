"""Every python block of the guide runs, in order, and passes mypy."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import proxies
import pytest
import trustme
from blocks import awaits, blocks_of, run_blocks
from real_servers import nginx_that_asks
from servers import uvicorn

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide"
INDEX = GUIDE / "README.md"
PAGES = sorted(set(GUIDE.glob("*.md")) - {INDEX})
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)

GIVEN = ("url", "app_url", "secure_url", "authority", "client_certificate", "proxy_url", "guarded_proxy_url")
"""The names that a page may use without defining them: str, each the fixture of that name."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with uvicorn("apps:hello", "--lifespan", "off", "--app-dir", str(ROOT / "tests" / "support")) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def app_url() -> Iterator[str]:
    with uvicorn("apps:app", "--app-dir", str(ROOT / "tests" / "support")) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def client_certificate(place: Path) -> str:
    """A PEM file with key, for `alice` in the organization `Example`."""
    clients = trustme.CA()
    clients.cert_pem.write_to_path(str(place / "clients.pem"))
    issued = clients.issue_cert("alice.example", organization_name="Example", common_name="alice")
    issued.private_key_and_cert_chain_pem.write_to_path(str(place / "alice.pem"))
    return str(place / "alice.pem")


@pytest.fixture(scope="module")
def secure_url(place: Path, client_certificate: str) -> Iterator[str]:
    with nginx_that_asks(place, place / "server.pem", place / "clients.pem") as port:
        yield f"https://localhost:{port}/"


@pytest.fixture(scope="module")
def authority(place: Path) -> str:
    return str(place / "ca.pem")


@pytest.fixture(scope="module")
def proxy_url(squid: proxies.Ports) -> str:
    return f"http://127.0.0.1:{squid.open}"


@pytest.fixture(scope="module")
def guarded_proxy_url(squid: proxies.Ports) -> str:
    return f"http://127.0.0.1:{squid.guarded}"


@each_page
def test_every_python_block_of_the_page_runs(page: Path, request: pytest.FixtureRequest) -> None:
    text = "".join(blocks_of(page))  # servers are started for the pages that talk to them
    names = {name: request.getfixturevalue(name) for name in GIVEN if re.search(rf"\b{name}\b", text)}
    run_blocks(page, **names)


def test_the_blocks_of_each_page_are_typed(tmp_path: Path) -> None:
    programs = []
    for page in PAGES:
        programs.append(tmp_path / f"guide_{page.stem.replace('-', '_')}.py")
        programs[-1].write_text(typed(blocks_of(page)), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            f"--cache-dir={ROOT / '.mypy_cache' / 'guide'}",  # the project's own run has other options
            "--disable-error-code=import-untyped",  # Django has no types
            *map(str, programs),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def typed(blocks: list[str]) -> str:
    """The blocks as one module; those that await become functions."""
    parts = [*(f"{name}: str = ''" for name in GIVEN), ""]
    for number, block in enumerate(blocks, 1):
        parts.append(
            f"async def block_{number}() -> None:\n{textwrap.indent(block, '    ')}" if awaits(block) else block
        )
    return "\n".join(parts)
