"""Cookies compared with tough-cookie and http.cookiejar: the same conversations, and the standard that explains each
difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
from cookie_references import Step, ToughCookie, cookiejar, tough_cookie
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from httpcore import Cookies, Headers


def ours(steps: Sequence[Step], now: float) -> list[str | None]:
    cookies, answers = Cookies(), []
    for url, field in steps:
        if field is None:
            sent = cookies.header(url, now=now)
            answers.append(None if sent is None else sent.decode())
        else:
            cookies.extract(url, Headers.received([(b"set-cookie", field.encode())]), now=now)
    return answers


A = "http://example.com/"
S = "https://example.com/"
W = "http://www.example.com/"


def one(url: str, field: str, *requested: str) -> list[Step]:
    return [(url, field), *[(each, None) for each in requested]]


CONVERSATIONS: dict[str, tuple[list[Step], list[str | None]]] = {
    # Section 5.6: the name and the value.
    "a pair": (one(A, "a=b", A), ["a=b"]),
    "white space": (one(A, " \t a \t = \t b c \t ; path=/", A), ["a=b c"]),
    "no value": (one(A, "a=", A), ["a="]),
    "no name": (one(A, "=b", A), ["b"]),
    "no equals": (one(A, "b", A), ["b"]),
    "neither": (one(A, "=", A), [None]),
    "empty": (one(A, "", A), [None]),
    "attributes alone": (one(A, "; Path=/", A), [None]),
    "equals in the value": (one(A, "a=b=c", A), ["a=b=c"]),
    "quotes": (one(A, 'a="b c"', A), ['a="b c"']),
    "open quotes": (one(A, 'a="b', A), ['a="b']),
    "semicolon in quotes": (one(A, 'a="b;c"', A), ['a="b']),
    "comma": (one(A, "a=b, c=d", A), ["a=b, c=d"]),
    "separators in the name": (one(A, "a(b)[c]=d", A), ["a(b)[c]=d"]),
    "a dollar": (one(A, "$Version=1", A), ["$Version=1"]),
    "not ASCII": (one(A, "a=\u00fc", A), ["a=\u00fc"]),
    "percent": (one(A, "a=%41", A), ["a=%41"]),
    "a tab": (one(A, "a=b\tc", A), ["a=b\tc"]),
    "a control character": (one(A, "a=b\x01c", A), [None]),
    "a long pair": (one(A, f"a={'b' * 4095}", A), [f"a={'b' * 4095}"]),
    "too long a pair": (one(A, f"a={'b' * 4096}", A), [None]),
    "order": ([(A, "a=1"), (A, "b=2"), (A, "c=3"), (A, "a=4"), (A, None)], ["a=4; b=2; c=3"]),
    "names have case": ([(A, "a=1"), (A, "A=2"), (A, None)], ["a=1; A=2"]),
    # Attributes.
    "unknown attributes": (one(A, "a=b; Foo; Bar=1; Version=1; Comment=x", A), ["a=b"]),
    "attributes in any case": (one(S + "x/y", "a=b; pATH=/; seCURE", S, A), ["a=b", None]),
    "the last path": (one(A, "a=b; Path=/x; Path=/y", A + "x", A + "y"), [None, "a=b"]),
    "an empty path after one": (one(A, "a=b; Path=/x; Path=", A), ["a=b"]),
    "the last domain": (one(W, "a=b; Domain=www.example.com; Domain=example.com", A), ["a=b"]),
    "an empty domain after one": (one(W, "a=b; Domain=example.com; Domain=", A, W), [None, "a=b"]),
    "a long attribute": (one(A, f"a=b; Path=/{'x' * 1024}", A), ["a=b"]),
    # Expiry.
    "max-age": (one(A, "a=b; Max-Age=100", A), ["a=b"]),
    "max-age 0": ([(A, "a=b"), (A, "a=b; Max-Age=0"), (A, None)], [None]),
    "max-age negative": ([(A, "a=b"), (A, "a=b; Max-Age=-1"), (A, None)], [None]),
    "max-age no number": (one(A, "a=b; Max-Age=x", A), ["a=b"]),
    "max-age with a plus": (one(A, "a=b; Max-Age=+0", A), ["a=b"]),
    "max-age with a fraction": (one(A, "a=b; Max-Age=0.5", A), ["a=b"]),
    "max-age empty": (one(A, "a=b; Max-Age=", A), ["a=b"]),
    "max-age of 100 digits": (one(A, f"a=b; Max-Age={'9' * 100}", A), ["a=b"]),
    "max-age before expires": (one(A, "a=b; Max-Age=100; Expires=Thu, 01 Jan 1970 00:00:00 GMT", A), ["a=b"]),
    "max-age after expires": ([(A, "a=b; Expires=Fri, 01 Jan 2038 00:00:00 GMT; Max-Age=0"), (A, None)], [None]),
    "expired": (one(A, "a=b; Expires=Thu, 01 Jan 1970 00:00:01 GMT", A), [None]),
    "an expired one removes": ([(A, "a=b"), (A, "a=; Expires=Thu, 01 Jan 1970 00:00:01 GMT"), (A, None)], [None]),
    "expires later": (one(A, "a=b; Expires=Fri, 01 Jan 2038 00:00:00 GMT", A), ["a=b"]),
    "expires no date": (one(A, "a=b; Expires=soon", A), ["a=b"]),
    "expires with dashes": (one(A, "a=b; Expires=Thursday, 01-Jan-70 00:00:01 GMT", A), [None]),
    "expires as asctime": (one(A, "a=b; Expires=Thu Jan  1 00:00:01 1970", A), [None]),
    # Domain.
    "host only": (one(A, "a=b", A, W), ["a=b", None]),
    "with names below": (one(A, "a=b; Domain=example.com", A, W), ["a=b", "a=b"]),
    "for the name above": (one(W, "a=b; Domain=example.com", A, W), ["a=b", "a=b"]),
    "with a dot": (one(W, "a=b; Domain=.example.com", A), ["a=b"]),
    "with two dots": (one(W, "a=b; Domain=..example.com", A, W), [None, None]),
    "in capitals": (one(W, "a=b; Domain=EXAMPLE.Com", A), ["a=b"]),
    "for the name below": (one(A, "a=b; Domain=www.example.com", A, W), [None, None]),
    "for another": (one(A, "a=b; Domain=example.org", A, "http://example.org/"), [None, None]),
    "for a longer name": (one(A, "a=b; Domain=ample.com", A), [None]),
    "not for a longer name": (one(A, "a=b; Domain=example.com", "http://badexample.com/"), [None]),
    "a dot at the end": (one(W, "a=b; Domain=example.com.", A, W), [None, None]),
    "a host with a dot": (one("http://example.com./", "a=b", "http://example.com./", A), ["a=b", None]),
    "a host with a dot and a domain": (one("http://example.com./", "a=b; Domain=example.com", A), [None]),
    "a public suffix": (
        one("http://a.co.uk/", "a=b; Domain=co.uk", "http://a.co.uk/", "http://b.co.uk/"),
        [None, None],
    ),
    "a top level": (one(A, "a=b; Domain=com", A), [None]),
    "a top level and a dot": (one("http://a.com./", "a=b; Domain=com.", "http://a.com./"), [None]),
    "a private suffix": (one("http://a.github.io/", "a=b; Domain=github.io", "http://b.github.io/"), [None]),
    "a suffix by wildcard": (one("http://a.b.ck/", "a=b; Domain=b.ck", "http://a.b.ck/"), [None]),
    "an exception of a wildcard": (one("http://a.www.ck/", "a=b; Domain=www.ck", "http://a.www.ck/"), ["a=b"]),
    "a suffix as a host": (one("http://github.io/", "a=b; Domain=github.io", "http://github.io/"), ["a=b"]),
    "a suffix as a host, not below": (one("http://github.io/", "a=b; Domain=github.io", "http://a.github.io/"), [None]),
    "a single label": (one("http://intranet/", "a=b", "http://intranet/"), ["a=b"]),
    "a single label as domain": (one("http://intranet/", "a=b; Domain=intranet", "http://intranet/"), ["a=b"]),
    "localhost": (one("http://localhost/", "a=b; Domain=localhost", "http://localhost/"), ["a=b"]),
    "below localhost": (one("http://a.localhost/", "a=b; Domain=localhost", "http://a.localhost/"), [None]),
    "an address": (one("http://127.0.0.1/", "a=b", "http://127.0.0.1/"), ["a=b"]),
    "an address as domain": (one("http://127.0.0.1/", "a=b; Domain=127.0.0.1", "http://127.0.0.1/"), ["a=b"]),
    "a part of an address": (one("http://10.0.0.1/", "a=b; Domain=0.0.1", "http://10.0.0.1/"), [None]),
    "an IPv6 address": (one("http://[::1]/", "a=b", "http://[::1]/"), ["a=b"]),
    "an IPv6 address as domain": (one("http://[::1]/", "a=b; Domain=[::1]", "http://[::1]/"), ["a=b"]),
    "IDNA": (
        one("http://www.xn--bcher-kva.de/", "a=b; Domain=xn--bcher-kva.de", "http://xn--bcher-kva.de/"),
        ["a=b"],
    ),
    "a domain that is not ASCII": (
        one("http://www.xn--bcher-kva.de/", "a=b; Domain=b\u00fccher.de", "http://www.xn--bcher-kva.de/"),
        [None],
    ),
    "ports are one": (one("http://example.com:8080/", "a=b", A), ["a=b"]),
    "host-only beside a domain": (
        [(A, "a=1"), (A, "a=2; Domain=example.com"), (A, None), (W, None)],
        ["a=1; a=2", "a=2"],
    ),
    # Path.
    "the default path": (one(A + "x/y", "a=b", A, A + "x", A + "x/", A + "x/z"), [None, "a=b", "a=b", "a=b"]),
    "the default path of a folder": (one(A + "x/", "a=b", A + "x", A + "y"), ["a=b", None]),
    "the default path at the top": (one(A + "x", "a=b", A, A + "y/z"), ["a=b", "a=b"]),
    "a path": (one(A, "a=b; Path=/x", A, A + "x", A + "x/y", A + "xy"), [None, "a=b", "a=b", None]),
    "a path with a slash": (one(A, "a=b; Path=/x/", A + "x", A + "x/y"), [None, "a=b"]),
    "a path of another place": (one(A + "y", "a=b; Path=/x", A + "x"), ["a=b"]),
    "a path without a slash": (one(A + "x/y", "a=b; Path=z", A + "x/z", A), ["a=b", None]),
    "a path with a query": (one(A + "x/?y/", "a=b", A + "x/"), ["a=b"]),
    "longer paths first": (
        [(A, "a=1"), (A, "a=2; Path=/x"), (A, "a=3; Path=/x/y"), (A + "x/y", None)],
        ["a=3; a=2; a=1"],
    ),
    "paths have case": (one(A, "a=b; Path=/X", A + "x"), [None]),
    "an encoded path": (one(A + "x", "a=b; Path=/%7Ex", A + "%7Ex", A + "~x"), ["a=b", "a=b"]),
    # Secure and HttpOnly.
    "secure": (one(S, "a=b; Secure", S, A), ["a=b", None]),
    "secure from http": (one(A, "a=b; Secure", S, A), [None, None]),
    "secure with a value": (one(S, "a=b; Secure=0", A), [None]),
    "http only": (one(A, "a=b; HttpOnly", A), ["a=b"]),
    "secure of localhost": (one("http://localhost/", "a=b; Secure", "http://localhost/"), ["a=b"]),
    "secure of 127.0.0.1": (one("http://127.0.0.1/", "a=b; Secure", "http://127.0.0.1/"), ["a=b"]),
    "http overwrites no secure one": ([(S, "a=1; Secure"), (A, "a=2"), (S, None)], ["a=1"]),
    "http shadows no secure one below": (
        [(S, "a=1; Secure; Domain=example.com"), (W, "a=2"), (S, None), (W, None)],
        ["a=1", None],
    ),
    "http shadows no secure one by a path": ([(S, "a=1; Secure"), (A, "a=2; Path=/x"), (S + "x", None)], ["a=1"]),
    "http beside a secure one elsewhere": (
        [(S, "a=1; Secure; Path=/x"), (A, "a=2; Path=/y"), (S + "y", None)],
        ["a=2"],
    ),
    "https overwrites a secure one": ([(S, "a=1; Secure"), (S, "a=2"), (A, None)], ["a=2"]),
    # Prefixes.
    "__Secure-": (one(S, "__Secure-a=b; Secure", S), ["__Secure-a=b"]),
    "__Secure- without Secure": (one(S, "__Secure-a=b", S), [None]),
    "__Host-": (one(S, "__Host-a=b; Secure; Path=/", S), ["__Host-a=b"]),
    "__Host- without a path": (one(S, "__Host-a=b; Secure", S), [None]),
    "__Host- with another path": (one(S, "__Host-a=b; Secure; Path=/x", S + "x"), [None]),
    "__Host- with a domain": (one(S, "__Host-a=b; Secure; Path=/; Domain=example.com", S), [None]),
    "__Host- with an empty domain": (one(S, "__Host-a=b; Secure; Path=/; Domain=", S), ["__Host-a=b"]),
    "__Host- without Secure": (one(S, "__Host-a=b; Path=/", S), [None]),
    "prefixes in any case": (one(S, "__HOST-a=b; Path=/", S), [None]),
    "a prefix in the value": (one(S, "=__Secure-a=b", S), [None]),
    # SameSite.
    "strict": (one(A, "a=b; SameSite=Strict", A), ["a=b"]),
    "lax": (one(A, "a=b; SameSite=lax", A), ["a=b"]),
    "another word": (one(A, "a=b; SameSite=x", A), ["a=b"]),
    "none and secure": (one(S, "a=b; SameSite=None; Secure", S), ["a=b"]),
    "none without secure": (one(S, "a=b; SameSite=None", S), [None]),
}


# Results of another implementation, and why ours differ. Sections are those of RFC 6265bis.

TOUGH_COOKIE: dict[str, tuple[list[str | None], str]] = {
    "neither": ([""], "5.7: a cookie with an empty name and an empty value is ignored"),
    "attributes alone": ([""], "5.7: a cookie with an empty name and an empty value is ignored"),
    "a tab": ([None], "5.6: control characters excluding the tab are refused"),
    "too long a pair": ([f"a={'b' * 4096}"], "5.6: more than 4096 octets are ignored"),
    "an empty domain after one": (["a=b", "a=b"], "5.7: the last Domain attribute counts, and is empty"),
    "a long attribute": ([None], "5.6: an attribute value of more than 1024 octets is ignored"),
    "a host with a dot": ([None, None], "5.1.2 canonicalises label by label; the host is one, and its own"),
    "a suffix as a host": ([None], "5.7: a public suffix that is the host itself makes a host-only cookie"),
    "a single label as domain": ([None], "5.7: a public suffix that is the host itself makes a host-only cookie"),
    "an IPv6 address as domain": ([None], "5.1.3: identical strings match"),
    "host-only beside a domain": (["a=2", "a=2"], "5.7: the host-only-flag is part of what makes cookies the same"),
    "an encoded path": ([None, None], "RFC 3986, 6.2.2.2: ~ and %7E are the same path, and one is sent"),
    "http overwrites no secure one": (["a=2"], "5.7: a secure cookie is left alone"),
    "http shadows no secure one below": (["a=1", "a=2"], "5.7: a secure cookie is left alone"),
    "http shadows no secure one by a path": (["a=2; a=1"], "5.7: a secure cookie is left alone"),
    "prefixes in any case": (["__HOST-a=b"], "5.7: a case-insensitive match"),
    "none without secure": (["a=b"], "5.7: SameSite=None needs Secure"),
}

COOKIEJAR: dict[str, tuple[list[str | None], str]] = {
    "no name": ([None], "5.6: the name may be empty"),
    "a control character": (["a=b\x01c"], "5.6: control characters are refused"),
    "too long a pair": ([f"a={'b' * 4096}"], "5.6: more than 4096 octets are ignored"),
    "the last path": (["a=b", None], "5.7: the last Path attribute counts"),
    "an empty path after one": ([None], "5.7: the last Path attribute counts"),
    "the last domain": ([None], "5.7: the last Domain attribute counts"),
    "an empty domain after one": (["a=b", "a=b"], "5.7: the last Domain attribute counts, and is empty"),
    "a long attribute": ([None], "5.6: an attribute value of more than 1024 octets is ignored"),
    "max-age no number": ([None], "5.6.2: then the attribute is ignored, and not the cookie"),
    "max-age with a plus": ([None], "5.6.2: then the attribute is ignored, and not the cookie"),
    "max-age with a fraction": ([None], "5.6.2: then the attribute is ignored, and not the cookie"),
    "max-age empty": ([None], "5.6.2: then the attribute is ignored, and not the cookie"),
    "expires with dashes": (["a=b"], "5.1.1: a year from 70 to 99 is of the last century"),
    "expires as asctime": (["a=b"], "5.1.1: the order of the parts does not matter"),
    "host only": (["a=b", "a=b"], "5.8.3: only the same host; the jar's Netscape rules match names below"),
    "a public suffix": (["a=b", "a=b"], "5.7: public suffixes are refused; the jar knows no list"),
    "a top level and a dot": (
        ["a=b"],
        "5.7: a domain that the host does not match is refused, and so are public suffixes",
    ),
    "a private suffix": (["a=b"], "5.7: public suffixes are refused"),
    "a suffix by wildcard": (["a=b"], "5.7: public suffixes are refused"),
    "a suffix as a host, not below": (["a=b"], "5.7: a public suffix that is the host itself makes a host-only cookie"),
    "a single label as domain": ([None], "5.7: a public suffix that is the host itself makes a host-only cookie"),
    "localhost": ([None], "5.7: a public suffix that is the host itself makes a host-only cookie"),
    "a part of an address": (["a=b"], "5.1.3: a suffix matches host names only"),
    "an IPv6 address as domain": ([None], "5.1.3: identical strings match"),
    "host-only beside a domain": (["a=1; a=2", "a=1; a=2"], "5.8.3: only the same host"),
    "a path without a slash": ([None, None], "5.6.4: then it is the default path"),
    "an encoded path": (["a=b", None], "RFC 3986, 6.2.2.2: ~ and %7E are the same path, and one is sent"),
    "secure from http": (["a=b", None], "5.7: Secure from an insecure connection is ignored"),
    "secure of localhost": ([None], "5.8.3, note: user agents take localhost for trusted"),
    "secure of 127.0.0.1": ([None], "5.8.3, note: user agents take localhost for trusted"),
    "http overwrites no secure one": (["a=2"], "5.7: a secure cookie is left alone"),
    "http shadows no secure one below": (["a=1", "a=2"], "5.7: a secure cookie is left alone"),
    "http shadows no secure one by a path": (["a=2; a=1"], "5.7: a secure cookie is left alone"),
    "__Secure- without Secure": (["__Secure-a=b"], "5.7: __Secure- needs Secure"),
    "__Host- without a path": (["__Host-a=b"], "5.7: __Host- needs Path=/"),
    "__Host- with another path": (["__Host-a=b"], "5.7: __Host- needs Path=/"),
    "__Host- with a domain": (["__Host-a=b"], "5.7: __Host- is for the host only"),
    "__Host- with an empty domain": ([None], "5.7: an empty Domain is none"),
    "__Host- without Secure": (["__Host-a=b"], "5.7: __Host- needs Secure"),
    "prefixes in any case": (["__HOST-a=b"], "5.7: the prefixes match in any case"),
    "none without secure": (["a=b"], "5.7: SameSite=None needs Secure"),
}

each_conversation = pytest.mark.parametrize("name", CONVERSATIONS)


@pytest.fixture(scope="module")
def tough_cookie_process() -> Iterator[ToughCookie]:
    with tough_cookie() as process:
        yield process


@each_conversation
def test_cookies_follow_rfc_6265bis(name: str) -> None:
    steps, answers = CONVERSATIONS[name]
    assert ours(steps, time.time()) == answers


@each_conversation
def test_tough_cookie_agrees_or_a_standard_explains_why(name: str, tough_cookie_process: ToughCookie) -> None:
    steps, answers = CONVERSATIONS[name]
    theirs = tough_cookie_process.play(steps, time.time())
    assert theirs == (TOUGH_COOKIE[name][0] if name in TOUGH_COOKIE else answers)
    assert (theirs != answers) is (name in TOUGH_COOKIE)


@each_conversation
def test_http_cookiejar_agrees_or_a_standard_explains_why(name: str) -> None:
    steps, answers = CONVERSATIONS[name]
    theirs = cookiejar(steps)
    assert theirs == (COOKIEJAR[name][0] if name in COOKIEJAR else answers)
    assert (theirs != answers) is (name in COOKIEJAR)


def test_each_listed_difference_is_played() -> None:
    assert TOUGH_COOKIE.keys() | COOKIEJAR.keys() <= CONVERSATIONS.keys()


# Random conversations, without the differences of the tables above.

URLS = st.builds(
    "https://{}{}".format,
    st.sampled_from(["example.com", "www.example.com", "a.www.example.com", "example.org", "127.0.0.1"]),
    st.sampled_from(["/", "/x", "/x/", "/x/y", "/xy", "/x/y/z?q=/"]),
)
ATTRIBUTES = st.lists(
    st.sampled_from(
        [
            *(
                "Path=/x",
                "path=/x/y",
                "Path=/",
                "Path=x",
                "Max-Age=0",
                "Max-Age=100",
                "max-age=-1",
                "Secure",
                "HttpOnly",
            ),
            *(
                "SameSite=Lax",
                "Expires=Thu, 01 Jan 1970 00:00:01 GMT",
                "Expires=Fri, 01-Jan-38 00:00:00 GMT",
                "X=y",
                "",
            ),
        ]
    ),
    max_size=3,
)
# Cookies with a domain have different names here, since tough-cookie treats them like cookies without one.
PAIRS = st.sampled_from(["a=1", "a=2", "b=1", "b", "c = d e"]) | st.sampled_from(
    ["d=1; Domain=example.com", "e=2; Domain=www.example.com", "d=3; domain=.EXAMPLE.com", "e=4; Domain=com"]
)
FIELDS = st.builds(lambda pair, attributes: "; ".join([pair, *attributes]), PAIRS, ATTRIBUTES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(URLS, FIELDS | st.none()), max_size=8), URLS)
def test_tough_cookie_agrees_about_conversations_by_chance(
    tough_cookie_process: ToughCookie, steps: list[Step], url: str
) -> None:
    now = time.time()
    steps = [*steps, (url, None)]
    assert ours(steps, now) == tough_cookie_process.play(steps, now)
