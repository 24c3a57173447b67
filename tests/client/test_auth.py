"""Authentication flows: their requests, with the origins and number of these; and that no text shows a secret."""

from __future__ import annotations

import base64
import logging
import pickle
import threading
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flows import answers, play
from hypothesis import given
from hypothesis import strategies as st

from httpcore import ClientResponse, HTTPCoreError, LocalProtocolError, RemoteProtocolError, Request
from httpcore._client.auth import (
    Auth,
    BasicAuth,
    BearerAuth,
    DigestAuth,
    NetrcAuth,
    auth_of,
    auth_of_url,
)
from httpcore._client.challenges import parse_challenges
from httpcore._client.digest import digest_response, secret_of
from httpcore._client.netrc import Netrc
from httpcore._client.urls import URL

OK = ClientResponse(200)
CANARY = "canary-b1f2"


def sent_by(auth: Auth | None, *responses: ClientResponse, url: str = "http://a.test/x") -> list[str | None]:
    """The Authorization of each request of a flow."""
    assert auth is not None
    sent: list[str | None] = []
    serve = answers(*(responses or (OK,)))

    def record(request: Request) -> ClientResponse:
        sent.append(request.headers.get("authorization"))
        return serve(request)

    play(auth, Request("GET", url), record)
    return sent


# Basic (RFC 7617) and Bearer (RFC 6750).

BASIC = {
    "RFC 7617, section 2": (("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    "RFC 7617, section 2.1": (("test", "123£"), "Basic dGVzdDoxMjPCow=="),
    "bytes": ((b"test", b"\xff"), "Basic dGVzdDr/"),
    "a colon in the password": (("a", ":b:"), "Basic YTo6Yjo="),
    "an empty password": (("a", ""), "Basic YTo="),
    "an empty user name": (("", "b"), "Basic OmI="),
}


@pytest.mark.parametrize("case", BASIC)
@pytest.mark.parametrize("make", [lambda pair: BasicAuth(*pair), auth_of])
def test_basic_is_the_pair_in_utf_8(case: str, make: Callable[[Any], Auth]) -> None:
    pair, expected = BASIC[case]
    assert sent_by(make(pair)) == [expected]


REFUSED: dict[str, Callable[[], object]] = {
    "a colon in the user name": lambda: BasicAuth(f"{CANARY}:x", CANARY),
    "a line feed in the user name": lambda: BasicAuth(f"{CANARY}\n", CANARY),
    "a carriage return in the password": lambda: BasicAuth("x", f"{CANARY}\rx"),
    "a zero in the password": lambda: BasicAuth("x", f"{CANARY}\0"),
    "DEL in the password": lambda: BasicAuth("x", f"{CANARY}\x7f"),
    "a surrogate": lambda: BasicAuth("x", f"{CANARY}\ud800"),
    "a password of another type": lambda: BasicAuth("x", [CANARY]),  # type: ignore[arg-type]
    "digest: a line in the user name": lambda: DigestAuth(f"{CANARY}\r\nX: y", CANARY),
    "digest: a zero in the password": lambda: DigestAuth("x", f"{CANARY}\0"),
    "digest: a surrogate": lambda: DigestAuth("x", f"{CANARY}\ud800"),
    "digest: None": lambda: DigestAuth(None, CANARY),  # type: ignore[arg-type]
    "digest: no algorithm": lambda: DigestAuth("x", CANARY, algorithms=[]),
    "digest: a text as algorithms": lambda: DigestAuth("x", CANARY, algorithms="MD5"),
    "digest: an unknown algorithm": lambda: DigestAuth("x", CANARY, algorithms=["SHA-1"]),
    "bearer: a space": lambda: BearerAuth(f"{CANARY} x"),
    "bearer: a line": lambda: BearerAuth(f"{CANARY}\r\nX: y"),
    "bearer: nothing": lambda: BearerAuth(""),
    "bearer: not ASCII": lambda: BearerAuth(f"{CANARY}é"),
    "bearer: = inside": lambda: BearerAuth(f"{CANARY}=x"),
    "bearer: None": lambda: BearerAuth(None),  # type: ignore[arg-type]
    "a pair of three": lambda: auth_of((CANARY, CANARY, CANARY)),  # type: ignore[arg-type]
    "a text": lambda: auth_of(CANARY),  # type: ignore[arg-type]
    "a class": lambda: auth_of(BasicAuth),  # type: ignore[arg-type]
    "a pair of numbers": lambda: auth_of((1, CANARY)),  # type: ignore[arg-type]
    "an async function": lambda: play(auth_of(async_auth) or Auth(), Request("GET", "http://a"), answers(OK)),  # type: ignore[arg-type]
}


async def async_auth(request: Request) -> None:
    """This function is no flow: it would have to be awaited."""


@pytest.mark.parametrize("case", REFUSED)
def test_credentials_that_cannot_be_sent_are_refused_unseen(case: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"expected|cannot carry") as raised:
        REFUSED[case]()
    assert CANARY not in str(raised.value)
    assert raised.value.__context__ is None


def test_bearer_is_the_token() -> None:
    assert sent_by(BearerAuth("mF_9.B5f-4.1JqM")) == ["Bearer mF_9.B5f-4.1JqM"]
    assert sent_by(BearerAuth(b"abc/+~==")) == ["Bearer abc/+~=="]


@given(st.binary(max_size=30))
def test_any_octets_in_basic_are_one_field_or_an_error(octets: bytes) -> None:
    try:
        [value] = sent_by(BasicAuth(octets, octets))
    except LocalProtocolError:
        assert set(octets) & {*range(32), 127, ord(":")}
        return
    assert base64.b64decode(str(value)[6:]) == octets + b":" + octets


# Functions, generators, URLs.


def test_a_function_may_change_the_request_or_return_another() -> None:
    def sign(request: Any) -> None:
        request.headers["Authorization"] = f"Sig {request.method} {request.url.path}"

    assert sent_by(auth_of(sign)) == ["Sig GET /x"]
    other = Request("GET", "http://b.test/")
    seen = []

    def serve(request: Request) -> ClientResponse:
        seen.append(request)
        return OK

    play(auth_of(lambda request: other) or Auth(), Request("GET", "http://a.test/"), serve)
    assert seen == [other]


def test_a_generator_fetches_a_token_and_tries_again() -> None:
    def flow(request: Any) -> Generator[Any, Any, None]:
        response = yield request
        if response.status_code == 401:
            token = yield Request("POST", "http://login.test/token")
            request.headers["Authorization"] = f"Bearer {token.headers['x-token']}"
            yield request

    responses = (ClientResponse(401), ClientResponse(200, headers={"x-token": "t"}), OK)
    assert sent_by(auth_of(flow), *responses) == [None, None, "Bearer t"]
    assert sent_by(auth_of(flow), OK) == [None]


class OwnAuth(Auth):
    def flow(self, request: Any) -> Generator[Any, Any, None]:
        request.headers["Authorization"] = "Own"
        yield request


def test_a_subclass_of_auth_overrides_flow() -> None:
    assert sent_by(auth_of(OwnAuth())) == ["Own"]
    assert sent_by(Auth()) == [None]
    assert auth_of(None) is None


@pytest.mark.parametrize(
    ("url", "pair"),
    [
        ("http://user:pass@a.test/", b"user:pass"),
        ("http://us%40er:p%3Aa%2Fss@a.test/", b"us@er:p:a/ss"),
        ("http://user@a.test/", b"user:"),
        ("http://:pass@a.test/", b":pass"),
        ("http://%ff:%C3%A9@a.test/", b"\xff:\xc3\xa9"),
    ],
)
def test_credentials_of_a_url_are_its_octets(url: str, pair: bytes) -> None:
    assert sent_by(auth_of_url(URL(url))) == ["Basic " + base64.b64encode(pair).decode()]


@pytest.mark.parametrize("url", ["http://a%0ab:c@a.test/", "http://a%3Ab:c@a.test/"])
def test_a_url_whose_credentials_basic_cannot_carry_is_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError):
        auth_of_url(URL(url))


# Digest: challenges, repeated requests, and remembered nonces.


def challenge_with(nonce: str = "n1", **more: str) -> ClientResponse:
    output = {"realm": "r", "nonce": nonce, "qop": "auth", "algorithm": "MD5", **more}
    return ClientResponse(
        401, headers={"www-authenticate": "Digest " + ", ".join([f'{n}="{v}"' for n, v in output.items()])}
    )


def text_in(value: str | None) -> dict[str, str]:
    challenges = parse_challenges([value or ""])
    return challenges[0].parameters if challenges else {}


def counts(sent: list[str | None]) -> list[str]:
    return [f"{output['nonce']} {int(output['nc'], 16)}" if (output := text_in(value)) else "-" for value in sent]


def test_digest_answers_a_challenge_once_and_remembers_it() -> None:
    auth = DigestAuth("u", "p")
    assert counts(sent_by(auth, challenge_with(), OK)) == ["-", "n1 1"]
    assert counts(sent_by(auth, OK)) == ["n1 2"]
    assert counts(sent_by(auth, OK)) == ["n1 3"]


def test_digest_gives_up_where_a_fresh_answer_is_refused() -> None:
    auth = DigestAuth("u", "p")
    assert counts(sent_by(auth, challenge_with(), challenge_with("n2"))) == ["-", "n1 1"]
    assert counts(sent_by(auth, challenge_with("n3"), OK)) == ["-", "n3 1"]  # no nonce was remembered


def test_digest_answers_a_stale_nonce_with_the_next() -> None:
    auth = DigestAuth("u", "p")
    assert counts(sent_by(auth, challenge_with(), challenge_with("n2", stale="TRUE"), OK)) == ["-", "n1 1", "n2 1"]
    assert counts(sent_by(auth, challenge_with("n3", stale="true"), OK)) == ["n2 2", "n3 1"]
    # A server that has restarted has no nonces, and may not send stale=true.
    assert counts(sent_by(auth, challenge_with("n4"), OK)) == ["n3 2", "n4 1"]
    assert counts(sent_by(auth, challenge_with("n5"), challenge_with("n6"))) == ["n4 2", "n5 1"]


def test_digest_ends_though_each_nonce_is_stale() -> None:
    stale = [challenge_with(f"n{number}", stale="true") for number in range(10)]
    assert counts(sent_by(DigestAuth("u", "p"), *stale)) == ["-", "n0 1", "n1 1"]


def test_digest_uses_the_next_nonce_of_the_server() -> None:
    auth = DigestAuth("u", "p")
    noted = ClientResponse(200, headers={"authentication-info": 'nextnonce="n2", qop=auth'})
    assert counts(sent_by(auth, challenge_with(), noted)) == ["-", "n1 1"]
    assert counts(sent_by(auth, OK)) == ["n2 1"]
    assert counts(sent_by(auth, ClientResponse(404, headers={"authentication-info": 'nextnonce="n3"'}))) == ["n2 2"]
    assert counts(sent_by(auth, ClientResponse(200, headers={"authentication-info": 'nextnonce="n4'}))) == [
        "n3 1"
    ]  # the field is malformed, and ignored
    assert counts(sent_by(auth, OK)) == ["n3 2"]


ORIGINS = ["http://b.test/x", "https://a.test/x", "http://a.test:8080/x", "http://a.test./x", "http://www.a.test/x"]


@pytest.mark.parametrize("other", ORIGINS)
def test_digest_never_answers_an_origin_with_anothers_nonce(other: str) -> None:
    auth = DigestAuth("u", "p")
    sent_by(auth, challenge_with("n1"), OK)
    assert counts(sent_by(auth, challenge_with("n2"), OK, url=other)) == ["-", "n2 1"]
    assert counts(sent_by(auth, OK)) == ["n1 2"]
    assert counts(sent_by(auth, OK, url=other)) == ["n2 2"]


def test_digest_remembers_a_bounded_number_of_origins() -> None:
    auth = DigestAuth("u", "p")
    for number in range(300):
        sent_by(auth, challenge_with(), OK, url=f"http://h{number}.test/")
    assert counts(sent_by(auth, OK, url="http://h299.test/")) == ["n1 2"]
    assert counts(sent_by(auth, OK, url="http://h0.test/")) == ["-"]


UNANSWERED = {
    "Basic alone": ClientResponse(401, headers={"www-authenticate": 'Basic realm="r"'}),
    "nothing": ClientResponse(401),
    "no nonce": ClientResponse(401, headers={"www-authenticate": 'Digest realm="r"'}),
    "an unknown algorithm": challenge_with(algorithm="SHA-1"),
    "an unknown qop": challenge_with(qop="auth-new"),
    "a proxy's challenge": ClientResponse(401, headers={"proxy-authenticate": 'Digest realm="r", nonce="n"'}),
    "another status": ClientResponse(407, headers={"www-authenticate": 'Digest realm="r", nonce="n"'}),
    "a realm twice": ClientResponse(401, headers={"www-authenticate": 'Digest realm="r", realm="s", nonce="n"'}),
}


@pytest.mark.parametrize("case", UNANSWERED)
def test_digest_answers_no_challenge_but_its_own(case: str) -> None:
    assert sent_by(DigestAuth("u", "p"), UNANSWERED[case]) == [None]


def test_a_downgrade_to_md5_is_not_answered_where_it_is_left_out() -> None:
    strict = DigestAuth("u", "p", algorithms=["SHA-512-256", "SHA-256"])
    assert sent_by(strict, challenge_with(algorithm="MD5")) == [None]
    assert counts(sent_by(strict, challenge_with(algorithm="SHA-256"), OK)) == ["-", "n1 1"]
    assert counts(sent_by(strict, challenge_with("n2", algorithm="MD5", stale="true"))) == ["n1 2"]


def test_digest_for_a_proxy_uses_the_proxys_fields() -> None:
    auth = DigestAuth("u", "p", proxy=True)
    request = Request("GET", "http://[::1]:8080/x?y")
    noted = ClientResponse(200, headers={"proxy-authentication-info": 'nextnonce="n2"'})
    challenge = ClientResponse(407, headers={"proxy-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
    play(auth, request, answers(challenge, noted))
    assert text_in(request.headers["proxy-authorization"])["uri"] == "http://[::1]:8080/x?y"
    assert "authorization" not in request.headers
    play(auth, request, answers(OK))
    assert text_in(request.headers["proxy-authorization"])["nonce"] == "n2"
    other = Request("GET", "http://[::1]:8080/")
    play(DigestAuth("u", "p", proxy=True), other, answers(challenge_with()))
    assert "proxy-authorization" not in other.headers


def server_with_proof(word: str, **changes: str) -> Callable[[Request], ClientResponse]:
    """A server that proves, correctly or not, that it has the password."""

    def serve(request: Request) -> ClientResponse:
        output = text_in(request.headers.get("authorization"))
        if not output:
            return challenge_with()
        facts = {name: output[name].encode() for name in ("nonce", "nc", "cnonce", "qop", "uri")}
        secret = secret_of("MD5", b"u", b"r", word.encode())
        proof = digest_response("MD5", secret=secret, method=b"", **facts).decode()
        noted = {"rspauth": proof, "cnonce": output["cnonce"], "nc": output["nc"], "qop": "auth", **changes}
        return ClientResponse(200, headers={"authentication-info": ", ".join([f'{n}="{v}"' for n, v in noted.items()])})

    return serve


def test_a_server_that_proves_itself_is_believed() -> None:
    assert play(DigestAuth("u", "p"), Request("GET", "http://a.test/"), server_with_proof("p")).status_code == 200


@pytest.mark.parametrize(
    "serve",
    [
        server_with_proof("another"),
        server_with_proof("p", rspauth="0" * 32),
        server_with_proof("p", cnonce="x"),
        server_with_proof("p", rspauth=""),
    ],
)
def test_a_wrong_proof_of_the_server_is_an_error(serve: Callable[[Request], ClientResponse]) -> None:
    with pytest.raises(RemoteProtocolError, match="rspauth is wrong"):
        play(DigestAuth("u", "p"), Request("GET", "http://a.test/"), serve)


def test_a_hundred_threads_never_use_a_count_of_a_nonce_twice() -> None:
    auth, seen, lock = DigestAuth("u", "p"), set(), threading.Lock()
    sent_by(auth, challenge_with(), OK)

    def one(_: int) -> None:
        for _ in range(20):
            [value] = sent_by(auth, OK)
            with lock:
                output = text_in(value)
                seen.add((output["nonce"], output["nc"]))

    with ThreadPoolExecutor(100) as threads:
        list(threads.map(one, range(100)))
    assert seen == {("n1", f"{number:08x}") for number in range(2, 2002)}


def test_flows_at_once_each_answer_their_own_challenge() -> None:
    auth = DigestAuth("u", "p")
    requests = [Request("GET", "http://a.test/") for _ in range(100)]
    flows: list[Any] = [auth.flow(request) for request in requests]
    for flow in flows:
        next(flow)
    for number, flow in enumerate(flows):
        flow.send(challenge_with(f"n{number}"))
    sent = [request.headers["authorization"] for request in requests]
    assert counts(list(sent)) == [f"n{number} 1" for number in range(100)]
    assert counts(sent_by(auth, OK)) == ["n99 2"]


def test_the_body_is_read_where_its_hash_may_be_needed() -> None:
    assert DigestAuth("u", "p", integrity=True).needs_request_body
    assert not DigestAuth("u", "p").needs_request_body
    request = Request("PUT", "http://a.test/", content=iter([b"x"]))
    with pytest.raises(LocalProtocolError, match="expected a body in memory"):
        play(DigestAuth("u", "p"), request, answers(challenge_with(qop="auth-int")))


# No text shows a secret.

SECRETIVE: dict[str, Callable[[], Any]] = {
    "basic": lambda: BasicAuth(CANARY, CANARY),
    "digest": lambda: DigestAuth(CANARY, CANARY),
    "bearer": lambda: BearerAuth(CANARY),
    "a pair": lambda: auth_of((CANARY, CANARY)),
    "a URL": lambda: auth_of_url(URL(f"http://{CANARY}:{CANARY}@a.test/")),
    "netrc": lambda: NetrcAuth(),
    "entries": lambda: Netrc.parse(f"machine a.test login {CANARY} password {CANARY}"),
    "a function": lambda: auth_of(lambda request: None),
    "a challenge": lambda: parse_challenges([f'Digest realm="{CANARY}"'])[0],
}


@pytest.mark.parametrize("case", SECRETIVE)
def test_no_repr_shows_a_secret(case: str) -> None:
    made = SECRETIVE[case]()
    for text in (repr(made), str(made), f"{made}"):
        assert CANARY not in text
        assert base64.b64encode(f"{CANARY}:{CANARY}".encode()).decode() not in text


def test_no_error_or_log_of_a_flow_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request = Request("GET", f"http://{CANARY}:{CANARY}@a.test/", content=iter([b"x"]))
    texts = []
    for serve in (server_with_proof("another"), answers(challenge_with(qop="auth-int"))):
        try:
            play(DigestAuth(CANARY, CANARY), request, serve)
        except HTTPCoreError as error:
            texts += [*traceback.format_exception(error), repr(error), str(pickle.loads(pickle.dumps(error)))]
    assert len(texts) > 2
    assert CANARY not in "".join(texts) + caplog.text
    assert CANARY not in repr(request.headers)
