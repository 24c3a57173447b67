"""The form of the source: how large functions and classes are, no import cycle, few imports inside functions.

`scripts/figures` counts; here are the limits. A class that is above them stands in `ALLOWED` with its reason, and an
entry that is no longer needed fails.
"""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]

FUNCTION = 60
CLASS = 400
LARGE, LARGE_CLASSES = 300, 3
INNER_IMPORTS = 15
ABOVE_THE_CORE = (
    "httpcore._transports",
    "httpcore._client",
    "httpcore.contrib",
    "httpcore.gateway",
    "httpcore.__main__",
)
"""Layers that are loaded in part, and whose optional libraries are many; test_inner_imports asks for each reason."""

ALLOWED = {
    "httpcore._connect.tls.TLSStream": "the handshake and OpenSSL's session are to be carried out of it",
}
"""Classes that may be larger."""


@pytest.fixture(scope="module")
def figures() -> Any:
    loader = SourceFileLoader("figures", str(PROJECT / "scripts" / "figures"))
    spec = spec_from_loader("figures", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules["figures"] = module  # where its annotations are looked up
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(figures: Any) -> Any:
    return figures.read(PROJECT / "httpcore")


def test_no_function_has_more_than_sixty_code_lines(figures: Any, sources: Any) -> None:
    assert {name: size for name, size in figures.function_sizes(sources).items() if size > FUNCTION} == {}


def test_classes_are_small_and_few_are_large(figures: Any, sources: Any) -> None:
    sizes: dict[str, int] = figures.class_sizes(sources)
    assert {name: size for name, size in sizes.items() if size > CLASS and name not in ALLOWED} == {}
    large = {name for name, size in sizes.items() if size > LARGE} - set(ALLOWED)
    assert len(large) <= LARGE_CLASSES, large


@pytest.mark.parametrize("name", ALLOWED)
def test_an_allowance_that_is_not_needed_goes(name: str, figures: Any, sources: Any) -> None:
    assert figures.class_sizes(sources).get(name, 0) > LARGE


def test_there_is_no_import_cycle(figures: Any, sources: Any) -> None:
    assert figures.cycles(sources) == []


def test_few_imports_stand_inside_functions(figures: Any, sources: Any) -> None:
    core = {place for place in figures.inner_imports(sources) if not place.startswith(ABOVE_THE_CORE)}
    assert len(core) <= INNER_IMPORTS, core
