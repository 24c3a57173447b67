"""TLS with one hop, a proxy or the origin: the context, the name, the certificate, and the resumed session of a
handshake.

A session that an earlier connection agreed on with the same server makes the next handshake cheaper (RFC 8446, section
2.2). Two facts decide how sessions are resumed here:

OpenSSL does not check the host name again when it resumes a session: it trusts that the session is used for the host
for which it was made. So a session is stored under everything that identifies the hop: the route (or the proxy), its
TLS settings, the context and its demands, the name that was checked and the protocols that were offered.

Python copies a session, with its certificate, each time it is read or set (0.5 ms on a machine where a handshake
takes 2.5). So nothing is copied until another connection needs the session: only the source of the session is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .._backends.base import Backend, Stream
from .._config import Demands, SSLConfig, demands_of, fingerprint_of
from .._errors import LocalProtocolError, TLSError, show, show_value
from .contexts import context_at_hand, context_for
from .sessions import Sessions
from .tls import TLSStream, start_tls

if TYPE_CHECKING:
    import ssl

__all__ = ["Hop", "secure"]


class Hop(NamedTuple):
    """One peer of a TLS handshake: the origin, or a proxy.

    Attributes:
        place: the identity of this hop: sessions are shared between equal ones.
        tls: the settings by which it is checked.
        host: the host to which we want to connect, as in the URL.
        offers: the possible protocols, best first.
        demands: the demands of the context when the request began. The context must still have them, since other
            requests that share the connection rely on them.
    """

    place: Hashable
    tls: SSLConfig | ssl.SSLContext
    host: str
    offers: tuple[str, ...]
    demands: Demands = ()


async def secure(
    backend: Backend, stream: Stream, hop: Hop, left: Callable[[], float | None], sessions: Sessions | None
) -> Stream:
    """Shake hands over `stream`. The caller closes it if this fails.

    Arguments:
        left: returns the seconds that are left for the handshake.
        sessions: the sessions to resume from and to keep; None: no session is used.

    Raises:
        TLSError, ConnectTimeout, LocalProtocolError: as `start_tls`; TLSError for a certificate that is not pinned;
            LocalProtocolError for a context that was changed in the meantime.
    """
    tls, offers = hop.tls, hop.offers
    context, name = await _context(backend, tls, offers), hop.host
    if isinstance(tls, SSLConfig) and tls.server_hostname is not None:
        name = tls.server_hostname
    # This is checked after the wait for the context. The pool's key has the demands of the context when the request
    # began, so a context that is stricter or laxer now must not be used.
    if demands_of(tls) != hop.demands:
        message = "the SSLContext was changed while a connection was made with it; expected it to stay as it was when"
        raise LocalProtocolError(f"{message} the request began", peer=stream.info().peer)
    # The key has all facts that decide whether a session may be resumed, since OpenSSL compares none of them: see the
    # head of this file.
    key = (hop.place, tls, hop.demands, context, name, offers)
    secured = await start_tls(
        stream,
        context,
        name,
        timeout=left(),
        now=backend.now,
        session=None if sessions is None else sessions.take(key),
        keep=None if sessions is None else partial(sessions.keep, key),
    )
    # The pins are checked after the handshake, since the certificate is known only then, and before a byte of the
    # request is sent.
    if isinstance(tls, SSLConfig) and tls.fingerprints:
        _check_pinned(secured, tls.fingerprints, name)
    agreed = secured.info().tls
    chosen = None if agreed is None else agreed.alpn
    # This includes HTTP/2 by prior knowledge, where no protocol was agreed on: RFC 9113, section 9.2.3 applies to it
    # too.
    if chosen == "h2" or (chosen is None and "http/1.1" not in offers):
        secured.forbid_requests()
    return secured


async def _context(backend: Backend, tls: SSLConfig | ssl.SSLContext, offers: tuple[str, ...]) -> ssl.SSLContext:
    if not isinstance(tls, SSLConfig):
        return tls
    alpn = _alpn(tls, offers)
    # A thread is used only if the context must be made, which takes some 20 ms: see `contexts`.
    context = context_at_hand(tls, alpn)
    return await backend.run_blocking(partial(context_for, tls, alpn)) if context is None else context


def _alpn(tls: SSLConfig, offers: tuple[str, ...]) -> tuple[str, ...]:
    """The protocols to offer: those of the config, without those that are excluded on this connection."""
    if not tls.alpn:
        return offers if tls.alpn is None else ()
    if not any(name in offers for name in tls.alpn):
        raise LocalProtocolError(
            f"SSLConfig.alpn is {show_value(tls.alpn)}: expected {' or '.join(offers)} in it for this request"
        )
    return tuple(name for name in tls.alpn if name in offers or name not in ("h2", "http/1.1"))


def _check_pinned(secured: TLSStream, fingerprints: tuple[str, ...], name: str) -> None:
    tls = secured.info().tls
    certificate = None if tls is None else tls.certificate
    seen = "none" if certificate is None else fingerprint_of(certificate)
    if seen in fingerprints:
        return
    raise TLSError(
        f"the certificate of {show(name)} has the SHA-256 fingerprint {seen}, which is not pinned: "
        f"expected {' or '.join(fingerprints)}",
        peer=secured.info().peer,
    )
