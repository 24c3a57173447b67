"""The `ssl.SSLContext` of an `SSLConfig`: made at its first use, kept, and never changed after that.

A context takes some 20 ms to make, nearly all of it for reading certifi's bundle, so it is made off the event loop, and
kept under a key of all facts on which it depends: the config, the protocols offered, and the environment variables.
Threads that need the same context at the same time wait for the thread that makes it. Files are read once: a
certificate that is replaced on disk is used from the next process on.

The defaults are those of `ssl.create_default_context`, if it sets a value, and are stricter here in
three points: host names are never compared with a certificate's common name (RFC 9525, section 2), renegotiation is
refused (TLS 1.3 has none; HTTP/2 forbids it: RFC 9113, section 9.2.1), and TLS 1.2 is the minimum whatever OpenSSL's
configuration says.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import RLock
from typing import Final
from weakref import WeakKeyDictionary

from .._config import CertFile, SSLConfig, changed
from .._errors import LocalProtocolError, show, show_value
from .._forking import OPENSSL
from .._public import public
from .._values import dataclass

__all__ = ["alpn_of", "context_at_hand", "context_for", "ssl_context"]

_KEPT: Final = 32  # a context holds the parsed certificates; a program has few configs
_VERSIONS: Final[dict[object, ssl.TLSVersion]] = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")
_PLAIN: Final = (".pem", ".crt", ".cer")


@dataclass(frozen=True, slots=True)
class _Environment:
    """The environment variables that a context depends on; an empty variable counts as unset."""

    cert_file: str = ""
    cert_dir: str = ""
    keylog_file: str = ""


_Key = tuple[SSLConfig, tuple[str, ...], _Environment]


class _Place:
    """Where one context is kept, or is being made."""

    __slots__ = ("context", "making")

    def __init__(self) -> None:
        self.making = RLock()
        self.context: ssl.SSLContext | None = None


# One thread can enter these locks twice: a signal handler or a finaliser that makes a request may have interrupted
# another request here. At worst a context is made twice then, and both are valid.
_lock = RLock()
_places: OrderedDict[_Key, _Place] = OrderedDict()
_offers: WeakKeyDictionary[ssl.SSLContext, tuple[str, ...]] = WeakKeyDictionary()


def context_for(config: SSLConfig, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """The context for `config` that offers `alpn`, made now if it does not exist yet. This reads files; any thread may
    call it.

    Raises:
        LocalProtocolError: a file or directory that `config` or the environment names cannot be used.
    """
    environment = _environment(config)
    place = _place((_plain(config), alpn, environment))
    # This is the place's own lock, not `_lock`: a caller that needs another context must not wait 20 ms for this one.
    with place.making, OPENSSL:
        if place.context is None:
            place.context = _make(config, alpn, environment)
        return place.context


def context_at_hand(config: SSLConfig, alpn: tuple[str, ...]) -> ssl.SSLContext | None:
    """The context that `context_for` would return, if it already exists; this never waits and reads no file."""
    with _lock:
        place = _places.get((_plain(config), alpn, _environment(config)))
    return None if place is None else place.context


@public
def ssl_context(config: SSLConfig | None = None, *, alpn: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext:
    """A new context for `config` that is not shared, for callers that change it before they pass it on.

    Later changes of its checks (such as `verify_mode`, `check_hostname`, `verify_flags`, versions, options and
    loaded authorities) apply to connections that are made from then on; earlier connections are not used again. A
    change of ciphers, client certificates or ALPN protocols cannot be read from a context: make a new context for it.

    Arguments:
        config: the settings of the context. Default `SSLConfig()`.
        alpn: the protocols to offer, best first: "h2", "http/1.1". Default HTTP/1.1 only. Offer "h2" only if the
            pool that gets the context supports it.

    Raises:
        LocalProtocolError: a file or directory cannot be used, or `alpn` is not a sequence of at least one protocol
            name of 1 to 255 ASCII characters.
    """
    config = SSLConfig() if config is None else config
    return _make(config, _checked_alpn(alpn), _environment(config))


def alpn_of(context: ssl.SSLContext) -> tuple[str, ...]:
    """The protocols that `context` offers, if it was made here; any other context is assumed to offer HTTP/1.1."""
    with _lock:
        return _offers.get(context, ("http/1.1",))


def _plain(config: SSLConfig) -> SSLConfig:
    """The config without the parts that its context does not depend on: the host, the pins, and the protocols."""
    if config.server_hostname is None and config.alpn is None and not config.fingerprints:
        return config
    return changed(config, server_hostname=None, alpn=None, fingerprints=())


def _place(key: _Key) -> _Place:
    with _lock:
        place = _places.get(key)
        if place is None:
            place = _places[key] = _Place()
            if len(_places) > _KEPT:
                _places.popitem(last=False)
        elif key in _places:  # absent if an interrupting signal handler has added so many that it was dropped
            _places.move_to_end(key)
        return place


def _start_afresh() -> None:
    """Replace the locks in the child of a fork: another thread may have held one, which no thread in the child
    releases."""
    global _lock
    _lock = RLock()
    _places.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)


def _environment(config: SSLConfig) -> _Environment:
    if not config.trust_env or sys.flags.ignore_environment:
        return _Environment()
    keylog_file = os.environ.get("SSLKEYLOGFILE", "")
    if config.verify is False:
        return _Environment(keylog_file=keylog_file)
    return _Environment(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""), keylog_file)


def _checked_alpn(alpn: Sequence[str]) -> tuple[str, ...]:
    offered = () if isinstance(alpn, str) else tuple(alpn)
    if not offered or not all(isinstance(name, str) and name.isascii() and 0 < len(name) < 256 for name in offered):
        raise LocalProtocolError(
            f"alpn is {show_value(alpn)}: expected at least one protocol name, each of 1 to 255 ASCII characters, in a "
            'sequence, e.g. ("h2", "http/1.1")'
        )
    return offered


# How a context is made.


def _make(config: SSLConfig, alpn: tuple[str, ...], environment: _Environment) -> ssl.SSLContext:
    by_system = _system_checks(config, environment)
    context = _set_defaults(_checked_by_the_system() if by_system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if config.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not by_system:
        _trust(context, config.verify, environment)
    _set_versions(context, config)
    # The certificate is loaded after the ciphers are set: OpenSSL checks it against the security level that they may
    # set.
    if config.cert is not None:
        _identify(context, config.cert)
        # A server may request the certificate later, when it knows the HTTP request (RFC 8446, section 4.6.2), but only
        # from a client that has offered this in its handshake. HTTP/2 forbids this: see `TLSStream.forbid_requests`.
        context.post_handshake_auth = True
    if environment.keylog_file:
        _log_keys(context, environment.keylog_file)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    with _lock:
        # The protocols are stored separately, since `ssl` cannot read them from a context.
        _offers[context] = alpn
    return context


def _set_defaults(context: ssl.SSLContext) -> ssl.SSLContext:
    """Set all defaults, and no certificates yet. A client's context checks certificate and host name."""
    if context.minimum_version < ssl.TLSVersion.TLSv1_2:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Compression is off, since the length of compressed records reveals secrets (CRIME; RFC 9113, section 9.2.1,
    # forbids it).
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.hostname_checks_common_name = False
    if sys.version_info >= (3, 13):  # as `ssl.create_default_context` does from Python 3.13 on
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    return context


def _set_versions(context: ssl.SSLContext, config: SSLConfig) -> None:
    """Set versions and ciphers from the config, even if OpenSSL's own configuration differs."""
    # A minimum from OpenSSL's own configuration that is above the maximum is lowered to the maximum.
    if config.maximum_version is not None:
        most = _VERSIONS[config.maximum_version]
        context.maximum_version = most
        if context.minimum_version > most:
            context.minimum_version = most
    if config.minimum_version is not None:
        context.minimum_version = _VERSIONS[config.minimum_version]
    if config.ciphers is not None:
        _offer_ciphers(context, str(config.ciphers))


def _offer_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError as error:
        raise LocalProtocolError(
            f"ciphers: expected names of TLS 1.2 ciphers that this OpenSSL has, got {show(ciphers)} (openssl ciphers "
            "-v lists them; those of TLS 1.3 cannot be chosen)"
        ) from error


def _trust(context: ssl.SSLContext, verify: bool | str, environment: _Environment) -> None:
    if isinstance(verify, str) and verify != "system":
        _trust_path(context, "verify", verify)
    elif environment.cert_file or environment.cert_dir:
        _trust_environment(context, environment)
    elif verify == "system":
        _trust_path(context, "the path that OpenSSL was built with", _system_path() or "")
    else:
        import certifi  # imported only where its certificates are used

        _trust_path(context, "certifi.where()", certifi.where())


def _trust_environment(context: ssl.SSLContext, environment: _Environment) -> None:
    if environment.cert_file:
        _trust_file(context, "SSL_CERT_FILE", environment.cert_file)
    found = [path for path in environment.cert_dir.split(os.pathsep) if os.path.isdir(path)]
    # A list of directories may name some that do not exist on this machine, but one of them must have certificates.
    usable = [_trust_directory(context, "SSL_CERT_DIR", path) for path in found]
    if not environment.cert_file and not any(usable):
        raise LocalProtocolError(
            f"SSL_CERT_DIR is {show(environment.cert_dir)}: expected a directory with certificate files, found none"
        )


def _system_checks(config: SSLConfig, environment: _Environment) -> bool:
    """Whether truststore must let the system check certificates, since OpenSSL cannot read the system's store.

    On other systems truststore would use OpenSSL, but read all certificates again for each connection, which takes 70
    ms.
    """
    named = environment.cert_file or environment.cert_dir
    return config.verify == "system" and not named and _system_path() is None


def _system_path() -> str | None:
    """The file, or else the directory, of certificates that OpenSSL was built to trust."""
    if sys.platform in ("win32", "darwin"):  # whatever that path contains, it is not the system's store
        return None
    # `set_default_verify_paths` is not used, since it follows the environment even if `trust_env` is False.
    paths = ssl.get_default_verify_paths()
    file, directory = paths.openssl_cafile, paths.openssl_capath
    if os.path.isfile(file):
        return file
    return directory if os.path.isdir(directory) and os.listdir(directory) else None


def _checked_by_the_system() -> ssl.SSLContext:
    try:
        import truststore  # optional
    except ImportError as error:
        raise LocalProtocolError(
            'verify is "system": OpenSSL does not know the certificates of this system, and the package truststore, '
            "which does, is not installed"
        ) from error
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _trust_path(context: ssl.SSLContext, argument: str, path: str) -> None:
    if not os.path.isdir(path):
        _trust_file(context, argument, path)
    elif not _trust_directory(context, argument, path):
        raise LocalProtocolError(
            f"{argument} is {show(path)}: expected a directory that has *.pem, *.crt or *.cer files, or hashed names"
        )


def _trust_file(context: ssl.SSLContext, argument: str, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:
        raise LocalProtocolError(
            f"{argument} is {show(path)}: expected a file of certificates in PEM form ({_reason_of(error)})"
        ) from error


def _trust_directory(context: ssl.SSLContext, argument: str, path: str) -> bool:
    """Trust the certificates in a directory; False when there are none.

    OpenSSL itself looks for names like "5ad8a5d6.0" only (`openssl rehash` makes them), one by one and when it needs
    them. If there are no such names, every file that looks like a certificate is read.
    """
    try:
        names = sorted(os.listdir(path))
        if _has_hashed_name(names):
            context.load_verify_locations(capath=path)
            return True
    except (OSError, ValueError) as error:
        raise LocalProtocolError(f"{argument} is {show(path)}: it cannot be read ({_reason_of(error)})") from error
    files = [os.path.join(path, name) for name in names if name.lower().endswith(_PLAIN)]
    for file in files:
        _trust_file(context, argument, file)
    return bool(files)


def _has_hashed_name(names: Iterable[str]) -> bool:
    return any(_HASHED.fullmatch(name) for name in names)


def _identify(context: ssl.SSLContext, cert: CertFile) -> None:
    file, key, password = _parts(cert)
    named = f"cert is {show(file)}" + ("" if key is None else f" with key {show(key)}")

    def missing() -> str:
        # Without this function OpenSSL asks for the password on the terminal, and waits.
        raise LocalProtocolError(f"{named}: the key is encrypted: expected (certificate, key, password)")

    for path in (file,) if key is None else (file, key):
        _check_readable(path)
    try:
        context.load_cert_chain(file, key, missing if password is None else password)
    except (OSError, ValueError) as error:
        unsure = "no certificate, no key" + ("" if password is None else ", or not the right password")
        why = unsure if isinstance(error, ssl.SSLError) and not error.reason else _reason_of(error)
        raise LocalProtocolError(
            f"{named}: expected a certificate and the key that belongs to it, in PEM form ({why})"
        ) from error


def _parts(cert: CertFile) -> tuple[str, str | None, str | bytes | None]:
    if isinstance(cert, str):
        return cert, None, None
    return cert if len(cert) == 3 else (*cert, None)


def _check_readable(path: str) -> None:
    """Raise an error that names the file: OpenSSL's error does not say which of two files is missing."""
    try:
        open(path, "rb").close()
    except (OSError, ValueError) as error:
        raise LocalProtocolError(f"cert names {show(path)}: it cannot be read ({_reason_of(error)})") from error


def _log_keys(context: ssl.SSLContext, path: str) -> None:
    try:
        context.keylog_filename = path
    except (OSError, ValueError) as error:
        raise LocalProtocolError(
            f"SSLKEYLOGFILE is {show(path)}: expected a file that can be written ({_reason_of(error)})"
        ) from error


def _reason_of(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
