"""The proxies of the environment, compared with curl: curl reads them in the same way, or a table states the
difference.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from socket import create_server

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from real_servers import program
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, ok

from httpcore import EnvironmentProxies, InvalidURL, Proxy, proxies_from_environment
from httpcore._message.url import URL

PROXY = "http://proxy.example:3128"


def chosen(environ: Mapping[str, str], url: str) -> str | None:
    """The proxy for a URL, as text."""
    place = URL.parse(url)
    proxy = proxies_from_environment(environ).proxy_for(place.scheme, place.host, place.port)
    return None if proxy is None else str(proxy)


def is_direct(no_proxy: str, url: str) -> bool:
    return chosen({"http_proxy": PROXY, "https_proxy": PROXY, "no_proxy": no_proxy}, url) is None


DIRECT, PROXIED = True, False

SAME = ""
"""The last column of `TABLE` where curl does the same; elsewhere that column gives the reason for the difference."""

AS_DOCUMENTED = "what curl's manual says, and its version 7.88 does not do: it compares IPv6 as text"
LIKE_GO = "Go's rule; curl has another or none"
SELF = "Go's rule: a proxy has a localhost of its own"

TABLE: list[tuple[str, str, bool, str]] = [
    # Empty values, and the star, which stands for all hosts.
    ("", "http://example.com", PROXIED, SAME),
    (" ", "http://example.com", PROXIED, SAME),
    (",", "http://example.com", PROXIED, SAME),
    ("*", "http://example.com", DIRECT, SAME),
    ("*", "http://10.0.0.1", DIRECT, SAME),
    ("*", "http://[2001:db8::1]", DIRECT, SAME),
    ("example.net,*", "http://example.com", DIRECT, LIKE_GO),
    ("*:80", "http://example.com", PROXIED, SAME),
    # Names.
    ("example.com", "http://example.com", DIRECT, SAME),
    ("example.com", "http://www.example.com", DIRECT, SAME),
    ("example.com", "http://a.b.example.com", DIRECT, SAME),
    ("example.com", "http://example.com:8080", DIRECT, SAME),
    ("example.com", "http://nonexample.com", PROXIED, SAME),
    ("example.com", "http://example.com.evil.example", PROXIED, SAME),
    ("example.com", "http://example.net", PROXIED, SAME),
    ("ample.com", "http://example.com", PROXIED, SAME),
    ("www.example.com", "http://example.com", PROXIED, SAME),
    ("com", "http://example.com", DIRECT, SAME),
    ("intranet", "http://intranet", DIRECT, SAME),
    ("intranet", "http://intranet.example", PROXIED, SAME),
    ("my_host", "http://my_host", DIRECT, SAME),
    # Case and trailing dots.
    ("EXAMPLE.com", "http://example.COM", DIRECT, SAME),
    ("example.com.", "http://example.com", DIRECT, SAME),
    ("example.com", "http://example.com.", DIRECT, SAME),
    ("example.com.", "http://www.example.com.", DIRECT, SAME),
    ("example.com..", "http://example.com", PROXIED, SAME),
    # A dot in front, and a star.
    (".example.com", "http://www.example.com", DIRECT, SAME),
    (".example.com", "http://example.com", DIRECT, SAME),
    (".example.com", "http://nonexample.com", PROXIED, SAME),
    ("..example.com", "http://example.com", PROXIED, SAME),
    (".", "http://example.com", PROXIED, SAME),
    (".", "http://example.com.", PROXIED, SAME),
    ("*.example.com", "http://www.example.com", DIRECT, LIKE_GO),
    ("*.example.com", "http://a.b.example.com", DIRECT, LIKE_GO),
    ("*.example.com", "http://example.com", PROXIED, SAME),
    ("*.example.com", "http://nonexample.com", PROXIED, SAME),
    ("*example.com", "http://www.example.com", PROXIED, SAME),
    ("www.*.com", "http://www.example.com", PROXIED, SAME),
    ("*.", "http://example.com", PROXIED, SAME),
    # Lists.
    ("example.net,example.com", "http://example.com", DIRECT, SAME),
    ("example.net, example.com", "http://example.com", DIRECT, SAME),
    (" example.net , ,,\texample.com ", "http://example.com", DIRECT, SAME),
    ("example.net,example.com,", "http://example.org", PROXIED, SAME),
    ("example.net;example.com", "http://example.com", PROXIED, SAME),
    ("example.net|example.com", "http://example.com", PROXIED, SAME),
    # Ports.
    ("example.com:8080", "http://example.com:8080", DIRECT, LIKE_GO),
    ("example.com:8080", "http://www.example.com:8080", DIRECT, LIKE_GO),
    ("example.com:8080", "http://example.com", PROXIED, SAME),
    ("example.com:80", "http://example.com", DIRECT, LIKE_GO),
    ("example.com:0", "http://example.com", PROXIED, SAME),
    ("example.com:http", "http://example.com", PROXIED, SAME),
    ("example.com:00080", "http://example.com", PROXIED, SAME),
    ("example.com:65616", "http://example.com", PROXIED, SAME),
    ("example.com:", "http://example.com", PROXIED, SAME),
    (".example.com:8080", "http://www.example.com:8080", DIRECT, LIKE_GO),
    ("*.example.com:8080", "http://www.example.com:8080", DIRECT, LIKE_GO),
    ("*.example.com:8080", "http://example.com:8080", PROXIED, SAME),
    ("10.0.0.1:8080", "http://10.0.0.1:8080", DIRECT, LIKE_GO),
    ("10.0.0.1:8080", "http://10.0.0.1", PROXIED, SAME),
    ("[2001:db8::1]:8080", "http://[2001:db8::1]:8080", DIRECT, LIKE_GO),
    ("[2001:db8::1]:8080", "http://[2001:db8::1]", PROXIED, SAME),
    # IPv4.
    ("10.0.0.1", "http://10.0.0.1", DIRECT, SAME),
    ("10.0.0.1", "http://10.0.0.1:8080", DIRECT, SAME),
    ("10.0.0.1", "http://10.0.0.11", PROXIED, SAME),
    ("0.0.1", "http://10.0.0.1", PROXIED, SAME),
    (".0.0.1", "http://10.0.0.1", PROXIED, SAME),
    (".10.0.0.1", "http://10.0.0.1", PROXIED, SAME),
    ("10.0.0", "http://10.0.0.1", PROXIED, SAME),
    ("10.", "http://10.0.0.1", PROXIED, SAME),
    ("10.*", "http://10.0.0.1", PROXIED, SAME),
    ("10.0.0.1", "http://a.10.0.0.1.example", PROXIED, SAME),
    ("10.0.0.01", "http://10.0.0.1", PROXIED, SAME),
    ("10.0.0.0/8", "http://10.200.30.4", DIRECT, SAME),
    ("10.0.0.0/8", "http://10.200.30.4:8080", DIRECT, SAME),
    ("10.0.0.0/8", "http://11.0.0.1", PROXIED, SAME),
    ("192.168.0.0/24", "http://192.168.0.255", DIRECT, SAME),
    ("192.168.0.0/24", "http://192.168.1.0", PROXIED, SAME),
    ("192.168.0.77/24", "http://192.168.0.1", DIRECT, SAME),
    ("192.168.0.0/32", "http://192.168.0.1", PROXIED, SAME),
    ("192.168.0.1/32", "http://192.168.0.1", DIRECT, SAME),
    ("192.168.0.1/33", "http://192.168.0.1", PROXIED, SAME),
    ("0.0.0.0/0", "http://192.168.0.1", DIRECT, "curl takes no bits for all of them"),
    ("192.168/16", "http://192.168.0.1", PROXIED, SAME),
    ("10.0.0.0/255.0.0.0", "http://10.0.0.1", PROXIED, SAME),
    ("foo, bar, 192.168.0.0/16", "http://192.168.1.1", DIRECT, SAME),
    ("10.0.0.0/8", "http://example.com", PROXIED, SAME),
    # IPv6.
    ("2001:db8::1", "http://[2001:db8::1]", DIRECT, SAME),
    ("2001:DB8:0:0::1", "http://[2001:db8::1]", DIRECT, AS_DOCUMENTED),
    ("2001:db8::1", "http://[2001:db8:0:0:0:0:0:1]:8080", DIRECT, SAME),
    ("[2001:db8::1]", "http://[2001:db8::1]", DIRECT, LIKE_GO),
    ("2001:db8::1", "http://[2001:db8::2]", PROXIED, SAME),
    ("2001:db8::/32", "http://[2001:db8:ffff::1]", DIRECT, AS_DOCUMENTED),
    ("2001:db8::/32", "http://[2001:db9::1]", PROXIED, SAME),
    ("2001:db8::/129", "http://[2001:db8::1]", PROXIED, SAME),
    ("fd00::/8", "http://[fd12:3456::1]", DIRECT, AS_DOCUMENTED),
    ("::/0", "http://[2001:db8::1]", DIRECT, "curl takes no bits for all of them"),
    ("10.0.0.0/8", "http://[::ffff:10.0.0.1]", DIRECT, LIKE_GO),
    ("::ffff:10.0.0.1", "http://10.0.0.1", DIRECT, LIKE_GO),
    ("::ffff:10.0.0.0/104", "http://10.200.0.1", DIRECT, LIKE_GO),
    ("0.0.0.0/0", "http://[2001:db8::1]", PROXIED, SAME),
    ("::/0", "http://10.0.0.1", PROXIED, SAME),
    ("fe80::1%eth0", "http://[fe80::1]", PROXIED, SAME),
    ("fe80::%eth0/10", "http://[fe80::1]", PROXIED, SAME),
    # Hosts that lead to this machine itself.
    ("", "http://localhost", DIRECT, SELF),
    ("", "http://LOCALHOST.:8080", DIRECT, SELF),
    ("", "http://a.localhost", DIRECT, SELF),
    ("", "http://127.0.0.1", DIRECT, SELF),
    ("", "http://127.200.0.1:8080", DIRECT, SELF),
    ("", "http://[::1]", DIRECT, SELF),
    ("", "http://[::ffff:127.0.0.1]", DIRECT, SELF),
    ("", "http://localhost.example", PROXIED, SAME),
    ("", "http://notlocalhost", PROXIED, SAME),
    ("", "http://128.0.0.1", PROXIED, SAME),
    ("", "http://[::2]", PROXIED, SAME),
    # Texts that are not valid entries.
    ("http://example.com", "http://example.com", PROXIED, SAME),
    ("user@example.com", "http://example.com", PROXIED, SAME),
    ("example.com/", "http://example.com", PROXIED, SAME),
    ("example.com/24", "http://example.com", PROXIED, SAME),
    ("[example.com]", "http://example.com", PROXIED, SAME),
    ("example.com#", "http://example.com", PROXIED, SAME),
    # Names in other scripts.
    ("b\xfccher.example", "http://www.xn--bcher-kva.example", DIRECT, "curl leaves the entry as it is"),
    ("xn--bcher-kva.example", "http://xn--bcher-kva.example", DIRECT, SAME),
    (".B\xdcCHER.example", "http://xn--bcher-kva.example", DIRECT, "curl leaves the entry as it is"),
]


@pytest.mark.parametrize(("no_proxy", "url", "direct"), [row[:3] for row in TABLE])
def test_no_proxy_decides_which_urls_need_no_proxy(no_proxy: str, url: str, direct: bool) -> None:
    assert is_direct(no_proxy, url) is direct


def test_the_table_of_no_proxy_has_sixty_different_rows() -> None:
    assert len({row[:2] for row in TABLE}) == len(TABLE) > 60


# curl as the reference.


@contextmanager
def both() -> Iterator[int]:
    """A port at which a request for an origin is served, and a request for a proxy is refused with 407."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                line = connection.makefile("rb").readline()
                is_for_a_proxy = line.startswith(b"CONNECT") or b"http://" in line
                status = b"407 X" if is_for_a_proxy else b"200 X"
                connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(2)
            thread.join()


def quoted(text: str) -> str:
    """Quote a text as a value in a file of curl's options."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'


def verdicts_of_curl(curl: str) -> list[bool]:
    """For each row of the table, whether curl connects directly. One process does all rows."""
    with both() as port:
        blocks = [
            "\n".join(
                [
                    f"url = {quoted(url)}",
                    f"noproxy = {quoted(no_proxy)}",
                    f"proxy = http://127.0.0.1:{port}",
                    f'connect-to = "::127.0.0.1:{port}"',
                    "output = /dev/null",
                    'write-out = "%{http_connect} %{http_code}\\n"',
                    "silent",
                    "globoff",
                    "max-time = 20",
                ]
            )
            for no_proxy, url, _, _ in TABLE
        ]
        done = subprocess.run(
            [curl, "-q", "-K", "-"],
            input="\nnext\n".join(blocks),
            capture_output=True,
            text=True,
            timeout=60,
            env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
        )
    meaning = {"407 000": PROXIED, "000 407": PROXIED, "000 200": DIRECT}
    lines = done.stdout.splitlines()
    assert len(lines) == len(TABLE), done.stderr
    assert {row[:2]: line for row, line in zip(TABLE, lines, strict=True) if line not in meaning} == {}
    return [meaning[line] for line in lines]


def test_curl_agrees_with_each_row_or_its_difference() -> None:
    curl = program("curl")
    version = subprocess.run([curl, "-q", "--version"], capture_output=True, text=True, check=True).stdout
    numbers = re.match(r"curl (\d+)\.(\d+)", version)
    assert numbers is not None
    if (int(numbers[1]), int(numbers[2])) < (7, 88):
        pytest.skip("curl before 7.88 knows no networks, or has faults with them")
    wrong = [
        (no_proxy, url)
        for (no_proxy, url, direct, why), verdict in zip(TABLE, verdicts_of_curl(curl), strict=True)
        if why != AS_DOCUMENTED and verdict is not (direct if why == SAME else not direct)
    ]
    assert wrong == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_proxy_holds_for_both_schemes(scheme: str) -> None:
    assert is_direct("example.com", f"{scheme}://example.com")
    assert not is_direct("example.net", f"{scheme}://example.com")
    assert is_direct("", f"{scheme}://localhost")


def test_the_port_of_the_scheme_is_the_port_of_a_url_without_one() -> None:
    assert is_direct("example.com:443", "https://example.com")
    assert not is_direct("example.com:443", "http://example.com")
    assert is_direct("example.com:80", "http://example.com")
    assert not is_direct("example.com:80", "https://example.com")


# Hosts that a URL cannot have, but a caller of `proxy_for` can.


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*.example.com", "::1%25.example.com", True),  # ::1 is this machine
        ("*.example.com", "2001:db8::1%25.example.com", False),
        ("*.example.com", "2001:db8::1%.example.com", False),
        ("example.com", "2001:db8::1%example.com", False),
        ("fe80::1", "fe80::1%eth0", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("fe80::1%eth0", "fe80::1%eth1", False),
        ("fe80::1%eth0", "fe80::1", False),
        ("EXAMPLE.com", "EXAMPLE.COM.", True),
        ("example.com", "", False),
        ("*", "", True),
    ],
)
def test_a_zone_identifier_is_no_name(no_proxy: str, host: str, direct: bool) -> None:
    proxies = proxies_from_environment({"http_proxy": PROXY, "no_proxy": no_proxy})
    assert (proxies.proxy_for("http", host, 80) is None) is direct


# Properties.

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda label: label[2:4] != "--")
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join).filter(lambda name: not name.endswith("localhost"))


@given(NAME, LABEL)
def test_a_name_covers_itself_and_its_subdomains_alone(name: str, label: str) -> None:
    assert is_direct(name, f"http://{name}")
    assert is_direct(name, f"http://{label}.{name}")
    assert not is_direct(name, f"http://{label}{name}")
    assert not is_direct(f"*.{name}", f"http://{name}")
    assert is_direct(f"*.{name}", f"http://{label}.{name}")


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 32))
@example(0x0A000001, 0x0AFFFFFF, 8)
def test_an_ipv4_network_covers_its_addresses_and_no_other(one: int, other: int, bits: int) -> None:
    network = f"{IPv4Address(one)}/{bits}"
    covered = IPv4Address(other) in ip_network(network, strict=False)
    assert is_direct(network, f"http://{IPv4Address(one)}")
    assert is_direct(network, f"http://{IPv4Address(other)}") is (covered or other >> 24 == 127)
    assert is_direct(network, f"http://[::ffff:{IPv4Address(other)}]") is (covered or other >> 24 == 127)


@given(st.integers(2**64, 2**128 - 1), st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_an_ipv6_network_covers_its_addresses_and_no_other(one: int, turned: int, bits: int) -> None:
    network = f"{IPv6Address(one)}/{bits}"
    other = IPv6Address(one ^ turned >> bits // 2)
    assert is_direct(network, f"http://[{IPv6Address(one)}]")
    if other.ipv4_mapped is None and not other.is_loopback:
        assert is_direct(network, f"http://[{other}]") is (other in IPv6Network(network, strict=False))


@given(st.text(max_size=60), st.sampled_from(["example.com", "10.0.0.1", "2001:db8::1", "a_b.c-d.example."]))
def test_no_value_of_no_proxy_is_an_error(no_proxy: str, host: str) -> None:
    proxies = proxies_from_environment({"http_proxy": PROXY, "no_proxy": no_proxy})
    assert proxies.proxy_for("http", host, 80) in (None, Proxy(PROXY))
    assert proxies_from_environment({"http_proxy": PROXY, "no_proxy": " ".join(proxies.no_proxy)}) == proxies


# The variables.

A, B, C, D = (f"http://{letter}.example:1" for letter in "abcd")


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, None, None),
        ({"http_proxy": A}, A, None),
        ({"https_proxy": A}, None, A),
        ({"HTTP_PROXY": A}, A, None),
        ({"HTTPS_PROXY": A}, None, A),
        ({"all_proxy": A}, A, A),
        ({"ALL_PROXY": A}, A, A),
        ({"http_proxy": A, "HTTP_PROXY": B}, A, None),
        ({"https_proxy": A, "HTTPS_PROXY": B}, None, A),
        ({"all_proxy": A, "ALL_PROXY": B}, A, A),
        ({"HTTP_PROXY": A, "all_proxy": B}, A, B),
        ({"http_proxy": A, "https_proxy": B, "ALL_PROXY": C}, A, B),
        ({"http_proxy": "", "HTTP_PROXY": A}, A, None),
        ({"http_proxy": "  ", "all_proxy": A}, A, A),
        ({"Http_Proxy": A}, None, None),
        ({"ftp_proxy": A, "no_proxy": "*"}, None, None),
        ({"HTTP_PROXY": A, "HTTPS_PROXY": B, "REQUEST_METHOD": "GET"}, None, B),
        ({"HTTP_PROXY": A, "REQUEST_METHOD": ""}, None, None),
        ({"HTTP_PROXY": A, "http_proxy": B, "REQUEST_METHOD": "GET"}, B, None),
        ({"HTTP_PROXY": A, "ALL_PROXY": B, "REQUEST_METHOD": "GET"}, B, B),
    ],
)
def test_proxy_variables_have_an_order_of_precedence(
    environ: dict[str, str], http: str | None, https: str | None
) -> None:
    assert chosen(environ, "http://example.com") == http
    assert chosen(environ, "https://example.com") == https


def test_with_variables_in_capitals_a_cgi_program_reads_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httpcore._connect.environment._CAPITALS_ONLY", True)
    assert chosen({"http_proxy": A, "HTTP_PROXY": A, "REQUEST_METHOD": "GET"}, "http://example.com") is None
    assert chosen({"http_proxy": A, "HTTP_PROXY": A}, "http://example.com") == A


@pytest.mark.parametrize(
    ("environ", "direct"),
    [
        ({"no_proxy": "example.com"}, True),
        ({"NO_PROXY": "example.com"}, True),
        ({"no_proxy": "example.com", "NO_PROXY": "example.net"}, True),
        ({"no_proxy": "example.net", "NO_PROXY": "example.com"}, False),
        ({"no_proxy": "", "NO_PROXY": "example.com"}, True),
    ],
)
def test_no_proxy_in_lower_case_wins_over_upper_case(environ: dict[str, str], direct: bool) -> None:
    assert (chosen({"http_proxy": PROXY, **environ}, "http://example.com") is None) is direct


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("proxy.example", Proxy("http://proxy.example:80")),
        ("proxy.example:3128", Proxy("http://proxy.example:3128")),
        (" http://proxy.example:3128/ ", Proxy("http://proxy.example:3128")),
        ("HTTP://PROXY.example:3128", Proxy("http://proxy.example:3128")),
        ("[2001:db8::1]:3128", Proxy("http://[2001:db8::1]:3128")),
        ("10.0.0.1:3128", Proxy("http://10.0.0.1:3128")),
        ("https://proxy.example", Proxy("https://proxy.example:443")),
        ("socks5://proxy.example", Proxy("socks5://proxy.example:1080")),
        ("socks5h://proxy.example", Proxy("socks5h://proxy.example:1080")),
        ("user:pass@proxy.example:3128", Proxy("http://proxy.example:3128", auth=("user", "pass"))),
        ("http://us%40er:p%3Ass@proxy.example:1", Proxy("http://proxy.example:1", auth=("us@er", "p:ss"))),
    ],
)
def test_each_valid_value_of_a_variable_is_its_proxy(value: str, proxy: Proxy) -> None:
    proxies = proxies_from_environment({"HTTPS_PROXY": value})
    assert proxies == EnvironmentProxies(https=proxy)
    assert proxies.proxy_for("https", "example.com", 443) == proxy


CANARY = "c4n4ry"

BAD = [
    f"ftp://user:{CANARY}@proxy.example",
    f"socks9://user:{CANARY}@proxy.example",
    f"http://user:{CANARY}@proxy.example/path",
    f"http://user:{CANARY}@",
    f"http://user:{CANARY}@proxy.example:99999",
    f"user:{CANARY}@proxy.example:port",
    f"user:{CANARY}@exa mple:1",
    f"user:{CANARY}%zz@proxy.example:1",
    f"user:{CANARY}/@proxy.example:1",
    f"user:{CANARY}#@proxy.example:1",
    f"user:{CANARY}@{CANARY}@proxy.example:1",
    f"us%3Aer:{CANARY}@proxy.example:1",
    f"user:{CANARY}%0A@proxy.example:1",
    f"socks4://user:{CANARY}@proxy.example:1",
    f"socks5://:{CANARY}@proxy.example:1",
    f"//user:{CANARY}@proxy.example:1",
    f"user:{CANARY}\udcff@proxy.example:1",
]


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("value", BAD)
def test_a_bad_value_names_the_variable_and_no_password(variable: str, value: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        proxies_from_environment({variable: value})
    assert str(caught.value).startswith(f"{variable} in the environment: ")
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_variable_that_is_not_needed_may_have_anything_in_it() -> None:
    environ = {"http_proxy": A, "https_proxy": B, "ALL_PROXY": "socks://desktop.example:1080/"}
    assert chosen(environ, "http://example.com") == A
    assert chosen(environ, "https://example.com") == B


# The value.


def test_environment_proxies_are_a_value() -> None:
    environ = {"http_proxy": f"http://user:{CANARY}@a.example", "no_proxy": "example.com, 10.0.0.0/8,???"}
    one, other = proxies_from_environment(environ), proxies_from_environment(dict(environ))
    assert one == other
    assert hash(one) == hash(other)
    assert one != proxies_from_environment({**environ, "no_proxy": "example.com"})
    assert one != proxies_from_environment({**environ, "http_proxy": "http://user:other@a.example"})
    assert one.no_proxy == ("example.com", "10.0.0.0/8")
    assert pickle.loads(pickle.dumps(one)) == one
    assert CANARY not in repr(one)
    with pytest.raises(AttributeError):
        one.http = None  # type: ignore[misc]


def test_the_environment_is_read_when_requested_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert proxies_from_environment() == EnvironmentProxies()
    monkeypatch.setenv("HTTP_PROXY", A)
    proxies = proxies_from_environment()
    monkeypatch.setenv("HTTP_PROXY", B)
    assert str(proxies.proxy_for("http", "example.com", 80)) == A


# A pool that uses the environment.


@each_runtime
def test_pool_chooses_for_each_origin_and_only_proxy_is_named(runtime: Runtime) -> None:
    heads: dict[str, list[bytes]] = {"proxy": [], "origin": []}

    def noting(party: str) -> ScriptedServer:
        def script(peer: Peer) -> None:
            while head := peer.head():
                heads[party].append(head)
                peer.send(ok(party.encode()))

        return ScriptedServer(script)

    async def body(proxy: ScriptedServer, origin: ScriptedServer) -> None:
        environ = {"http_proxy": f"user:pass@127.0.0.1:{proxy.port}", "no_proxy": "127.0.0.0/8"}
        async with runtime.pool(proxy=proxies_from_environment(environ)) as http:
            assert (await http.request("GET", "http://example.test/a")).body == b"proxy"
            assert (await http.request("GET", f"{origin.url}/b")).body == b"origin"
            assert (await http.request("GET", "http://example.test/c")).body == b"proxy"

    with noting("proxy") as proxy, noting("origin") as origin:
        runtime.run(body, proxy, origin)
        assert (proxy.connections, origin.connections) == (1, 1)
    assert [head.split(b"\r\n")[0] for head in heads["proxy"]] == [
        b"GET http://example.test/a HTTP/1.1",
        b"GET http://example.test/c HTTP/1.1",
    ]
    assert all(b"proxy-authorization: basic" in head.lower() for head in heads["proxy"])
    assert heads["origin"][0].startswith(b"GET /b HTTP/1.1\r\n")
    assert b"proxy-authorization" not in heads["origin"][0].lower()


@pytest.mark.parametrize("value", ["socks://proxy.example", "SOCKS://proxy.example:1080/"])
def test_socks_in_the_environment_is_socks5_with_remote_names(value: str) -> None:
    proxies = proxies_from_environment({"ALL_PROXY": value})
    assert proxies.http == proxies.https == Proxy("socks5h://proxy.example:1080")


def test_socks_in_the_environment_keeps_user_name_and_password() -> None:
    found = proxies_from_environment({"all_proxy": "socks://user:secret@proxy.example:9"}).https
    assert found == Proxy("socks5h://proxy.example:9", auth=("user", "secret"))
