"""The matrix of credentials: however they were passed and wherever a redirect leads, they stay with their origin.

The matrix combines the kinds of target, the kinds of credentials, HTTP/1.1 and HTTP/2, and one to three hops, over
sockets. The servers record every request, and all recorded requests are searched for the canary in each credential.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from origins import Answer, Origin, ReceivedRequest

import httpcore

CANARY = "canary-7d1f"
IDN, A_LABEL = "bücher.test", "xn--bcher-kva.test"
NAMES = ("a.test", "a.test.", "b.test", A_LABEL, "sub.a.test")
CARRIERS = ("authorization", "cookie", "proxy-authorization", "x-api-key")


class Sites:
    """Two plain origins and two over TLS, under all of `NAMES`; `moves` are their redirects by path."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.log: list[ReceivedRequest] = []
        self.moves: dict[str, str] = {}
        ca = trustme.CA()
        self.ca = folder / "ca.pem"
        ca.cert_pem.write_to_path(str(self.ca))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"])
        ca.issue_cert(*[name for name in NAMES if not name.endswith(".")]).configure_cert(context)
        made = [Origin(name, self.log, self.answer) for name in ("plain", "plain2")]
        made += [Origin(name, self.log, self.answer, context) for name in ("tls", "tls2")]
        self.plain, self.plain2, self.tls, self.tls2 = [stack.enter_context(origin).port for origin in made]

    def answer(self, seen: ReceivedRequest) -> Answer:
        path = seen.target.partition("?")[0]
        if path.startswith("/digest") and not seen.has("authorization"):
            return Answer(401, [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256')])
        fields = [("Set-Cookie", f"jar={CANARY}")] if path.startswith("/jar") and path.count("/") == 2 else []
        if path in self.moves:
            return Answer(302, [*fields, ("Location", self.moves[path])])
        return Answer(200, fields)

    def transport(self, protocol: str) -> httpcore.HTTPTransport:
        return httpcore.HTTPTransport(
            httpcore.SSLConfig(verify=str(self.ca)),
            resolve=dict.fromkeys(NAMES, "127.0.0.1"),
            http1=protocol == "HTTP/1.1",
            http2=protocol == "HTTP/2",
        )


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with ExitStack() as stack:
        yield Sites(tmp_path_factory.mktemp("ca"), stack)


class Target(NamedTuple):
    """`start` and `there` are authorities with a scheme. `same`: both are one origin. `host`: both are one host for a
    jar.
    """

    start: str
    there: str
    same: bool
    host: bool


TARGETS = {
    "same origin": Target("http://a.test:{plain}", "http://a.test:{plain}", True, True),
    "same, relative": Target("http://a.test:{plain}", "", True, True),
    "same, no scheme": Target("http://a.test:{plain}", "//a.test:{plain}", True, True),
    "same, in capitals": Target("http://a.test:{plain}", "HTTP://A.TEST:{plain}", True, True),
    "same, user info": Target("http://a.test:{plain}", "http://eve:evil@a.test:{plain}", True, True),
    "same, IDN and A-label": Target(f"http://{IDN}:{{plain}}", f"http://{A_LABEL}:{{plain}}", True, True),
    "same, over TLS": Target("https://a.test:{tls}", "https://a.test:{tls}", True, True),
    "another port": Target("http://a.test:{plain}", "http://a.test:{plain2}", False, True),
    "another port, TLS": Target("https://a.test:{tls}", "https://a.test:{tls2}", False, True),
    "another host": Target("http://a.test:{plain}", "http://b.test:{plain}", False, False),
    "another host, TLS": Target("https://a.test:{tls}", "https://b.test:{tls}", False, False),
    "another host, user info": Target("http://a.test:{plain}", "http://eve:evil@b.test:{plain}", False, False),
    "a name below": Target("http://a.test:{plain}", "http://sub.a.test:{plain}", False, False),
    "a name below, TLS": Target("https://a.test:{tls}", "https://sub.a.test:{tls}", False, False),
    "https to http": Target("https://a.test:{tls}", "http://a.test:{plain}", False, True),
    "http to https": Target("http://a.test:{plain}", "https://a.test:{tls}", False, True),
    "a trailing dot": Target("http://a.test:{plain}", "http://a.test.:{plain}", False, False),
    "an IDN": Target("http://a.test:{plain}", f"http://{IDN}:{{plain}}", False, False),
    "an address": Target("http://a.test:{plain}", "http://127.0.0.1:{plain}", False, False),
    "an address in brackets": Target("http://a.test:{plain}", "http://[::ffff:127.0.0.1]:{plain}", False, False),
}

Given = dict[str, Any]


def arguments_of(case: str, netrc: Path) -> tuple[Given, Given, str]:
    """The arguments of the client and of the call, and the user info in the URL."""
    pair = ("user", CANARY)
    cases: dict[str, tuple[Given, Given, str]] = {
        "header": ({}, {"headers": [("authorization", CANARY), ("Authorization", CANARY)]}, ""),
        "header of the client": ({"headers": {"Authorization": CANARY}}, {}, ""),
        "cookie header": ({}, {"headers": {"cookie": f"a={CANARY}"}}, ""),
        "proxy header": ({}, {"headers": {"Proxy-Authorization": CANARY}}, ""),
        "API key": ({}, {"headers": {"X-Api-Key": CANARY}}, ""),
        "a field of their own": ({"sensitive_headers": ["X-Mine"]}, {"headers": {"x-mine": CANARY}}, ""),
        "auth": ({}, {"auth": pair}, ""),
        "auth of the client": ({"auth": pair}, {}, ""),
        "bearer": ({"auth": httpcore.BearerAuth(CANARY)}, {}, ""),
        "digest": ({"auth": httpcore.DigestAuth("user", CANARY)}, {}, ""),
        "netrc": ({"auth": httpcore.NetrcAuth(netrc)}, {}, ""),
        "netrc of the environment": ({"trust_env": True}, {}, ""),
        "URL": ({}, {}, f"user:{CANARY}@"),
        "cookies": ({}, {"cookies": {"a": CANARY}}, ""),
        "cookies of the client": ({"cookies": {"a": CANARY}}, {}, ""),
        "jar": ({}, {}, ""),
    }
    return cases[case]


CASES = (
    "header",
    "header of the client",
    "cookie header",
    "proxy header",
    "API key",
    "a field of their own",
    "auth",
    "auth of the client",
    "bearer",
    "digest",
    "netrc",
    "netrc of the environment",
    "URL",
    "cookies",
    "cookies of the client",
    "jar",
)


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Entries for every host, so that only the redirect keeps them from being used."""
    path = tmp_path / "netrc"
    names = [*NAMES, "127.0.0.1"]
    path.write_text("".join(f"machine {name} login user password {CANARY}\n" for name in names))
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    return path


def carries_credentials(seen: ReceivedRequest) -> bool:
    """Whether a request has credentials of ours, in any form."""
    text = repr(seen)
    encoded = base64.b64encode(f"user:{CANARY}".encode()).decode()
    digest = (seen.get("authorization") or "").startswith("Digest")
    return CANARY in text or encoded in text or digest


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", TARGETS)
def test_credentials_stay_with_their_origin(
    sites: Sites, netrc: Path, kind: str, case: str, protocol: str, request: pytest.FixtureRequest
) -> None:
    target = TARGETS[kind]
    start, there = (
        text.format(plain=sites.plain, plain2=sites.plain2, tls=sites.tls, tls2=sites.tls2) for text in target[:2]
    )
    for hops in (1, 2, 3):
        # The redirects lead first to the target, then to another URL of the target, then back to the first origin.
        base = f"/{'digest' if case == 'digest' else 'jar' if case == 'jar' else 'path'}/{len(sites.log)}"
        end = f"{base}/end"
        sites.moves[base] = f"{there}{base}/1" if hops > 1 else f"{there}{end}"
        sites.moves[f"{base}/1"] = f"{base}/2" if hops > 2 else end
        sites.moves[f"{base}/2"] = f"{start}{end}"
        of_client, of_call, user = arguments_of(case, netrc)
        scheme, _, place = start.partition("://")
        first = len(sites.log)
        trusting = case == "netrc of the environment"
        with httpcore.Client(transport=sites.transport(protocol), **{"trust_env": trusting, **of_client}) as client:
            response = client.get(f"{scheme}://{user}{place}{base}", **of_call)
        seen = sites.log[first:]
        answered = [each for each in seen if each.protocol == protocol]
        assert answered == seen
        check(seen, base, hops, case, target)
        assert response.status_code == (401 if case == "digest" and not target.same else 200)
        assert "evil" not in repr(seen)
        assert "@" not in "".join(each.target for each in seen)


def check(seen: list[ReceivedRequest], base: str, hops: int, case: str, target: Target) -> None:
    own = [each for each in seen if each.target == base]
    later = [each for each in seen if each.target != base]
    assert len(later) >= (hops if case != "digest" or target.same else 1)
    if case == "jar":
        assert not carries_credentials(own[0])
        for each in later:  # a jar stores cookies by host, not by port or origin (RFC 6265bis, section 8.5)
            host = (each.get("host") or "").rpartition(":")[0]
            assert carries_credentials(each) is (target.host or host == "a.test"), each
        return
    assert carries_credentials(own[-1])
    for each in later:
        if target.same:
            assert carries_credentials(each), f"{case} was lost: {each}"
        else:
            assert not carries_credentials(each), f"{case} leaked: {each}"
            assert not any(each.has(name) for name in CARRIERS), each


def test_a_second_call_to_the_first_origin_has_its_credentials(sites: Sites) -> None:
    sites.moves["/away"] = f"http://b.test:{sites.plain}/there"
    with httpcore.Client(transport=sites.transport("HTTP/1.1"), auth=("user", CANARY), trust_env=False) as client:
        for _ in range(2):
            first = len(sites.log)
            client.get(f"http://a.test:{sites.plain}/away")
            there, away = sites.log[first:]
            assert carries_credentials(there)
            assert not carries_credentials(away)


def test_next_gives_no_credentials_to_another_origin(sites: Sites) -> None:
    sites.moves["/step"] = f"http://b.test:{sites.plain}/back"
    sites.moves["/back"] = f"http://a.test:{sites.plain}/home"
    with httpcore.Client(transport=sites.transport("HTTP/1.1"), auth=("user", CANARY), trust_env=False) as client:
        first = len(sites.log)
        response = client.get(f"http://a.test:{sites.plain}/step", allow_redirects=False)
        while response.is_redirect:
            response = response.next()
        assert [carries_credentials(each) for each in sites.log[first:]] == [True, False, False]
