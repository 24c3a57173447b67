"""Challenges, and the answers of Digest: the vectors of RFC 7616, and the results of curl, httpx2 and CherryPy."""

from __future__ import annotations

import subprocess
import time
from typing import Any
from urllib.request import parse_http_list

import httpx2
import pytest
from cherrypy.lib.auth_digest import HttpDigestAuthorization, get_ha1_dict_plain, synthesize_nonce
from hypothesis import given, settings
from hypothesis import strategies as st
from real_servers import program
from servers import ScriptedServer, ok

from httpcore import LocalProtocolError
from httpcore._client.challenges import Challenge, parse_challenges, parse_parameters
from httpcore._client.digest import (
    DigestSession,
    choose_challenge,
    digest_hash,
    digest_response,
    secret_of,
)

# Challenges.

Read = list[tuple[str, dict[str, str], str | None]]
LISTS: dict[str, tuple[list[bytes], Read]] = {
    "one": ([b'Basic realm="a"'], [("basic", {"realm": "a"}, None)]),
    "a token": ([b"Basic realm=a"], [("basic", {"realm": "a"}, None)]),
    "several in a field": (
        [b'Digest realm="a", nonce="n", Basic realm="b", Negotiate'],
        [("digest", {"realm": "a", "nonce": "n"}, None), ("basic", {"realm": "b"}, None), ("negotiate", {}, None)],
    ),
    "several fields": ([b"A b=c", b"D e=f"], [("a", {"b": "c"}, None), ("d", {"e": "f"}, None)]),
    "a comma in quotes": ([b'Digest realm="a, Basic realm=b"'], [("digest", {"realm": "a, Basic realm=b"}, None)]),
    "escapes": ([rb'Digest realm="a\"b\\c\d"'], [("digest", {"realm": 'a"b\\cd'}, None)]),
    "token68": ([b"Negotiate abc+/==, NTLM TlRM="], [("negotiate", {}, "abc+/=="), ("ntlm", {}, "TlRM=")]),
    "empty elements": (
        [b", ,Basic realm=a,,  , Digest nonce=n,"],
        [("basic", {"realm": "a"}, None), ("digest", {"nonce": "n"}, None)],
    ),
    "white space": (
        [b'Basic   realm = "a" ,\tcharset\t=\tUTF-8'],
        [("basic", {"realm": "a", "charset": "UTF-8"}, None)],
    ),
    "names in any case": ([b"BASIC REALM=A"], [("basic", {"realm": "A"}, None)]),
    "octets": ([b'Basic realm="\xc3\xa9\xff"'], [("basic", {"realm": "Ã©ÿ"}, None)]),
    "an empty value": ([b'Digest opaque="", nonce=n'], [("digest", {"opaque": "", "nonce": "n"}, None)]),
    "nothing": ([b""], []),
    "a parameter without a scheme": ([b"realm=a"], []),
    "a parameter twice": ([b"Digest realm=a, realm=b, Basic realm=c"], [("basic", {"realm": "c"}, None)]),
    "an unknown one in front": (
        [b'New a=b, c="d", Digest nonce=n'],
        [("new", {"a": "b", "c": "d"}, None), ("digest", {"nonce": "n"}, None)],
    ),
    "quotes without an end": ([b'Digest realm="a', b"Basic realm=c"], [("basic", {"realm": "c"}, None)]),
    "an escape of nothing": ([b'Digest realm="a\\', b"Basic realm=c"], [("basic", {"realm": "c"}, None)]),
    "an escape of nothing, elsewhere": ([b'"\\', b'a "\\', b"Basic realm=c"], [("basic", {"realm": "c"}, None)]),
    "garbage behind quotes": ([b'Digest realm="a"b, Basic realm=c'], [("basic", {"realm": "c"}, None)]),
    "a space in a token": ([b"Digest realm=a b, Basic realm=c"], [("basic", {"realm": "c"}, None)]),
    "no value": ([b"Digest realm=, nonce=n, Basic realm=c"], [("basic", {"realm": "c"}, None)]),
    "a sign that no token has": ([b"Dig(est realm=a, Basic realm=c"], [("basic", {"realm": "c"}, None)]),
    "token68 and a parameter": ([b"Digest abc==, realm=c, Basic realm=d"], [("basic", {"realm": "d"}, None)]),
}


@pytest.mark.parametrize("case", LISTS)
def test_challenges_are_read_as_rfc_9110_lists_them(case: str) -> None:
    values, expected = LISTS[case]
    found = parse_challenges(values)
    assert [(each.scheme, each.parameters, each.token68) for each in found] == expected


def test_authentication_info_has_parameters_and_no_scheme() -> None:
    value = b'nextnonce="n,\\"1", qop=auth , rspauth="ab"'
    assert parse_parameters([value, b"nc=00000001"]) == {
        "nextnonce": 'n,"1',
        "qop": "auth",
        "rspauth": "ab",
        "nc": "00000001",
    }
    for broken in (b"", b"a=b, a=c", b"Digest a=b", b'a="b', b"a=b c"):
        assert parse_parameters([broken]) == {}


@settings(max_examples=2_000)
@given(st.lists(st.text('ab=", \\\t/()é', max_size=30), max_size=3))
def test_any_field_is_read_and_hides_no_challenge_behind_it(values: list[str]) -> None:
    fields = [value.encode("latin-1") for value in values]
    assert parse_challenges([*fields, b"Digest nonce=n"])[-1:] == [Challenge("digest", {"nonce": "n"})]


@pytest.mark.cpu_time
def test_challenges_are_read_in_linear_time() -> None:
    def cpu_time(size: int) -> float:
        texts = [
            b"a " * size,
            b"a=b," * size,
            b'"' * size,
            b'x="\\' * size,
            b"a b=c," * size,
            b'a b="' + b"\\" * size,
            b" ," * size,
        ]
        began = time.process_time()
        for text in texts:
            parse_challenges([text])
        return time.process_time() - began

    cpu_time(100)
    small, large = (min(cpu_time(size) for _ in range(3)) for size in (2_000, 8_000))
    assert large < 12 * small


# The vectors of RFC 7616, section 3.9 (the second as corrected by erratum 4897), of RFC 2617, and of RFC 2069's rule.

NONCE = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
JASON, API = "Jäsøn Doe".encode(), b"api@example.org"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", b"8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_first_example_of_rfc_7616_has_its_digest(algorithm: str, response: bytes) -> None:
    secret = secret_of(algorithm, b"Mufasa", b"http-auth@example.org", b"Circle of Life")
    facts = {"nonce": NONCE, "nc": b"00000001", "cnonce": CNONCE, "qop": b"auth", "uri": b"/dir/index.html"}
    assert digest_response(algorithm, secret=secret, method=b"GET", **facts) == response


def test_the_second_example_of_rfc_7616_has_its_digest() -> None:
    hashed = digest_hash("SHA-512-256")
    assert hashed is not None
    assert hashed(JASON + b":" + API) == b"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    facts = {
        "nonce": b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        "cnonce": b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        "nc": b"00000001",
        "qop": b"auth",
        "uri": b"/doe.json",
    }
    secret = secret_of("SHA-512-256", JASON, API, b"Secret, or not?")
    response = digest_response("SHA-512-256", secret=secret, method=b"GET", **facts)
    assert response == b"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


def test_the_example_of_rfc_2617_has_its_digest() -> None:
    secret = secret_of("MD5", b"Mufasa", b"testrealm@host.com", b"Circle Of Life")
    assert secret == b"939e7578ed9e3c518a452acee763bce9"
    facts = {"nonce": b"dcd98b7102dd2f0e8b11d0f600bfb0c093", "nc": b"00000001", "cnonce": b"0a4f113b", "qop": b"auth"}
    response = digest_response("MD5", secret=secret, method=b"GET", uri=b"/dir/index.html", **facts)
    assert response == b"6629fae49393a05397450978507c4ef1"


def challenge_of(text: str) -> Challenge:
    [challenge] = parse_challenges([text.encode()])
    return challenge


def parameters_of(value: bytes | str) -> dict[str, str]:
    """The parameters of an Authorization field, by the standard library's parser."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    assert text.startswith("Digest ")
    pairs = [item.split("=", 1) for item in parse_http_list(text.removeprefix("Digest "))]
    assert len(dict(pairs)) == len(pairs)
    return {name: found.removeprefix('"').removesuffix('"') for name, found in pairs}


def test_the_second_examples_names_are_hashed_or_encoded() -> None:
    text = f'Digest realm="{API.decode()}", qop="auth", algorithm=SHA-512-256, nonce="n", opaque="o", charset=UTF-8'
    hashed = parameters_of(
        DigestSession(challenge_of(text + ", userhash=true"), JASON, b"p").answer(b"GET", b"/", b"").value
    )
    assert hashed["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert hashed["userhash"] == "true"
    plain = parameters_of(DigestSession(challenge_of(text), JASON, b"p").answer(b"GET", b"/", b"").value)
    assert plain["username*"] == "UTF-8''J%C3%A4s%C3%B8n%20Doe"
    assert "username" not in plain
    assert (plain["opaque"], plain["algorithm"], plain["nc"], plain["qop"]) == ("o", "SHA-512-256", "00000001", "auth")


# The results of other implementations for the same challenge.

USER, PASSWORD = "Mufasa", "Circle of Life"
SERVED = {
    "none": 'Digest realm="cave", nonce="{nonce}"',
    "no qop": 'Digest realm="cave", nonce="{nonce}", algorithm=MD5',
    "MD5": 'Digest realm="cave", nonce="{nonce}", algorithm=MD5, qop="auth"',
    "no algorithm": 'Digest realm="cave", nonce="{nonce}", qop="auth", opaque="op"',
    "MD5-sess": 'Digest realm="cave", nonce="{nonce}", algorithm=MD5-sess, qop="auth"',
    "SHA-256": 'Digest realm="cave", nonce="{nonce}", algorithm=SHA-256, qop="auth", opaque="a"',
    "SHA-256-sess": 'Digest realm="cave", nonce="{nonce}", algorithm=SHA-256-sess, qop="auth"',
    "both qops": 'Digest realm="cave", nonce="{nonce}", algorithm=MD5, qop="auth-int, auth"',
    "escapes": 'Digest realm="the \\"inner\\" \\\\ cave", nonce="{nonce}", algorithm=MD5, qop="auth"',
    "userhash": 'Digest realm="cave", nonce="{nonce}", algorithm=SHA-256, qop="auth", userhash=true',
    "lower case": 'digest REALM="cave", Nonce="{nonce}", algorithm=md5, qop=auth',
}
TARGET = "/a/b?c=d%20e"


def check(served: str, sent: dict[str, str], username: str = USER, body: bytes = b"") -> None:
    """With the client nonce that another client sent, we send the same credentials as that client."""
    challenge = challenge_of(served)
    algorithm = challenge.parameters.get("algorithm", "MD5")
    realm, nonce = (challenge.parameters[name].encode() for name in ("realm", "nonce"))
    cnonce = sent.get("cnonce", "").encode()
    secret = secret_of(algorithm, username.encode(), realm, PASSWORD.encode(), nonce, cnonce)
    facts = {"nonce": nonce, "cnonce": cnonce, "nc": sent.get("nc", "").encode(), "qop": sent.get("qop", "").encode()}
    response = digest_response(algorithm, secret=secret, method=b"GET", uri=TARGET.encode(), body=body, **facts)
    assert sent["response"] == response.decode()
    session = DigestSession(challenge, username.encode(), PASSWORD.encode())
    ours = parameters_of(session.answer(b"GET", TARGET.encode(), body).value)
    for name in ours.keys() - {"cnonce", "response", "algorithm"}:
        assert ours[name] == sent[name], name
    assert sent.keys() - ours.keys() <= {"algorithm"}


@pytest.mark.parametrize("case", SERVED)
def test_curl_computes_the_same(case: str) -> None:
    heads = []
    served = SERVED[case].format(nonce="n0nce/+=")

    def script(peer: Any) -> None:
        while head := peer.head():
            heads.append(head)
            if b"\r\nAuthorization: " in head:
                peer.send(ok())
            else:
                field = f"WWW-Authenticate: {served}".encode()
                peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n" + field + b"\r\n\r\n")

    with ScriptedServer(script) as server:
        command = [program("curl"), "-s", "--digest", "-u", f"{USER}:{PASSWORD}", server.url + TARGET]
        subprocess.run(command, check=True, capture_output=True)
    value = heads[-1].partition(b"\r\nAuthorization: ")[2].partition(b"\r\n")[0]
    check(served, parameters_of(value))


@pytest.mark.parametrize(
    "case", sorted(SERVED.keys() - {"userhash", "lower case", "escapes"})
)  # httpx2 does not handle these cases
@pytest.mark.parametrize("username", [USER, "müller"])
def test_httpx2_computes_the_same(case: str, username: str) -> None:
    served = SERVED[case].format(nonce="n0nce")
    flow = httpx2.DigestAuth(username, PASSWORD).auth_flow(httpx2.Request("GET", f"http://a.test{TARGET}"))
    request = next(flow)
    request = flow.send(httpx2.Response(401, headers={"www-authenticate": served}, request=request))
    check(served, parameters_of(dict(request.headers.raw)[b"Authorization"]), username)


@pytest.mark.parametrize("body", [b"", b"body", bytes(range(256))])
@pytest.mark.parametrize("qop", ["auth-int", "auth"])
def test_cherrypy_accepts_the_answer(qop: str, body: bytes) -> None:
    nonce = synthesize_nonce("cave", "key")
    session = DigestSession(
        challenge_of(f'Digest realm="cave", nonce="{nonce}", qop="{qop}", algorithm=MD5'),
        USER.encode(),
        PASSWORD.encode(),
    )
    for number in (1, 2):
        value = session.answer(b"POST", b"/a?b", body).value.decode()
        read = HttpDigestAuthorization(value, "POST")
        assert (read.qop, int(read.nc, 16), read.username) == (qop, number, USER)
        assert read.validate_nonce("cave", "key")
        secret = get_ha1_dict_plain({USER: PASSWORD})("cave", USER)
        assert read.request_digest(secret, body.decode("latin-1")) == read.response or not body.isascii()
        assert read.request_digest(secret, "another") != read.response or qop == "auth"


# Which challenge, and which quality of protection.


def offer(algorithm: str = "MD5", **more: str) -> str:
    seen = {"realm": "r", "nonce": "n", "qop": "auth", "algorithm": algorithm, **more}
    return "Digest " + ", ".join([f'{name}="{value}"' for name, value in seen.items() if value])


CHOICES: dict[str, tuple[list[str], tuple[str, ...], str | None]] = {
    "the strongest": ([offer("MD5"), offer("SHA-256"), offer("SHA-512-256")], (), "SHA-512-256"),
    "the strongest wherever it stands": ([offer("SHA-256"), offer("MD5")], (), "SHA-256"),
    "a session counts as its algorithm": ([offer("MD5"), offer("SHA-256-sess")], (), "SHA-256-sess"),
    "the first of equals": ([offer("SHA-256", opaque="1"), offer("SHA-256-sess")], (), "SHA-256"),
    "beside other schemes": ([offer("MD5"), 'Basic realm="r"', "Negotiate"], (), "MD5"),
    "an unknown algorithm": ([offer("SHA-3"), offer("MD5")], (), "MD5"),
    "only an unknown algorithm": ([offer("SHA-3")], (), None),
    "MD5 under another name": ([offer("MD5 ")], (), None),
    "an unknown qop": ([offer("SHA-256", qop="auth-new"), offer("MD5")], (), "MD5"),
    "an empty qop": (['Digest realm=r, nonce=n, qop=""'], (), None),
    "no nonce": ([offer("SHA-256", nonce=""), offer("MD5")], (), "MD5"),
    "no realm": (["Digest nonce=n, qop=auth"], (), None),
    "only Basic": (['Basic realm="r"'], (), None),
    "only what is allowed": ([offer("MD5"), offer("SHA-256")], ("MD5",), "MD5"),
    "nothing that is allowed": ([offer("MD5")], ("SHA-512-256", "SHA-256"), None),
    "the preferred one": ([offer("MD5"), offer("SHA-256")], ("MD5", "SHA-256"), "MD5"),
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_challenge_is_the_strongest_that_is_allowed(case: str) -> None:
    offers, allowed, expected = CHOICES[case]
    challenges = parse_challenges([text.encode() for text in offers])
    found = choose_challenge(challenges, *([allowed] if allowed else []))
    assert (None if found is None else found.parameters["algorithm"]) == expected


@pytest.mark.parametrize(
    ("qop", "integrity", "body", "expected"),
    [
        ("auth", False, b"x", "auth"),
        ("auth", True, b"x", "auth"),
        ("auth-int", False, b"x", "auth-int"),
        ("auth,auth-int", False, b"x", "auth"),
        ("auth, auth-int", True, b"x", "auth-int"),
        ("AUTH-INT auth", True, None, "auth"),
        ("auth", False, None, "auth"),
        ("auth-new, auth", True, b"", "auth"),
    ],
)
def test_the_quality_of_protection_is_chosen(qop: str, integrity: bool, body: bytes | None, expected: str) -> None:
    session = DigestSession(challenge_of(offer(qop=qop)), b"u", b"p", integrity=integrity)
    assert parameters_of(session.answer(b"PUT", b"/", body).value)["qop"] == expected


def test_a_stream_cannot_have_its_body_protected() -> None:
    session = DigestSession(challenge_of(offer(qop="auth-int")), b"u", b"p")
    with pytest.raises(LocalProtocolError, match=r"qop=auth-int.*: expected a body in memory, got a stream"):
        session.answer(b"PUT", b"/", None)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")), st.binary(max_size=5))
def test_no_received_text_ends_its_quotes(text: str, username: bytes) -> None:
    username = bytes([byte for byte in username if byte >= 32 and byte != 127])
    parameters = {"realm": text, "nonce": text + "n", "opaque": text, "qop": "auth"}
    answer = DigestSession(Challenge("digest", parameters), username, b"p").answer(b"GET", b"/", b"")
    [read] = parse_challenges([answer.value])
    names = {"username", "realm", "nonce", "uri", "response", "opaque", "qop", "nc", "cnonce"}
    assert read.parameters.keys() == names
    assert {name: read.parameters[name] for name in ("realm", "nonce", "opaque")} == {
        "realm": text,
        "nonce": text + "n",
        "opaque": text,
    }
    assert read.parameters["username"].encode("latin-1") == username


def test_client_nonces_are_random_and_fresh() -> None:
    session = DigestSession(challenge_of(offer()), b"u", b"p")
    cnonces = {session.answer(b"GET", b"/", b"").cnonce for _ in range(10_000)}
    assert len(cnonces) == 10_000
    assert {len(cnonce) for cnonce in cnonces} == {32}


def test_a_session_keeps_its_first_nonces() -> None:
    session = DigestSession(challenge_of(offer("MD5-sess")), b"u", b"p")
    first = session.answer(b"GET", b"/", b"")
    session.next_nonce("n2")
    second = session.answer(b"GET", b"/", b"")
    assert first.cnonce == second.cnonce
    sent = parameters_of(second.value)
    assert (sent["nonce"], sent["nc"]) == ("n2", "00000001")
    secret = secret_of("MD5-sess", b"u", b"r", b"p", b"n", first.cnonce)
    facts = {"nonce": b"n2", "nc": b"00000001", "cnonce": first.cnonce, "qop": b"auth", "uri": b"/"}
    assert sent["response"].encode() == digest_response("MD5-sess", secret=secret, method=b"GET", **facts)
