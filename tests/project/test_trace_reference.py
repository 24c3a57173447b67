"""docs/reference/trace.md: the tables have every record, each of its fields, and every reason of a close."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import httpcore
from httpcore import CloseReason, RequestEnded, TraceEvent

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "trace.md"
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \|(?: (`.+`) \|)?$", re.MULTILINE)
COMMON = {field.name for field in dataclasses.fields(TraceEvent)}


def rows() -> dict[str, tuple[str, str]]:
    return {name: (text, fields) for name, text, fields in ROW.findall(PAGE.read_text(encoding="utf-8"))}


def kinds_of(kind: type[TraceEvent]) -> set[type[TraceEvent]]:
    return {kind}.union(*map(kinds_of, kind.__subclasses__()))


def test_the_tables_of_records_have_each_record_and_its_fields() -> None:
    kinds = kinds_of(TraceEvent) - {TraceEvent, RequestEnded}
    documented = {name: set(re.findall(r"`(\w+)`", fields)) for name, (_, fields) in rows().items() if fields}
    assert documented == {kind.__name__: {field.name for field in dataclasses.fields(kind)} - COMMON for kind in kinds}
    assert {kind.__name__ for kind in kinds} <= set(httpcore.__all__)


def test_the_table_of_reasons_has_each_reason_of_a_close() -> None:
    assert {name: text for name, (text, fields) in rows().items() if not fields} == {
        reason.name: reason.value for reason in CloseReason
    }
