"""The result of `ConnectionPool.stream`: a context manager that sends the request on entry, and closes the response on
exit.

`request` itself could return an object that can be awaited and is such a context manager, too. We tried this: it adds
2.5 % to the instructions of a GET on asyncio, also for requests that are only awaited.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from .._errors import LocalProtocolError
from .._message.response import Response

__all__ = ["StreamedResponse"]


class StreamedResponse(AbstractAsyncContextManager[Response]):
    """See `ConnectionPool.stream`."""

    __slots__ = ("_coroutine", "_response")

    def __init__(self, coroutine: Coroutine[object, None, Response]) -> None:
        self._coroutine = coroutine
        self._response: Response | None = None

    async def __aenter__(self) -> Response:
        if self._response is not None:
            raise LocalProtocolError("a request is entered once: call stream() again for another one")
        self._response = response = await self._coroutine
        return response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._response.close()
