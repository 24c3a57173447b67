"""The form of the source: how large functions and classes are, no import cycle, few imports inside functions.

`scripts/figures` counts; this file has the limits, which have no exceptions.
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
ABOVE_THE_CORE = tuple(
    f"httpcore.{name}" for name in ("_transports", "_client", "_cli", "contrib", "gateway", "__main__")
)
"""Layers that are loaded in part, with many optional libraries; test_inner_imports requires the reason of each
import.
"""

TABLES_OF_ENGINES = ("httpcore._http1.engines", "httpcore._http2.engines")
"""An engine that is not the native one is loaded, with its library, when a pool chooses it."""


@pytest.fixture(scope="module")
def figures() -> Any:
    loader = SourceFileLoader("figures", str(PROJECT / "scripts" / "figures"))
    spec = spec_from_loader("figures", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules["figures"] = module  # its annotations are looked up there
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(figures: Any) -> Any:
    return figures.read(PROJECT / "httpcore")


def test_no_function_has_more_than_sixty_code_lines(figures: Any, sources: Any) -> None:
    assert {name: size for name, size in figures.function_sizes(sources).items() if size > FUNCTION} == {}


def test_classes_are_small_and_few_are_large(figures: Any, sources: Any) -> None:
    sizes: dict[str, int] = figures.class_sizes(sources)
    assert {name: size for name, size in sizes.items() if size > CLASS} == {}
    large = {name for name, size in sizes.items() if size > LARGE}
    assert len(large) <= LARGE_CLASSES, large


def test_there_is_no_import_cycle(figures: Any, sources: Any) -> None:
    assert figures.cycles(sources) == []


def test_few_imports_stand_inside_functions(figures: Any, sources: Any) -> None:
    apart = (*ABOVE_THE_CORE, *TABLES_OF_ENGINES)
    core = {place for place in figures.inner_imports(sources) if not place.startswith(apart)}
    assert len(core) <= INNER_IMPORTS, core
