"""Calls in the style of other libraries are refused at once, with a message that names the right call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import httpcore

GUESSES = [
    ("verify", "expected ssl=SSLConfig(verify=...)"),
    ("cert", "expected ssl=SSLConfig(cert=...)"),
    ("limits", "expected pool_limits=PoolLimits(...)"),
    ("params", "expected query_params=..."),
    ("proxies", "expected proxy=... or mounts={...}"),
    ("follow_redirects", "expected allow_redirects= of a request"),
    ("http2", "expected transport=HTTPTransport(http2=...)"),
    ("retries", "expected transport=HTTPTransport(retries=...)"),
    ("network_policy", "expected transport=HTTPTransport(network_policy=...)"),
    ("nothing_like_it", "see help(httpcore.Client)"),
]


@pytest.mark.parametrize("kind", [httpcore.Client, httpcore.AsyncClient, httpcore.TrioClient])
@pytest.mark.parametrize(("name", "expected"), GUESSES, ids=[name for name, _ in GUESSES])
def test_an_argument_of_another_client_is_answered_with_ours(kind: Any, name: str, expected: str) -> None:
    with pytest.raises(TypeError) as caught:
        kind(**{name: None})
    assert str(caught.value) == f"unexpected keyword argument {name!r} of a client: {expected}"


def test_an_error_class_given_as_timeout_names_the_config() -> None:
    expected = pytest.raises(TypeError, match=r"expected seconds as a number, None for no limit, or a TimeoutConfig$")
    for make in (httpcore.Client, httpcore.SyncConnectionPool, httpcore.HTTPTransport):
        with expected:
            make(timeout=httpcore.Timeout(5))  # type: ignore[arg-type]
    with httpcore.SyncConnectionPool() as pool, expected:
        pool.request("GET", "http://127.0.0.1:1/", timeout=(1, 2))  # type: ignore[arg-type]


# These calls pass one str where a collection of str is expected; its characters must not be taken for the items.
ONE_FOR_MANY: dict[str, Callable[[Path], object]] = {
    "allow": lambda path: httpcore.NetworkPolicy("10.0.0.0/8"),
    "deny": lambda path: httpcore.NetworkPolicy(deny="10.0.0.0/8"),
    "ports": lambda path: httpcore.NetworkPolicy(ports="443"),  # type: ignore[arg-type]
    "public_only allow": lambda path: httpcore.NetworkPolicy.public_only("127.0.0.1"),
    "public_only deny": lambda path: httpcore.NetworkPolicy.public_only(deny="127.0.0.1"),
    "public_only ports": lambda path: httpcore.NetworkPolicy.public_only(ports="443"),  # type: ignore[arg-type]
    "fingerprints": lambda path: httpcore.SSLConfig(fingerprints="ab" * 32),
    "alpn": lambda path: httpcore.SSLConfig(alpn="h2"),
    "methods": lambda path: httpcore.RetryPolicy(methods="GET"),
    "statuses": lambda path: httpcore.RetryPolicy(statuses="503"),  # type: ignore[arg-type]
    "sensitive_headers": lambda path: httpcore.Client(sensitive_headers="X-Key"),
    "algorithms": lambda path: httpcore.DigestAuth("user", "pass", algorithms="MD5"),
    "secrets": lambda path: httpcore.RecordReplay(path / "file", secrets="token"),
    "preload": lambda path: httpcore.HSTSTransport(preload="example.org"),
}


@pytest.mark.parametrize("case", ONE_FOR_MANY)
def test_one_str_is_no_collection_of_names(case: str, tmp_path: Path) -> None:
    with pytest.raises((TypeError, httpcore.LocalProtocolError), match=rf"^{case.split()[-1]} is .*(expected|allowed)"):
        ONE_FOR_MANY[case](tmp_path)


@pytest.mark.parametrize("value", [5, [b"name"], b"name"], ids=repr)
def test_names_that_are_no_str_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^preload (is of type|has an item of type) (int|bytes): expected"):
        httpcore.HSTSTransport(preload=value)
