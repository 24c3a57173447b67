"""A small library written for the original API of httpcore, which uses nothing that was added later, like existing
libraries of this kind.
"""

from __future__ import annotations

import typing

import httpcore


class NetworkFailure(Exception):
    pass


class TimedOut(Exception):
    pass


class Answer:
    def __init__(self, response: httpcore.Response) -> None:
        self.response = response
        self.status_code: int = response.status_code
        self.reason: str = response.reason
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}

    @property
    def text(self) -> str:
        return self.response.body.decode("utf-8")

    async def pieces(self) -> typing.AsyncIterator[bytes]:
        async for piece in self.response.stream():
            yield piece

    async def close(self) -> None:
        if not self.response.is_closed:
            await self.response.close()


class Session:
    """Makes its settings anew for each request, like libraries whose callers may change settings in between."""

    def __init__(self) -> None:
        self.pool = httpcore.ConnectionPool()

    async def send(
        self,
        method: str,
        url: str,
        headers: typing.Sequence[tuple[str, str]] = (),
        data: typing.Any = b"",
        stream: bool = False,
        cert: typing.Any = None,
        verify: typing.Any = True,
        connect_timeout: float | None = 5.0,
        read_timeout: float | None = 5.0,
    ) -> Answer:
        try:
            response = await self.pool.request(
                method,
                url,
                headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
                body=data,
                stream=stream,
                ssl=httpcore.SSLConfig(cert=cert, verify=verify),
                timeout=httpcore.TimeoutConfig(connect_timeout=connect_timeout, read_timeout=read_timeout),
            )
        except OSError as error:
            raise NetworkFailure(str(error)) from error
        except httpcore.ConnectTimeout as error:
            raise TimedOut("connect") from error
        except httpcore.ReadTimeout as error:
            raise TimedOut("read") from error
        return Answer(response)

    async def close(self) -> None:
        await self.pool.close()


def canned(status_code: int, body: typing.Any) -> Answer:
    """The response of such a library's own test double."""
    return Answer(httpcore.Response(status_code=status_code, headers=[(b"X-Canned", b"yes")], body=body))
