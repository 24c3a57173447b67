"""`scripts/figures` counts correctly, on a package whose figures are known; `scripts/instructions` counts a request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from real_servers import program

PROJECT = Path(__file__).resolve().parents[2]

FIRST = '''"""A module
of two lines."""

from typing import TYPE_CHECKING, Any

from . import second

if TYPE_CHECKING:
    from . import third


class Public:
    """One line."""

    name: str = ""
    """Another line."""

    # A comment of its own.
    def method(self, value: Any) -> None:  # a trailing one
        import os

        assert value, (
            os
        )

    def _private(self, value: Any) -> None:
        """Not counted as public."""
'''
SECOND = "from .first import Public  # type: ignore\n"
THIRD = "from . import first\n"


def figures(*checkouts: Path) -> dict[str, list[str]]:
    command = [sys.executable, str(PROJECT / "scripts" / "figures"), *map(str, checkouts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line[:50].strip(): line[50:].rsplit(maxsplit=len(checkouts) - 1) for line in done.stdout.splitlines()}


@pytest.fixture
def known(tmp_path: Path) -> Path:
    package = tmp_path / "httpcore"
    package.mkdir()
    for name, text in {"__init__": "", "first": FIRST, "second": SECOND, "third": THIRD}.items():
        (package / f"{name}.py").write_text(text)
    return tmp_path


def test_each_figure_of_a_known_package_is_right(known: Path) -> None:
    assert {row: cells[0].strip() for row, cells in figures(known).items()} == {
        "files": "4",
        "lines of a file, median / largest": "1 / 27",
        "lines, all / code": "29 / 14",
        "functions": "2",
        "code lines of a function, median / p90 / longest": "3 / 5 / 5",
        "classes over 300 code lines": "0",
        "largest class": "8",
        "comment lines per 100 code lines": "7.1",
        "docstring lines per 100 code lines": "35.7",
        "import cycles (sizes)": "2",
        "imports inside functions": "1",
        "Any in public signatures": "1",
        "type: ignore": "1",
    }


def test_our_own_figures_are_printed_beside_those_of_another(known: Path) -> None:
    found = figures(known, PROJECT)
    assert found["files"][0].strip() == "4"
    assert int(found["files"][1]) > 40
    assert found["import cycles (sizes)"][1] == "none"


@pytest.mark.servers
def test_instructions_of_a_request_are_counted_and_compared() -> None:
    program("nginx")
    program("valgrind")
    command = [str(PROJECT / "benchmarks" / "instructions.py"), "--only", "GET, threads", "--requests", "20", "60"]
    arguments = ["--most", "0.1", str(PROJECT), str(PROJECT)]  # the ratio is 1, so the limit of 0.1 makes it fail
    done = subprocess.run([sys.executable, *command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    name, first, second, ratio = done.stdout.splitlines()[1].rsplit(maxsplit=3)
    assert name.strip() == "GET, threads"
    assert 10_000 < int(first.replace(",", "")) < 10_000_000
    assert 10_000 < int(second.replace(",", "")) < 10_000_000
    assert 0.5 < float(ratio.strip("()")) < 2
