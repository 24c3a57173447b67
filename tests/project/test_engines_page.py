"""`docs/reference/engines.md` shows the tables of differences as they are, and names tests that exist.

To rewrite the tables, run `python tests/project/test_engines_page.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from httpcore._http1 import differences as http1
from httpcore._http2 import differences as http2

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "engines.md"

TABLES = {
    "h11 accepts": {row: why for row, (_, why) in http1.LAXER.items()},
    "h11 differs": {row: apart.why for row, apart in http1.APART.items()},
    "h2 accepts": {row: why for row, (_, why) in http2.LAXER.items()},
    "h2 refuses": {row: why for row, (_, why) in http2.STRICTER.items()},
}


def shown(rows: dict[str, str]) -> str:
    return "".join(f"| {row} | {why} |\n" for row, why in rows.items())


def written(page: str) -> str:
    """The page with the current tables in it."""
    for name, rows in TABLES.items():
        pattern = rf"(<!-- {name} -->\n\| Row \| Reason \|\n\|---\|---\|\n).*?(<!-- end -->)"
        page, count = re.subn(pattern, lambda found: found[1] + shown(rows) + found[2], page, flags=re.DOTALL)  # noqa: B023
        assert count == 1, name
    return page


def test_the_page_shows_the_tables_of_differences() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page)


def named() -> list[str]:
    return re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", named())
def test_the_tests_of_the_page_exist(name: str) -> None:
    assert any(f"def {name}(" in path.read_text(encoding="utf-8") for path in ROOT.glob("tests/http*/test_*.py"))


def test_each_row_of_the_engines_has_a_test() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## Where the reference engines differ")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| Row")]
    assert len(rows) == 4
    assert all("`test_" in row for row in rows)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
