"""Settings as values: TLS, timeouts, limits. Hashable, compared by value, and checked when they are made."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from os import PathLike, fspath
from typing import Any, Final, Literal

from ._exact import exact_float, exact_str
from ._public import public, resolvable
from ._values import dataclass, field

__all__ = ["PoolLimits", "SSLConfig", "TimeoutConfig"]

CertFile = str | tuple[str, str] | tuple[str, str | None, str | bytes | None]


class Unset(Enum):
    """Tells "not given" from None, which means "no limit"."""

    UNSET = "not given"


UNSET: Final = Unset.UNSET
Seconds = float | None

DEFAULT_TIMEOUT: Final = 5.0

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
        raise TypeError(f"{name} is {value!r}: seconds as a number, or None for no limit, are allowed")
    try:
        seconds = exact_float(value)
    except OverflowError:  # a whole number of more than 308 digits
        seconds = math.inf if value > 0 else -math.inf
    if math.isnan(seconds) or seconds < 0 or (seconds == 0 and not zero):
        least = "from 0 up" if zero else "above 0"
        raise ValueError(f"{name} is {value!r}: a number of seconds {least} is allowed, or None for no limit")
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
        raise TypeError(f"{name} is {value!r}: a whole number, or None for no further limit, is allowed")
    if value < least:
        raise ValueError(
            f"{name} is {value!r}: a whole number from {least} up is allowed, or None for no further limit"
        )


@public
@resolvable
@dataclass(frozen=True, slots=True, init=False)
class TimeoutConfig:
    """How long each kind of wait may take, in seconds; `None` is no limit.

    Arguments:
        timeout: what each of the four below is when it is left out. Default 5.0.
        connect_timeout: resolving the name, connecting and the TLS handshake, together.
        read_timeout: each wait for bytes of the response.
        write_timeout: each wait for room to send bytes of the request. It bounds the wait, not the delivery.
        pool_timeout: the wait for a connection, when the pool is at its limit.
        total_timeout: the whole exchange, from the call of `request` to the last byte of the response body. It fires
            only where something waits. Above 0. Default None: no limit.

    Raises:
        TypeError, ValueError: a value is not a number of seconds from 0 up.
    """

    connect_timeout: Seconds
    read_timeout: Seconds
    write_timeout: Seconds
    pool_timeout: Seconds
    total_timeout: Seconds

    def __init__(
        self,
        timeout: Seconds = DEFAULT_TIMEOUT,
        *,
        connect_timeout: Seconds | Unset = UNSET,
        read_timeout: Seconds | Unset = UNSET,
        write_timeout: Seconds | Unset = UNSET,
        pool_timeout: Seconds | Unset = UNSET,
        total_timeout: Seconds = None,
    ) -> None:
        default = checked_seconds("timeout", timeout)
        four = {
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "write_timeout": write_timeout,
            "pool_timeout": pool_timeout,
        }
        for name, value in four.items():
            object.__setattr__(self, name, default if value is UNSET else checked_seconds(name, value))
        object.__setattr__(self, "total_timeout", checked_seconds("total_timeout", total_timeout, zero=False))

    @classmethod
    def of(cls, value: TimeoutConfig | Seconds) -> TimeoutConfig:
        """The value itself, or a number of seconds (None: no limit) for all four."""
        return value if isinstance(value, TimeoutConfig) else cls(value)


@public
@resolvable
@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections a pool may have. `None` is no further limit.

    Attributes:
        max_connections: open and dialing, in all. Default 100.
        max_connections_per_origin: the same, for one scheme, host and port. Default None.
        max_keepalive: how many may stay open with no request on them. Default None: all.
        keepalive_expiry: seconds after which a connection with no request on it is not used again. Default 30.0.

    Raises:
        TypeError, ValueError: a value is not a number, or too small.
    """

    max_connections: int | None = 100
    max_connections_per_origin: int | None = None
    max_keepalive: int | None = None
    keepalive_expiry: Seconds = 30.0

    def __post_init__(self) -> None:
        _checked_count("max_connections", self.max_connections, least=1)
        _checked_count("max_connections_per_origin", self.max_connections_per_origin, least=1)
        _checked_count("max_keepalive", self.max_keepalive, least=0)
        object.__setattr__(self, "keepalive_expiry", checked_seconds("keepalive_expiry", self.keepalive_expiry))


@public
@resolvable
@dataclass(frozen=True, slots=True)
class SSLConfig:
    """What to trust and how to identify ourselves under TLS. Equal values share connections and one `ssl.SSLContext`.

    Attributes:
        cert: a client certificate: one PEM file with certificate and key, `(certificate, key)`, or
            `(certificate, key, password)`; paths. Default None.
        verify: True trusts certifi's bundle, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name when they are set; a path
            of a PEM file or of a directory of them trusts that instead; "system" what the operating system trusts (on
            macOS and Windows that needs the package truststore); False accepts any certificate.
        trust_env: whether `SSL_CERT_FILE`, `SSL_CERT_DIR` and `SSLKEYLOGFILE` are heeded. Default True.
        server_hostname: the name that is sent (SNI) and that the certificate must be for, in place of the URL's host;
            in ASCII ("xn--..."), or an IP address, which is checked but not sent. Default None: the URL's host.
        alpn: the protocols to offer, best first, in place of what the pool speaks: a choice from it, another order,
            further names. () sends no ALPN at all. "h2" and "http/1.1" are offered only where they can be spoken.
            Default None.
        fingerprints: SHA-256 of the certificates (the server's own, DER encoded) that are accepted, in hex, with or
            without colons. Checked in addition to `verify`, and also when that is False. Default (): any.

    Raises:
        TypeError, ValueError: an argument has another shape. Files are read at the first https request.
    """

    cert: CertFile | None = None
    verify: bool | str | Literal["system"] = True
    trust_env: bool = True
    server_hostname: str | None = field(default=None, kw_only=True)
    alpn: tuple[str, ...] | None = field(default=None, kw_only=True)
    fingerprints: tuple[str, ...] = field(default=(), kw_only=True)
    minimum_version: TLSVersion | int | None = field(default=None, kw_only=True)
    maximum_version: TLSVersion | int | None = field(default=None, kw_only=True)
    ciphers: str | Sequence[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cert", _checked_cert(self.cert))
        if isinstance(self.verify, PathLike):
            object.__setattr__(self, "verify", fspath(self.verify))
        if not isinstance(self.verify, (bool, str)) or self.verify == "":
            raise TypeError(f"verify is {self.verify!r}: True, False or the path of a file or directory is allowed")
        object.__setattr__(self, "server_hostname", _checked_server_hostname(self.server_hostname))
        if self.alpn is not None:
            object.__setattr__(self, "alpn", checked_alpn(self.alpn))
        object.__setattr__(self, "fingerprints", _checked_fingerprints(self.fingerprints))
        least = _checked_version("minimum_version", self.minimum_version)
        most = _checked_version("maximum_version", self.maximum_version)
        object.__setattr__(self, "minimum_version", least)
        object.__setattr__(self, "maximum_version", most)
        object.__setattr__(self, "ciphers", _checked_ciphers(self.ciphers))
        if least is not None and most is not None and least > most:
            raise ValueError(f"minimum_version: expected at most maximum_version ({most!r}), got {least!r}")
        if self.ciphers is not None and least == "TLSv1.3":
            raise ValueError("ciphers: they are those of TLS 1.2, expected None with minimum_version='TLSv1.3'")

    def __repr__(self) -> str:
        cert = self.cert
        shown = cert if not isinstance(cert, tuple) or cert[-1] is None else (*cert[:-1], "***")  # no passwords
        text = f"SSLConfig(cert={shown!r}, verify={self.verify!r}, trust_env={self.trust_env!r}"
        for name in _LEFT_OUT:
            value = getattr(self, name)
            text += "" if value == _LEFT_OUT[name] else f", {name}={value!r}"
        return text + ")"


def changed(config: SSLConfig, **fields: Any) -> SSLConfig:
    """The same settings but for `fields`. The one way to copy them, so that no field is forgotten."""
    return SSLConfig(**{**{name: getattr(config, name) for name in _FIELDS}, **fields})


_LEFT_OUT: Final = {
    "server_hostname": None,
    "alpn": None,
    "fingerprints": (),
    "minimum_version": None,
    "maximum_version": None,
    "ciphers": None,
}
_FIELDS: Final = ("cert", "verify", "trust_env", *_LEFT_OUT)


def _checked_server_hostname(name: object) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"server_hostname is {name!r}: a host name or an IP address is allowed, or None")
    name = exact_str(name)
    if not _HOST.fullmatch(name):
        raise ValueError(
            f"server_hostname is {name!r}: a host name in ASCII (xn--... if need be) or an IP address without brackets "
            "is allowed, or None"
        )
    return name


def _checked_version(name: str, version: object) -> TLSVersion | None:
    """A version of TLS as text, however it was given. Nothing older than TLS 1.2 is spoken (RFC 8996)."""
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
        raise TypeError(f"ciphers: expected names of OpenSSL's as a str or a sequence, or None, got {ciphers!r}")
    names = list(names)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"ciphers: expected names of OpenSSL's as a str or a sequence, or None, got {ciphers!r}")
    text = ":".join(map(exact_str, names))
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError(f"ciphers: expected at least one name, in printable ASCII, got {ciphers!r}")
    return text


def checked_alpn(alpn: object) -> tuple[str, ...]:
    """Protocol names, as many as there are."""
    names = None if isinstance(alpn, (str, bytes)) or not isinstance(alpn, Iterable) else tuple(alpn)
    if names is None or not all(isinstance(name, str) for name in names):
        raise TypeError(f'alpn is {alpn!r}: a sequence of protocol names is allowed, e.g. ("h2", "http/1.1")')
    names = tuple(map(exact_str, names))
    if not all(name.isascii() and 0 < len(name) < 256 for name in names):
        raise ValueError(f"alpn is {alpn!r}: names of 1 to 255 ASCII characters are allowed")
    return names


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 in hex."""
    import hashlib  # heavy, and only for those who pin certificates

    return hashlib.sha256(certificate).hexdigest()


def _checked_fingerprints(fingerprints: object) -> tuple[str, ...]:
    given = None
    if isinstance(fingerprints, Iterable) and not isinstance(fingerprints, (str, bytes)):
        given = tuple(fingerprints)
    if given is None or not all(isinstance(fingerprint, str) for fingerprint in given):
        raise TypeError(f"fingerprints is {fingerprints!r}: a sequence of SHA-256 values in hex is allowed")
    given = tuple(map(exact_str, given))
    if given:
        fingerprint_of(b"")  # so that no request has to import what it takes
    plain = tuple(fingerprint.replace(":", "").lower() for fingerprint in given)
    for fingerprint, shown in zip(plain, given, strict=True):
        if not _SHA256.fullmatch(fingerprint):
            raise ValueError(f"fingerprints has {shown!r}: 64 hexadecimal digits (SHA-256) are allowed")
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
    raise TypeError(
        f"cert is a {shape}: a path, (certificate, key) or (certificate, key, password) is allowed, or None"
    )


def checked_ssl(ssl: Any) -> Any:
    module = sys.modules.get("ssl")  # whoever has a context has imported it
    if isinstance(ssl, SSLConfig) or (module is not None and isinstance(ssl, module.SSLContext)):
        return ssl
    raise TypeError(f"ssl is a {type(ssl).__name__}: an SSLConfig or an ssl.SSLContext is allowed, or None")


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
    """What a context demands of a peer now, as far as it tells; a config does not change.

    It does not tell its ciphers (only by making a session, which takes 0.2 ms), the client certificate that it shows
    and the protocols that it offers. A caller that changes those needs a new context.
    """
    if tls is None or isinstance(tls, SSLConfig):
        return ()
    trusted: Hashable = None
    with suppress(NotImplementedError):  # truststore's
        trusted = tuple(tls.cert_store_stats().values())  # CRLs are counted too
    return (*[getattr(tls, name, None) for name in _DEMANDS], trusted)
