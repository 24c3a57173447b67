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

from ._errors import show_value
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
    """The type of `UNSET`, which means "not given", unlike None, which means "no limit"."""

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
    # The values of `ssl.TLSVersion`, which is an IntEnum (RFC 8446, section 4.2.1).
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
}
_SHA256: Final = re.compile("[0-9a-f]{64}")


def checked_seconds(name: str, value: Seconds, *, zero: bool = True) -> Seconds:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {show_value(value)}: expected seconds as a number, or None for no limit")
    try:
        seconds = exact_float(value)
    except OverflowError:  # a whole number of more than 308 digits
        seconds = math.inf if value > 0 else -math.inf
    if math.isnan(seconds) or seconds < 0 or (seconds == 0 and not zero):
        least = "from 0 up" if zero else "above 0"
        raise ValueError(f"{name} is {show_value(value)}: expected a number of seconds {least}, or None for no limit")
    return None if seconds == math.inf else seconds


def checked_size(name: str, value: int | Unset | None) -> int | Unset | None:
    if value is None or value is UNSET:
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number of bytes, or None for no limit, got {show_value(value)}")
    if value < 0:
        raise ValueError(f"{name}: expected a number of bytes from 0 up, or None for no limit, got {show_value(value)}")
    return int(value)


def _checked_count(name: str, value: int | None, *, least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {show_value(value)}: expected a whole number, or None for no further limit")
    if value < least:
        raise ValueError(
            f"{name} is {show_value(value)}: expected a whole number from {least} up, or None for no further limit"
        )


def _checked_positive(name: str, value: object, unit: str) -> float:
    """Return `value` as a float, or raise if it is not a finite number above 0."""
    expected = f"expected a number of {unit} above 0, or None for no limit"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {expected}, got {show_value(value)}")
    try:
        number = exact_float(value)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    if not 0 < number < math.inf:
        raise ValueError(f"{name}: {expected}, got {show_value(value)}")
    return number


def _checked_rate(rate: float | Unset | None, window: float | Unset | None) -> dict[str, float | None]:
    """Return the given settings of the rate, checked. If one of the two is None, there is no rate at all."""
    if rate is None or window is None:
        return {"min_rate": None, "min_rate_window": DEFAULT_RATE_WINDOW}
    given: dict[str, float | None] = {}
    if rate is not UNSET:
        given["min_rate"] = _checked_positive("min_rate", rate, "bytes per second")
    if window is not UNSET:
        given["min_rate_window"] = _checked_positive("min_rate_window", window, "seconds")
    return given


def _value_of_alias(short: str, value: Seconds | Unset, long: Seconds | Unset) -> Seconds | Unset:
    """Return the value of a setting that has two names."""
    if value is UNSET:
        return long
    if long is not UNSET:
        raise TypeError(f"{short} and {short}_timeout are both given: expected one of them")
    return value


def _check_range(name: str, value: int, least: int, most: int) -> None:
    """Check a limit that cannot be None, because it bounds the bytes that a peer may send without end."""
    expected = f"expected a whole number from {least:,} to {most:,}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: {expected}, got {show_value(value)}")
    if not least <= value <= most:
        raise ValueError(f"{name}: {expected}, got {show_value(value)}")


@public
@resolvable
@dataclass(frozen=True, slots=True, init=False)
class TimeoutConfig:
    """How long each kind of wait may take, in seconds; `None` is no limit.

    In a config for a request, each argument that is left out has the pool's value: so
    `request(..., timeout=TimeoutConfig(read=60))` changes only the read timeout. In a pool's config it has its default.

    Arguments:
        timeout: the value of each of the next four arguments that is left out. Default 5.0.
        connect_timeout: resolving the name, connecting and the TLS handshake, together.
        read_timeout: each wait for bytes of the response.
        write_timeout: each wait for buffer space to send bytes of the request. It does not limit their delivery.
        pool_timeout: the wait for a connection, if the pool is at its limit.
        total_timeout: the whole exchange, from the call of `request` to the last byte of the response body. It is
            checked only where the exchange waits. Above 0. Default None: no limit.
        connect, read, write, pool, total: shorter names of the same five.
        min_rate: the fewest bytes per second at which a body may be received or sent. Above 0. Default None: no limit.
            The timeouts above end a wait in which no byte is transferred; this ends a body that is transferred too
            slowly, with `ReadTooSlow` or `WriteTooSlow` (a `ReadTimeout` and a `WriteTimeout`).
        min_rate_window: how far a body may fall behind that rate, in seconds. Above 0. Default 10.0. None means that
            there is no rate.

    How the rate is enforced: each body has an allowance, `min_rate_window` seconds at first. Waiting for the peer uses
    it up, second by second; each byte refills it by 1/`min_rate` seconds, never above the window. If it is used up
    while there is nothing to read, or no buffer space to write, the body is too slow. So a body of N bytes may take at
    most `N / min_rate + min_rate_window` seconds of waiting. Only waiting counts: a caller that reads slowly, or an
    upload whose iterator is slow, does not use up the allowance. The counted bytes are those of the body as sent,
    before decoding; for an upload, those that the system has accepted. The rate does not apply to the head, to a body
    that is sent together with the head, and to the stream after CONNECT or an upgrade. With `duplex=True` it applies to
    both bodies: if either may pause, set `min_rate=None` for that request.

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
            "connect_timeout": _value_of_alias("connect", connect, connect_timeout),
            "read_timeout": _value_of_alias("read", read, read_timeout),
            "write_timeout": _value_of_alias("write", write, write_timeout),
            "pool_timeout": _value_of_alias("pool", pool, pool_timeout),
            "total_timeout": _value_of_alias("total", total, total_timeout),
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
        """Return `value` if it is a config, else a config with this number of seconds for all four (None: no limit).

        Raises:
            TypeError, ValueError: as the constructor.
        """
        if isinstance(value, TimeoutConfig):
            return value
        if value is not None and not isinstance(value, (int, float)):
            raise TypeError(
                f"timeout is {show_value(value)}: expected seconds as a number, None for no limit, or a TimeoutConfig"
            )
        return cls(value)

    def replace(self, **changes: Unpack[TimeoutFields]) -> TimeoutConfig:
        """A copy with some fields changed, by either of their names: `http.timeout.replace(read=60, total=300)`.

        Raises:
            TypeError, ValueError: as the constructor; a TypeError also for `timeout`, which is not a field.
        """
        if "timeout" in changes:
            raise TypeError("replace() expected fields such as read=, got timeout=: TimeoutConfig(seconds) sets four")
        return self.overlaid(TimeoutConfig(**changes))

    def overlaid(self, other: TimeoutConfig | Seconds) -> TimeoutConfig:
        """Return these timeouts, with those replaced that `other`, the timeout of a request, sets.

        A number sets all except the total and the rate. None removes every limit. A `TimeoutConfig` sets the fields
        that it was made with.
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
        max_connections: how many connections may be open or being dialed, in total. Default 100.
        max_connections_per_origin: the same, for one scheme, host and port. Default None.
        max_keepalive: how many connections may stay open without a request on them. Default None: all.
        keepalive_expiry: seconds after which a connection without a request on it is not used again. Default 30.0.
        max_connection_lifetime: seconds, counted from its opening, after which a connection gets no further request. So
            a pool in constant use follows changes in DNS and in load balancers. The requests on the connection continue
            to their end. Default None.
        max_head_bytes: the most bytes of one response's head, or of its trailers, as sent; over HTTP/2 also
            decompressed. From 1,024 to 16 MiB. Default 256 KiB.
        max_head_fields: how many fields a head, or the trailers, may have. From 1 to 65,536. Default 1,000.

    Raises:
        TypeError, ValueError: a value is not a number, or is out of its range.
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
    """The trusted authorities, the client certificate and the other settings of TLS. Equal values share connections and
    one `ssl.SSLContext`.

    Arguments:
        cert: a client certificate: the path of one PEM file with certificate and key, or the paths `(certificate, key)`
            or `(certificate, key, password)`. Default None.
        verify: True (the default) trusts certifi's bundle, or the files of `SSL_CERT_FILE` and `SSL_CERT_DIR` if they
            are set. The path of a PEM file, or of a directory of them, trusts those instead. "system" trusts the
            authorities of the operating system (on macOS and Windows this needs the package truststore). False accepts
            any certificate.
        trust_env: whether `SSL_CERT_FILE`, `SSL_CERT_DIR` and `SSLKEYLOGFILE` are read. Default True.
        server_hostname: the name that is sent (SNI) and that the certificate must be for, in place of the URL's host:
            in ASCII ("xn--..."), or an IP address, which is checked but not sent. Default None: the URL's host.
        alpn: the protocols to offer, best first, in place of the pool's: a subset, another order, or further names. ()
            sends no ALPN extension. "h2" and "http/1.1" are offered only where they are supported. Default None.
        fingerprints: SHA-256 of the accepted certificates (the server's own, DER encoded), in hex, with or without
            colons. They are checked in addition to `verify`, and also if that is False. Default (): any.
        minimum_version, maximum_version: the versions of TLS, "TLSv1.2" or "TLSv1.3" (or members of `ssl.TLSVersion`).
            Default None: from TLS 1.2, or the version that OpenSSL's configuration requires if that is higher, to the
            newest that OpenSSL supports.
        ciphers: the ciphers of TLS 1.2 to offer, best first, by OpenSSL's names: a str with colons between them, or a
            sequence of names. Those of TLS 1.3 cannot be chosen. Default None: Python's choice.

    The attributes have the names of the arguments. Their values are hashable: paths as text, collections as tuples.

    Raises:
        TypeError, ValueError: an argument has another type or value. Files are read at the first https request.
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
            raise ValueError(
                f"minimum_version: expected at most maximum_version ({show_value(most)}), got {show_value(least)}"
            )
        if ciphers is not None and least == "TLSv1.3":
            raise ValueError(
                f"ciphers is {show_value(ciphers)}: expected None with minimum_version='TLSv1.3', since only ciphers "
                "of TLS 1.2 can be chosen"
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
    """Return a copy of `config` with some fields changed. All copies are made here, so that no field is forgotten."""
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
        raise TypeError(f"verify is {show_value(verify)}: expected True, False or the path of a file or directory")
    return verify


def _checked_server_hostname(name: object) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"server_hostname is {show_value(name)}: expected a host name or an IP address, or None")
    name = exact_str(name)
    if not _HOST.fullmatch(name):
        raise ValueError(
            f"server_hostname is {show_value(name)}: expected a host name in ASCII (xn--... for other characters), "
            "an IP address without brackets, or None"
        )
    return name


def _checked_version(name: str, version: object) -> TLSVersion | None:
    """Return a version of TLS, given as text or `ssl.TLSVersion`, as text. None before 1.2 is accepted (RFC 8996)."""
    if version is None:
        return None
    known = _VERSIONS.get(version) if isinstance(version, (str, int)) else None
    if known is None:
        kind = ValueError if isinstance(version, (str, int)) else TypeError
        raise kind(f'{name}: expected "TLSv1.2" or "TLSv1.3", or None, got {show_value(version)}')
    return known


def _checked_ciphers(ciphers: object) -> str | None:
    """Return ciphers as one str. Whether OpenSSL knows them is checked when a context is made."""
    if ciphers is None:
        return None
    names = [ciphers] if isinstance(ciphers, str) else ciphers
    if isinstance(names, (bytes, bytearray)) or not isinstance(names, Iterable):
        raise TypeError(
            f"ciphers: expected OpenSSL's names of ciphers as a str or a sequence, or None, got {show_value(ciphers)}"
        )
    names = list(names)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"ciphers: expected OpenSSL's names of ciphers as a str or a sequence, or None, got {show_value(ciphers)}"
        )
    text = ":".join(map(exact_str, names))
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError(f"ciphers: expected at least one name, in printable ASCII, got {show_value(ciphers)}")
    return text


def checked_alpn(alpn: object) -> tuple[str, ...]:
    """Return the protocol names as a tuple of exact `str`, or raise."""
    names = None if isinstance(alpn, (str, bytes)) or not isinstance(alpn, Iterable) else tuple(alpn)
    if names is None or not all(isinstance(name, str) for name in names):
        raise TypeError(f'alpn is {show_value(alpn)}: expected a sequence of protocol names, e.g. ("h2", "http/1.1")')
    names = tuple(map(exact_str, names))
    if not all(name.isascii() and 0 < len(name) < 256 for name in names):
        raise ValueError(f"alpn is {show_value(alpn)}: expected names of 1 to 255 ASCII characters")
    return names


def fingerprint_of(certificate: bytes) -> str:
    """Return the SHA-256 of a DER-encoded certificate in hex."""
    import hashlib  # slow to import, and only needed by programs that pin certificates

    return hashlib.sha256(certificate).hexdigest()


def _checked_fingerprints(fingerprints: object) -> tuple[str, ...]:
    given = None
    if isinstance(fingerprints, Iterable) and not isinstance(fingerprints, (str, bytes)):
        given = tuple(fingerprints)
    if given is None or not all(isinstance(fingerprint, str) for fingerprint in given):
        raise TypeError(f"fingerprints is {show_value(fingerprints)}: expected a sequence of SHA-256 values in hex")
    given = tuple(map(exact_str, given))
    if given:
        fingerprint_of(b"")  # imports hashlib now, so that no request has to
    plain = tuple(fingerprint.replace(":", "").lower() for fingerprint in given)
    for fingerprint, shown in zip(plain, given, strict=True):
        if not _SHA256.fullmatch(fingerprint):
            raise ValueError(f"fingerprints has {show_value(shown)}: expected 64 hexadecimal digits (SHA-256)")
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
    kind = type(cert).__name__  # never the value: it may hold a password
    raise TypeError(
        f"cert is of type {kind}: expected a path, (certificate, key) or (certificate, key, password), or None"
    )


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
    """Return the requirements that a context currently has for a peer, as far as Python can read them. A config cannot
    change, so it returns ().

    Three settings of a context are not included: its ciphers (they can be read only by making a session, which takes
    0.2 ms), its client certificate and its ALPN protocols. A caller that changes those needs a new context.
    """
    if tls is None or isinstance(tls, SSLConfig):
        return ()
    trusted: Hashable = None
    with suppress(NotImplementedError):  # by truststore's contexts
        trusted = tuple(tls.cert_store_stats().values())  # CRLs are counted too
    return (*[getattr(tls, name, None) for name in _DEMANDS], trusted)
