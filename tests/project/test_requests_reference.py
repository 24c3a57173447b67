"""docs/reference/requests.md: the tables have each field of `RequestInFlight` and each phase with its text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import httpcore

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "requests.md"


def rows(columns: int) -> list[tuple[str, ...]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [tuple(cell.strip(" `") for cell in line.strip("|").split("|")) for line in lines if line.startswith("| `")]
    return [row for row in cells if len(row) == columns]


def test_the_table_of_fields_has_each_field() -> None:
    assert [name for name, _ in rows(2)] == [field.name for field in dataclasses.fields(httpcore.RequestInFlight)]


def test_the_table_of_phases_has_each_phase_and_its_text() -> None:
    assert {name: text for name, text, _ in rows(3)} == {phase.name: phase.value for phase in httpcore.RequestPhase}
