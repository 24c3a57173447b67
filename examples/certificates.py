"""How long certificates are valid: `python -m examples.certificates [--ca FILE] [--proxy URL] URL ...`."""

from __future__ import annotations

import argparse
import datetime

import httpcore


def described(info: httpcore.StreamInfo) -> str:
    """Names, issuer and remaining days of the certificate, and the negotiated TLS parameters."""
    tls = info.tls
    certificate = None if tls is None else tls.peer_certificate
    if tls is None or certificate is None:
        return "no TLS"
    days = (certificate.not_after - datetime.datetime.now(datetime.UTC)).days
    names = ", ".join(name for _, name in certificate.names)
    issuer = ", ".join(f"{kind}={text}" for kind, text in certificate.issuer)
    return f"{days} days left; for {names}; issued by {issuer}; {tls.version}, {tls.cipher}, {tls.alpn or 'no ALPN'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--ca", help="a PEM file of authorities to trust in place of certifi's")
    parser.add_argument("--proxy", help="the URL of a proxy")
    options = parser.parse_args()
    failed = 0
    with httpcore.SyncConnectionPool(ssl=httpcore.SSLConfig(verify=options.ca or True), proxy=options.proxy) as http:
        for url in options.urls:
            try:
                print(f"{url}: {described(http.connect(url))}")
            except httpcore.HTTPCoreError as error:
                failed += 1
                print(f"{url}: {error}")
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
