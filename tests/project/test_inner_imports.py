"""An import inside a function has its reason in a comment: such an import is easily overlooked."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from comments import commented_lines

PACKAGE = Path(__file__).resolve().parents[2] / "httpcore"
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def unexplained(text: str) -> list[int]:
    """The lines of imports inside functions without a comment on that line or above it."""
    commented = commented_lines(text)
    inside = {
        node.lineno
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    return sorted(line for line in inside if not {line, line - 1} & commented)


@pytest.mark.parametrize("file", FILES)
def test_an_import_inside_a_function_has_its_reason(file: str) -> None:
    assert unexplained((PACKAGE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a", []),
        ("if b:\n    import a", []),
        ("def f():\n    import a", [2]),
        ("def f():\n    import a  # heavy", []),
        ("def f():\n    # Heavy.\n    import a", []),
        ("async def f():\n    if b:\n        from a import c", [3]),
        ("def f():\n    import a  # noqa: F401", [2]),
        ("def f():\n    import a  # noqa: F401 - to be loaded", []),
    ],
)
def test_the_check_finds_each_fault(source: str, found: list[int]) -> None:
    assert unexplained(source) == found
