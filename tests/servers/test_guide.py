"""Every python block of the guide runs, in order, and is typed as mypy wants it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import awaits, blocks_of, run_blocks
from servers import uvicorn

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "guide").glob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with uvicorn("apps:hello", "--lifespan", "off", "--app-dir", str(ROOT / "tests" / "support")) as port:
        yield f"http://127.0.0.1:{port}/"


def test_there_are_pages() -> None:
    assert "testing" in [page.stem for page in PAGES]


@each_page
def test_every_python_block_of_the_page_runs(page: Path, request: pytest.FixtureRequest) -> None:
    if "url" in "".join(blocks_of(page)):  # a server, for the pages that talk to one
        run_blocks(page, url=request.getfixturevalue("url"))
    else:
        run_blocks(page)


@each_page
def test_the_blocks_of_the_page_are_typed(page: Path, tmp_path: Path) -> None:
    program = tmp_path / f"{page.stem}.py"
    program.write_text(typed(blocks_of(page)), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            "--disable-error-code=import-untyped",  # Django's
            str(program),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def typed(blocks: list[str]) -> str:
    """The blocks as one module; those that await become functions."""
    parts = ['url: str = "http://127.0.0.1/"\n']
    for number, block in enumerate(blocks, 1):
        parts.append(
            f"async def block_{number}() -> None:\n{textwrap.indent(block, '    ')}" if awaits(block) else block
        )
    return "\n".join(parts)
