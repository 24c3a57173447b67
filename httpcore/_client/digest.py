"""Digest authentication (RFC 7616): the answer to a challenge, and the nonce that several requests share.

All values are octets: a realm is hashed and sent back as it was received. User name and password are UTF-8, whether the
challenge has `charset=UTF-8` or not.

- Of several challenges, the client answers the one with the strongest algorithm that the caller allows and that this
  Python has. A challenge with an unknown algorithm or quality of protection (qop) is not answered.
- `-sess`: the session hash is computed once, from the first nonce and the first client nonce. All requests send this
  client nonce, so that a server that computes the hash again for each request gets the same hash. With any other
  algorithm each request has a fresh client nonce.
- A challenge without `qop`, which old servers still send, is answered as in RFC 2069.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from functools import cache
from hmac import compare_digest
from itertools import count
from typing import Final

from .._errors import LocalProtocolError
from .._reentry import step_lock
from .._values import dataclass
from .challenges import Challenge

__all__ = ["ALGORITHMS", "DigestAnswer", "DigestSession", "choose_challenge", "digest_hash", "digest_response"]

ALGORITHMS: Final = ("SHA-512-256", "SHA-256", "MD5")
"""The supported algorithms, the strongest first; each also as `-sess`."""

_HASHES: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def digest_hash(algorithm: str) -> Callable[[bytes], bytes] | None:
    """A function that returns the hash in hex digits; None if the algorithm is unknown or this Python lacks it."""
    name = _HASHES.get(algorithm.upper().removesuffix("-SESS"))
    return None if name is None else _hash_of(name)


@cache
def _hash_of(name: str) -> Callable[[bytes], bytes] | None:
    try:
        hashlib.new(name, usedforsecurity=False)
    except ValueError:  # OpenSSL may lack SHA-512/256
        return None
    return lambda data: hashlib.new(name, data, usedforsecurity=False).hexdigest().encode()


def digest_response(
    algorithm: str,
    *,
    secret: bytes,
    method: bytes,
    uri: bytes,
    nonce: bytes,
    qop: bytes = b"",
    nc: bytes = b"",
    cnonce: bytes = b"",
    body: bytes = b"",
) -> bytes:
    """The `response` of RFC 7616, section 3.4.1, and `rspauth` of section 3.5 with an empty method.

    Arguments:
        secret: H(A1), as `secret_of` makes it.
        qop: "auth", "auth-int", or empty for RFC 2069.
    """
    hashed = digest_hash(algorithm)
    assert hashed is not None
    described = method + b":" + uri
    if qop == b"auth-int":
        described += b":" + hashed(body)
    middle = [nonce, nc, cnonce, qop] if qop else [nonce]
    return hashed(b":".join([secret, *middle, hashed(described)]))


def secret_of(
    algorithm: str, username: bytes, realm: bytes, password: bytes, nonce: bytes = b"", cnonce: bytes = b""
) -> bytes:
    """H(A1) of RFC 7616, section 3.4.2."""
    hashed = digest_hash(algorithm)
    assert hashed is not None
    secret = hashed(b":".join([username, realm, password]))
    return hashed(b":".join([secret, nonce, cnonce])) if algorithm.upper().endswith("-SESS") else secret


def choose_challenge(challenges: Iterable[Challenge], algorithms: Iterable[str] = ALGORITHMS) -> Challenge | None:
    """The strongest Digest challenge that can be answered; among equals the first. None if there is none."""
    order = list(algorithms)
    best, found = len(order), None
    for challenge in challenges:
        if not _is_answerable(challenge):
            continue
        algorithm = challenge.parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")
        rank = order.index(algorithm) if algorithm in order else len(order)
        # RFC 7616, section 3.7: the strongest is answered, and among equals the first, which the server prefers.
        if rank < best:
            best, found = rank, challenge
    return found


def _is_answerable(challenge: Challenge) -> bool:
    parameters = challenge.parameters
    return (
        challenge.scheme == "digest"
        and "realm" in parameters
        and bool(parameters.get("nonce"))
        and digest_hash(parameters.get("algorithm", "MD5")) is not None
        and ("qop" not in parameters or not {"auth", "auth-int"}.isdisjoint(_qops(challenge)))
    )


def _qops(challenge: Challenge) -> list[str]:
    return challenge.parameters.get("qop", "").lower().replace(",", " ").split()


@dataclass(frozen=True, slots=True, repr=False)
class DigestAnswer:
    """The response to a challenge, as sent.

    Attributes:
        value: of the Authorization field.
        rspauth: the expected proof of the server; None if the head of the response alone does not determine it.
        nc, cnonce: the nonce count and the client nonce, as sent.
    """

    value: bytes
    rspauth: bytes | None
    nc: bytes
    cnonce: bytes

    def proof_is_wrong(self, parameters: dict[str, str]) -> bool:
        """Whether Authentication-Info has a wrong proof: then the server does not know the password."""
        proof, cnonce = parameters.get("rspauth"), parameters.get("cnonce", "").encode("latin-1")
        if proof is None or self.rspauth is None:
            return False
        # In constant time, as with each comparison of secrets.
        return not compare_digest(proof.lower().encode("latin-1"), self.rspauth) or cnonce not in (b"", self.cnonce)


class DigestSession:
    """One challenge, which any number of tasks and threads may answer at once: no nonce count is used twice."""

    __slots__ = ("_challenge", "_cnonce", "_current", "_integrity", "_lock", "_secret", "_user")

    def __init__(self, challenge: Challenge, username: bytes, password: bytes, *, integrity: bool = False) -> None:
        self._challenge = challenge
        self._integrity = integrity
        self._lock = step_lock()
        # Nonce and counts change in one assignment, and a count is drawn in one call: so a finaliser that sends a
        # request in between draws another count.
        self._current = self._parameter("nonce"), count(1)
        self._cnonce = _new_nonce() if self._algorithm.upper().endswith("-SESS") else None
        # H(A1) is computed once: with a `-sess` algorithm it always has the first nonce (RFC 7616, section 3.4.2).
        realm = self._parameter("realm")
        self._secret = secret_of(self._algorithm, username, realm, password, self._current[0], self._cnonce or b"")
        self._user = self._user_field(username, realm)

    @property
    def _algorithm(self) -> str:
        return self._challenge.parameters.get("algorithm", "MD5")

    def _parameter(self, name: str) -> bytes:
        return self._challenge.parameters[name].encode("latin-1")

    def _user_field(self, username: bytes, realm: bytes) -> bytes:
        parameters = self._challenge.parameters
        if parameters.get("userhash", "").lower() == "true":
            hashed = digest_hash(self._algorithm)
            assert hashed is not None
            return b'username="' + hashed(username + b":" + realm) + b'", userhash=true'
        if parameters.get("charset", "").lower() == "utf-8" and not username.isascii():
            return b"username*=UTF-8''" + _percent(username)
        return b"username=" + _quoted(username)

    def next_nonce(self, nonce: str) -> None:
        """Use the nonce of Authentication-Info from now on (RFC 7616, section 3.5)."""
        octets = nonce.encode("latin-1")
        with self._lock:
            if octets and octets != self._current[0]:
                self._current = octets, count(1)

    def answer(self, method: bytes, uri: bytes, body: bytes | None) -> DigestAnswer:
        """The credentials for one request; `body` is None where it is not in memory.

        Raises:
            LocalProtocolError: the server requires the body's hash, and the body is not in memory.
        """
        qop = self._qop(body)
        with self._lock:
            # Nonce and counts are read together: otherwise a new nonce could be sent with the count of the old one.
            nonce, counts = self._current
            nc = b"%08x" % next(counts)
        cnonce = self._cnonce or _new_nonce()
        facts = {"secret": self._secret, "uri": uri, "nonce": nonce, "qop": qop, "nc": nc, "cnonce": cnonce}
        response = digest_response(self._algorithm, method=method, body=body or b"", **facts)
        proof = digest_response(self._algorithm, method=b"", **facts) if qop == b"auth" else None
        fields = [self._user, b"realm=" + _quoted(self._parameter("realm")), b"nonce=" + _quoted(nonce)]
        fields += [b"uri=" + _quoted(uri), b'response="' + response + b'"']
        fields += [name + b"=" + value for name, value in self._repeated()]
        if qop:
            fields += [b"qop=" + qop, b"nc=" + nc]
        if qop or self._cnonce:
            fields.append(b'cnonce="' + cnonce + b'"')
        return DigestAnswer(b"Digest " + b", ".join(fields), proof, nc, cnonce)

    def _repeated(self) -> list[tuple[bytes, bytes]]:
        parameters = self._challenge.parameters
        fields = [(b"algorithm", self._parameter("algorithm"))] if "algorithm" in parameters else []
        return fields + ([(b"opaque", _quoted(self._parameter("opaque")))] if "opaque" in parameters else [])

    def _qop(self, body: bytes | None) -> bytes:
        if "qop" not in self._challenge.parameters:
            return b""
        offered = _qops(self._challenge)
        if "auth-int" not in offered or ("auth" in offered and not (self._integrity and body is not None)):
            return b"auth"
        if body is None:
            raise LocalProtocolError(
                "the server requires Digest authentication with the body's hash (qop=auth-int): "
                "expected a body in memory, got a stream"
            )
        return b"auth-int"


def _new_nonce() -> bytes:
    return os.urandom(16).hex().encode()


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`|~")


def _percent(text: bytes) -> bytes:
    """The value of an extended parameter (RFC 8187, section 3.2.1)."""
    return "".join([chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text]).encode()
