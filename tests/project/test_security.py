"""docs/security.md is true: each row has a test that exists, or a reason; and the source itself is checked."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (?P<name>[A-Z]?[0-9]+) \|.*\|.*\| (?P<proof>[^|]+) \|$", re.MULTILINE)
TEST = re.compile(r"`(test_\w+)`")


def rows() -> dict[str, str]:
    """The last column of each row, by the row's name."""
    return {match["name"]: match["proof"] for match in ROW.finditer((ROOT / "docs" / "security.md").read_text())}


def names_of_tests() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                found.add(node.name)
    return found


def test_no_row_is_missing() -> None:
    faults = {str(number) for number in range(1, 51)}
    sections = {
        "A": range(1, 15),
        "B": range(1, 22),
        "C": range(1, 14),
        "D": range(1, 9),
        "E": range(1, 8),
        "F": range(1, 13),
        "G": range(1, 10),
        "T": range(1, 5),
    }
    assert set(rows()) == {f"{section}{n}" for section, numbers in sections.items() for n in numbers} | faults


def test_every_test_that_is_named_exists() -> None:
    named = {name for proof in rows().values() for name in TEST.findall(proof)}
    assert named
    assert named - names_of_tests() == set()


@pytest.mark.parametrize("row", rows())
def test_each_row_has_a_test_a_reason_or_another_row_that_has(row: str) -> None:
    proof = rows()[row]
    for other in re.findall(r"\bas ([A-Z]?[0-9]+)", proof):
        assert TEST.search(rows()[other]), f"{row} refers to {other}, which names no test"
    assert TEST.search(proof) or re.search(r"\breason: \w+|\bas [A-Z]?[0-9]+", proof)


FORBIDDEN = {
    "random": {"scheduler.py", "faults.py"},  # schedules of simulations, and faults on purpose, both by a seed
    "pickle": set(),
    "datetime": {"response.py", "_certificate.py"},  # durations, and the times in a certificate
    "tempfile": set(),
}
"""Modules that the library does not import, except in the named files."""
WALL_CLOCK = {"cookies.py", "front.py"}  # the expiry of a cookie, and the Date of a response


def test_the_library_imports_no_random_numbers_and_no_wall_clock() -> None:
    for path in (ROOT / "httpcore").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                assert path.name in FORBIDDEN.get(name, {path.name}), f"{path.name} imports {name}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time":
                allowed = {"monotonic", "perf_counter", "sleep"} | ({"time"} if path.name in WALL_CLOCK else set())
                assert node.attr in allowed, f"{path.name} reads time.{node.attr}"
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                imported = {alias.name for alias in node.names}
                assert imported <= {"monotonic", "perf_counter", "sleep"}, f"{path.name} imports {imported}"
