"""docs/reference/recipient.md: each row names a test that exists, or a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_security import TEST, names_of_tests

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "recipient.md"
ROW = re.compile(r"^\| (?P<section>[0-9][0-9., ]*) \| [^|]+ \| [^|]+ \| (?P<proof>[^|]+) \|$", re.MULTILINE)


NAMES = names_of_tests()


def rows() -> list[tuple[str, str]]:
    return [(match["section"], match["proof"]) for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def test_every_line_of_the_tables_is_a_row() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(rows()) + len([line for line in lines if line.startswith("| Section ")]) == len(lines)
    assert len(rows()) > 50


@pytest.mark.parametrize(("section", "proof"), rows())
def test_a_row_names_tests_that_exist_or_a_reason(section: str, proof: str) -> None:
    named = set(TEST.findall(proof))
    assert named or proof.startswith("reason: "), section
    assert named - NAMES == set(), section
