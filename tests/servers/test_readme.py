"""Every python block of the README runs, in order, against a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import blocks_of, run_blocks
from servers import uvicorn

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with uvicorn("apps:hello", "--lifespan", "off", "--app-dir", str(README.parent / "tests" / "support")) as port:
        yield f"http://127.0.0.1:{port}/"


def test_every_python_block_runs(url: str) -> None:
    assert len(blocks_of(README)) >= 7
    run_blocks(README, url=url)


def test_every_script_that_is_named_exists() -> None:
    named = set(re.findall(r"(?:scripts|examples|docs|\.ci)/[\w.\-]+\w", README.read_text()))
    missing = [name for name in named if not (README.parent / name).exists()]
    assert {"scripts/demo", "scripts/test"} <= named
    assert not missing, missing
