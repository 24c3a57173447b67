"""Four servers' readers of multipart/form-data, each as a function from a body to the values that an application
receives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple

from django.conf import settings
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http.multipartparser import MultiPartParser
from python_multipart import MultipartParser
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.requests import Request
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import parse_form_data


class Read(NamedTuple):
    """One part; for a field without a file name, `filename` and `kind` are None."""

    name: str
    filename: str | None
    kind: str | None
    content: bytes


def by_python_multipart(content_type: str, body: bytes) -> list[Read]:

    parts: list[tuple[dict[bytes, bytes], bytearray]] = []
    field, value = bytearray(), bytearray()

    def header_end() -> None:
        parts[-1][0][bytes(field).lower()] = bytes(value)
        field.clear()
        value.clear()

    callbacks: dict[str, Callable[..., None]] = {
        "on_part_begin": lambda: parts.append(({}, bytearray())),
        "on_header_field": lambda data, start, end: field.extend(data[start:end]),
        "on_header_value": lambda data, start, end: value.extend(data[start:end]),
        "on_header_end": header_end,
        "on_part_data": lambda data, start, end: parts[-1][1].extend(data[start:end]),
    }
    boundary = parse_options_header(content_type)[1][b"boundary"]
    parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
    parser.write(body)
    parser.finalize()
    found = []
    for headers, content in parts:
        seen = parse_options_header(headers[b"content-disposition"])[1]
        filename = seen.get(b"filename")
        kind = headers.get(b"content-type")
        found.append(
            Read(
                seen[b"name"].decode(),
                None if filename is None else filename.decode(),
                None if kind is None else kind.decode(),
                bytes(content),
            )
        )
    return found


def by_starlette(content_type: str, body: bytes) -> list[Read]:

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def form() -> list[Read]:
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}
        async with Request(scope, receive).form() as read:
            return [
                Read(name, value.filename, value.content_type, await value.read())
                if isinstance(value, UploadFile)
                else Read(name, None, None, value.encode())
                for name, value in read.multi_items()
            ]

    return asyncio.run(form())


def by_django(content_type: str, body: bytes) -> list[Read]:

    if not settings.configured:
        settings.configure()
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": len(body)}
    fields, files = MultiPartParser(meta, BytesIO(body), [MemoryFileUploadHandler()], "utf-8").parse()
    return [Read(name, None, None, value.encode()) for name, values in fields.lists() for value in values] + [
        Read(name, file.name, file.content_type, file.read()) for name, values in files.lists() for file in values
    ]


def by_werkzeug(content_type: str, body: bytes) -> list[Read]:

    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    _, fields, files = parse_form_data(environ)
    return [Read(name, None, None, value.encode()) for name, value in fields.items(multi=True)] + [
        Read(name, file.filename, file.mimetype, _whole(file)) for name, file in files.items(multi=True)
    ]


def _whole(file: FileStorage) -> bytes:
    with file.stream as stream:
        return stream.read()


READERS = {
    "python-multipart": by_python_multipart,
    "starlette": by_starlette,
    "django": by_django,
    "werkzeug": by_werkzeug,
}
