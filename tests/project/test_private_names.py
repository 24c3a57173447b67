"""A test reaches into another object's private names only where a comment says why.

Such a test breaks with every refactoring, so public means come first: bytes on the wire, `stats()`, a trace. The
remaining cases are bounded memory, the moment of a race, a plain function below a coroutine; the comment names the
case.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from comments import commented_lines

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))

# Names that `os`, named tuples and ctypes document, in spite of their first letter.
DOCUMENTED = {"_", "_exit", "_replace", "_asdict", "_fields", "_make", "_field_defaults"}
BY_TEXT = {"getattr", "setattr", "delattr", "hasattr"}
"""Functions and methods (`monkeypatch.setattr`) that take a name as text, as their second argument."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


def is_module(module: str, name: str) -> bool:
    """Whether `from module import name` imports a file or a folder: private modules are no private names."""
    place = TESTS.parent.joinpath(*module.split("."), name)
    return place.is_dir() or place.with_suffix(".py").exists()


def named_by_text(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in BY_TEXT and len(call.args) > 1 and not is_own(call.args[0]):
        text = call.args[1]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text.value


def is_own(node: ast.expr) -> bool:
    """Whether `node` is `self`, `cls` or `super()`."""
    if isinstance(node, ast.Call):
        node = node.func
    return isinstance(node, ast.Name) and node.id in ("self", "cls", "super")


def private_uses(tree: ast.Module) -> dict[int, set[str]]:
    """The private names of other objects, by line."""
    found: dict[int, set[str]] = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Attribute) and not is_own(node.value):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if not is_module(node.module or "", alias.name)]
        elif isinstance(node, ast.Call):
            names = list(named_by_text(node))
        if private := set(filter(is_private, names)):
            assert isinstance(node, ast.stmt | ast.expr)
            line = node.end_lineno or 0 if isinstance(node, ast.Attribute) else node.lineno
            found.setdefault(line, set()).update(private)
    return found


def unexplained(text: str) -> list[str]:
    """The private names of other objects without a comment on their line or above it. Lines that follow each other, and
    the lines of one statement, share a comment.
    """
    tree = ast.parse(text)
    lines = private_uses(tree)
    if not lines:
        return []
    commented = commented_lines(text)
    begins = beginnings(tree)
    for line in sorted(lines):
        if commented & {line, line - 1, begins.get(line, line), begins.get(line, line) - 1}:
            commented.add(line)
    return [f"line {line}: {', '.join(sorted(lines[line]))}" for line in sorted(lines) if line not in commented]


def beginnings(tree: ast.Module) -> dict[int, int]:
    """For each line the first line of its statement, unless that statement contains other statements."""
    return {
        line: node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not hasattr(node, "body")
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }


@pytest.mark.parametrize("file", FILES)
def test_private_names_of_others_have_a_comment(file: str) -> None:
    assert unexplained((TESTS / file).read_text(encoding="utf-8")) == []


# The test itself: faults that it must find.


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("pool._ledger", ["line 1: _ledger"]),
        ("pool.sync._pool._lock", ["line 1: _lock, _pool"]),
        ("self._ledger, cls._made, super()._made(), __version__, x.__class__, os._exit(1), route._replace()", []),
        ("self.pool._ledger", ["line 1: _ledger"]),
        ("from httpcore._config import _DEMANDS", ["line 1: _DEMANDS"]),
        ("from httpcore._pool import ledger\nfrom httpcore import _config\nimport httpcore._config as _c", []),
        ("getattr(pool, '_lock')", ["line 1: _lock"]),
        ("monkeypatch.setattr(lookup, '_answer', 1)", ["line 1: _answer"]),
        ("pool._lock  # held by another thread", []),
        ("# Held by another thread.\npool._lock", []),
        ("# Held by another thread.\n\npool._lock", ["line 3: _lock"]),
        ("# Sums.\na = pool._room\nb = pool._goal\n\nc = pool._next", ["line 5: _next"]),
        ("# Sums.\nf(\n    1,\n    pool._room,\n)", []),
        ("# A loop.\nfor a in b:\n    c\n    pool._room", ["line 4: _room"]),
        ("pool._lock  # type: ignore[attr-defined]", ["line 1: _lock"]),
        ("pool._lock  # noqa: S1", ["line 1: _lock"]),
    ],
)
def test_the_check_finds_each_fault(source: str, found: list[str]) -> None:
    assert unexplained(source) == found
