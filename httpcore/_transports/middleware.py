"""The base class of middleware (a transport over a transport), and two middlewares that keep requests on https."""

from __future__ import annotations

from .._errors import UnsupportedProtocol
from .._message.url import URL
from .._pool.stats import RequestInFlight
from .._public import public
from .base import Transport, TransportRequest, TransportResponse
from .network import HTTPTransport

__all__ = [
    "HTTPSOnly",
    "HTTPSOnlyTransport",
    "HTTPSRedirect",
    "Middleware",
    "checked_transport",
    "redirect",
    "secure_url",
]


@public
class Middleware(Transport):
    """A transport over another one. A subclass overrides `handle` and passes requests on with `self.send(request)`:

        class Named(httpcore.Middleware):
            async def handle(self, request):
                request.fields().append((b"X-Name", b"value"))
                return await self.send(request)

    The subclass then works under both entries. Each response that `send` returned is closed with the exchange. A
    response that `handle` does not return may be closed earlier, with `await response.aclose()`.

    Arguments:
        transport: the transport below, which is closed with this one. Default None: an `HTTPTransport()`.
    """

    def __init__(self, transport: Transport | None = None) -> None:
        self.transport: Transport = HTTPTransport() if transport is None else checked_transport(transport)

    async def handle(self, request: TransportRequest) -> TransportResponse:
        return await self.send(request)

    async def send(self, request: TransportRequest) -> TransportResponse:
        """Pass the request on to the transport below."""
        response = await self.transport.handle(request)
        request.opened(response)
        return response

    def close(self) -> None:
        self.transport.close()

    async def aclose(self) -> None:
        await self.transport.aclose()

    def abort(self) -> None:
        self.transport.abort()

    def requests(self) -> list[RequestInFlight]:
        return self.transport.requests()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.transport!r})"


def checked_transport(transport: object, name: str = "transport") -> Transport:
    if isinstance(transport, Transport):
        return transport
    raise TypeError(f"{name} is of type {type(transport).__name__}: expected a Transport")


def secure_url(url: URL) -> str:
    """The https URL in place of an http one: port 80 becomes 443, any other port stays (RFC 6797, section 8.3)."""
    host = url.host_header.decode("ascii")
    return f"https://{host}{url.target.decode('ascii')}"


@public
class HTTPSRedirect(Middleware):
    """Answers requests for http URLs with a redirect to the https URL; no such request reaches the network.

    The status is 307, so that method and body stay. Requests for https URLs are passed on.

    Arguments:
        transport: the transport for https requests. Default None: an `HTTPTransport()`.
    """

    async def handle(self, request: TransportRequest) -> TransportResponse:
        url = request.parsed_url()
        if url.scheme == "https":
            return await self.send(request)
        request.complete()  # so that a request that cannot be sent is refused here as well
        return redirect(secure_url(url))


def redirect(location: str) -> TransportResponse:
    """A response with status 307 and this location."""
    fields = [(b"location", location.encode("ascii")), (b"content-length", b"0")]
    return TransportResponse(307, fields, extensions={"reason_phrase": "Temporary Redirect"})


@public
class HTTPSOnly(Middleware):
    """Refuses requests for http URLs, before anything is sent.

    Raises (from a request):
        UnsupportedProtocol: the URL's scheme is not https.
    """

    async def handle(self, request: TransportRequest) -> TransportResponse:
        url = request.parsed_url()
        if url.scheme != "https":
            raise UnsupportedProtocol(
                f"url is {url.redacted}: expected https, since HTTPSOnly refuses every other scheme"
            )
        return await self.send(request)


HTTPSOnlyTransport = HTTPSOnly
