"""No public name, signature or error of an earlier version disappears: `public_api.json` lists those of 2.0.0.

New names need not be listed; listed names must continue to work: each parameter with its name, its kind, its place and
its default, each class with its bases, each attribute. To list the names added since, run
`python tests/project/test_public_api.py`, which adds and never removes names.
"""

from __future__ import annotations

import enum
import inspect
import json
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import httpcore

LIST = Path(__file__).with_name("public_api.json")

Described = dict[str, Any]


def described() -> Described:
    """Every public name, as values of JSON."""
    return {name: describe(getattr(httpcore, name)) for name in sorted(httpcore.__all__)}


def describe(thing: object) -> Described:
    if inspect.isclass(thing):
        bases = [base.__name__ for base in thing.__mro__[1:] if base.__name__ not in ("object", "Generic", "Protocol")]
        # An enumeration is called with a value; its other arguments differ between Python versions.
        call = None if issubclass(thing, enum.Enum) else parameters(thing)
        return {"bases": bases, "call": call, "members": members(thing)}
    return {"call": parameters(thing)} if inspect.isfunction(thing) else {}


def members(cls: type) -> Described:
    found: Described = {}
    for name in dir(cls):
        if name.startswith("_") and name not in ("__aenter__", "__aexit__", "__enter__", "__exit__", "__aiter__"):
            continue
        member = inspect.getattr_static(cls, name)
        if isinstance(member, (classmethod, staticmethod)):
            found[name] = parameters(getattr(cls, name))
        else:
            found[name] = parameters(member) if inspect.isfunction(member) else None
    return found


def parameters(thing: Any) -> list[list[str | bool]] | None:
    """The name and kind of each parameter, and whether it has a default."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return None
    empty = inspect.Parameter.empty
    return [[p.name, p.kind.name, p.default is not empty] for p in signature.parameters.values()]


def differences(old: Described, new: Described, where: str = "") -> list[str]:
    """The listed names that no longer work."""
    found = []
    for name, was in old.items():
        place = f"{where}.{name}".strip(".")
        if name not in new:
            found.append(f"{place} is gone")
        elif isinstance(was, dict):
            found += differences(was, new[name] or {}, place)
        elif name == "bases":
            found += [f"{where} is no {base} any more" for base in was if base not in new[name]]
        elif was is not None:
            found += narrower(was, new[name], place)
    return found


def narrower(old: list[list[Any]], new: list[list[Any]] | None, place: str) -> list[str]:
    """Calls that were valid and are invalid now."""
    if new is None:
        return [f"{place} is no function any more"]
    now = {name: (index, kind, default) for index, (name, kind, default) in enumerate(new)}
    found = []
    for index, (name, kind, default) in enumerate(old):
        if name not in now:
            found.append(f"{place}({name}=) is gone")
            continue
        its_index, its_kind, its_default = now[name]
        if default and not its_default:
            found.append(f"{place}({name}=) has no default any more")
        if kind == "POSITIONAL_OR_KEYWORD" and (its_kind != kind or its_index != index):
            found.append(f"{place}({name}=) has another place or kind")
    names = {name for name, _, _ in old}
    needed = [n for n, kind, default in new if n not in names and not default and not kind.startswith("VAR")]
    return found + [f"{place}({name}=) must be given now" for name in needed]


def test_everything_that_was_public_works_as_it_did() -> None:
    assert differences(json.loads(LIST.read_text()), described()) == []


def test_a_public_class_has_httpcore_as_its_module() -> None:
    """Tracebacks, error trackers and pickles show the public name."""
    things = [getattr(httpcore, name) for name in httpcore.__all__]
    named = [thing for thing in things if inspect.isclass(thing) or inspect.isfunction(thing)]  # not aliases of types
    assert {thing.__module__ for thing in named} == {"httpcore"}
    assert len(named) > 60


def test_hints_of_public_classes_can_be_resolved() -> None:
    """Tools that read annotations look them up in the module that the class names, which is `httpcore`."""
    failed = {}
    for name in httpcore.__all__:
        thing = getattr(httpcore, name)
        try:
            typing.get_type_hints(thing) if inspect.isclass(thing) else None
        except NameError as error:
            failed[name] = str(error)
    assert failed.keys() <= {"Proxy", "RequestExtensions"}  # these two name `ssl.SSLContext`, but do not import it


def before(a: int, b: int = 2, *, c: int = 3) -> None: ...
def more(a: int, b: int = 2, *, c: int = 3, d: int = 4) -> None: ...
def renamed(a: int, x: int = 2, *, c: int = 3) -> None: ...
def moved(b: int = 2, a: int = 1, *, c: int = 3) -> None: ...
def needed(a: int, b: int = 2, *, c: int = 3, d: int) -> None: ...
def keyword(a: int, *, b: int = 2, c: int = 3) -> None: ...
def strict(a: int, b: int, *, c: int = 3) -> None: ...


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (before, []),
        (more, []),
        (renamed, ["f(b=) is gone"]),
        (moved, ["f(a=) has another place or kind", "f(b=) has another place or kind"]),
        (needed, ["f(d=) must be given now"]),
        (keyword, ["f(b=) has another place or kind"]),
        (strict, ["f(b=) has no default any more"]),
    ],
)
def test_an_incompatible_signature_is_found(after: Any, found: list[str]) -> None:
    assert narrower(parameters(before) or [], parameters(after), "f") == found


def test_a_name_or_member_that_is_gone_is_found() -> None:
    old = {"A": {"bases": ["B"], "members": {"x": None, "y": None}}, "C": {}}
    new = {"A": {"bases": [], "members": {"y": None}}}
    assert differences(old, new) == ["A is no B any more", "A.members.x is gone", "C is gone"]


def merged(old: Described, new: Described) -> Described:
    both = {name: merged(was, new[name]) if isinstance(was, dict) else was for name, was in old.items()}
    return {**both, **{name: value for name, value in new.items() if name not in old}}


if __name__ == "__main__":
    listed = json.loads(LIST.read_text()) if LIST.exists() else {}
    LIST.write_text(json.dumps(merged(listed, described()), indent=1, sort_keys=True) + "\n")
    sys.exit(0)
