"""Our dataclasses behave like the standard library's: the same tests run on both."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest

import httpcore
from httpcore import _values

VALUES: dict[str, Any] = {
    "TimeoutConfig": httpcore.TimeoutConfig(1.0, read_timeout=2.0),
    "PoolLimits": httpcore.PoolLimits(max_connections=3),
    "SSLConfig": httpcore.SSLConfig(alpn=("h2",)),
    "RetryPolicy": httpcore.RetryPolicy(),
    "OriginStats": httpcore.OriginStats(1, 2, 3),
    "PoolStats": httpcore.PoolStats(1, 1, 0, 0, 0, 0, {}),
    "RequestStarted": httpcore.RequestStarted(1.0, 2, "GET", "http://a/"),
    "NetworkPolicy": httpcore.NetworkPolicy.public_only(),
}

PAIR = """
@dataclass(frozen=True, slots=True)
class Base:
    '''A base.'''
    a: int
    b: str = "b"

@dataclass(frozen=True, slots=True)
class Derived(Base):
    '''Derived.'''
    c: tuple = field(default=(), hash=False)
    d: int = field(default=4, kw_only=True)
    e: int = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "e", self.a * 2)

@dataclass(slots=True)
class Open:
    '''Can be changed.'''
    a: int
    b: list

@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    '''Named.'''
    a: int
    b: int = 2

@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class Bare:
    '''By hand.'''
    a: int

    def __init__(self):
        object.__setattr__(self, "a", 1)
"""


def classes(dataclass: Any, field: Any) -> dict[str, Any]:
    space: dict[str, Any] = {"dataclass": dataclass, "field": field, "__name__": __name__}
    exec("from __future__ import annotations\n" + PAIR, space)
    return space


OURS = classes(_values.dataclass, _values.field)
THEIRS = classes(dataclasses.dataclass, dataclasses.field)

MADE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Base", (1,), {}),
    ("Base", (1, "x"), {}),
    ("Derived", (1, "x", (2,)), {"d": 5}),
    ("Derived", (), {"a": 3}),
    ("Open", (1, [2]), {}),
    ("Named", (), {"a": 1}),
    ("Bare", (), {}),
]


@pytest.mark.parametrize(("name", "arguments", "named"), MADE)
def test_a_class_is_like_one_of_the_standard_library(name: str, arguments: Any, named: Any) -> None:
    ours, theirs = OURS[name], THEIRS[name]
    one, other = ours(*arguments, **named), theirs(*arguments, **named)
    assert repr(one).partition(" at ")[0] == repr(other).partition(" at ")[0]
    assert dataclasses.asdict(one) == dataclasses.asdict(other)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.__slots__ == theirs.__slots__
    assert (ours.__hash__ is None) == (theirs.__hash__ is None)
    again, third = ours(*arguments, **named), theirs(*arguments, **named)
    assert (one == again, one != again, one == 1) == (other == third, other != third, other == 1)
    if ours.__hash__ is not None:
        assert (hash(one) == hash(again)) == (hash(other) == hash(third))
    for mine, its in zip(dataclasses.fields(ours), dataclasses.fields(theirs), strict=True):
        for fact in ("name", "type", "default", "init", "repr", "hash", "compare", "kw_only"):
            assert getattr(mine, fact) == getattr(its, fact)


@pytest.mark.parametrize("wrong", [(), (1, 2, 3), (1, 2, 3, 4, 5)])
def test_wrong_arguments_are_refused_in_the_same_words(wrong: tuple[int, ...]) -> None:
    for name in ("Base", "Named", "Open"):
        seen = []
        for space in (OURS, THEIRS):
            try:
                space[name](*wrong)
            except TypeError as error:
                seen.append(str(error))
        assert not seen or len(set(seen)) == 1
        assert len(seen) in (0, 2)


@pytest.mark.parametrize("name", VALUES)
def test_a_public_value_is_a_dataclass(name: str) -> None:
    value = VALUES[name]
    assert dataclasses.is_dataclass(value)
    assert not isinstance(value, type)
    assert dataclasses.replace(value) == value
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field {field!r}"):
        setattr(value, field, 1)
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field {field!r}"):
        delattr(value, field)


def test_a_dataclass_of_the_callers_may_inherit_ours() -> None:
    @dataclasses.dataclass(frozen=True)
    class OwnEvent(httpcore.TraceEvent):
        more: str

    event = OwnEvent(1.0, 2, "x")
    assert (event.at, event.more) == (1.0, "x")
    assert dataclasses.replace(event, more="y") == OwnEvent(1.0, 2, "y")


def test_neither_dataclasses_nor_inspect_are_imported() -> None:
    program = (
        "import sys; before = set(sys.modules); import httpcore; httpcore.SyncConnectionPool()\n"
        "print(*[name for name in ('dataclasses', 'inspect') if name in sys.modules and name not in before])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if sys.version_info < (3, 12):  # from 3.12 on `importlib.resources`, which certifi needs, imports `inspect`
        assert done.stdout.split() == []
    assert "dataclasses" not in done.stdout.split()
