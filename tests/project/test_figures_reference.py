"""docs/reference/figures.md: the tables have each field of the documented objects, and no other."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import httpcore
from httpcore import PoolStats, PoolTotals, RequestTiming, ResponseInfo, TimeoutTotals, TraceEvent

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "figures.md"
FIRST_CELL = re.compile(r"^\| (`.+?`) \|", re.MULTILINE)


def tables() -> dict[str, list[str]]:
    """The names in the first column of each table, by the heading of its second column."""
    found: dict[str, list[str]] = {}
    for table in re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        heading = table.splitlines()[0]
        names = [name for cell in FIRST_CELL.findall(table) for name in re.findall(r"`([\w.]+)`", cell)]
        found[f"{len(found)} {heading}"] = names
    return found


TABLES = list(tables().values())
SIMPLE = {
    ResponseInfo: (0, list(ResponseInfo._fields)),
    RequestTiming: (1, [field.name for field in dataclasses.fields(RequestTiming)]),
    PoolStats: (3, [field.name for field in dataclasses.fields(PoolStats)]),
    PoolTotals: (4, [field.name for field in dataclasses.fields(PoolTotals)]),
    TimeoutTotals: (5, [field.name for field in dataclasses.fields(TimeoutTotals)]),
}


@pytest.mark.parametrize("kind", SIMPLE, ids=lambda kind: kind.__name__)
def test_the_table_has_each_field_once_and_no_other(kind: type) -> None:
    place, fields = SIMPLE[kind]
    assert sorted(TABLES[place]) == sorted(fields)
    assert len(TABLES) == 6


def test_the_readings_are_documented_as_those_of_records() -> None:
    """Each time except three has a record, and each record exists."""
    fields = {name.partition(".")[0] for name in TABLES[2]}
    assert {field.name for field in dataclasses.fields(RequestTiming)} - fields == {"connected", "first_byte"}
    section = PAGE.read_text(encoding="utf-8").partition("| Time | Record |")[2].partition("\n\n")[0]
    records = [name for row in section.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[2])]
    assert records
    assert all(issubclass(getattr(httpcore, name), TraceEvent) for name in records)


@pytest.mark.parametrize("kind", [*SIMPLE, httpcore.TimeSpan, httpcore.OriginStats], ids=lambda kind: kind.__name__)
def test_the_docstring_has_each_field(kind: Any) -> None:
    documented = set(re.findall(r"[\w_]+", kind.__doc__ or ""))
    same_as_pool = kind is httpcore.OriginStats
    fields: Any = kind._fields if issubclass(kind, tuple) else [field.name for field in dataclasses.fields(kind)]
    assert same_as_pool or set(fields) <= documented
