"""The parts of a URL, and texts that are refused because two readers could interpret them differently."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable

import can_ada
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

import httpcore
from httpcore._errors import HTTPCoreError, InvalidURL, UnsupportedProtocol
from httpcore._message import url as _url
from httpcore._message.url import URL


def test_a_url_is_taken_apart() -> None:
    url = URL.parse("https://example.com:8443/a/b?c=d&e#f")
    assert (url.scheme, url.host, url.port, url.target) == ("https", "example.com", 8443, b"/a/b?c=d&e")
    assert url.host_header == b"example.com:8443"
    assert url.origin == "https://example.com:8443"
    assert url.authority == "example.com:8443"
    assert url.userinfo is None


@pytest.mark.parametrize(
    ("text", "host", "port", "header"),
    [
        ("http://h", "h", 80, b"h"),
        ("https://h", "h", 443, b"h"),
        ("http://h:/", "h", 80, b"h"),
        ("http://h:80", "h", 80, b"h"),
        ("http://h:443", "h", 443, b"h:443"),
        ("https://h:80", "h", 80, b"h:80"),
        ("http://h:65535", "h", 65535, b"h:65535"),
        ("HTTP://EXAMPLE.com", "example.com", 80, b"example.com"),
        ("http://[::1]", "::1", 80, b"[::1]"),
        ("http://[0:0:0:0:0:0:0:1]:8080", "::1", 8080, b"[::1]:8080"),
        ("http://[2001:DB8::A]", "2001:db8::a", 80, b"[2001:db8::a]"),
        ("http://127.0.0.1:1", "127.0.0.1", 1, b"127.0.0.1:1"),
        ("http://my_service-1", "my_service-1", 80, b"my_service-1"),
        ("http://r3---sn-abc.example", "r3---sn-abc.example", 80, b"r3---sn-abc.example"),
        ("http://example.com.", "example.com.", 80, b"example.com."),
        ("http://B\xfccher.example", "xn--bcher-kva.example", 80, b"xn--bcher-kva.example"),
        ("http://fa\xdf.de", "xn--fa-hia.de", 80, b"xn--fa-hia.de"),
        ("http://XN--bcher-KVA.example", "xn--bcher-kva.example", 80, b"xn--bcher-kva.example"),
        ("http://u:p@h", "h", 80, b"h"),
        ("http://h?q@evil.example", "h", 80, b"h"),
        ("http://h#@evil.example", "h", 80, b"h"),
    ],
)
def test_host_port_and_host_field_are_read_from_the_url(text: str, host: str, port: int, header: bytes) -> None:
    url = URL.parse(text)
    assert (url.host, url.port, url.host_header) == (host, port, header)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://h", b"/"),
        ("http://h?q", b"/?q"),
        ("http://h/?", b"/?"),
        ("http://h#f", b"/"),
        ("http://h/a/../b//c/.", b"/a/../b//c/."),
        ("http://h//evil.example/", b"//evil.example/"),
        ("http://h/%2F%7e%c3", b"/%2F%7e%c3"),
        ("http://h/%", b"/%25"),
        ("http://h/%a?100%&b=%zz%41", b"/%25a?100%25&b=%25zz%41"),
        ("http://h/%%41", b"/%25%41"),
        ("http://h/a b?c d", b"/a%20b?c%20d"),
        ("http://h/a b#c d", b"/a%20b"),
        ("http://h/?a[]=1", b"/?a[]=1"),
        ("http://h/\xfc?\xfc=\u20ac", b"/%C3%BC?%C3%BC=%E2%82%AC"),
        ('http://h/"<>^`{|}', b"/%22%3C%3E%5E%60%7B%7C%7D"),
        ("http://h/-._~!$&'()*+,;=:@", b"/-._~!$&'()*+,;=:@"),
    ],
)
def test_the_target_is_path_and_query_and_never_the_fragment(text: str, target: bytes) -> None:
    assert URL.parse(text).target == target


REFUSED = [
    "",
    "/",
    "//h/",
    "example.com",
    "example.com/path",
    "localhost:8080",
    "http",
    "http:",
    "http:/h",
    "http:h",
    "http://",
    "http:///x",
    "http://?q",
    "http://#f",
    "http://@",
    "http://:80",
    "http://u@:80",
    " http://h",
    "http://h ",
    "http://h /",
    "http://h/a\tb",
    "http://h b/",
    "http:// h/",
    " http://h/",
    "http://h/\t",
    "ht\ntp://h/",
    "http://h/#\n",
    "http://h\\evil",
    "http://h/\\",
    "http:\\\\h",
    "http://a@b@c/",
    "http://a@b:80@c/",
    "http://\xfc@h/",
    "http://a[b@h/",
    "http://%zz@h/",
    "http://h:0/",
    "http://h:65536/",
    "http://h:99999999999999999999/",
    "http://h:+80/",
    "http://h:-1/",
    "http://h:080/",
    "http://h:8_0/",
    "http://h:\u0668\u0660/",
    "http://h:80:80/",
    "http://h:a/",
    "http://a%2fb/",
    "http://a%00b/",
    "http://h%2ecom/",
    "http://a,b/",
    "http://a;b/",
    "http://a=b/",
    "http://a&b/",
    "http://a*b/",
    "http://a~b/",
    "http://a|b/",
    "http://a<b/",
    "http://./",
    "http://.a/",
    "http://a..b/",
    "http://a../",
    "http://1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://0177.0.0.1/",
    "http://0x7f000001/",
    "http://0X7F.1/",
    "http://2130706433/",
    "http://127.0.0.0x1/",
    "http://127.0.0.256/",
    "http://1.2.3.4.5/",
    "http://01.2.3.4/",
    "http://a.1/",
    "http://0x/",
    "http://[v1.x]/",
    "http://[]/",
    "http://[::1/",
    "http://::1/",
    "http://::1]/",
    "http://[::1]x/",
    "http://[::1]]/",
    "http://[[::1]]/",
    "http://[127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::ffff:127.0.0.01]/",
    "http://[1::2::3]/",
    "http://a\u3002b/",
    "http://a\uff0eb/",
    "http://a\uff61b/",
    "http://a\u2024b/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://\u2460.2.3.4/",
    "http://\uff45xample.com/",
    "http://\u210aoogle.com/",
    "http://ex\xadample.com/",
    "http://\u212a.com/",
    "http://evil.com\uff0f.example/",
    "http://a\u2100b.example/",
    "http://\ud800.example/",
    "http://xn--example-.com/",
    "http://xn--/",
    "http://xn--99999999999.com/",
    "http://xn--a-ecp.ru\u3002/",
    "http://h/\ud800",
    "http://" + "a" * 64 + "/",
    "http://" + "a." * 127 + "com/",
    "http://" + "\xfc" * 64 + ".de/",
    "http\u017f://h/",
    "http\uff1a//h/",
]


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_an_ambiguous_or_malformed_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        URL.parse(text)
    assert str(caught.value).startswith("url is ")
    assert len(str(caught.value)) < 450


NOWHERE = [byte for byte in range(256) if byte < 0x20 or byte >= 0x7F or byte == ord("\\")]
BEFORE = [b"%bhttp://h/", b"http://h%b/", b"http://u%b@h/"]
BEHIND = [b"http://h/a%bb", b"http://h/#%b"]


@pytest.mark.parametrize(
    ("byte", "place"),
    [(byte, place) for byte in NOWHERE for place in (*BEFORE, *BEHIND)] + [(0x20, place) for place in BEFORE],
)
def test_bytes_that_no_url_has_are_refused_everywhere(byte: int, place: bytes) -> None:
    with pytest.raises(InvalidURL):
        URL.parse(place % bytes([byte]))


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://i\u2764.ws/", "xn--i-7iq.ws"),
        ("http://\u2603.net/", "xn--n3h.net"),
        ("http://fa\xdf.de/", "xn--fa-hia.de"),
        ("http://a.\U0001f4a9.la/", "a.xn--ls8h.la"),
    ],
)
def test_hosts_of_uts_46_beyond_idna_2008_are_accepted(text: str, host: str) -> None:
    assert URL.parse(text).host == host == URL.parse(f"http://{host}/").host
    assert can_ada.parse(text).hostname == host


@pytest.mark.parametrize("text", ["http://h/a b?c d", "http://h/%?100%&b=%zz"])
def test_a_path_is_encoded_as_urllib3_does(text: str) -> None:
    assert URL.parse(text).target == urllib3.util.parse_url(text).request_uri.encode()


@pytest.mark.parametrize("text", ["ftp://h/", "file:///etc/passwd", "ws://h/", "unix:/x", "mailto:a@b", "httpx://h"])
def test_another_scheme_is_an_unsupported_protocol(text: str) -> None:
    with pytest.raises(UnsupportedProtocol, match="http or https"):
        URL.parse(text)


@pytest.mark.parametrize("value", [None, 5, bytearray(b"http://h"), ("http", "h"), object()])
def test_another_type_is_named(value: object) -> None:
    with pytest.raises(InvalidURL, match=f"of type {type(value).__name__}"):
        URL.parse(value)  # type: ignore[arg-type]  # that is the test


def test_bytes_and_text_and_subclasses_mean_the_same() -> None:
    class Text(str):
        __slots__ = ()

    assert URL.parse(b"http://h/a") == URL.parse("http://h/a") == URL.parse(Text("http://h/a"))


def test_userinfo_is_decoded_and_neither_sent_nor_shown() -> None:
    url = URL.parse("http://us%65r:s3%3Acret@h:81/p")
    assert url.userinfo == (b"user", b"s3:cret")
    for text in (url.target, url.host_header, url.origin.encode(), url.redacted.encode(), repr(url).encode()):
        assert b"cret" not in text
        assert b"us" not in text
    assert URL.parse("http://user@h").userinfo == (b"user", b"")


@pytest.mark.parametrize(
    "text",
    [
        "http://user:s3cret@h:99999/",
        "http://user:s3cret@127.1/",
        "http://user:s3c ret@h/",
        "http://user:/s3cret@h/\n",
        "http://user:?s3cret@h:x/\n",
        "http://user:#s3cret@\\",
        "http://user:s3cret@a@h/",
        "http://user:s3cret%40h/",
        "http://user:s3cret\uff20h/",
        "http:\\\\user:s3cret@h/",
        "http:user:s3cret@h",
        "user:s3cret@h",
        "ftp://user:s3cret@h/",
        b"http://user:s3cret\xff@h/",
    ],
    ids=ascii,
)
def test_errors_do_not_show_credentials(text: str | bytes) -> None:
    with pytest.raises(HTTPCoreError) as caught:
        URL.parse(text)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3c" not in f"{error} {error!r} {error.__dict__}"
        assert "user" not in str(error)
        error = error.__cause__ or error.__context__


def test_errors_escape_control_characters() -> None:
    with pytest.raises(InvalidURL) as caught:
        URL.parse("http://h/\x1b[31m\r\n")
    assert str(caught.value).isprintable()


def test_the_same_text_gives_the_same_object() -> None:
    assert URL.parse("http://cached.example/1") is URL.parse("http://cached.example/1")
    assert URL.parse(b"http://cached.example/1") is URL.parse("http://cached.example/1")


def test_a_very_long_url_is_not_remembered() -> None:
    text = "http://h/" + "a" * 3000
    assert URL.parse(text) is not URL.parse(text)
    assert URL.parse(text) == URL.parse(text)


def test_a_url_is_a_value() -> None:
    url = URL.parse("http://value.example/")
    assert pickle.loads(pickle.dumps(url)) == url
    assert len({url, URL.parse(b"http://VALUE.example/")}) == 1
    with pytest.raises(AttributeError):
        url.host = "other"  # type: ignore[misc]  # that is the test


def test_the_trailing_dot_is_part_of_the_host() -> None:
    url = URL.parse("https://example.com./")
    assert url.host == "example.com."
    assert url != URL.parse("https://example.com/")


LETTERS = "abcXYZ019-_.:@/?#[]%\\!~ \t\xfc\u3002\uff0e|x"


@given(st.text(alphabet=LETTERS, max_size=12), st.text(alphabet=LETTERS, max_size=12))
def test_an_accepted_url_reads_back_as_itself(host: str, rest: str) -> None:
    try:
        url = URL.parse(f"http://{host}/{rest}")
    except InvalidURL:
        return
    again = URL.parse(url.redacted)
    assert (again.scheme, again.host, again.port, again.target) == (url.scheme, url.host, url.port, url.target)
    assert url.target.startswith(b"/")
    assert not set(url.target) - set(range(0x21, 0x7F))
    assert b"#" not in url.target
    assert url.host_header.decode() == (url.host if url.port == 80 else f"{url.host}:{url.port}").replace(
        url.host, f"[{url.host}]" if ":" in url.host else url.host
    )


PATH = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\\%?# \x7f", min_codepoint=0x21), max_size=20)


@given(PATH, PATH)
def test_path_and_query_come_back_from_the_target(path: str, query: str) -> None:
    from urllib.parse import unquote

    target = URL.parse(f"http://h/{path}?{query}").target.decode("ascii")
    assert unquote(target) == f"/{path}?{query}"
    assert URL.parse(f"http://h{target}").target.decode() == target


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_only_documented_errors_come_out(text: str | bytes) -> None:
    prefix, tail = ("http://", text) if isinstance(text, str) else (b"http://", text)
    for url in (text, prefix + tail):  # type: ignore[operator]  # both str or both bytes
        try:
            URL.parse(url)
        except (InvalidURL, UnsupportedProtocol):
            continue


A_LABELS = {
    "xn--bcher-kva": True,  # bücher
    "xn--strae-oqa": True,  # straße
    "xn--i-7iq": True,  # i and a heart: IDNA 2008 forbids it, UTS 46 and browsers do not
    "xn--ls8h": True,  # an emoji
    "xn--n3h": True,  # a snowman
    "xn--e1afmkfd": True,  # Cyrillic
    "xn--a": False,  # U+0080, a control character
    "xn--a-ecp": False,  # not equal to the encoding of its decoding
    "xn--abc": False,
    "xn--tda": True,  # u with diaeresis
    "xn--wca": False,  # its capital letter
    "xn--1ug": False,  # a zero width joiner with nothing to join
    "xn--a-bcb": False,  # a combining mark in front
    "xn--kba": False,  # a soft hyphen: UTS 46 leaves it out
    "xn--91g": False,  # U+210A, which UTS 46 maps to g
    "xn--r6j": False,  # another script's full stop
}


@pytest.mark.parametrize("label", A_LABELS)
def test_an_a_label_decodes_to_a_label_that_uts_46_keeps(label: str) -> None:
    if A_LABELS[label]:
        assert URL.parse(f"http://{label}.example/").host == f"{label}.example"
        return
    with pytest.raises(InvalidURL, match="does not decode to a non-ASCII one that UTS 46 allows"):
        URL.parse(f"http://{label}.example/")


@given(st.text(alphabet="abcz0129-", max_size=20))
def test_any_a_label_is_checked_without_another_error(label: str) -> None:
    try:
        url = URL.parse(f"http://xn--{label}.example/")
    except InvalidURL:
        return
    assert url.host == f"xn--{label}.example"


@pytest.mark.cpu_time
@pytest.mark.parametrize(
    "make",
    [
        lambda size: "http://" + "a" * size + "/",
        lambda size: "http://" + "a." * size + "/",
        lambda size: "http://" + "\xfc" * size + "/",
        lambda size: "http://" + "1" * size + "/",
        lambda size: "http://h:" + "1" * size + "/",
        lambda size: "http://[" + ":" * size + "]/",
        lambda size: "http://" + "a@" * size + "/",
        lambda size: "http://h/" + "%" * size + "\n",
        lambda size: "a" * size,
        lambda size: "http:" + "/" * size + "\n",
    ],
)
def test_a_url_of_a_million_characters_is_refused_in_linear_time(make: object) -> None:
    text = make(1_000_000)  # type: ignore[operator]  # a lambda above
    began = time.process_time()
    with pytest.raises(InvalidURL) as caught:
        URL.parse(text)
    assert time.process_time() - began < 1  # seconds: it takes milliseconds, and would take hours if quadratic
    assert len(str(caught.value)) < 450


def test_an_ascii_url_imports_neither_idna_nor_ipaddress() -> None:
    code = (
        "import sys; before = set(sys.modules); from httpcore._message.url import URL; "
        "URL.parse('http://example.com/\\xfc'); URL.parse('http://127.0.0.1:8080/'); "
        "assert not {'idna', 'ipaddress'} & (set(sys.modules) - before)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "rest",
    [
        "/",
        "/x",
        "/x?y=/z",
        "?y=/z",
        "?/",
        "",
        "/x#/y",
        "#/x",
        "/\u00e4",
        "/%2f",
        "/%2",
        "/ x",
        "/\\x",
        "//x",
        "/?/#/",
        "/\n",
    ],
)
@pytest.mark.parametrize(
    "start",
    ["http://a.test", "HTTP://A.test:80", "https://[::1]:8443", "http://a.test.", "http://\u00e4.test", "http://"],
)
def test_a_remembered_authority_changes_no_url(start: str, rest: str) -> None:
    """The part after a known beginning is read in the same way as after an unknown one."""

    def read(parse: Callable[[str], URL]) -> URL | str:
        try:
            return parse(start + rest)
        except httpcore.InvalidURL as error:
            return str(error)

    # These are the two parsers that must agree, and the cache of the second one; `URL.parse` uses both.
    _url._places.clear()
    expected = read(_url._parse)
    for before in ("/before", "?before=/", "/x?", rest):
        try:
            # This is the parser with the cache: see above.
            _url._parse_at_place(start + before)
        except httpcore.InvalidURL:
            pass
    # This is the parser with the cache: see above.
    assert read(_url._parse_at_place) == expected
