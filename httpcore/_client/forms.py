"""The body of a request from the caller's arguments: content, form, files or JSON; and the fields that describe it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .._errors import LocalProtocolError
from .._message.body import Body, BodyContent
from .._message.fields import Headers

if TYPE_CHECKING:
    from .multipart import FilesTypes, Multipart
    from .pairs import FormTypes

__all__ = ["Encoded", "encode_content", "encode_json"]


class Encoded:
    """A body, and the fields that describe it. The transport adds the framing (Content-Length or chunked).

    Attributes:
        headers: Content-Type, or nothing.
        body: the `Body` that the pool sends.
    """

    __slots__ = ("body", "headers")

    def __init__(self, body: Body, headers: Headers) -> None:
        self.body = body
        self.headers = headers

    @property
    def content(self) -> bytes | None:
        """The whole body where it is in memory, else None."""
        return self.body.data

    @property
    def replayable(self) -> bool:
        """Whether the body can be sent from its beginning now: redirects, retries and authentication check this
        first.
        """
        return self.body.replayable


_NOTHING = Encoded(Body.of(None), [])


def encode_content(
    content: BodyContent | FormTypes | Multipart = None,
    *,
    data: FormTypes | None = None,
    files: FilesTypes | None = None,
    json: object = None,
) -> Encoded:
    """The body to be sent.

    Arguments:
        content: bytes, str (UTF-8), a binary file, an (async) iterable of bytes, a callable that returns one, a
            `ReplayableBody`, a `Multipart`; a mapping is a form, as `data`.
        data: a form, url-encoded; with `files`, its fields are sent before the files.
        files: as for `Multipart`.
        json: a value that JSON can represent. None is no body; send `content=b"null"` for null.

    Raises:
        LocalProtocolError: the arguments exclude each other, one is of another type, or JSON cannot represent a value.
    """
    if data is None and files is None and json is None:
        return _encode_body(content)
    _check_one(content, data, files, json)
    if json is not None:
        return Encoded(Body.of(encode_json(json)), [(b"Content-Type", b"application/json")])
    if files:
        from .multipart import Multipart  # only for forms with files

        return _encode_multipart(Multipart(data, files))
    return _encode_form(data if data is not None else {}, "data")


def _check_one(content: object, data: object, files: object, json: object) -> None:
    given = {"content": content, "data": data, "files": files, "json": json}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1 and names != ["data", "files"]:
        raise LocalProtocolError(f"{' and '.join(names)} are given: expected one of them, or data with files")


def _encode_body(content: BodyContent | FormTypes | Multipart) -> Encoded:
    if content is None:
        return _NOTHING
    if isinstance(content, (bytes, str)):
        return Encoded(Body.of(content), [])
    if isinstance(content, Mapping):
        return _encode_form(content, "content")
    from .multipart import Multipart  # imported only for content of another type

    if isinstance(content, Multipart):
        return _encode_multipart(content)
    return Encoded(Body.of(content), [])  # type: ignore[arg-type]  # `Body.of` checks the type


def _encode_multipart(form: Multipart) -> Encoded:
    return Encoded(form.body(), [(b"Content-Type", form.content_type.encode())])


def _encode_form(data: FormTypes, argument: str) -> Encoded:
    from .pairs import form_pairs, urlencoded  # only for forms

    body = urlencoded(form_pairs(data, argument))
    return Encoded(Body.of(body), [(b"Content-Type", b"application/x-www-form-urlencoded")])


def encode_json(value: object) -> bytes:
    """JSON as it is sent: UTF-8, without white space (RFC 8259).

    Raises:
        LocalProtocolError: the value contains NaN, an infinity, a type that JSON does not have, a lone surrogate or
            itself, or is nested too deeply.
    """
    from json import dumps  # only for JSON

    try:
        return dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        why = "has a str with a lone surrogate: expected text that UTF-8 can encode"
    except TypeError as error:
        why = f"cannot be encoded: {error}"
    except ValueError as error:
        why = _reason(str(error))
    except RecursionError:
        why = "is nested too deeply"
    raise LocalProtocolError(f"json {why}")


def _reason(message: str) -> str:
    """Why `json` refused a value, by the error's message: `json` raises ValueError for several reasons."""
    if "Circular" in message:
        return "contains itself"
    if "digits" in message:
        return "has an int of too many digits: see sys.set_int_max_str_digits"
    return "has NaN or an infinity: expected finite numbers (RFC 8259, section 6)"
