"""Header lookup, on each kind of response."""

from __future__ import annotations

from typing import Any

import pytest

import httpcore

FIELDS = [("Content-Type", "text/html"), ("Vary", "Accept"), ("VARY", "Cookie"), ("Set-Cookie", "a=1, 2"), ("X-A", "")]
FIELDS_AS_READ = [(name.lower().encode(), value.encode()) for name, value in [*FIELDS, ("set-cookie", "b=2")]] + [
    (b"x-latin", b"caf\xe9")
]


def by_hand() -> httpcore.Response:
    return httpcore.Response(200, headers=[*FIELDS, ("set-cookie", "b=2"), (b"X-Latin", b"caf\xe9")])


RESPONSES: dict[str, Any] = {
    "Response": by_hand,
    "SyncResponse": lambda: httpcore.SyncResponse(by_hand()),
    "TransportResponse": lambda: httpcore.TransportResponse(200, FIELDS_AS_READ),
}
each_response = pytest.mark.parametrize("kind", RESPONSES)


@each_response
@pytest.mark.parametrize(
    ("name", "value", "values"),
    [
        ("content-type", "text/html", ["text/html"]),
        ("Content-Type", "text/html", ["text/html"]),
        (b"CONTENT-TYPE", b"text/html", [b"text/html"]),
        ("vary", "Accept, Cookie", ["Accept", "Cookie"]),
        (b"vary", b"Accept, Cookie", [b"Accept", b"Cookie"]),
        ("set-cookie", "a=1, 2, b=2", ["a=1, 2", "b=2"]),
        ("x-a", "", [""]),
        ("x-latin", "café", ["café"]),
        (b"x-latin", b"caf\xe9", [b"caf\xe9"]),
        ("absent", None, []),
        (b"absent", None, []),
        ("naïve", None, []),
        ("", None, []),
    ],
)
def test_a_field_is_found_by_its_name(kind: str, name: Any, value: Any, values: Any) -> None:
    response = RESPONSES[kind]()
    assert response.header(name) == value
    assert response.header_values(name) == values


@each_response
@pytest.mark.parametrize("name", [None, 5, ["content-type"]])
def test_a_name_of_another_type_is_refused(kind: str, name: Any) -> None:
    response = RESPONSES[kind]()
    for look in (response.header, response.header_values):
        with pytest.raises(TypeError, match=r"name is of type .*: expected str or bytes"):
            look(name)


@each_response
def test_the_list_of_pairs_is_not_changed(kind: str) -> None:
    response = RESPONSES[kind]()
    assert response.headers == FIELDS_AS_READ
    response.header_values("vary").append("changed")
    assert response.header_values("vary") == ["Accept", "Cookie"]
