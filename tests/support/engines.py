"""The engines that HTTPCORE_ENGINES names, for tests below the pool."""

from __future__ import annotations

import os
from typing import Final

import pytest

from httpcore._http1.h11_reader import H11Response
from httpcore._http1.parser import H1Response
from httpcore._http1.shadow import ShadowResponse
from httpcore._http2.engine import H2Engine
from httpcore._http2.engines import ENGINES
from httpcore._message.rules import DEFAULT_RULES, ReadRules


def chosen(protocol: str) -> str:
    """The engine of this protocol."""
    text = os.environ.get("HTTPCORE_ENGINES") or "native"
    pairs = dict(part.strip().split("=") for part in text.split(",")) if "=" in text else {protocol: text}
    return pairs.get(protocol, "native")


native_http1 = pytest.mark.skipif(chosen("http/1.1") != "native", reason="tests the native engine")
native_http2 = pytest.mark.skipif(chosen("http/2") != "native", reason="tests the native engine")


def alarm(library: str, difference: str) -> None:
    """Any difference is a failure."""
    raise AssertionError(f"{library}: {difference}")


class AlarmingShadow(ShadowResponse):
    report = staticmethod(alarm)


READERS: Final[dict[str, type[H1Response]]] = {"native": H1Response, "reference": H11Response, "shadow": AlarmingShadow}


def chosen_reader() -> type[H1Response]:
    """The code that reads the responses of HTTP/1.1."""
    return READERS[chosen("http/1.1")]


# Tests that fail with the reference engine, and the row of `docs/reference/engines.md` with the reason. These tests
# must fail, so that a row that is no longer true is noticed here too.
EXPECTED_FAILURES: Final = {
    "http/1.1": {
        "test_the_same_parts_come_however_the_bytes_are_cut[HTTP/1.0 that keeps alive]": (
            "an HTTP/1.0 connection is not kept"
        ),
        "test_the_same_parts_come_however_the_bytes_are_cut[chunked in capitals]": "Transfer-Encoding in lower case",
        "test_where_a_reference_differs_the_table_is_right[an HTTP/1.0 connection is not kept]": (
            "an HTTP/1.0 connection is not kept"
        ),
    },
    "http/2": {
        "test_the_preface_has_our_settings_and_window": "more settings in the preface",
    },
}


def chosen_engine(rules: ReadRules = DEFAULT_RULES) -> H2Engine:
    """The code that reads and writes the frames of HTTP/2."""
    return ENGINES[chosen("http/2")](alarm)(rules)


def mark_expected_failures(items: list[pytest.Item]) -> None:
    for protocol, rows in EXPECTED_FAILURES.items():
        if chosen(protocol) == "reference":
            for item in items:
                if item.name in rows:
                    item.add_marker(pytest.mark.xfail(reason=rows[item.name], strict=True))
