"""Exchanges in a file: recorded once from the real server, and replayed byte for byte, without their secrets."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

from .._errors import LocalProtocolError, show, show_value
from .._exact import names_of
from .._message.fields import Headers
from .._message.request import Request
from .._public import public
from .._reentry import step_lock
from .base import Transport, TransportRequest, TransportResponse, async_pieces
from .extensions import ResponseExtensions
from .middleware import Middleware

__all__ = ["RecordReplay"]

HIDDEN: Final = "***"
SECRET_NAMES: Final = re.compile(r"authorization|cookie|token|secret|password|session|api-?key|signature|credential")
"""The value of a field with one of these words in its name is never written: Set-Cookie, X-Amz-Security-Token."""

_HAS_URL: Final = frozenset(("location", "content-location", "referer"))
_USERINFO: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*:)?//[^/?#]*@")

Exchange = dict[str, Any]


@public
class RecordReplay(Middleware):
    """Records exchanges in a file, and answers later requests from the file.

    An exchange is recorded when its response body has been read to the end. A later request gets the recorded response
    with the same method, URL and request body. If there are several, they are used in the order in which they were
    recorded, and the last one is repeated. A request body is collected before it is sent. The file has one line of JSON
    per exchange.

    Arguments:
        file: the path of the file, which need not exist yet.
        transport: sends the requests that are recorded. Default None: an `HTTPTransport()`.
        mode: "auto" replays recorded requests and records all others; "replay" refuses all others, so that nothing
            reaches the network; "record" empties the file and records every request. Default "auto".
        secrets: names of header fields and of query parameters whose values are replaced by `***` in the file. Query
            parameters are replaced in the request's URL and in Location, Content-Location and Referer. The values of
            fields that have authorization, cookie, token, secret, password, session, api-key, signature or credential
            in their names are always replaced, and the user name and password of a URL are never written. Bodies are
            written unchanged. Default: no further names.

    Raises:
        ValueError: `mode` has another value, or the file has a line that `RecordReplay` did not write.
        LocalProtocolError (from a request): the request is not in the file, and `mode` is "replay".
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        transport: Transport | None = None,
        *,
        mode: Literal["auto", "record", "replay"] = "auto",
        secrets: Iterable[str] = (),
    ) -> None:
        super().__init__(transport)
        if mode not in ("auto", "record", "replay"):
            raise ValueError(f'mode is {show_value(mode)}: expected "auto", "record" or "replay"')
        self._path = Path(file)
        self._mode = mode
        self._secrets = frozenset(name.lower() for name in names_of("secrets", secrets))
        self._lock = step_lock()
        self._recorded: dict[str, list[Exchange]] = {}
        if mode == "record":
            self._path.write_text("", encoding="utf-8")
        elif self._path.exists():
            self._load()

    def _load(self) -> None:
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                exchange = json.loads(line)
                self._recorded.setdefault(_key(exchange["request"]), []).append(exchange["response"])
            except (ValueError, KeyError, TypeError) as error:
                text = (
                    f"line {number} of {self._path} is not a recorded exchange: expected JSON that RecordReplay wrote"
                )
                raise ValueError(text) from error

    async def handle(self, request: TransportRequest) -> TransportResponse:
        wire = request.complete()
        body = await _collect_body(wire, request)
        asked = self._recorded_request(wire, body)
        found = None if self._mode == "record" else self._next(_key(asked))
        if found is not None:
            return _replayed(found)
        if self._mode == "replay":
            raise LocalProtocolError(
                f"{asked['method']} {show(wire.url.redacted)} is not in {self._path}: expected a recorded request"
            )
        request.stream = body
        response = await self.send(request)
        response.stream = _Recorded(self, response, asked)
        return response

    def _recorded_request(self, wire: Request, body: bytes) -> Exchange:
        target = self._without_secrets(wire.target.decode("ascii"))
        return {
            "method": wire.method.decode("ascii"),
            "url": f"{wire.url.scheme}://{wire.url.host_header.decode('ascii')}{target}",
            "headers": self._fields_without_secrets(wire.headers),
            "body": _text(body),
        }

    def _fields_without_secrets(self, headers: Headers) -> list[list[str]]:
        """The fields, without their secrets."""
        texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        return [[name, self._value(name.lower(), value)] for name, value in texts]

    def _value(self, name: str, value: str) -> str:
        if name in self._secrets or SECRET_NAMES.search(name):
            return HIDDEN
        return self._without_secrets(_USERINFO.sub(r"\1//", value)) if name in _HAS_URL else value

    def _without_secrets(self, url: str) -> str:
        """A URL or a part of one, with the secret parameters of its query hidden; unchanged if there are none."""
        before, mark, query = url.partition("?")
        query, hash_mark, fragment = query.partition("#")
        pairs = parse_qsl(query, keep_blank_values=True)
        if not any(name.lower() in self._secrets for name, _ in pairs):
            return url
        query = urlencode([(name, HIDDEN if name.lower() in self._secrets else value) for name, value in pairs])
        return f"{before}{mark}{query}{hash_mark}{fragment}"

    def _next(self, key: str) -> Exchange | None:
        with self._lock:
            alike = self._recorded.get(key)
            if not alike:
                return None
            return alike.pop(0) if len(alike) > 1 else alike[0]

    def record(self, asked: Exchange, response: TransportResponse, pieces: list[bytes]) -> None:
        """Write one exchange that has ended."""
        extensions = response.extensions
        answered = {
            "status_code": response.status_code,
            "headers": self._fields_without_secrets(response.headers),
            "http_version": extensions.get("http_version", "HTTP/1.1"),
            "reason_phrase": extensions.get("reason_phrase", ""),
            "trailing_headers": self._fields_without_secrets(extensions.get("trailing_headers", [])),
            "body": [_text(piece) for piece in pieces],
        }
        line = json.dumps({"request": asked, "response": answered})
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _key(asked: Mapping[str, Any]) -> str:
    return json.dumps([asked["method"], asked["url"], asked["body"]])


def _text(data: bytes) -> str | dict[str, str]:
    """The bytes as text if they are UTF-8, otherwise in base64."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _bytes(text: str | Mapping[str, str]) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else base64.b64decode(text["base64"])


async def _collect_body(wire: Request, request: TransportRequest) -> bytes:
    if wire.body.data is not None:
        return wire.body.data
    reader = wire.body.start(request.backend.run_blocking)
    pieces = []
    try:
        while piece := await reader.next():
            pieces.append(piece)
    finally:
        reader.close()
        await reader.aclose()
    return b"".join(pieces)


def _pairs(written: list[list[str]]) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in written]


def _replayed(found: Exchange) -> TransportResponse:
    extensions: ResponseExtensions = {
        "http_version": found["http_version"],
        "reason_phrase": found["reason_phrase"],
        "trailing_headers": _pairs(found["trailing_headers"]),
    }
    pieces = [_bytes(piece) for piece in found["body"]]
    return TransportResponse(found["status_code"], _pairs(found["headers"]), pieces, extensions)


class _Recorded:
    """A response body that is recorded when it has ended."""

    def __init__(self, recorder: RecordReplay, response: TransportResponse, asked: Exchange) -> None:
        self._recorder = recorder
        self._response = response
        self._asked: Exchange | None = asked
        self._stream = async_pieces(response.stream).__aiter__()
        self._pieces: list[bytes] = []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._stream.__anext__()
        except StopAsyncIteration:
            asked, self._asked = self._asked, None
            if asked is not None:
                self._recorder.record(asked, self._response, self._pieces)
            raise
        self._pieces.append(piece)
        return piece
