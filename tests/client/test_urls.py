"""URLs, origins and query parameters: parts, normalisation (RFC 3986), references, and refused texts."""

from __future__ import annotations

import copy
import inspect
import pickle
import urllib.parse

import can_ada
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import httpcore
from httpcore import URL, HTTPCoreError, InvalidURL, LocalProtocolError, Origin, QueryParams, UnsupportedProtocol

FULL = "https://user:pass@example.org:8443/a/b?c=d&e#f"

# The attributes of the original API's URL, and the added ones.
PARTS: dict[str, object] = {
    "scheme": "https",
    "authority": "user:pass@example.org:8443",
    "host": "example.org",
    "port": 8443,
    "path": "/a/b",
    "query": "c=d&e",
    "full_path": "/a/b?c=d&e",
    "fragment": "f",
    "is_ssl": True,
    "origin": Origin("https://example.org:8443"),
    "is_absolute_url": True,
    "is_relative_url": False,
    "username": "user",
    "password": "pass",
    "userinfo": (b"user", b"pass"),
    "query_params": QueryParams([("c", "d"), ("e", "")]),
    "request_url": "https://example.org:8443/a/b?c=d&e",
    "redacted": "https://***@example.org:8443/a/b?c=d&e",
}


@pytest.mark.parametrize("name", PARTS)
def test_each_attribute_of_a_url_has_its_value(name: str) -> None:
    assert getattr(URL(FULL), name) == PARTS[name]


def test_every_attribute_of_a_url_is_in_the_table() -> None:
    attributes = {name for name in dir(URL) if isinstance(getattr(URL, name), property)}
    assert attributes == PARTS.keys()


def test_arguments_are_in_the_original_order() -> None:
    assert list(inspect.signature(URL).parameters) == ["url", "allow_relative", "query_params"]
    assert list(inspect.signature(Origin).parameters) == ["url"]
    changes = list(inspect.signature(URL.copy_with).parameters)[1:]
    assert changes[:5] == ["scheme", "authority", "path", "query", "fragment"]
    assert list(inspect.signature(URL.resolve_with).parameters) == ["self", "url"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("", "", "", 0, "", "", "")),
        ("/a?b#c", ("", "", "", 0, "/a", "b", "c")),
        ("a/../b", ("", "", "", 0, "a/../b", "", "")),
        ("?q", ("", "", "", 0, "", "q", "")),
        ("#f", ("", "", "", 0, "", "", "f")),
        ("//h/p", ("", "h", "h", 0, "/p", "", "")),
        ("//u@h:443/p", ("", "u@h:443", "h", 443, "/p", "", "")),
        ("//h:80", ("", "h:80", "h", 80, "", "", "")),
        ("//[::1]?q", ("", "[::1]", "::1", 0, "", "q", "")),
        ("./a:b", ("", "", "", 0, "./a:b", "", "")),
    ],
)
def test_a_relative_url_has_its_parts(text: str, parts: tuple[object, ...]) -> None:
    url = URL(text, allow_relative=True)
    assert (url.scheme, url.authority, url.host, url.port, url.path, url.query, url.fragment) == parts
    assert (url.is_absolute_url, url.is_relative_url) == (False, True)
    assert str(url) == text
    with pytest.raises(InvalidURL, match="absolute"):
        _ = url.origin
    with pytest.raises(InvalidURL, match="absolute"):
        URL(text)
    with pytest.raises(InvalidURL, match="absolute"):
        URL(url)
    with pytest.raises(InvalidURL, match="absolute"):
        url.resolve_with("/a")


NORMAL = [
    # Section 6.2.2.1: case.
    ("HTTP://EXAMPLE.org/A", "http://example.org/A"),
    ("http://h/%c3%bc%2f?%c3#%c3", "http://h/%C3%BC%2F?%C3#%C3"),
    # Section 6.2.2.2: percent-encoding.
    ("http://h/%7e%41%2D?%5f=%30#%2E", "http://h/~A-?_=0#."),
    ("http://h/%2541", "http://h/%2541"),
    # Section 6.2.2.3: dot segments, also encoded.
    ("http://h/a/./b/../c", "http://h/a/c"),
    ("http://h/%2e%2E/a/%2e", "http://h/a/"),
    ("http://h/../../a/..", "http://h/"),
    ("http://h/a/..//b", "http://h//b"),
    ("http://h/..a/.b/c..", "http://h/..a/.b/c.."),
    ("http://h/a/.?../.", "http://h/a/?../."),
    # Section 6.2.3: normalisation by scheme.
    ("http://h", "http://h/"),
    ("http://h?q", "http://h/?q"),
    ("http://h#f", "http://h/#f"),
    ("http://h:/", "http://h/"),
    ("http://h:80/", "http://h/"),
    ("https://h:443/", "https://h/"),
    ("http://h:443/", "http://h:443/"),
    # An empty query or fragment differs from an absent one.
    ("http://h/?", "http://h/?"),
    ("http://h/#", "http://h/#"),
    # Characters that no URL may have.
    ("http://h/\xfc\U0001f600", "http://h/%C3%BC%F0%9F%98%80"),
    ('http://h/"<>^`{|}', "http://h/%22%3C%3E%5E%60%7B%7C%7D"),
    ("http://h/#%#[]\xfc", "http://h/#%25%23%5B%5D%C3%BC"),
    # Hosts.
    ("http://B\xfccher.example", "http://xn--bcher-kva.example/"),
    ("http://[0:0:0:0:0:0:0:1]", "http://[::1]/"),
    ("http://example.org./", "http://example.org./"),
    # User info.
    ("http://u@h", "http://u@h/"),
    ("http://u:@h", "http://u@h/"),
    ("http://:p@h", "http://:p@h/"),
    ("http://@h", "http://h/"),
    ("http://:@h", "http://h/"),
    ("http://%75:%3a%40%c3@h", "http://u:%3A%40%C3@h/"),
    ("http://a:b:c@h", "http://a:b%3Ac@h/"),
]


@pytest.mark.parametrize(("text", "normal"), NORMAL)
def test_a_url_is_normalised(text: str, normal: str) -> None:
    url = URL(text)
    assert str(url) == normal
    assert url == URL(normal)
    assert hash(url) == hash(URL(normal))
    assert str(URL(str(url))) == normal


# All of section 5.4 of RFC 3986. References with another scheme are refused here.
BASE = "http://a/b/c/d;p?q"
RESOLVED = [
    ("g", "http://a/b/c/g"),
    ("./g", "http://a/b/c/g"),
    ("g/", "http://a/b/c/g/"),
    ("/g", "http://a/g"),
    ("//g", "http://g/"),  # and not http://g: an http URL has a path (section 6.2.3)
    ("?y", "http://a/b/c/d;p?y"),
    ("g?y", "http://a/b/c/g?y"),
    ("#s", "http://a/b/c/d;p?q#s"),
    ("g#s", "http://a/b/c/g#s"),
    ("g?y#s", "http://a/b/c/g?y#s"),
    (";x", "http://a/b/c/;x"),
    ("g;x", "http://a/b/c/g;x"),
    ("g;x?y#s", "http://a/b/c/g;x?y#s"),
    ("", "http://a/b/c/d;p?q"),
    (".", "http://a/b/c/"),
    ("./", "http://a/b/c/"),
    ("..", "http://a/b/"),
    ("../", "http://a/b/"),
    ("../g", "http://a/b/g"),
    ("../..", "http://a/"),
    ("../../", "http://a/"),
    ("../../g", "http://a/g"),
    # 5.4.2, abnormal.
    ("../../../g", "http://a/g"),
    ("../../../../g", "http://a/g"),
    ("/./g", "http://a/g"),
    ("/../g", "http://a/g"),
    ("g.", "http://a/b/c/g."),
    (".g", "http://a/b/c/.g"),
    ("g..", "http://a/b/c/g.."),
    ("..g", "http://a/b/c/..g"),
    ("./../g", "http://a/b/g"),
    ("./g/.", "http://a/b/c/g/"),
    ("g/./h", "http://a/b/c/g/h"),
    ("g/../h", "http://a/b/c/h"),
    ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
    ("g;x=1/../y", "http://a/b/c/y"),
    ("g?y/./x", "http://a/b/c/g?y/./x"),
    ("g?y/../x", "http://a/b/c/g?y/../x"),
    ("g#s/./x", "http://a/b/c/g#s/./x"),
    ("g#s/../x", "http://a/b/c/g#s/../x"),
]


@pytest.mark.parametrize(("reference", "target"), RESOLVED)
def test_references_resolve_as_rfc_3986_has_it(reference: str, target: str) -> None:
    base = URL(BASE)
    assert str(base.resolve_with(reference)) == target
    assert base.resolve_with(URL(reference, allow_relative=True)) == URL(target)
    assert base.resolve_with(reference.encode()) == target


@pytest.mark.parametrize(("reference", "error"), [("g:h", UnsupportedProtocol), ("http:g", InvalidURL)])
def test_another_scheme_and_a_scheme_without_host_are_refused(reference: str, error: type[HTTPCoreError]) -> None:
    with pytest.raises(error):
        URL(BASE).resolve_with(reference)


@pytest.mark.parametrize(
    ("base", "reference", "target"),
    [
        ("https://h/a", "//g:443/b", "https://g/b"),
        ("http://h/a", "//g:443/b", "http://g:443/b"),
        ("https://h/a", "http://g/b#f", "http://g/b#f"),
        ("http://u:p@h/a?q#f", "b", "http://u:p@h/b"),
        ("http://u:p@h/a", "//g/b", "http://g/b"),
        ("http://h", "a", "http://h/a"),
        ("http://h/a?", "", "http://h/a?"),
        ("http://h/a?q", "?", "http://h/a?"),
        ("http://h/", "/.//evil.example", "http://h//evil.example"),
        ("http://h/a", "%2e%2e/\xfc", "http://h/%C3%BC"),
        ("http://[::1]:8080/a", "b", "http://[::1]:8080/b"),
    ],
)
def test_a_reference_keeps_parts_of_its_base(base: str, reference: str, target: str) -> None:
    assert str(URL(base).resolve_with(reference)) == target


CHANGES: list[tuple[dict[str, object], str]] = [
    ({}, FULL),
    ({"scheme": "http"}, "http://user:pass@example.org:8443/a/b?c=d&e#f"),
    ({"authority": "other:1"}, "https://other:1/a/b?c=d&e#f"),
    ({"path": "/x/../y"}, "https://user:pass@example.org:8443/y?c=d&e#f"),
    ({"path": ""}, "https://user:pass@example.org:8443/?c=d&e#f"),
    ({"query": "x"}, "https://user:pass@example.org:8443/a/b?x#f"),
    ({"query": ""}, "https://user:pass@example.org:8443/a/b?#f"),
    ({"query": None, "fragment": None}, "https://user:pass@example.org:8443/a/b"),
    ({"fragment": "x y".replace(" ", "%20")}, "https://user:pass@example.org:8443/a/b?c=d&e#x%20y"),
    ({"query_params": {"x": 1}}, "https://user:pass@example.org:8443/a/b?x=1#f"),
    ({"query_params": None}, "https://user:pass@example.org:8443/a/b#f"),
    ({"host": "x"}, "https://user:pass@x:8443/a/b?c=d&e#f"),
    ({"host": "::1"}, "https://user:pass@[::1]:8443/a/b?c=d&e#f"),
    ({"host": "[::1]"}, "https://user:pass@[::1]:8443/a/b?c=d&e#f"),
    ({"port": 1}, "https://user:pass@example.org:1/a/b?c=d&e#f"),
    ({"port": None}, "https://user:pass@example.org/a/b?c=d&e#f"),
    ({"port": 443}, "https://user:pass@example.org/a/b?c=d&e#f"),
    ({"username": "a:b/@", "password": "\xfc?"}, "https://a%3Ab%2F%40:%C3%BC%3F@example.org:8443/a/b?c=d&e#f"),
    ({"username": None, "password": None}, "https://example.org:8443/a/b?c=d&e#f"),
    ({"username": b"\xff"}, "https://%FF:pass@example.org:8443/a/b?c=d&e#f"),
    ({"password": ""}, "https://user@example.org:8443/a/b?c=d&e#f"),
]


@pytest.mark.parametrize(("changes", "text"), CHANGES)
def test_a_copy_of_a_url_has_the_changed_parts(changes: dict[str, object], text: str) -> None:
    url = URL(FULL)
    assert str(url.copy_with(**changes)) == text  # type: ignore[arg-type]
    assert str(url) == FULL


def test_a_default_port_follows_the_scheme() -> None:
    assert URL("http://h:80/").copy_with(scheme="https").port == 443
    assert URL("http://h:443/").copy_with(scheme="https") == "https://h/"


def test_a_relative_url_can_be_changed_too() -> None:
    url = URL("a?b", allow_relative=True)
    assert str(url.copy_with(path="c", fragment="d")) == "c?b#d"
    assert str(url.copy_with(scheme="http", host="h", path="/c")) == "http://h/c?b"
    assert str(url.copy_with(host="h", path="/c")) == "//h/c?b"


@pytest.mark.parametrize(
    "changes",
    [
        {"scheme": "ftp"},
        {"scheme": "http://evil/?"},
        {"authority": "evil.example/"},
        {"authority": "evil.example?"},
        {"authority": "a\\b"},
        {"authority": ""},
        {"host": "evil.example/"},
        {"host": "a@b"},
        {"host": "a:1"},
        {"host": ""},
        {"host": 1},
        {"port": 0},
        {"port": 65536},
        {"port": -1},
        {"path": "a"},
        {"path": "/a?b"},
        {"path": "/a#b"},
        {"path": "/a\tb"},
        {"path": "/a\\b"},
        {"path": b"/"},
        {"query": "a#b"},
        {"query": "a\nb"},
        {"host": "a b"},
        {"scheme": "ht tp"},
        {"authority": "a b"},
        {"authority": "u p@h"},
        {"authority": "h: 1"},
        {"fragment": "\n"},
        {"username": 1},
        {"username": "\ud800"},
    ],
)
def test_a_part_that_reaches_into_another_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises((InvalidURL, UnsupportedProtocol)):
        URL("http://example.org/").copy_with(**changes)  # type: ignore[arg-type]


WRITTEN_LOOSELY = [
    ("http://h/a b", "http://h/a%20b"),
    ("http://h/a ?b c# d", "http://h/a%20?b%20c#%20d"),
    ("http://h/%", "http://h/%25"),
    ("http://h/%zz?%1#%g", "http://h/%25zz?%251#%25g"),
    ("http://h/%20 %", "http://h/%20%20%25"),
    ("/a b", "http://h/a%20b"),
    ("a b", "http://h/a%20b"),
    ("a%zz", "http://h/a%25zz"),
    ("?%1 2", "http://h/?%251%202"),
    ("#a b%", "http://h/#a%20b%25"),
    ("//i/a b", "http://i/a%20b"),
]


@pytest.mark.parametrize(("text", "expected"), WRITTEN_LOOSELY)
def test_spaces_and_stray_percents_behind_the_host_are_encoded(text: str, expected: str) -> None:
    url = URL("http://h/").resolve_with(text)
    assert str(url) == expected
    assert URL(expected) == url
    assert "%25" not in str(URL("http://h/").resolve_with("%41 ")) == "http://h/A%20"


@pytest.mark.parametrize("part", ["path", "query", "fragment"])
def test_a_part_that_is_changed_is_encoded_too(part: str) -> None:
    slash = "/" if part == "path" else ""
    changed = URL("http://h/").copy_with(**{part: f"{slash}a %b%zz"})  # type: ignore[arg-type]
    assert getattr(changed, part) == f"{slash}a%20%25b%25zz"


def test_arguments_that_exclude_each_other_are_named() -> None:
    url = URL("http://h/")
    with pytest.raises(TypeError, match="either authority, or any of username"):
        url.copy_with(authority="a", port=1)
    with pytest.raises(TypeError, match="either query or query_params"):
        url.copy_with(query="a", query_params={})
    with pytest.raises(InvalidURL, match="no // at its beginning"):
        URL("a", allow_relative=True).copy_with(path="//h")
    with pytest.raises(InvalidURL, match="begins with /"):
        URL("//h", allow_relative=True).copy_with(path="a")


@pytest.mark.parametrize(
    "text",
    [
        *("http://h\\a", "http:\\\\h", "\\\\h", "/\\h", "/a\\b", "a\tb", "/\t", "/\n", "ht\ntp://h", " http://h"),
        *("http://h ", "http://h/\x00", "\x7f", "http://@/", "http://u:p@/", "http://:80", "http:///x", "http:x"),
        *("1:b", "%41:b", ":a", "//h:0", "//h:99999", "//a@b@c", "//", "///a", "//:80"),
        *(
            "//a b/",
            "//u p@h/",
            "//h: 1/",
            "ht tp://h/",
            "//a%/",
            "//u%@h/",
            "//xn--a/",
            "//127.1/",
            "//a..b/",
            "http://http://h/",
            "localhost:80/x",
            "http://h/\ud800",
            "#\ud800",
        ),
    ],
    ids=ascii,
)
def test_ambiguous_references_are_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match="url is "):
        URL(text, allow_relative=True)
    with pytest.raises(InvalidURL):
        URL("http://example.org/a").resolve_with(text)


@pytest.mark.parametrize("text", ["mailto:a@b", "ftp://h", "file:///etc/passwd", "data:,x", "ws://h", "javascript:x"])
def test_no_other_scheme_is_a_url_of_this_client(text: str) -> None:
    for make in (URL, lambda it: URL(it, allow_relative=True), URL("http://h/").resolve_with):
        with pytest.raises(UnsupportedProtocol):
            make(text)


@pytest.mark.parametrize("value", [None, 1, object(), ["http://h"]])
def test_a_url_of_another_type_is_named(value: object) -> None:
    with pytest.raises(InvalidURL, match="expected URL, str or bytes"):
        URL(value)  # type: ignore[arg-type]


def test_bytes_and_subclasses_of_str_mean_the_same() -> None:
    class Text(str):
        def __str__(self) -> str:
            return "http://evil.example/"

    assert URL(b"http://h/a") == URL(Text("http://h/a")) == URL("http://h/a")
    with pytest.raises(InvalidURL, match="bytes must be ASCII"):
        URL("http://h/\xfc".encode())


def test_a_url_is_an_immutable_value() -> None:
    url = URL(FULL)
    for name in ("host", "path", "anything"):
        with pytest.raises(AttributeError):
            setattr(url, name, "evil.example")
    assert {url: 1}[URL(FULL)] == 1
    assert url == FULL
    assert url != "https://example.org/"
    assert url != 1
    assert URL(url) is url
    for again in (copy.copy(url), copy.deepcopy(url), pickle.loads(pickle.dumps(url))):
        assert again == url
        assert again.password == "pass"
    relative = URL("a", allow_relative=True)
    assert pickle.loads(pickle.dumps(relative)) == relative
    with pytest.raises(TypeError):
        type("Other", (URL,), {})


SECRETS = [
    "http://user:s3cret@h/",
    "http://s3cret@h/",
    "http://user:s3c%72et@h/",
    "http://user:a@h/s3cret@real.example/",
    "http://user:a@h/s3cret%40real.example/",
    "http://user:s3cret@h/a?b#c",
    "http://h/#s3cret",
    "//user:s3cret@h/",
    "//user:s3cret@h/a@b#s3cret",
]


@pytest.mark.parametrize("text", SECRETS)
def test_no_credentials_are_shown(text: str) -> None:
    url = URL(text, allow_relative=True)
    for shown in (repr(url), url.redacted, url.request_url if "h/s3cret" not in text else "", repr({"u": [url]})):
        assert "s3cret" not in shown
        assert "user" not in shown
    assert "***" in repr(url)


@pytest.mark.parametrize(
    "change", [{"host": "a/b"}, {"fragment": "\n"}, {"port": 0}, {"path": "x"}, {"authority": "user:s3cret@a/b"}]
)
def test_no_error_shows_credentials(change: dict[str, object]) -> None:
    with pytest.raises(InvalidURL) as caught:
        URL("http://user:s3cret@h/").copy_with(**change)  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)


def test_urls_with_credentials_are_not_remembered() -> None:
    assert URL("http://h/remembered") is URL("http://h/remembered")
    assert URL("http://u:p@h/") is not URL("http://u:p@h/")
    assert URL(f"http://h/{'a' * 3000}") is not URL(f"http://h/{'a' * 3000}")


# Query parameters of a URL.


def test_query_parameters_are_appended() -> None:
    assert str(URL("http://h/", query_params={"a": "b c"})) == "http://h/?a=b+c"
    assert str(URL("http://h/?a=1#f", query_params={"a": 2})) == "http://h/?a=1&a=2#f"
    assert str(URL("http://h/?a=1", query_params={})) == "http://h/?a=1"
    assert str(URL("http://h/?", query_params={"a": 2})) == "http://h/?a=2"
    assert str(URL("/x", True, {"a": "#&="})) == "/x?a=%23%26%3D"
    assert URL("http://h/", query_params={"a": "~*\xfc"}).query_params == QueryParams({"a": "~*\xfc"})


# Origins.


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://example.org", "HTTPS://EXAMPLE.ORG:443", True),
        ("https://example.org", "https://u:p@example.org/a?b#c", True),
        ("http://b\xfccher.example", "http://xn--bcher-kva.example:80", True),
        ("http://[::1]", "http://[0:0:0:0:0:0:0:1]:80", True),
        ("https://example.org", "http://example.org", False),
        ("https://example.org", "http://example.org:443", False),
        ("https://example.org", "https://example.org:8443", False),
        ("https://example.org", "https://example.org.", False),
        ("https://example.org", "https://www.example.org", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (Origin(one) == Origin(other)) is same
    assert (URL(one).origin == Origin(URL(other))) is same
    if same:
        assert hash(Origin(one)) == hash(Origin(other))


def test_an_origin_is_a_value() -> None:
    origin = Origin("HTTPS://Example.org:8443/x")
    assert (origin.scheme, origin.host, origin.port, origin.is_ssl) == ("https", "example.org", 8443, True)
    assert str(origin) == "https://example.org:8443"
    assert repr(origin) == "Origin('https://example.org:8443')"
    assert str(Origin("http://[::1]")) == "http://[::1]"
    assert pickle.loads(pickle.dumps(origin)) == origin
    assert origin != "https://example.org:8443"
    with pytest.raises(AttributeError):
        origin.host = "evil.example"  # type: ignore[misc]
    with pytest.raises(InvalidURL):
        Origin("/a")


# The reference implementation is ada, the URL parser of Node.


def by_ada(text: str) -> str | None:
    try:
        return str(can_ada.parse(text).href)
    except ValueError:
        return None


def by_httpcore(text: str) -> str | None:
    try:
        return str(URL(text))
    except (InvalidURL, UnsupportedProtocol):
        return None


SAME = [
    *("http://h", "http://h/", "HTTP://H/", "http://h:80", "https://h:443/", "http://h:8080", "http://h:", "http://h?"),
    *(
        "http://h#",
        "http://h?#",
        "http://h/?a=b&c=d",
        "http://h/#f",
        "http://h/a/b/c",
        "http://h//a//",
        "http://h/;p=1",
    ),
    *("http://h/.", "http://h/..", "http://h/./a", "http://h/../a", "http://h/a/.", "http://h/a/..", "http://h/a/../b"),
    *("http://h/a/./b", "http://h/a/b/../../..", "http://h/a/..b", "http://h/a/b..", "http://h/a/...", "http://h/..//"),
    *("http://h/%2e", "http://h/%2E%2e/a", "http://h/a/.%2e/b", "http://h/a/%2e./b", "http://h/%2F", "http://h/a%2Fb"),
    *(
        "http://h/a?../b",
        "http://h/a#../b",
        "http://h/a??b",
        "http://h/a?b?c",
        "http://h/a#b?c",
        "http://h/@",
        "http://h/:",
    ),
    *("http://h/a:b", "http://h/[a]", "http://h/?a[]=1", "http://h/-._~!$&'()*+,;=:@", "http://h/?-._~!$&()*+,;=:@/?"),
    *("http://h/a b", "http://h/?a b", "http://h/#a b", "http://h/a b/../c"),
    *("http://h/\xfc", "http://h/?\xfc", "http://h/#\xfc", "http://h/\U0001f600", 'http://h/"<>`{}', 'http://h/?"<>'),
    *("http://u@h", "http://u:p@h", "http://u:@h", "http://:p@h", "http://@h", "http://:@h", "http://u:p:q@h/"),
    *("http://%40:%3A@h/", "http://a%20b@h/", "http://h/?a=http://u:p@x/", "http://h/http://x/"),
    *("http://127.0.0.1", "http://127.0.0.1:81/", "http://[::1]", "http://[::1]:81/", "http://[2001:DB8::0:1]/"),
    *(
        "http://[1:2:3:4:5:6:7:8]/",
        "http://[0:0::1]/",
        "http://a.b.c.",
        "http://a_b/",
        "http://a-b/",
        "http://xn--bcher-kva/",
    ),
    *(
        "http://B\xfcCHER.example",
        "http://fa\xdf.de",
        "http://\u65e5\u672c.jp/",
    ),
    *("http://r3---sn.example/", "http://1a/", "http://a1.b2/", "http://h:65535/", "http://h:1/", "https://h:80/x"),
]

# A text, ada's reading of it, and why we differ. None: refused by us.
DIFFERENT = [
    ("http://h/%7e", "http://h/~", "RFC 3986, 6.2.2.2: encoded unreserved characters are decoded"),
    ("http://h/%41?%42", "http://h/A?B", "RFC 3986, 6.2.2.2"),
    ("http://h/#%7E", "http://h/#~", "RFC 3986, 6.2.2.2"),
    ("http://%61@h/", "http://a@h/", "RFC 3986, 6.2.2.2"),
    ("http://h/%c3", "http://h/%C3", "RFC 3986, 6.2.2.1: hex digits are upper case"),
    ("http://h/?%e2", "http://h/?%E2", "RFC 3986, 6.2.2.1"),
    ("http://h/|", "http://h/%7C", "RFC 3986, 3.3: no path has it"),
    ("http://h/?^`{|}", "http://h/?%5E%60%7B%7C%7D", "RFC 3986, 3.4: no query has it"),
    ("http://h/#^{|}", "http://h/#%5E%7B%7C%7D", "RFC 3986, 3.5: no fragment has it"),
    ("http://h/#a#b", "http://h/#a%23b", "RFC 3986, 3.5"),
    ("http://h/#[]", "http://h/#%5B%5D", "RFC 3986, 3.5"),
    ("http://h/#%", "http://h/#%25", "RFC 3986, 2.4: a % that encodes nothing is itself encoded"),
    ("http://h/?a='", "http://h/?a='", "RFC 3986, 2.2: ' is a sub-delimiter, and encoding it changes the meaning"),
    ("http://a!b@h/", "http://a!b@h/", "the same"),
    ("http://a;b=c@h/", "http://a;b=c@h/", "RFC 3986, 3.2.1: user info has sub-delimiters as they are"),
    ("http://h/%", "http://h/%25", "RFC 3986, 2.4: a % that encodes nothing is itself encoded"),
    ("http://h/%zz", "http://h/%25zz", "RFC 3986, 2.4"),
    ("http://h/?%", "http://h/?%25", "RFC 3986, 2.4"),
    (" http://h/", None, "RFC 3986, appendix C"),
    ("http://h/\t", None, "RFC 3986, appendix C: browsers take tabs and line ends out, so two readers differ"),
    ("http://h/a\nb", None, "RFC 3986, appendix C"),
    ("ht\ntp://h/", None, "RFC 3986, appendix C"),
    ("http://h/\x01", None, "RFC 3986, 2: no character of a URI"),
    ("http://h\\a", None, "RFC 3986, 2: no character of a URI; browsers take it for /, so two readers differ"),
    ("http:\\\\h\\", None, "RFC 3986, 2"),
    ("http:h", None, "RFC 3986, 3.2: an authority is preceded by //"),
    ("http:/h", None, "RFC 3986, 3.2"),
    ("http:///h", None, "RFC 9110, 4.2.1: an empty host is invalid"),
    ("http:////h", None, "RFC 9110, 4.2.1"),
    ("http://u:p@h@x/", None, "RFC 3986, 3.2.1: user info has no @"),
    ("http://\xfc@h/", None, "RFC 3986, 3.2.1: user info is ASCII"),
    ("http://h:0/", None, "port 0 cannot be connected to"),
    ("http://h:0080/", None, "two readers differ about leading zeros"),
    ("http://0x7f.1/", None, "RFC 3986, 3.2.2: an IPv4 address is four decimal numbers"),
    ("http://127.1/", None, "RFC 3986, 3.2.2"),
    ("http://2130706433/", None, "RFC 3986, 3.2.2"),
    ("http://0177.0.0.1/", None, "RFC 3986, 3.2.2"),
    ("http://127.0.0.1./", None, "RFC 3986, 3.2.2"),
    ("http://%68/", None, "RFC 3986, 3.2.2 allows it; no name in the DNS has it, and readers differ"),
    ("http://a%2eb/", None, "as above"),
    ("http://a,b/", None, "RFC 1123, 2.1: host names have letters, digits and hyphens"),
    ("http://a*b/", None, "RFC 1123, 2.1"),
    ("http://a..b/", None, "RFC 1035, 2.3.1: a label is not empty"),
    ("http://./", None, "RFC 1035, 2.3.1"),
    (f"http://{'a' * 64}/", None, "RFC 1035, 2.3.4: a label has at most 63 octets"),
    ("http://http://h/", None, "a scheme written twice: browsers take http for the host"),
    ("http://\uff21\u0300/", "http://xn--0ca/", "the same"),
    (
        "http://\uff11\u3002\uff11\u3002\uff11\u3002\uff11/",
        None,
        "UTS 46 maps it to an address: it shows one host and is another",
    ),
    ("http://\uff41.b/", None, "a full-width a becomes a plain a: it shows one host and is another"),
    ("http://a\u3002b/", None, "an ideographic full stop becomes a dot: it shows one host and is another"),
    ("http://\u212a.example/", None, "a Kelvin sign becomes a plain k: it shows one host and is another"),
    ("ftp://h/", None, "no scheme of HTTP"),
    ("data:,x", None, "no scheme of HTTP"),
]


@pytest.mark.parametrize("text", SAME, ids=ascii)
def test_a_url_is_read_as_by_browsers(text: str) -> None:
    assert by_httpcore(text) == by_ada(text) is not None


@pytest.mark.parametrize(("text", "ours", "reason"), DIFFERENT, ids=lambda value: ascii(value)[:40])
def test_where_browsers_differ_a_standard_explains_why(text: str, ours: str | None, reason: str) -> None:
    assert by_httpcore(text) == ours
    theirs = by_ada(text)
    assert theirs is not None
    assert (theirs == ours) is (reason == "the same")


REFUSED_BY_BOTH = [
    *(
        "",
        "h",
        "/",
        "//h",
        "http://",
        "http://:80",
        "http://@",
        "http://u@",
        "http://h:65536",
        "http://h:a/",
        "http://h:-1/",
    ),
    *("http://[::1", "http://[::g]/", "http://[1]/", "http://[::1]a/", "http://a b/", "http://a<b/", "http://a^b/"),
    *("http://a|b/", "http://%/", "http://%00/", "http://a%2fb/", "http://xn--a/", "http://\xad/", "http://1.2.3.256/"),
    *("http://1.2.3.4.5/", "http://0x100000000/", "http://[::1%25eth0]/", "http://h:80:80/", "http://a\x00b/"),
]


@pytest.mark.parametrize("text", REFUSED_BY_BOTH, ids=ascii)
def test_urls_that_browsers_refuse_are_refused(text: str) -> None:
    assert by_httpcore(text) is by_ada(text) is None


PIECES = st.sampled_from(
    [
        *(
            "/",
            "//",
            "/.",
            "/..",
            "./",
            "../",
            "%2e",
            "%2E",
            "%7e",
            "%c3%bc",
            "%",
            "?",
            "#",
            "a",
            "B",
            "~",
            "\xfc",
            "|",
        ),
        *(
            ":",
            "@",
            "[",
            "]",
            ";=",
            "+",
            "!",
            '"',
            "<",
            "^",
            "{",
            "\\",
            " ",
            "\t",
            "h.example",
            ":80",
            "u:p@",
            "\u3002",
        ),
    ]
)
REST = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=8)


@given(st.sampled_from(["http://", "https://", "HTTP://", "http://h", "http://h/", "http://u:p@h:80/"]), REST)
@example("http://h/", "%2e%2e//..")
@example("http://h", "?#")
def test_urls_that_both_accept_mean_the_same(start: str, rest: str) -> None:
    """Ada's text of a URL, normalised by RFC 3986, equals ours: user info, host, port, path, query and fragment."""
    ours, theirs = by_httpcore(start + rest), by_ada(start + rest)
    if ours is not None and theirs is not None:
        # Browsers encode a ' in a query, and the sub-delimiters of RFC 3986 in user info.
        assert str(URL(theirs)).replace("%27", "'") == ours.replace("%27", "'")


@given(REST)
@example("//h:443")
@example("%2e%2e/..")
@example("/.//")
def test_a_reference_resolves_to_a_url_whose_text_means_itself(reference: str) -> None:
    base = URL("https://example.org/a/b?c")
    try:
        resolved = base.resolve_with(reference)
    except (InvalidURL, UnsupportedProtocol):
        return
    assert URL(str(resolved)) == resolved
    assert "/../" not in resolved.path
    relative = URL(reference, allow_relative=True)
    assert URL(str(relative), allow_relative=True) == relative
    assert base.resolve_with(str(relative)) == resolved


@given(st.text(max_size=20) | st.binary(max_size=20), st.booleans())
def test_only_documented_errors_come_out_of_urls(text: str | bytes, allow_relative: bool) -> None:
    try:
        URL(text, allow_relative)
    except (InvalidURL, UnsupportedProtocol):
        pass


# Query parameters.


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, ""),
        ("", ""),
        ("?a=b", "a=b"),
        ("a", "a="),
        ("a=b=c", "a=b%3Dc"),
        ("&&a=1&&b=2&", "a=1&b=2"),
        (b"a=%c3%bc", "a=%C3%BC"),
        ({"a": "b", "c": ["d", "e"], "f": (), "g": None}, "a=b&c=d&c=e&g="),
        ({"t": True, "f": False, "i": 1, "x": 1.5}, "t=true&f=false&i=1&x=1.5"),
        ([("a", 1), ("b", "2"), ("a", None)], "a=1&b=2&a="),
        (iter([["a", "b"]]), "a=b"),
        ({"a b": "\xfc~*-._&=+%"}, "a+b=%C3%BC%7E*-._%26%3D%2B%25"),
    ],
)
def test_query_parameters_are_written_as_forms_are(given: httpcore.QueryParams | None, text: str) -> None:
    params = QueryParams(given)
    assert str(params) == text
    assert QueryParams(text) == params
    assert repr(params) == f"QueryParams({text!r})"
    assert pickle.loads(pickle.dumps(params)) == params


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (1, "expected str, a mapping, pairs"),
        ([1], "expected pairs"),
        (["ab"], "expected pairs"),
        ([("a",)], "expected pairs"),
        ([("a", "b", "c")], "expected pairs"),
        ({1: "a"}, "a name of type int: expected str"),
        ({"a": b"x"}, "'a'.* of type bytes: expected str, int"),
        ({"a": {}}, "'a'.* of type dict: expected str, int"),
    ],
)
def test_query_parameters_of_another_type_are_named(given: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        QueryParams(given)  # type: ignore[arg-type]


def test_half_a_surrogate_pair_is_no_query_parameter() -> None:
    with pytest.raises(LocalProtocolError, match="surrogate"):
        QueryParams({"a": "\ud800"})


def test_query_parameters_are_an_immutable_multi_dict() -> None:
    params = QueryParams("a=1&b=2&a=3")
    assert params["a"] == "1"
    assert params.get("x") is None
    assert params.get_list("a") == ["1", "3"]
    assert params.multi_items() == [("a", "1"), ("b", "2"), ("a", "3")]
    assert list(params) == ["a", "b"]
    assert len(params) == 2
    assert "a" in params
    assert dict(params) == {"a": "1", "b": "2"}
    assert str(params.set("a", 4)) == "a=4&b=2"
    assert str(params.set("c", 4)) == "a=1&b=2&a=3&c=4"
    assert str(params.add("a", True)) == "a=1&b=2&a=3&a=true"
    assert str(params.remove("a")) == "b=2"
    assert str(params.merge({"a": [7, 8], "c": 9})) == "b=2&a=7&a=8&c=9"
    assert str(params) == "a=1&b=2&a=3"
    assert {params: 1}[QueryParams("a=1&b=2&a=3")] == 1
    assert params != QueryParams("b=2&a=1&a=3")
    assert not QueryParams()
    with pytest.raises(KeyError):
        _ = params["x"]
    with pytest.raises(TypeError):
        params["a"] = "x"  # type: ignore[index]


NAMES = st.text(max_size=6)
QUERIES = st.text(alphabet="ab=&+%2?c3bc\xfc#; \x00", max_size=20)


@given(st.lists(st.tuples(NAMES, NAMES), max_size=5))
def test_parameters_are_written_as_browsers_write_them(pairs: list[tuple[str, str]]) -> None:
    theirs = can_ada.URLSearchParams("")
    for name, value in pairs:
        theirs.append(name, value)
    ours = QueryParams(pairs)
    # ada leaves a backslash as it is, although the WHATWG's set ("all code points, except ...") includes it.
    assert str(ours) == str(theirs).replace("\\", "%5C")
    assert QueryParams(str(ours)).multi_items() == pairs
    assert urllib.parse.parse_qsl(str(ours), keep_blank_values=True) == pairs


@given(QUERIES)
@example("%ff%e4")
@example("%")
@example("%4")
@example("+%2B")
def test_parameters_are_read_as_browsers_read_them(query: str) -> None:
    ours = QueryParams(query)
    text = query.removeprefix("?")
    assert ours.multi_items() == urllib.parse.parse_qsl(text, keep_blank_values=True)
    if "\ufffd" not in str(ours.multi_items()):  # ada keeps octets that are not UTF-8
        assert str(ours) == str(can_ada.URLSearchParams(query))


def test_a_number_of_too_many_digits_is_refused_by_its_name() -> None:
    with pytest.raises(
        httpcore.LocalProtocolError, match=r"^query_params\['page'\] is an int of too many digits: give it"
    ):
        httpcore.QueryParams({"page": 10**5000})
