"""The cookies of a client: the mapping, its domains, its limits, its dates, its file, and its threads."""

from __future__ import annotations

import copy
import email.utils
import http.cookiejar
import json
import os
import pickle
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import publicsuffixlist
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from httpcore import URL, Cookie, CookieConflict, Cookies, Headers, InvalidURL, LocalProtocolError

# A plain function parses dates; through public names, its result would depend on today's clock.
from httpcore._client.public_suffixes import is_public_suffix
from httpcore._client.set_cookie import parse_date

HOST = "http://example.com/"
SECURE = "https://example.com/"
NOW = 1_800_000_000.0


def received(*fields: str | bytes) -> Headers:
    octets = [field if isinstance(field, bytes) else field.encode() for field in fields]
    return Headers.received([(b"Set-Cookie", field) for field in octets])


def jar(url: str, *fields: str | bytes, now: float | None = None) -> Cookies:
    cookies = Cookies()
    cookies.extract(url, received(*fields), now=now)
    return cookies


# As a mapping.


def test_cookies_are_names_and_values() -> None:
    cookies = Cookies({"a": "1"})
    cookies["b"] = "2"
    assert dict(cookies) == {"a": "1", "b": "2"}
    assert cookies == {"a": "1", "b": "2"}
    assert (len(cookies), "a" in cookies, "x" in cookies, cookies.get("x")) == (2, True, False, None)
    assert cookies.header(HOST) == b"a=1; b=2"
    assert cookies.pop("a") == "1"
    del cookies["b"]
    assert not cookies
    assert cookies.header(HOST) is None
    with pytest.raises(KeyError):
        _ = cookies["a"]
    with pytest.raises(KeyError):
        del cookies["a"]


@pytest.mark.parametrize(
    "given",
    [
        {"a": "1"},
        [("a", "1")],
        iter([["a", "1"]]),
        [Cookie("a", "1")],
        Cookies({"a": "1"}),
    ],
)
def test_cookies_are_made_of_each_accepted_type(given: Cookies) -> None:
    assert Cookies(given).select() == [Cookie("a", "1")]


@pytest.mark.parametrize("given", [1, "a=1", ["a"], [("a",)], [("a", "1", "2")], {"a": 1}, {1: "a"}, {"a": None}])
def test_cookies_of_another_type_are_named(given: object) -> None:
    with pytest.raises(TypeError, match=r"cookie.* of type .*expected"):
        Cookies(given)  # type: ignore[arg-type]


def test_several_cookies_of_a_name_are_a_conflict_with_advice() -> None:
    cookies = jar(HOST, "a=s3cret; Path=/x", "a=s3cret2; Path=/y", "b=1")

    def assign() -> None:
        cookies["a"] = "3"

    for ambiguous in (
        lambda: cookies["a"],
        lambda: cookies.get("a"),
        lambda: dict(cookies),
        lambda: cookies.find("a"),
        assign,
    ):
        with pytest.raises(CookieConflict, match=r"2 cookies have the name 'a', for .*find\(name, domain=") as caught:
            ambiguous()
        assert "s3cret" not in str(caught.value)
    assert "a" in cookies
    assert list(cookies) == ["a", "b"]
    found = cookies.find("a", path="/x")
    assert found is not None
    assert found.value == "s3cret"
    del cookies["a"]
    assert list(cookies) == ["b"]


def test_a_servers_cookie_replaces_the_callers() -> None:
    cookies = Cookies({"a": "mine", "b": "2"})
    cookies.extract(HOST, received("a=theirs"))
    assert cookies["a"] == "theirs"
    assert cookies.header(HOST) == b"b=2; a=theirs"
    assert cookies.header("http://example.org/") == b"a=mine; b=2"
    cookies["a"] = "changed"
    assert cookies.header(HOST) == b"b=2; a=changed"
    found = cookies.find("a")
    assert found is not None
    assert (found.domain, found.host_only) == ("example.com", True)


def test_a_cookie_for_every_host_is_sent_once() -> None:
    for host in ("example.com", "example.com.", "a.b.c.d.example.", "localhost", "127.0.0.1", "[::1]"):
        assert Cookies({"a": "b"}).header(f"http://{host}/") == b"a=b"


def test_cookies_can_be_found_by_domain_and_path() -> None:
    cookies = jar("http://www.example.com/x/y", "a=1; Domain=example.com", "b=2; Path=/", "c=3")
    cookies.set("d", "4", domain="EXAMPLE.org", path="/z")
    assert cookies.domains() == ["example.com", "www.example.com", "example.org"]
    assert [cookie.name for cookie in cookies.select(domain=".Example.com")] == ["a"]
    assert [cookie.name for cookie in cookies.select(domain="www.example.com")] == ["b", "c"]
    assert [cookie.name for cookie in cookies.select(domain="www.example.com", path="/x")] == ["c"]
    assert cookies.select("d") == [Cookie("d", "4", domain="example.org", path="/z")]
    assert cookies.remove(domain="www.example.com") == 2
    assert cookies.remove("x") == 0
    assert [cookie.name for cookie in cookies.select()] == ["a", "d"]
    cookies.clear()
    assert cookies.select() == []


def test_a_callers_cookie_is_sent_to_its_domain_and_path() -> None:
    cookies = Cookies()
    cookies.set("below", "1", domain="example.com")
    cookies.set("only", "2", domain="example.com", host_only=True)
    cookies.set("secure", "3", secure=True)
    cookies.set("path", "4", path="/x")
    cookies.set("gone", "5", expires=time.time() - 1)
    cookies.set("b\xfccher", "6", domain="b\xfccher.example")
    cookies.set("six", "7", domain="::1")
    assert cookies.header(SECURE) == b"below=1; only=2; secure=3"
    assert cookies.header("http://www.example.com/") == b"below=1"
    assert cookies.header("http://example.org/x/y") == b"path=4"
    assert cookies.header("http://xn--bcher-kva.example/") == "b\xfccher=6".encode()
    assert cookies.header("http://[::1]/") == b"secure=3; six=7"


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": name} for name in ("a=b", "a;b", " a", "a\t", "a\n", "a\x00", "\ud800")),
        *({"value": value} for value in ("a;b", " a", "a\t", "a\r\nb: c", "a\x00", "\ud800", "a" * 4096)),
        *({"path": path} for path in ("", "x", "/a;b", "/\n")),
        {"name": "", "value": ""},
        {"same_site": "Strict"},
    ],
    ids=ascii,
)
def test_unsendable_values_are_refused_and_not_shown(wrong: dict[str, str]) -> None:
    cookies = Cookies()
    with pytest.raises(LocalProtocolError, match=r"cookie.*expected") as caught:
        cookies.set(**{"name": "s3cret", "value": "s3cret", **wrong})  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)
    assert not cookies


def test_a_domain_that_is_no_host_is_refused() -> None:
    for domain in ("a b", "a/b", "..", "1.2.3", "a:1"):
        with pytest.raises(InvalidURL):
            Cookies().set("a", "b", domain=domain)


def test_no_cookie_value_is_shown() -> None:
    cookies = Cookies({"a": "s3cret"})
    assert "s3cret" not in repr(cookies) + repr(cookies.select()) + str(cookies)
    assert repr(cookies.select()) == "[<Cookie 'a' for '*/'>]"


def test_cookies_are_copied_and_compared() -> None:
    cookies = jar("https://www.example.com/x/y", "a=1; Domain=example.com; Secure; HttpOnly; SameSite=Lax; Max-Age=100")
    for other in (cookies.copy(), copy.copy(cookies), copy.deepcopy(cookies), pickle.loads(pickle.dumps(cookies))):
        assert other == cookies
        other["b"] = "2"
        assert other != cookies
    other = Cookies()
    other.update(cookies, b="2")
    assert other.select("a") == cookies.select()
    assert other["b"] == "2"
    assert cookies == {"a": "1"}
    assert cookies != {"a": "2"}
    assert cookies != 1
    with pytest.raises(TypeError):
        hash(cookies)


# The cookies of a request.


def test_extra_cookies_are_for_one_request_and_come_first() -> None:
    cookies = jar(HOST, "a=1", "b=2")
    assert cookies.header(HOST, extra=Cookies({"a": "3", "c": "4"})) == b"b=2; a=3; c=4"
    assert Cookies().header(HOST, extra=Cookies({"a": "3"})) == b"a=3"
    assert cookies.header(HOST) == b"a=1; b=2"


def test_cookies_without_a_domain_stay_with_their_origin() -> None:
    cookies = Cookies({"token": "mine"})
    cookies.extract("http://other.example/", received("theirs=1"))
    assert cookies.header("http://other.example/", unbound=False) == b"theirs=1"
    assert cookies.header("http://other.example/", unbound=False, extra=Cookies({"x": "y"})) == b"theirs=1"
    assert Cookies({"token": "mine"}).header(HOST, unbound=False) is None


def test_a_cross_site_request_has_only_same_site_none() -> None:
    cookies = jar(
        SECURE, "a=1; SameSite=Strict", "b=2; SameSite=Lax", "c=3", "d=4; SameSite=None; Secure", "e=5; SameSite=x"
    )
    assert cookies.header(SECURE) == b"a=1; b=2; c=3; d=4; e=5"
    assert cookies.header(SECURE, cross_site=True) == b"d=4"


@pytest.mark.parametrize("url", ["http://localhost/", "http://127.0.0.1:8080/", "http://127.9.9.9/", "http://[::1]/"])
def test_localhost_is_secure_over_http(url: str) -> None:
    assert jar(url, "a=b; Secure").header(url) == b"a=b"


@pytest.mark.parametrize(
    "url", ["http://localhost.example/", "http://a.localhost/", "http://127.example/", "http://[::2]/"]
)
def test_no_other_host_is_secure_over_http(url: str) -> None:
    assert jar(url, "a=b; Secure").header(url) is None


def test_octets_come_back_as_they_were() -> None:
    cookies = jar(HOST, b"a=\xfc", "b=\u00fc".encode(), b"\xfe=1")
    assert cookies.header(HOST) == b"a=\xfc; b=\xc3\xbc; \xfe=1"
    assert cookies["b"] == "\xfc"


def test_the_host_is_that_of_the_url_and_of_nothing_else() -> None:
    cookies = Cookies()
    headers = Headers.received([(b"host", b"evil.example"), (b"set-cookie", b"a=b")])
    cookies.extract(HOST, headers)
    assert cookies.domains() == ["example.com"]


# Limits.


def test_a_domain_has_fifty_cookies_and_the_least_used_go() -> None:
    cookies = jar(SECURE, *[f"n{number}=1; Secure" for number in range(50)])
    assert cookies.header(SECURE, now=NOW) is not None
    cookies.extract(SECURE, received("insecure=1"))
    assert "insecure" not in cookies
    cookies.extract(SECURE, received("new=1; Secure; Path=/only"))
    assert len(cookies) == 50
    assert "new" in cookies
    assert "n0" not in cookies
    cookies.extract("http://example.org/", received(*[f"m{number}=1" for number in range(100)]))
    assert [cookie.name for cookie in cookies.select(domain="example.org")] == [f"m{n}" for n in range(50, 100)]
    assert len(cookies) == 100


def test_the_callers_own_cookies_have_no_limit_of_a_domain() -> None:
    own = {f"n{number}": "1" for number in range(200)}
    assert Cookies(own) == own


def test_expired_cookies_are_removed_first() -> None:
    cookies = jar(HOST, "old=1", *[f"n{number}=1; Max-Age=10" for number in range(49)], now=NOW)
    cookies.extract(HOST, received("new=1"), now=NOW + 20)
    assert [cookie.name for cookie in cookies.select()] == ["old", "new"]


def test_three_thousand_cookies_are_kept() -> None:
    cookies = Cookies()
    for number in range(3010):
        cookies.set("a", "b", domain=f"d{number}.example")
    assert cookies.header("http://d9.example/") is None
    assert cookies.header("http://d10.example/") == b"a=b"
    assert len(cookies.select()) == 3000
    cookies.set("c", "d", domain="new.example")
    assert cookies.header("http://d10.example/") == b"a=b"  # this cookie was used recently
    assert cookies.header("http://d11.example/") is None


def test_a_request_sends_at_most_sixteen_kibibytes() -> None:
    cookies = jar(HOST, *[f"{number:02}={'v' * 2000}" for number in range(20)], "long=1; Path=/x/y")
    sent = cookies.header("http://example.com/x/y")
    assert sent is not None
    assert 14_000 < len(sent) <= 16_384
    assert sent.startswith(b"long=1; 00=vvv")


def test_no_cookie_lives_longer_than_400_days() -> None:
    longest = NOW + 400 * 86400
    cookies = jar(
        HOST,
        "a=1; Max-Age=99999999999999999999",
        "b=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT",
        "c=1; Max-Age=5",
        "d=1",
        now=NOW,
    )
    assert cookies.header(HOST, now=NOW + 4.9) == b"a=1; b=1; c=1; d=1"
    assert cookies.header(HOST, now=NOW + 5) == b"a=1; b=1; d=1"
    assert cookies.header(HOST, now=longest - 1) == b"a=1; b=1; d=1"
    assert cookies.header(HOST, now=longest) == b"d=1"


def calls_of(function: Callable[[], object]) -> int:
    """How many functions a call executes, including itself and those written in C."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("domain", ["d{}.example", "d{}.example.com"])
def test_a_header_full_of_cookies_costs_no_more_than_it_must(domain: str) -> None:
    """Many fields are added to a full store, over http: the store is searched once, and not for each field."""
    cookies = Cookies()
    for number in range(3000):
        cookies.set("b", "b", domain=domain.format(number), secure=True)
    fields = received(*[f"a=b; Domain=example.com; Path=/{number}" for number in range(256)])
    calls = calls_of(lambda: cookies.extract("http://www.example.com/", fields))
    assert calls < 200_000  # 3,100,000 if each field were compared with all stored cookies


# Dates (section 5.1.1).

DATES = [
    ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
    ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
    ("Sun Nov  6 08:49:37 1994", 784111777),
    ("06 nov 94 8:49:37", 784111777),
    ("1994 08:49:37 november 06th", 784111777),
    ("08:49:37x 06x novx 1994x", 784111777),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
    ("1 Jan 1601 0:0:0", -11644473600),
    ("29 Feb 2000 00:00:00", 951782400),
    ("29 Feb 2024 00:00:00 +0200", 1709164800),
    ("1 Jan 69 0:0:0", 3124224000),
    ("1 Jan 70 0:0:0", 0),
    ("1 Jan 00 0:0:0", 946684800),
    ("31/Dec/2030 23:59:59", 1924991999),
    ("1 Jan 1 2030 0:0:0", 1893456000),
    # Failures.
    ("", None),
    ("soon", None),
    ("06 Nov 1994", None),
    ("08:49:37 GMT", None),
    ("06 Nov 08:49:37", None),
    ("Nov 1994 08:49:37", None),
    ("00 Nov 1994 08:49:37", None),
    ("32 Dec 1994 08:49:37", None),
    ("31 Nov 1994 08:49:37", None),
    ("29 Feb 1900 00:00:00", None),
    ("29 Feb 2023 00:00:00", None),
    ("06 Nov 1994 24:00:00", None),
    ("06 Nov 1994 08:60:00", None),
    ("06 Nov 1994 08:49:60", None),
    ("06 Nov 1994 08:49", None),
    ("06 Nov 1600 08:49:37", None),
    ("06 Nov 19940 08:49:37", None),
    ("6 Nov 1 08:49:37", None),
    ("006 Nov 1994 08:49:37", None),
    ("06 N\xf6v 1994 08:49:37", None),
    ("\u0660\u0666 Nov 1994 08:49:37", None),
]


@pytest.mark.parametrize(("text", "seconds"), DATES, ids=ascii)
def test_dates_are_read_by_the_algorithm(text: str, seconds: float | None) -> None:
    assert parse_date(text) == seconds


@given(st.integers(min_value=-11644473600, max_value=253402300799))
def test_dates_are_those_of_the_standard_library(seconds: int) -> None:
    text = email.utils.formatdate(seconds, usegmt=True)
    assert parse_date(text) == seconds
    if seconds >= 0:
        assert http.cookiejar.http2time(text) == seconds  # type: ignore[attr-defined]  # documented by its module alone


# Public suffixes.


def test_public_suffixes_are_those_of_the_library() -> None:
    library = publicsuffixlist.PublicSuffixList()
    rules = Path(publicsuffixlist.PSLFILE).read_text(encoding="utf-8").split("\n")
    names = [rule.strip().lstrip("!").replace("*", "any") for rule in rules if rule and not rule.startswith("//")]
    assert len(names) > 5000
    for name in names[:: 7 if len(names) > 1000 else 1]:
        for domain in (name, f"example.{name}", name.partition(".")[2] or "com"):
            ascii_domain = ".".join(
                [it if it.isascii() else "xn--" + it.encode("punycode").decode() for it in domain.split(".")]
            )
            assert is_public_suffix(ascii_domain) == (library.publicsuffix(ascii_domain) == ascii_domain), domain


def registrable(domain: str) -> str | None:
    """The registrable domain: the public suffix and one more label."""
    labels = domain.split(".")
    found = [".".join(labels[at:]) for at in range(len(labels))]
    return next((name for name in reversed(found) if not is_public_suffix(name)), None)


def test_the_vectors_of_public_suffixes_hold() -> None:
    """The test vectors of publicsuffix.org."""
    text = Path(publicsuffixlist.PSLFILE).with_name("test_psl.txt").read_text(encoding="utf-8")
    vectors = re.findall(r"^checkPublicSuffix\('([^']+)', (?:'([^']+)'|null)\);", text, re.MULTILINE)
    assert len(vectors) > 70
    for name, expected in vectors:
        domain = URL(f"http://{name.removeprefix('.')}/").host
        if not name.startswith("."):  # these are skipped: cookies drop the dot earlier
            assert registrable(domain) == (URL(f"http://{expected}/").host if expected else None), name


WITHOUT = """
import sys
sys.modules["publicsuffixlist"] = None
from httpcore import Cookies, Headers
for host, domain in (("a.co.uk", "uk"), ("a.co.uk", "co.uk"), ("a.example", "example"), ("x", "x")):
    cookies = Cookies()
    cookies.extract(f"http://{host}/", Headers({"Set-Cookie": f"a=b; Domain={domain}"}))
    print([cookie.domain for cookie in cookies.select()])
"""


def test_without_a_suffix_list_a_single_label_is_refused() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:4] == ["[]", "['co.uk']", "[]", "['x']"]


# Files.


def full() -> Cookies:
    cookies = jar(
        "https://www.example.com/x/y",
        "a=1; Domain=example.com; Secure; HttpOnly; SameSite=Lax; Max-Age=1000",
        "__Host-b=2; Path=/; Secure",
        b"c=\xfc\xff",
        "nameless",
        "d=4; SameSite=None; Secure",
    )
    cookies["mine"] = "\u20ac"
    return cookies


def test_cookies_come_back_from_a_file(tmp_path: Path) -> None:
    cookies = full()
    cookies.save(tmp_path / "cookies")
    again = Cookies.load(str(tmp_path / "cookies"))
    assert again == cookies
    for url in ("https://www.example.com/x/y", "http://example.com/", "https://a.www.example.com/"):
        assert again.header(url) == cookies.header(url)
    assert os.listdir(tmp_path) == ["cookies"]


@pytest.mark.skipif(sys.platform == "win32", reason="it has other permissions")
def test_a_file_of_cookies_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    file.write_text("old")
    file.chmod(0o666)
    old = os.umask(0)
    try:
        full().save(file)
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cookies"
    full().save(file)
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="no space"):
                Cookies({"a": "b"}).save(file)
        assert file.read_bytes() == before
        assert os.listdir(tmp_path) == ["cookies"]


TEXTS: tuple[object, ...] = (1, None, "a;b\n", ["x"])
FLAGS: tuple[object, ...] = (1, "true", None)


def test_expired_cookies_are_not_loaded(tmp_path: Path) -> None:
    cookies = Cookies([Cookie("a", "1", expires=time.time() + 1000), Cookie("b", "2")])
    cookies.save(tmp_path / "cookies")
    content = json.loads((tmp_path / "cookies").read_text())
    content["cookies"][0]["expires"] = 1.0
    (tmp_path / "cookies").write_text(json.dumps(content))
    assert Cookies.load(tmp_path / "cookies") == {"b": "2"}


@pytest.mark.parametrize(
    "change",
    [
        *({key: wrong} for key in ("name", "value", "domain", "path") for wrong in TEXTS),
        *({key: wrong} for key in ("host_only", "secure", "http_only") for wrong in FLAGS),
        {"expires": "1"},
        {"expires": True},
        {"same_site": "Strict"},
        {"same_site": 1},
        {"domain": "EXAMPLE.com"},
        {"domain": ".example.com"},
        {"path": "x"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_damaged_file_is_refused_and_not_repeated(change: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    Cookies([Cookie("a", "s3cret", domain="example.com")]).save(file)
    content = json.loads(file.read_text())
    content["cookies"][0] |= change
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"cookie 0 .*expected one that Cookies.save wrote") as caught:
        Cookies.load(file)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format": "httpcore cookies", "version": 2}', "[" * 9999]
)
def test_a_file_of_another_kind_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"expected one that Cookies.save wrote"):
        Cookies.load(file)
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"expected one that Cookies.save wrote"):
        Cookies.load(file)
    with pytest.raises(FileNotFoundError):
        Cookies.load(tmp_path / "nothing")


# Threads.


def test_threads_share_cookies() -> None:
    cookies = Cookies()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        url = f"https://h{number % 3}.example/"
        try:
            for step in range(200):
                cookies.extract(url, received(f"t{number}={step}; Secure", f"x{step % 7}=1; Max-Age={step % 2}"))
                cookies.header(url)
                cookies[f"own{number}"] = str(step)
                assert cookies[f"own{number}"] == str(step)
                assert f"t{number}={step}".encode() in (cookies.header(url) or b"").split(b"; ")
                cookies.remove(f"own{number}")
                list(cookies)
                cookies.copy()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {cookie.name for cookie in cookies.select()} >= {f"t{number}" for number in range(6)}


# Arbitrary fields of a server.


@given(
    st.lists(st.text(alphabet='ab=; \t,"\x00\x0a\xfc_-./0DPMSh', max_size=30) | st.text(max_size=20), max_size=3),
    st.sampled_from([HOST, SECURE, "http://[::1]/x", "http://127.0.0.1/", "https://a.co.uk./"]),
)
@example(["=a=b", "c"], HOST)
@example(["a=\ud800"], HOST)
def test_any_cookie_of_a_server_makes_a_sendable_header(fields: list[str], url: str) -> None:
    octets = [field.encode("utf-8", "surrogatepass") for field in fields]
    cookies = jar(url, *octets)
    sent = cookies.header(url)
    if sent is not None:
        assert Headers([("Cookie", sent)]).get_raw("cookie") == [sent]
    assert Cookies(cookies).select() == cookies.select()  # so the caller or a file could set each cookie too
