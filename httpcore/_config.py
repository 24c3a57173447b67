"""Settings as values: TLS, timeouts, limits. Hashable, compared by value, and checked when they are made."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Final, Literal, Union

from ._exact import exact_float, exact_str
from ._public import public, resolvable
from ._values import dataclass, field

if TYPE_CHECKING:
    import ssl as ssl_module
    from typing import TypedDict, Unpack

    class LimitFields(TypedDict, total=False):
        """The fields of a `PoolLimits`."""

        max_connections: int | None
        max_connections_per_origin: int | None
        max_keepalive: int | None
        keepalive_expiry: float | None
        max_connection_lifetime: float | None
        max_head_bytes: int
        max_head_fields: int

    class SSLFields(TypedDict, total=False):
        """The fields of an `SSLConfig`."""

        cert: CertTypes | None
        verify: bool | str | PathLike[str]
        trust_env: bool
        server_hostname: str | None
        alpn: Iterable[str] | None
        fingerprints: Iterable[str]
        minimum_version: TLSVersion | ssl_module.TLSVersion | None
        maximum_version: TLSVersion | ssl_module.TLSVersion | None
        ciphers: str | Iterable[str] | None

    class TimeoutFields(TypedDict, total=False):
        """The fields of a `TimeoutConfig`, by either of their names."""

        connect_timeout: float | None
        read_timeout: float | None
        write_timeout: float | None
        pool_timeout: float | None
        total_timeout: float | None
        connect: float | None
        read: float | None
        write: float | None
        pool: float | None
        total: float | None
        min_rate: float | None
        min_rate_window: float | None


__all__ = ["CertTypes", "PoolLimits", "SSLConfig", "SSLTypes", "TimeoutConfig", "TimeoutTypes"]

Path = str | PathLike[str]
CertFile = str | tuple[str, str] | tuple[str, str | None, str | bytes | None]
CertTypes = Path | tuple[Path, Path] | tuple[Path, Path | None, str | bytes | None]
"""A client certificate: a path, `(certificate, key)`, or `(certificate, key, password)`."""


@public
class Unset(Enum):
    """Tells "not given" from None, which means "no limit"."""

    UNSET = "not given"


UNSET: Final = Unset.UNSET
Seconds = float | None

DEFAULT_TIMEOUT: Final = 5.0
DEFAULT_RATE_WINDOW: Final = 10.0

_HOST: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._~-]+)?")
TLSVersion = Literal["TLSv1.2", "TLSv1.3"]

_VERSIONS: Final[dict[str | int, TLSVersion]] = {
    "TLSv1.2": "TLSv1.2",
    "TLSv1.3": "TLSv1.3",
    # As `ssl.TLSVersion` has them, which is a kind of int (RFC 8446, section 4.2.1).
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
}
_SHA256: Final = re.compile("[0-9a-f]{64}")


def checked_seconds(name: str, value: Seconds, *, zero: bool = True) -> Seconds:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r}: expected seconds as a number, or None for no limit")
    try:
        seconds = exact_float(value)
    except OverflowError:  # a whole number of more than 308 digits
        seconds = math.inf if value > 0 else -math.inf
    if math.isnan(seconds) or seconds < 0 or (seconds == 0 and not zero):
        least = "from 0 up" if zero else "above 0"
        raise ValueError(f"{name} is {value!r}: expected a number of seconds {least}, or None for no limit")
    return None if seconds == math.inf else seconds


def checked_size(name: str, value: int | Unset | None) -> int | Unset | None:
    if value is None or value is UNSET:
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number of bytes, or None for no limit, got {value!r}")
    if value < 0:
        raise ValueError(f"{name}: expected a number of bytes from 0 up, or None for no limit, got {value!r}")
    return int(value)


def _checked_count(name: str, value: int | None, *, least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}: expected a whole number, or None for no further limit")
    if value < least:
        raise ValueError(f"{name} is {value!r}: expected a whole number from {least} up, or None for no further limit")


def _checked_positive(name: str, value: object, unit: str) -> float:
    """A number above 0 that is not infinite."""
    expected = f"expected a number of {unit} above 0, or None for no limit"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {expected}, got {value!r}")
    try:
        number = exact_float(value)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    if not 0 < number < math.inf:
        raise ValueError(f"{name}: {expected}, got {value!r}")
    return number


def _checked_rate(rate: float | Unset | None, window: float | Unset | None) -> dict[str, float | None]:
    """The settings of the rate that are given, checked. Without a rate, or a window, the other means nothing."""
    if rate is None or window is None:
        return {"min_rate": None, "min_rate_window": DEFAULT_RATE_WINDOW}
    given: dict[str, float | None] = {}
    if rate is not UNSET:
        given["min_rate"] = _checked_positive("min_rate", rate, "bytes per second")
    if window is not UNSET:
        given["min_rate_window"] = _checked_positive("min_rate_window", window, "seconds")
    return given


def _either(short: str, value: Seconds | Unset, long: Seconds | Unset) -> Seconds | Unset:
    """The value that has two names."""
    if value is UNSET:
        return long
    if long is not UNSET:
        raise TypeError(f"{short} and {short}_timeout are both given: expected one of them")
    return value


def _check_range(name: str, value: int, least: int, most: int) -> None:
    """A limit that cannot be lifted: it bounds the bytes that a peer sends without end."""
    expected = f"expected a whole number from {least:,} to {most:,}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: {expected}, got {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name}: {expected}, got {value!r}")


@public
@resolvable
@dataclass(frozen=True, slots=True, init=False)
class TimeoutConfig:
    """How long each kind of wait may take, in seconds; `None` is no limit.

    What is left out when it is made for a request is the pool's: `request(..., timeout=TimeoutConfig(read=60))` changes
    the read timeout alone. As a pool's own it is the default.

    Arguments:
        timeout: the value of each of the four below that is left out. Default 5.0.
        connect_timeout: resolving the name, connecting and the TLS handshake, together.
        read_timeout: each wait for bytes of the response.
        write_timeout: each wait for room to send bytes of the request. It bounds the wait, not the delivery.
        pool_timeout: the wait for a connection, when the pool is at its limit.
        total_timeout: the whole exchange, from the call of `request` to the last byte of the response body. It fires
            only where something waits. Above 0. Default None: no limit.
        connect, read, write, pool, total: the same five, by shorter names.
        min_rate: the fewest bytes per second at which a body may come or leave. Above 0. Default None: no limit. The
            timeouts above end a wait in which nothing moves; this ends a body that moves too slowly, with `ReadTooSlow`
            or `WriteTooSlow` (a `ReadTimeout` and a `WriteTimeout`).
        min_rate_window: how far a body may fall behind that rate, in seconds. Above 0. Default 10.0. None is no limit,
            which is no rate.

    How the rate is kept: each direction of a body has an allowance, `min_rate_window` seconds at first. Waiting for the
    peer uses it up, second by second; each byte refills it by 1/`min_rate` seconds, never above the window. When it is
    used up while nothing is there to read, or no room to write, the body is too slow. So a body of N bytes may take
    `N / min_rate + min_rate_window` seconds of waiting, and no more. Only waiting counts: a caller that reads slowly,
    or an upload whose iterator is slow, uses up nothing. Counted is the body as sent, before
    decoding, and for an upload the bytes that the system has accepted. The head has no such limit, nor has a body that
    leaves together with it, nor the stream behind CONNECT and an upgrade. With `duplex=True` both bodies have it: where
    either may pause, give that request `min_rate=None`.

    Raises:
        TypeError, ValueError: a value is not a number of seconds from 0 up, or one is given by both its names; the rate
            or its window is not a number above 0.
    """

    connect_timeout: Seconds
    read_timeout: Seconds
    write_timeout: Seconds
    pool_timeout: Seconds
    total_timeout: Seconds
    min_rate: float | None
    min_rate_window: float
    _given: frozenset[str] = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        timeout: Seconds | Unset = UNSET,
        *,
        connect_timeout: Seconds | Unset = UNSET,
        read_timeout: Seconds | Unset = UNSET,
        write_timeout: Seconds | Unset = UNSET,
        pool_timeout: Seconds | Unset = UNSET,
        total_timeout: Seconds | Unset = UNSET,
        connect: Seconds | Unset = UNSET,
        read: Seconds | Unset = UNSET,
        write: Seconds | Unset = UNSET,
        pool: Seconds | Unset = UNSET,
        total: Seconds | Unset = UNSET,
        min_rate: float | Unset | None = UNSET,
        min_rate_window: float | Unset | None = UNSET,
    ) -> None:
        asked = {
            "connect_timeout": _either("connect", connect, connect_timeout),
            "read_timeout": _either("read", read, read_timeout),
            "write_timeout": _either("write", write, write_timeout),
            "pool_timeout": _either("pool", pool, pool_timeout),
            "total_timeout": _either("total", total, total_timeout),
        }
        default = DEFAULT_TIMEOUT if timeout is UNSET else checked_seconds("timeout", timeout)
        given = {
            name: checked_seconds(name, value, zero=name != "total_timeout")
            for name, value in asked.items()
            if value is not UNSET
        }
        if timeout is not UNSET:
            given = {**dict.fromkeys(_FOUR, default), **given}
        if min_rate is not UNSET or min_rate_window is not UNSET:
            given |= _checked_rate(min_rate, min_rate_window)
        for name in _FIELDS:
            value = default if name in _FOUR else _WITHOUT[name]
            object.__setattr__(self, name, given.get(name, value))
        object.__setattr__(self, "_given", frozenset(given))

    def __repr__(self) -> str:
        names = _FIVE if self.min_rate is None else _FIELDS
        return f"TimeoutConfig({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"

    @classmethod
    def of(cls, value: TimeoutConfig | Seconds) -> TimeoutConfig:
        """The value itself, or a number of seconds (None: no limit) for all four."""
        if isinstance(value, TimeoutConfig):
            return value
        if value is not None and not isinstance(value, (int, float)):
            raise TypeError(
                f"timeout is {value!r}: expected seconds as a number, None for no limit, or a TimeoutConfig"
            )
        return cls(value)

    def replace(self, **changes: Unpack[TimeoutFields]) -> TimeoutConfig:
        """A copy with some fields changed, by either of their names: `http.timeout.replace(read=60, total=300)`.

        Raises:
            TypeError, ValueError: as the constructor; also `timeout`, which is no field.
        """
        if "timeout" in changes:
            raise TypeError("replace() expected fields such as read=, got timeout=: TimeoutConfig(seconds) sets four")
        return self.overlaid(TimeoutConfig(**changes))

    def overlaid(self, other: TimeoutConfig | Seconds) -> TimeoutConfig:
        """These timeouts, replaced by those that `other`, of a request, sets.

        A number sets all but the total and the rate, None removes every limit, a `TimeoutConfig` sets its given fields.
        """
        if other is None:
            return _NO_LIMIT
        other = TimeoutConfig.of(other)
        given = other._given
        if len(given) == len(_FIELDS):
            return other
        made = object.__new__(TimeoutConfig)
        for name in _FIELDS:
            object.__setattr__(made, name, getattr(other if name in given else self, name))
        object.__setattr__(made, "_given", self._given | given)
        return made


_FOUR: Final = ("connect_timeout", "read_timeout", "write_timeout", "pool_timeout")
_FIVE: Final = (*_FOUR, "total_timeout")
_FIELDS: Final = (*_FIVE, "min_rate", "min_rate_window")
_WITHOUT: Final = {"total_timeout": None, "min_rate": None, "min_rate_window": DEFAULT_RATE_WINDOW}
_NO_LIMIT: Final = TimeoutConfig(None, total_timeout=None, min_rate=None)

TimeoutTypes = TimeoutConfig | float | None
"""Timeouts: a `TimeoutConfig`, seconds for all waits, or None for no limit."""


@public
@resolvable
@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections a pool may have, and how large a response's head may be. `None` is no further limit.

    Attributes:
        max_connections: open and dialing, in all. Default 100.
        max_connections_per_origin: the same, for one scheme, host and port. Default None.
        max_keepalive: how many may stay open with no request on them. Default None: all.
        keepalive_expiry: seconds after which a connection with no request on it is not used again. Default 30.0.
        max_connection_lifetime: seconds after which a connection is given no further request, counted from when it was
            open; so that a pool in constant use follows changes of DNS and load balancers. The requests that are on it
            run to their end. Default None.
        max_head_bytes: of the head of one response, or of its trailers, as sent; over HTTP/2 also decompressed. From
            1,024 to 16 MiB. Default 256 KiB.
        max_head_fields: how many fields a head, or the trailers, may have. From 1 to 65,536. Default 1,000.

    Raises:
        TypeError, ValueError: a value is not a number, or too small.
    """

    max_connections: int | None = 100
    max_connections_per_origin: int | None = None
    max_keepalive: int | None = None
    keepalive_expiry: Seconds = 30.0
    max_connection_lifetime: Seconds = field(default=None, kw_only=True)
    max_head_bytes: int = 262_144
    max_head_fields: int = 1_000

    def __post_init__(self) -> None:
        _checked_count("max_connections", self.max_connections, least=1)
        _checked_count("max_connections_per_origin", self.max_connections_per_origin, least=1)
        _checked_count("max_keepalive", self.max_keepalive, least=0)
        object.__setattr__(self, "keepalive_expiry", checked_seconds("keepalive_expiry", self.keepalive_expiry))
        lifetime = checked_seconds("max_connection_lifetime", self.max_connection_lifetime, zero=False)
        object.__setattr__(self, "max_connection_lifetime", lifetime)
        _check_range("max_head_bytes", self.max_head_bytes, 1024, 1 << 24)
        _check_range("max_head_fields", self.max_head_fields, 1, 1 << 16)

    def replace(self, **changes: Unpack[LimitFields]) -> PoolLimits:
        """A copy with some fields changed: `http.limits.replace(max_connections=5)`.

        Raises:
            TypeError, ValueError: as the constructor.
        """
        return PoolLimits(**{**{name: getattr(self, name) for name in PoolLimits.__slots__}, **changes})


@public
@resolvable
@dataclass(frozen=True, slots=True, init=False)
class SSLConfig:
    """The trusted authorities and our own certificate under TLS. Equal values share connections and one
    `ssl.SSLContext`.

    Arguments:
        cert: a client certificate: one PEM file with certificate and key, `(certificate, key)`, or
            `(certificate, key, password)`; paths. Default None.
        verify: True trusts certifi's bundle, or the files of `SSL_CERT_FILE` and `SSL_CERT_DIR` when they are set; a
        path
            of a PEM file or of a directory of them trusts that instead; "system" the authorities of the operating
            system (on macOS and Windows that needs the package truststore); False accepts any certificate.
        trust_env: whether `SSL_CERT_FILE`, `SSL_CERT_DIR` and `SSLKEYLOGFILE` are followed. Default True.
        server_hostname: the name that is sent (SNI) and that the certificate must be for, in place of the URL's host;
            in ASCII ("xn--..."), or an IP address, which is checked but not sent. Default None: the URL's host.
        alpn: the protocols to offer, best first, in place of those of the pool: a choice from them, another order,
            further names. () sends no ALPN at all. "h2" and "http/1.1" are offered only where they are supported.
            Default None.
        fingerprints: SHA-256 of the certificates (the server's own, DER encoded) that are accepted, in hex, with or
            without colons. Checked in addition to `verify`, and also when that is False. Default (): any.
        minimum_version, maximum_version: of TLS, "TLSv1.2" or "TLSv1.3" (or the members of `ssl.TLSVersion`). Default
            None: from TLS 1.2, or the version that OpenSSL's configuration requires if that is higher, to the newest
            there is.
        ciphers: those of TLS 1.2 that are offered, best first, in OpenSSL's words: names with colons between them, or
            a sequence of names. Those of TLS 1.3 cannot be chosen. Default None: Python's choice.

    Attributes: the same, as values that can be hashed: paths as text, collections as tuples.

    Raises:
        TypeError, ValueError: an argument has another shape. Files are read at the first https request.
    """

    cert: CertFile | None
    verify: bool | str
    trust_env: bool
    server_hostname: str | None = field(kw_only=True)
    alpn: tuple[str, ...] | None = field(kw_only=True)
    fingerprints: tuple[str, ...] = field(kw_only=True)
    minimum_version: TLSVersion | None = field(kw_only=True)
    maximum_version: TLSVersion | None = field(kw_only=True)
    ciphers: str | None = field(kw_only=True)

    def __init__(
        self,
        cert: CertTypes | None = None,
        verify: bool | str | PathLike[str] = True,
        trust_env: bool = True,
        *,
        server_hostname: str | None = None,
        alpn: Iterable[str] | None = None,
        fingerprints: Iterable[str] = (),
        minimum_version: TLSVersion | ssl_module.TLSVersion | None = None,
        maximum_version: TLSVersion | ssl_module.TLSVersion | None = None,
        ciphers: str | Iterable[str] | None = None,
    ) -> None:
        least = _checked_version("minimum_version", minimum_version)
        most = _checked_version("maximum_version", maximum_version)
        if least is not None and most is not None and least > most:
            raise ValueError(f"minimum_version: expected at most maximum_version ({most!r}), got {least!r}")
        if ciphers is not None and least == "TLSv1.3":
            raise ValueError(
                "ciphers: expected None with minimum_version='TLSv1.3', since only ciphers of TLS 1.2 can be chosen"
            )
        values = {
            "cert": _checked_cert(cert),
            "verify": _checked_verify(verify),
            "trust_env": trust_env,
            "server_hostname": _checked_server_hostname(server_hostname),
            "alpn": None if alpn is None else checked_alpn(alpn),
            "fingerprints": _checked_fingerprints(fingerprints),
            "minimum_version": least,
            "maximum_version": most,
            "ciphers": _checked_ciphers(ciphers),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def replace(self, **changes: Unpack[SSLFields]) -> SSLConfig:
        """A copy with some fields changed: `config.replace(verify="ca.pem")`.

        Raises:
            TypeError, ValueError: as the constructor.
        """
        return changed(self, **changes)

    def __repr__(self) -> str:
        cert = self.cert
        shown = cert if not isinstance(cert, tuple) or cert[-1] is None else (*cert[:-1], "***")  # no passwords
        text = f"SSLConfig(cert={shown!r}, verify={self.verify!r}, trust_env={self.trust_env!r}"
        for name in _LEFT_OUT:
            value = getattr(self, name)
            text += "" if value == _LEFT_OUT[name] else f", {name}={value!r}"
        return text + ")"


def changed(config: SSLConfig, **fields: Any) -> SSLConfig:
    """The same settings, except `fields`. The one way to copy them, so that no field is forgotten."""
    return SSLConfig(**{**{name: getattr(config, name) for name in _SSL_FIELDS}, **fields})


_LEFT_OUT: Final = {
    "server_hostname": None,
    "alpn": None,
    "fingerprints": (),
    "minimum_version": None,
    "maximum_version": None,
    "ciphers": None,
}
_SSL_FIELDS: Final = ("cert", "verify", "trust_env", *_LEFT_OUT)


def _checked_verify(verify: object) -> bool | str:
    if isinstance(verify, PathLike):
        verify = fspath(verify)
    if not isinstance(verify, (bool, str)) or verify == "":
        raise TypeError(f"verify is {verify!r}: expected True, False or the path of a file or directory")
    return verify


def _checked_server_hostname(name: object) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"server_hostname is {name!r}: expected a host name or an IP address, or None")
    name = exact_str(name)
    if not _HOST.fullmatch(name):
        raise ValueError(
            f"server_hostname is {name!r}: expected a host name in ASCII (xn--... if need be), an IP address without "
            "brackets, or None"
        )
    return name


def _checked_version(name: str, version: object) -> TLSVersion | None:
    """A version of TLS as text, however it was given. Nothing older than TLS 1.2 is used (RFC 8996)."""
    if version is None:
        return None
    known = _VERSIONS.get(version) if isinstance(version, (str, int)) else None
    if known is None:
        kind = ValueError if isinstance(version, (str, int)) else TypeError
        raise kind(f'{name}: expected "TLSv1.2" or "TLSv1.3", or None, got {version!r}')
    return known


def _checked_ciphers(ciphers: object) -> str | None:
    """As one text. Whether OpenSSL knows them is seen when a context is made."""
    if ciphers is None:
        return None
    names = [ciphers] if isinstance(ciphers, str) else ciphers
    if isinstance(names, (bytes, bytearray)) or not isinstance(names, Iterable):
        raise TypeError(
            f"ciphers: expected OpenSSL's names of ciphers as a str or a sequence, or None, got {ciphers!r}"
        )
    names = list(names)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"ciphers: expected OpenSSL's names of ciphers as a str or a sequence, or None, got {ciphers!r}"
        )
    text = ":".join(map(exact_str, names))
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError(f"ciphers: expected at least one name, in printable ASCII, got {ciphers!r}")
    return text


def checked_alpn(alpn: object) -> tuple[str, ...]:
    """Protocol names, as many as there are."""
    names = None if isinstance(alpn, (str, bytes)) or not isinstance(alpn, Iterable) else tuple(alpn)
    if names is None or not all(isinstance(name, str) for name in names):
        raise TypeError(f'alpn is {alpn!r}: expected a sequence of protocol names, e.g. ("h2", "http/1.1")')
    names = tuple(map(exact_str, names))
    if not all(name.isascii() and 0 < len(name) < 256 for name in names):
        raise ValueError(f"alpn is {alpn!r}: expected names of 1 to 255 ASCII characters")
    return names


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 in hex."""
    import hashlib  # heavy, and only for programs that pin certificates

    return hashlib.sha256(certificate).hexdigest()


def _checked_fingerprints(fingerprints: object) -> tuple[str, ...]:
    given = None
    if isinstance(fingerprints, Iterable) and not isinstance(fingerprints, (str, bytes)):
        given = tuple(fingerprints)
    if given is None or not all(isinstance(fingerprint, str) for fingerprint in given):
        raise TypeError(f"fingerprints is {fingerprints!r}: expected a sequence of SHA-256 values in hex")
    given = tuple(map(exact_str, given))
    if given:
        fingerprint_of(b"")  # so that no request has to import it
    plain = tuple(fingerprint.replace(":", "").lower() for fingerprint in given)
    for fingerprint, shown in zip(plain, given, strict=True):
        if not _SHA256.fullmatch(fingerprint):
            raise ValueError(f"fingerprints has {shown!r}: expected 64 hexadecimal digits (SHA-256)")
    return plain


def _checked_cert(cert: object) -> CertFile | None:
    if cert is None:
        return None
    if isinstance(cert, (str, PathLike)):
        return fspath(cert)
    if isinstance(cert, Sequence) and not isinstance(cert, (bytes, bytearray)) and len(cert) in (2, 3):
        parts = [fspath(part) if isinstance(part, PathLike) else part for part in cert]
        password = parts[2] if len(parts) == 3 else None
        if (
            isinstance(parts[0], str)
            and (parts[1] is None or isinstance(parts[1], str))
            and (password is None or isinstance(password, (str, bytes)))
        ):
            return (parts[0], parts[1], password)
    shape = type(cert).__name__  # never the value: it may hold a password
    raise TypeError(f"cert is a {shape}: expected a path, (certificate, key) or (certificate, key, password), or None")


SSLTypes = Union[SSLConfig, "ssl_module.SSLContext", None]
"""TLS settings: an `SSLConfig`, or an `ssl.SSLContext` of your own; None is the default."""


def checked_ssl(ssl: Any) -> Any:
    module = sys.modules.get("ssl")  # there is no context without this import
    if isinstance(ssl, SSLConfig) or (module is not None and isinstance(ssl, module.SSLContext)):
        return ssl
    raise TypeError(f"ssl is of type {type(ssl).__name__}: expected an SSLConfig or an ssl.SSLContext, or None")


Demands = tuple[Hashable, ...]

_DEMANDS: Final = (
    "verify_mode",
    "check_hostname",
    "hostname_checks_common_name",
    "verify_flags",
    "minimum_version",
    "maximum_version",
    "options",
    "security_level",
    "post_handshake_auth",
)


def demands_of(tls: Any) -> Demands:
    """The current demands of a context on a peer, as far as Python can read them; a config does not change.

    It does not tell its ciphers (only by making a session, which takes 0.2 ms), the client certificate that it shows
    and the protocols that it offers. A caller that changes those needs a new context.
    """
    if tls is None or isinstance(tls, SSLConfig):
        return ()
    trusted: Hashable = None
    with suppress(NotImplementedError):  # truststore's
        trusted = tuple(tls.cert_store_stats().values())  # CRLs are counted too
    return (*[getattr(tls, name, None) for name in _DEMANDS], trusted)
