"""`.netrc`: the same entries as the standard library and curl find, for the intended host and no other."""

from __future__ import annotations

import base64
import netrc as standard
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flows import play
from hypothesis import given
from hypothesis import strategies as st
from real_servers import program
from servers import ScriptedServer, ok

import httpcore
from httpcore import ClientResponse, Request
from httpcore._client.auth import NetrcAuth, auth_of_url
from httpcore._client.netrc import Netrc, NetrcEntry, netrc_path
from httpcore._client.urls import URL


@pytest.fixture(autouse=True)
def _files_of_our_own() -> Iterator[None]:
    """Make the files of the test readable for their owner alone."""
    before = os.umask(0o077)
    yield
    os.umask(before)


FILES: dict[str, str] = {
    "one line": "machine a.test login me password secret",
    "lines": "machine a.test\n\tlogin me\n\tpassword secret\n",
    "CRLF": "machine a.test\r\nlogin me\r\npassword secret\r\n",
    "another order": "machine a.test password secret login me\n",
    "several": "machine b.test login x password y\nmachine a.test login me password secret\n",
    "a comment": "# machine a.test login no password no\nmachine a.test login me password secret # the end\n",
    "a comment without a space": "#comment here\nmachine a.test login me password secret\n",
    "signs in a password": "machine a.test login me password s#e:c@r/e't\n",
    "a password that begins with #": "machine a.test login me password #secret\n",
    "quotes": 'machine a.test login me password "two words"\n',
    "escapes in quotes": 'machine a.test login me password "a\\"b\\\\c"\n',
    "a backslash": "machine a.test login me password a\\b\n",
    "an account": "machine a.test login me account acc password secret\n",
    "a keyword as a value": "machine a.test login machine password default\n",
    "the default": "machine b.test login x password y\ndefault login me password secret\n",
    "the default behind": "machine a.test login me password secret\ndefault login x password y\n",
    "a macro": "macdef init\nmachine a.test login no password no\n\nmachine a.test login me password secret\n",
    "a macro in an entry": "machine b.test login x password y\nmacdef m\ncd /\n\nmachine a.test login me password s\n",
    "not ASCII": "machine a.test login mü password größe\n",
    "another host": "machine b.test login x password y\n",
    "a part of the host": "machine test login x password y\nmachine xa.test login x password y\n",
    "nothing": "",
    "empty lines": "\n\n \n",
}


# Python 3.11 reads a comment's second word as a keyword, and a backslash outside of quotes as an escape, unlike curl.
STANDARD = sorted(set(FILES) - {"a comment without a space", "a backslash"})


@pytest.mark.parametrize("case", STANDARD)
def test_each_file_is_read_as_the_standard_library_does(case: str, tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text(FILES[case], encoding="utf-8", newline="")
    found = standard.netrc(str(path)).authenticators("a.test")
    assert Netrc.read(path).lookup("a.test") == (None if found is None else (found[0], found[2]))


# In curl a comment begins at any place, even in a password, unlike in the standard library.
CURL = sorted(set(FILES) - {"a password that begins with #"})


@pytest.mark.parametrize("case", CURL)
def test_each_file_sends_the_same_as_curl(case: str, tmp_path: Path) -> None:
    curl, path, heads = program("curl"), tmp_path / "netrc", []

    def script(peer: Any) -> None:
        heads.append(peer.head())
        peer.send(ok())

    path.write_text(FILES[case].replace("\r\n", "\n"), encoding="utf-8")
    with ScriptedServer(script) as server:
        place = f"a.test:{server.port}:127.0.0.1"
        subprocess.run(
            [curl, "-s", "--netrc-file", str(path), "--resolve", place, f"http://a.test:{server.port}/"], check=True
        )
    sent = [line for line in heads[0].split(b"\r\n") if line.lower().startswith(b"authorization")]
    request = Request("GET", "http://a.test/")
    play(NetrcAuth(path), request, lambda _: ClientResponse(200))
    ours = [b"Authorization: " + value for value in request.headers.get_raw("authorization")]
    assert ours == sent


BROKEN = {
    "a word": ("machine a.test login me password secret\nnonsense", 2),
    "no host": ("machine", 1),
    "no password": ("machine a.test\nlogin me password", 2),
    "a password of two words": ("machine a.test login me password two words\n", 1),
    "no name of a macro": ("macdef", 1),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_an_error_with_its_line_and_no_secret(case: str) -> None:
    text, line = BROKEN[case]
    with pytest.raises(httpcore.HTTPCoreError, match=rf"'\.netrc', line {line}: ") as raised:
        Netrc.parse(text)
    assert not {"secret", "two", "words", "me"} & set(str(raised.value).replace(":", " ").split())


def test_a_file_that_is_not_utf_8_is_an_error_that_shows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_bytes(b"machine a.test login me password secret\xff")
    with pytest.raises(httpcore.HTTPCoreError, match="is not UTF-8") as raised:
        Netrc.read(path)
    assert raised.value.__context__ is None


@given(st.text('machinelogpswrd ."\\\n#t', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(httpcore.HTTPCoreError):
        Netrc.parse(text).lookup("a.test")


tokens = st.text(st.characters(codec="utf-8", exclude_characters="\n\r", exclude_categories=["Cc", "Zs"]), min_size=1)


@given(st.lists(st.tuples(tokens, tokens, st.text(st.characters(codec="utf-8", exclude_characters="\r")))))
def test_any_entry_written_in_quotes_is_found(entries: list[tuple[str, str, str]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = "".join([f"machine {quoted(h)} login {quoted(u)} password {quoted(p)}\n" for h, u, p in entries])
    found = Netrc.parse(text)
    for host, _, _ in entries:
        first = next(entry for entry in entries if entry[0].lower() == host.lower())
        assert found.lookup(host) == first[1:]


# Which entry.

SEVERAL = Netrc.parse(
    "machine a.test login one password p1\nmachine A.test login two password p2\n"
    "machine b.test password p3\ndefault login anonymous password guest\n"
)
LOOKUPS: dict[tuple[str, str | None], tuple[str, str] | None] = {
    ("a.test", None): ("one", "p1"),
    ("A.TEST", None): ("one", "p1"),
    ("a.test", "one"): ("one", "p1"),
    ("a.test", "two"): ("two", "p2"),
    ("a.test", "three"): None,
    ("a.test", "anonymous"): ("anonymous", "guest"),
    ("b.test", "me"): ("me", "p3"),
    ("b.test", None): ("", "p3"),
    ("c.test", None): ("anonymous", "guest"),
    ("c.test", "me"): None,
    ("sub.a.test", "one"): None,
    ("a.test.", "one"): None,
}


@pytest.mark.parametrize(("host", "login"), LOOKUPS)
def test_the_entry_is_that_of_host_and_login(host: str, login: str | None) -> None:
    assert SEVERAL.lookup(host, login) == LOOKUPS[host, login]


# A URL that shows one host and names another must use the entry of the host that the client connects to
# (CVE-2024-47081).
TRICKY = {
    "http://a.test:@evil.test/": "evil.test",
    "http://a.test@evil.test/": "evil.test",
    "http://evil.test/a.test": "evil.test",
    "http://evil.test/?@a.test": "evil.test",
    "http://evil.test:80/": "evil.test",
    "http://a.test.evil.test/": "a.test.evil.test",
    "http://a.test./": "a.test.",
    "http://a.test:8080/": "a.test",
    "http://A.Test/": "a.test",
}


@pytest.mark.parametrize("url", TRICKY)
def test_credentials_are_those_of_the_host_that_is_connected_to(url: str, tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine a.test password secret-a\nmachine evil.test password secret-evil\n")
    request = Request("GET", url)
    play(NetrcAuth(path), request, lambda _: ClientResponse(200))
    sent = [base64.b64decode(value[6:]).rpartition(b":")[2] for value in request.headers.get_raw("authorization")]
    assert request.url.host == TRICKY[url]
    assert sent == {"a.test": [b"secret-a"], "evil.test": [b"secret-evil"]}.get(TRICKY[url], [])


def test_an_authorization_of_the_request_stays(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("default login me password secret\n")
    request = Request("GET", "http://a.test/", headers={"authorization": "Bearer x"})
    play(NetrcAuth(path), request, lambda _: ClientResponse(200))
    assert request.headers.get_list("authorization") == ["Bearer x"]


def test_a_user_in_the_url_chooses_the_entry(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine a.test login one password p1\nmachine a.test login two password p2\n")
    request = Request("GET", "http://two@a.test/")
    play(NetrcAuth(path), request, lambda _: ClientResponse(200))
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"two:p2").decode()


# Which file.


def test_the_file_is_that_of_the_variable_or_of_the_home_folder(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    assert netrc_path() == str(tmp_path / ".netrc")
    assert NetrcAuth().credentials("a.test") is None  # there is no such file
    (tmp_path / ".netrc").write_text("machine a.test login home password p\n")
    assert NetrcAuth().credentials("a.test") == ("home", "p")
    other = tmp_path / "other"
    other.write_text("machine a.test login other password p\n")
    monkeypatch.setenv("NETRC", str(other))
    assert NetrcAuth().credentials("a.test") == ("other", "p")
    monkeypatch.setenv("NETRC", "")
    assert netrc_path() == str(tmp_path / ".netrc")


def test_the_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine a.test login me password p\n")
    auth = NetrcAuth(path)
    assert auth.credentials("a.test") == ("me", "p")
    path.unlink()
    assert auth.credentials("a.test") == ("me", "p")


def test_a_file_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine a.test login me password secret\n")
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        with pytest.warns(RuntimeWarning, match=f"others may read it: expected mode 600, got {mode:o}"):
            assert Netrc.read(path).lookup("a.test") == ("me", "secret")
    path.write_text("machine a.test login me\n")
    assert Netrc.read(path).lookup("a.test") == ("me", "")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(httpcore.HTTPCoreError, match=r"the netrc file .* cannot be read: No such file"):
        NetrcAuth(tmp_path / "none").credentials("a.test")


def test_no_repr_shows_an_entry() -> None:
    for shown in (SEVERAL, NetrcEntry("a.test", "me", "secret"), NetrcAuth()):
        assert not [word for word in ("one", "p1", "me ", "secret", "guest") if word in repr(shown)]


def test_a_url_without_credentials_has_no_authentication() -> None:
    assert auth_of_url(URL("http://a.test/")) is None
    assert auth_of_url(URL("http://@a.test/")) is None
    assert auth_of_url(URL("http://me@a.test/")) is not None
