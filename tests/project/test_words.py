"""The words of names: no private words where HTTP has a term, and test names that fit on a line.

A newcomer who knows the RFCs and asyncio must understand each name. So there is a closed list of words that no name may
have, each with the words to write instead, and a closed list of exceptions, each with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("httpcore", "tests", "scripts", "benchmarks", "examples")
LONGEST = 60
"""Characters of the name of a test."""

WORDS = {
    "world": "runtime",
    "standing": "state",
    "give_back": "release",
    "let_go": "release",
    "leased": "acquired",
    "persuaded": "sent with retries",
    "owes": "has unflushed output",
    "owed": "pending, uncredited",
    "undone": "decoded, reverted",
    "judge": "reference",
    "judged": "checked, converted",
    "patience": "timeout",
    "patient": "long timeout",
    "baton": "reader, writer, role",
    "doubt": "liveness check",
    "doubtful": "needs check",
    "weigh": "flood budget",
    "relax": "earn",
    "last_words": "response after a write error",
    "go_ahead": "continue",
    "explained": "with request context",
    "told": "sent, notified",
    "untold": "unreported",
    "said": "sent, shown",
    "hear": "receive",
    "heard": "received",
    "bury": "remove",
    "buried": "removed",
    "meet": "origin for",
    "tidy": "drop if unused",
    "shut": "close, shut down",
    "torn": "dirty, interrupted",
    "strike": "finish",
    "struck": "finished",
    "striking": "finishing",
    "solo": "failed before",
    "way": "route, case",
    "he": "it, the task, the peer",
    "him": "it, the task, the peer",
    "his": "its",
    "who": "the task, the peer, the caller",
    "whom": "the task, the peer, the caller",
    "whoever": "any task, any peer",
    "nobody": "no task, no reader, unused",
    "somebody": "a task, a peer",
    "heed": "follow, listen",
    "spoil": "forget",
    "what_came": "the received bytes",
    "what_is": "the noun itself",
    "what_was": "the noun itself",
}
"""Words that no name may have, in the singular or the plural, and the words to write instead."""

IN_PUBLIC = "is public"
OF_SWEEPS = ("strike", "struck", "striking")
"""Tests may have these words, and so may `httpcore.testing.sweep`: in this public module a strike is the fault that a
sweep injects.
"""

ADJECTIVE = "plain English"

EXCEPTIONS = {
    "leased": f"{IN_PUBLIC}: `PoolStats` and `OriginStats` have it since 2.0",
    "owes": f"{IN_PUBLIC}: a method of `Stream`, which users implement, so that no alias can stand in for it",
    "shut_down": "what sockets call it",
    "under_way": ADJECTIVE,
    "two_way": ADJECTIVE,
    "leave_half_way": ADJECTIVE,
    "_segments_under_way": ADJECTIVE,
    "ways_to_cut": ADJECTIVE,
}
"""Names that keep a word of the list, and why."""

FILES = sorted(
    path.relative_to(PROJECT).as_posix()
    for folder in FOLDERS
    for path in (PROJECT / folder).rglob("*")
    if path.suffix == ".py"
    or (path.is_file() and not path.suffix and path.read_bytes()[:64].startswith(b"#!/usr/bin/env python"))
)


def names(tree: ast.Module) -> Iterator[str]:
    """The names that a module defines: functions, classes, parameters, attributes, variables."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def words(name: str) -> str:
    """The words of a name in lower case, each between two underscores."""
    return "_".join(["", *(word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)), ""])


def found(name: str, file: str = "") -> list[str]:
    """The words of the list that a name has."""
    text = words(name)
    kept = OF_SWEEPS if file.startswith(("tests/", "httpcore/testing/")) else ()
    return [word for word in WORDS if word not in kept and (f"_{word}_" in text or f"_{word}s_" in text)]


@pytest.mark.parametrize("file", FILES)
def test_names_have_the_words_of_the_field(file: str) -> None:
    path = PROJECT / file
    defined = {*names(ast.parse(path.read_text(encoding="utf-8"))), path.stem}
    kept = {name: found(name, file) for name in defined - EXCEPTIONS.keys()}
    bad = {name: [WORDS[word] for word in each] for name, each in kept.items() if each}
    assert not bad, f"{file}: expected names without these words; write instead: {bad}"


PERSONS = re.compile(r"\b(?:(?:no|some|every|any)body|whoever|he|him|his|undone)\b", re.IGNORECASE)
"""Words that comments, docstrings, messages and documents must not have: a task, a peer and a caller are no persons."""

PHRASES = re.compile(
    r"\b(?:what (?:came|comes)|lets? go of|(?:gives?|giving|gave|given) back|speaks? of|spoken of|(?<!/)told(?! =|\()"
    r"|knows? of|knows nothing|has a say|no say)\b",
    re.IGNORECASE,
)
"""Phrases that they must not have: write the noun ("the received bytes"), or a verb of HTTP ("releases", "describes",
"notified", "supports").
"""


@pytest.mark.parametrize("words", [PERSONS, PHRASES], ids=["persons", "phrases"])
def test_texts_have_no_persons_and_riddles(words: re.Pattern[str]) -> None:
    lists = {"scripts/sample", "tests/project/test_docs.py", "tests/project/test_words.py"}  # of words to look for
    documents = [
        path.relative_to(PROJECT).as_posix() for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"))
    ]
    found = []
    for file in sorted({*FILES, *documents} - lists):
        lines = (PROJECT / file).read_text(encoding="utf-8").splitlines()
        found += [f"{file}:{number}: {hit[0]}" for number, line in enumerate(lines, 1) for hit in words.finditer(line)]
    assert found == []


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("tests/")])
def test_names_of_tests_fit_on_a_line(file: str) -> None:
    tree = ast.parse((PROJECT / file).read_text(encoding="utf-8"))
    long = {name: len(name) for name in names(tree) if name.startswith("test_") and len(name) > LONGEST}
    assert not long, f"{file}: expected at most {LONGEST} characters"


def test_each_exception_is_needed() -> None:
    every = {name for file in FILES for name in names(ast.parse((PROJECT / file).read_text(encoding="utf-8")))}
    every |= {Path(file).stem for file in FILES}
    assert not EXCEPTIONS.keys() - every
    assert all(found(name) for name in EXCEPTIONS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_give_back", ["give_back"]),
        ("Standing", ["standing"]),
        ("test_what_came_is_read", ["what_came"]),
        ("both_ways", ["way"]),
        ("always", []),
        ("shutdown", []),
        ("HTTPWorld2", ["world"]),
    ],
)
def test_a_name_is_split_into_words(name: str, expected: list[str]) -> None:
    assert found(name) == expected
