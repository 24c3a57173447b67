"""Authentication: Basic, Digest, Bearer, `.netrc`, and methods that a caller writes.

A flow is a generator. It receives the request, yields it with added fields, receives the response, and may yield
again: the same request with other credentials, or another request. A flow does no I/O and waits for nothing, so one
flow serves asyncio, trio and threads; its driver sends the requests that it yields. No `repr`, error message or trace
event of this module contains a secret.

The driver sends credentials only to the origin that they were given for: after a redirect to another origin it does
not start the flow again.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from types import CoroutineType
from typing import TYPE_CHECKING, Final

from .._errors import HTTPCoreError, LocalProtocolError, RemoteProtocolError, show, show_value
from .._public import public
from .._reentry import step_lock
from .challenges import parse_challenges, parse_parameters
from .pairs import octets
from .request import Request
from .response import ClientResponse

if TYPE_CHECKING:
    from .digest import DigestAnswer, DigestSession
    from .netrc import Netrc
    from .urls import URL

__all__ = [
    "Auth",
    "AuthTypes",
    "BasicAuth",
    "BearerAuth",
    "DigestAuth",
    "FunctionAuth",
    "NetrcAuth",
    "auth_of",
    "auth_of_url",
]


Flow = Generator[Request, ClientResponse, None]
OriginKey = tuple[str, str, int]


@public
class Auth:
    """Base class of all authentication methods. A method of your own overrides `flow`.

    Attributes:
        needs_request_body: the flow reads `request.content`; a streamed body is then read into memory first. Default
            False.
        needs_response_body: the flow reads the content of the responses that it receives. Default False.
    """

    needs_request_body: bool = False
    needs_response_body: bool = False

    def flow(self, request: Request) -> Flow:
        """Yield each request that is to be sent, beginning with `request`; each `yield` returns the response to the
        yielded request. When the flow ends, the caller receives the last response.
        """
        yield request

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


AuthTypes = Auth | tuple[str | bytes, str | bytes] | Callable[[Request], Request | None] | Callable[[Request], Flow]


@public
class BasicAuth(Auth):
    """Basic authentication (RFC 7617): the user name and password are sent with each request.

    Arguments:
        username, password: str (sent as UTF-8) or bytes.

    Raises:
        LocalProtocolError: the user name has a colon; or one of the arguments is neither str nor bytes, has a control
            character, or is a str that UTF-8 cannot encode.
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self._value = basic_value(username, password)

    def flow(self, request: Request) -> Flow:
        request.headers["Authorization"] = self._value
        yield request


def basic_value(username: str | bytes, password: str | bytes) -> bytes:
    """The value of Authorization for the Basic scheme. Raises the errors of `BasicAuth`."""
    from base64 import b64encode  # imported only when there is a password

    user, secret = _credentials(username, password)
    if b":" in user:
        raise LocalProtocolError(
            "username has a colon: expected none, since Basic authentication cannot carry it (RFC 7617)"
        )
    return b"Basic " + b64encode(user + b":" + secret)


def _credentials(username: object, password: object) -> tuple[bytes, bytes]:
    both = []
    for name, value in (("username", username), ("password", password)):
        if not isinstance(value, (str, bytes)):
            raise LocalProtocolError(f"{name} is of type {type(value).__name__}: expected str or bytes")
        encoded = octets(value, f"{name} is a str")
        if any(byte < 32 or byte == 127 for byte in encoded):
            raise LocalProtocolError(f"{name} has a control character: expected none (RFC 7617, section 2)")
        both.append(encoded)
    return both[0], both[1]


_BEARER: Final = re.compile(rb"[-0-9A-Za-z._~+/]++=*+").fullmatch


@public
class BearerAuth(Auth):
    """Bearer authentication (RFC 6750): a token is sent with each request. Use it over https only: anyone who reads the
    token can use it.

    Arguments:
        token: str or bytes.

    Raises:
        LocalProtocolError: the token is neither str nor bytes, or has characters that RFC 6750, section 2.1, does not
            allow.
    """

    def __init__(self, token: str | bytes) -> None:
        if not isinstance(token, (str, bytes)):
            raise LocalProtocolError(f"token is of type {type(token).__name__}: expected str or bytes")
        encoded = octets(token, "token is a str")
        if not _BEARER(encoded):
            raise LocalProtocolError("token is malformed: expected A-Z a-z 0-9 -._~+/ and = at its end (RFC 6750)")
        self._value = b"Bearer " + encoded

    def flow(self, request: Request) -> Flow:
        request.headers["Authorization"] = self._value
        yield request


_ATTEMPTS: Final = 3  # with a known nonce, with the nonce of the refusal, and once more if that nonce is stale
_ORIGINS: Final = 256  # the most origins whose nonces are remembered


@public
class DigestAuth(Auth):
    """Digest authentication (RFC 7616): the client proves that it knows the password, and never sends it. Supported are
    MD5, SHA-256, SHA-512-256, their -sess variants, qop auth and auth-int. One object may be shared by any number of
    clients, tasks and threads.

    The first request to an origin is sent without credentials; later ones use the nonce that the server gave.

    Arguments:
        username, password: str (UTF-8) or bytes.
        algorithms: the accepted algorithms, the preferred one first. Default: all, the strongest first. Leave out
            "MD5" if the server supports another algorithm: otherwise an attacker who can change the server's responses
            could request MD5.
        integrity: prefer auth-int, which also protects the body, if the server offers it. A streamed body is then read
            into memory first. Default False: auth-int is used only if the server offers nothing else.
        proxy: authenticate to a proxy that forwards requests to http origins, with status 407, Proxy-Authenticate,
            Proxy-Authorization and Proxy-Authentication-Info. Default False.

    Raises:
        LocalProtocolError: an argument is wrong.
    """

    def __init__(
        self,
        username: str | bytes,
        password: str | bytes,
        *,
        algorithms: Iterable[str] = ("SHA-512-256", "SHA-256", "MD5"),
        integrity: bool = False,
        proxy: bool = False,
    ) -> None:
        from . import digest  # imported only for Digest, since it imports hashlib

        self._digest = digest
        self._username, self._password = _credentials(username, password)
        self._algorithms = _checked_algorithms(algorithms, digest.ALGORITHMS)
        self._integrity = integrity
        self.needs_request_body = integrity
        self._status = 407 if proxy else 401
        self._prefix = "Proxy-" if proxy else ""
        self._challenge_name = b"proxy-authenticate" if proxy else b"www-authenticate"
        self._info_name = b"proxy-authentication-info" if proxy else b"authentication-info"
        self._lock = step_lock()
        self._sessions: OrderedDict[OriginKey, DigestSession] = OrderedDict()

    def flow(self, request: Request) -> Flow:
        origin = (request.url.scheme, request.url.host, request.url.port)
        session = self._known(origin)
        fresh = False
        for _ in range(_ATTEMPTS):
            answer = None
            if session is not None:
                answer = session.answer(request.method.encode("ascii"), self._uri(request), request.body.data)
                request.headers[f"{self._prefix}Authorization"] = answer.value
            response = yield request
            if response.status_code != self._status:
                if session is not None and answer is not None:
                    self._read_info(session, answer, response)
                return
            challenge = self._digest.choose_challenge(
                parse_challenges(response.headers.get_raw(self._challenge_name)), self._algorithms
            )
            stale = challenge is not None and challenge.parameters.get("stale", "").lower() == "true"
            # If the server refuses an answer to a fresh nonce and does not call the nonce stale, the password is
            # wrong: another attempt may lock the account.
            if challenge is None or (fresh and not stale):
                self._forget(origin, session)
                return
            session = self._digest.DigestSession(challenge, self._username, self._password, integrity=self._integrity)
            fresh = True
            self._remember(origin, session)

    def _uri(self, request: Request) -> bytes:
        """The request target: in absolute form for a proxy (RFC 9112, section 3.2.2)."""
        url = request.url
        if not self._prefix:
            return url.full_path.encode("ascii")
        host = f"[{url.host}]" if ":" in url.host else url.host
        port = "" if url.port == {"http": 80, "https": 443}.get(url.scheme) else f":{url.port}"
        return f"{url.scheme}://{host}{port}{url.full_path}".encode("ascii")

    def _known(self, origin: OriginKey) -> DigestSession | None:
        with self._lock:
            return self._sessions.get(origin)

    def _remember(self, origin: OriginKey, session: DigestSession) -> None:
        with self._lock:
            # Removed and inserted again, so that the order is that of insertion: the first entry is the oldest.
            self._sessions.pop(origin, None)
            while len(self._sessions) >= _ORIGINS:
                self._sessions.popitem(last=False)
            self._sessions[origin] = session

    def _forget(self, origin: OriginKey, session: DigestSession | None) -> None:
        with self._lock:
            # Remove only the session that was refused: another task may have stored a newer session meanwhile.
            if session is not None and self._sessions.get(origin) is session:
                self._sessions.pop(origin, None)

    def _read_info(self, session: DigestSession, answer: DigestAnswer, response: ClientResponse) -> None:
        """Read Authentication-Info: the server's proof, and the next nonce.

        Raises:
            RemoteProtocolError: the server's proof that it knows the password is wrong.
        """
        parameters = parse_parameters(response.headers.get_raw(self._info_name))
        if answer.proof_is_wrong(parameters):
            raise RemoteProtocolError(
                "the server's rspauth is wrong: the server does not know the password, or responded to another request "
                "(RFC 7616, section 3.5)"
            )
        session.next_nonce(parameters.get("nextnonce", ""))


def _checked_algorithms(algorithms: object, known: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(algorithms, (str, bytes)) or not isinstance(algorithms, Iterable):
        raise LocalProtocolError(f"algorithms is of type {type(algorithms).__name__}: expected an iterable of names")
    chosen = tuple(algorithms)
    if not chosen or not set(known).issuperset(chosen):
        raise LocalProtocolError(f"algorithms is {show_value(chosen)}: expected one or more of {', '.join(known)}")
    return chosen


@public
class NetrcAuth(Auth):
    """Basic authentication with the login and password of the request's host from a `.netrc` file. A request is sent
    unchanged if the file has no entry for its host, or if it already has an Authorization field.

    Arguments:
        path: of the file. Default: the file that the environment variable `NETRC` names, else `~/.netrc`; a default
            file may be absent. The file is read once, for the first request.

    A user name in the URL selects the entry with that login.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = path
        self._netrc: Netrc | None = None

    def credentials(self, host: str, login: str | None = None) -> tuple[str, str] | None:
        """Login and password for a host, or None.

        Raises:
            HTTPCoreError: the file breaks the grammar or is not UTF-8, or the file at a given `path` cannot be read.
        """
        if self._netrc is None:
            self._netrc = self._read()
        return self._netrc.lookup(host, login)

    def _read(self) -> Netrc:
        from .netrc import Netrc, netrc_path  # imported only when a file may be read

        path = netrc_path() if self._path is None else os.fspath(self._path)
        try:
            return Netrc.read(path)
        except OSError as error:
            if self._path is None:
                return Netrc([])
            why = error.strerror
        raise HTTPCoreError(f"the netrc file {show(path)} cannot be read: {why}")

    def flow(self, request: Request) -> Flow:
        # An Authorization field of the caller takes precedence over the file, which all programs share.
        if "Authorization" not in request.headers:
            found = self.credentials(request.url.host, request.url.username or None)
            if found is not None:
                request.headers["Authorization"] = basic_value(*found)
        yield request


class FunctionAuth(Auth):
    """Authentication by a caller's function, which changes the request, returns another one, or is a generator like
    `Auth.flow`."""

    def __init__(self, function: Callable[[Request], Request | None] | Callable[[Request], Flow]) -> None:
        self._function = function

    def flow(self, request: Request) -> Flow:
        made = self._function(request)
        if isinstance(made, CoroutineType):
            made.close()
            raise LocalProtocolError(
                "auth is an async function: expected a plain function or generator, which never waits"
            )
        if isinstance(made, Generator):
            yield from made
        else:
            yield request if made is None else made


def auth_of(value: AuthTypes | None) -> Auth | None:
    """The `Auth` for the argument `auth`.

    Raises:
        LocalProtocolError: `value` is of another type.
    """
    if value is None or isinstance(value, Auth):
        return value
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return BasicAuth(*value)
    if callable(value) and not isinstance(value, type):
        return FunctionAuth(value)
    size = f" of length {len(value)}" if isinstance(value, (tuple, list)) else ""
    raise LocalProtocolError(
        f"auth is of type {type(value).__name__}{size}: "
        "expected an Auth, a pair of user name and password, or a function"
    )


def auth_of_url(url: URL) -> BasicAuth | None:
    """Basic authentication with the user name and password of a URL; None if it has neither."""
    userinfo = url.userinfo
    return BasicAuth(*userinfo) if userinfo is not None and any(userinfo) else None
