"""The pages for users: the index is complete, links lead to files, lines are wrapped, words are those of HTTP."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "guide" / "README.md"
FOR_USERS = [ROOT / "README.md", *sorted((DOCS / "guide").glob("*.md")), *sorted((DOCS / "reference").glob("*.md"))]
each_page = pytest.mark.parametrize("page", FOR_USERS, ids=lambda page: f"{page.parent.name}/{page.stem}")

AVOIDED = re.compile(
    r"\b(?:worlds?|standing|stands?|undo|undone|undoes|gives? back|given back|lets? go|persuaded|judge[sd]?|patience"
    r"|baton|doubt(?:ful)?|bury|torn|whoever|whom|nobody|somebody|anybody|he|him|his|she|her|heeds?|heeded|told"
    r"|hears?|heard|last words|ways? to a server|what came|what comes|what is what)\b",
    re.IGNORECASE,
)
"""Private words of this project and riddles, which a reader would stop at."""


def prose(page: Path) -> list[tuple[int, str]]:
    """The numbered lines that are no code."""
    lines, in_code = [], False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith("    "):
            lines.append((number, re.sub(r"`[^`]*`", "``", line)))
    return lines


def test_the_index_has_one_line_for_each_page() -> None:
    listed = re.findall(r"^- \[[^]]+\]\((\S+)\): \S", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    pages = {page.name for page in INDEX.parent.glob("*.md")} - {INDEX.name}
    assert sorted(listed) == sorted(pages)


def test_links_between_the_documents_lead_to_files() -> None:
    broken = []
    for page in sorted(DOCS.rglob("*.md")):
        links = re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", page.read_text(encoding="utf-8"))
        own = [link for link in links if "://" not in link]
        broken += [f"{page.name}: {link}" for link in own if not (page.parent / link).is_file()]
    assert broken == []


def test_the_readme_names_each_optional_part() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = re.search(r"pip install '\.\[(.+)\]'", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert named is not None
    assert set(named[1].split(",")) == set(settings["project"]["optional-dependencies"])


@each_page
def test_nothing_is_installed_from_the_index(page: Path) -> None:
    """The name on the public package index is another project's."""
    assert not re.search(r"pip install [\"']?httpcore", page.read_text(encoding="utf-8"))


@each_page
def test_lines_are_wrapped(page: Path) -> None:
    text = page.read_text(encoding="utf-8").splitlines()
    long = [line for line in text if len(line) > 120 and not re.match(r"\||\[[\w-]+\]: ", line)]
    assert long == []


@each_page
def test_pages_have_no_private_words(page: Path) -> None:
    found = [f"{number}: {hit[0]}" for number, line in prose(page) for hit in AVOIDED.finditer(line)]
    assert found == []
