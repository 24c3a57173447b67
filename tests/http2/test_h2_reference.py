"""HTTP/2 by h2: the reference engine, the shadow, and the table of their differences, row by row."""

from __future__ import annotations

import random
import struct
from functools import partial
from typing import Any

import pytest
from engines import alarm
from h2_borders import border_frames
from h2_events import EventEngine
from h2_frames import data, head, settings, window_update
from h2_scripts import Scripts
from test_h2_engine import (
    CANCELLED,
    CASES,
    CONNECTED,
    FINISHED,
    GET,
    GOT,
    HEADED,
    POST,
    POSTED,
    SIBLING,
    STRICTER_IN_H2,
    WRONG_SETTINGS,
    Case,
    Events,
    feed,
    opened,
)

from httpcore import HTTPCoreError
from httpcore._http2 import differences
from httpcore._http2.engine import STREAM_WINDOW, H2Engine
from httpcore._http2.h2_engine import NAME, ReferenceEngine
from httpcore._http2.shadow import ShadowEngine
from httpcore._message.fields import HEAD_BYTES

Outcome = tuple[object, ...]


watched = partial(ShadowEngine, alarm)
"""Any difference is a failure."""


def outcome(case: Case, kind: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Events, EventEngine]:
    """The results of an engine for a script."""
    monkeypatch.setattr("h2_events.make_engine", kind)
    engine = case.start()
    return feed(engine, case.script, len(case.script)), engine


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_reference_engine_decides_as_the_native_one(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    native, native_engine = outcome(case, H2Engine, monkeypatch)
    reference, engine = outcome(case, ReferenceEngine, monkeypatch)
    assert (reference.log, reference.bodies) == (native.log, native.bodies)
    assert engine.take() == native_engine.take()
    assert (engine.closed, engine.open_streams) == (native_engine.closed, native_engine.open_streams)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_shadow_finds_nothing_in_the_table(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    native, native_engine = outcome(case, H2Engine, monkeypatch)
    shadowed, engine = outcome(case, watched, monkeypatch)
    assert (shadowed.log, shadowed.bodies) == (native.log, native.bodies)
    assert engine.take() == native_engine.take()


@pytest.mark.parametrize("kind", [1, 5, 9], ids=["HEADERS", "PUSH_PROMISE", "CONTINUATION"])
def test_the_shadow_waits_for_the_end_of_a_header_block(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """h2 reports nothing about an incomplete header block; the native rules may refuse it at once."""
    monkeypatch.setattr("h2_events.make_engine", watched)
    promise = struct.pack(">L", 2) if kind == 5 else b""
    part = promise + b"\x00\x07:status\x03200"
    frame = struct.pack(">HBBBL", 0, len(part), kind, 0, 1) + part  # without END_HEADERS
    received, _ = played(opened(), frame, [])
    assert (received.error is None) == (kind == 1)


PIECES = [case.script for case in CASES if len(case.script) < 300 and case.start is opened]


def right(rand: random.Random) -> bytes:
    """Responses to the requests of `opened`, as a server may send them."""
    streams = (GOT, SIBLING, POSTED, HEADED, CONNECTED)
    made = Scripts(rand)
    return made.script(
        streams, headed=HEADED, tunnel=CONNECTED, given_up=CANCELLED, opened=(*streams, FINISHED, CANCELLED)
    )


def damaged(rand: random.Random) -> bytes:
    """A valid script, or a few scripts of the table one after the other, or both; or frames with border values, some
    after a valid script; some scripts contain damaged bytes.
    """
    kind = rand.random()
    if kind < 0.4:
        return right(rand)
    if kind < 0.5:
        return (right(rand) if kind < 0.44 else b"") + border_frames(rand)
    script = bytearray(right(rand) if kind < 0.7 else b"")
    if kind >= 0.6:
        script += b"".join(rand.choices(PIECES, k=rand.randint(1, 8)))
    for _ in range(rand.choice((0, 0, 1, 3))):
        script[rand.randrange(len(script))] = rand.randrange(256)
    return bytes(script)


def played(engine: EventEngine, script: bytes, cuts: list[int]) -> tuple[Events, bytes]:
    received = Events()
    for start, end in zip([0, *cuts], [*cuts, len(script)], strict=True):
        received.add(engine.receive(script[start:end]))
    return received, engine.take()


@pytest.mark.parametrize("seed", range(60))
def test_engines_agree_on_right_damaged_and_hostile_frames(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rand = random.Random(seed)
    script = damaged(rand)
    cuts = sorted(rand.randint(0, len(script)) for _ in range(rand.choice((0, 1, 20))))
    results = []
    for kind in (H2Engine, ReferenceEngine, watched):
        monkeypatch.setattr("h2_events.make_engine", kind)
        received, out = played(opened(), script, cuts)
        results.append((received.log, received.bodies, out))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("seed", range(20))
def test_right_scripts_are_accepted(seed: int) -> None:
    received, _ = played(opened(), right(random.Random(seed)), [])
    assert received.error is None
    assert not received.malformed


# The tables.

EXAMPLES: dict[str, list[str]] = {
    "empty DATA after the end of a stream": ["5.1 empty DATA behind the end while we still send"],
    "WINDOW_UPDATE on a stream that was reset": ["5.1 late WINDOW_UPDATE for a stream we reset"],
    "WINDOW_UPDATE with the reserved bit set": [
        "6.9 the reserved bit",
        "6.9 the reserved bit, of a stream",
        "6.9 the reserved bit, late",
    ],
    "a stream that depends on itself": [name for name in STRICTER_IN_H2 if name.startswith("5.3.2 ")],
    "white space around a field value": ["8.2.1 a blank before a value, read leniently"],
    "Content-Length in the response to CONNECT": ["8.5 Content-Length of a tunnel means nothing"],
    "64 CONTINUATION frames": ["10.5 64 CONTINUATION frames"],
    "HEADERS with nothing but padding": ["6.2 nothing but padding, before CONTINUATION"],
    "three table size updates in one header block": ["4.3 three table updates"],
    "RST_STREAM on a stream that was never opened": [
        "5.1 RST_STREAM on an idle stream",
        "5.1 RST_STREAM on an even stream",
    ],
    "DATA or HEADERS after the end of a stream": [
        "5.1 DATA behind the end, both sides done",
        "5.1 DATA behind RST_STREAM",
        "5.1 HEADERS behind RST_STREAM",
    ],
    "CONTINUATION without HEADERS on a closed stream": ["5.1 CONTINUATION behind RST_STREAM"],
    "SETTINGS_ENABLE_CONNECT_PROTOCOL changed from 1 to 0": ["8441 ENABLE_CONNECT_PROTOCOL taken back"],
    "an invalid setting, followed by another value of it": [
        *(f"6.5.3 {name}, then {good}" for name, _, _, good, _ in WRONG_SETTINGS),
        *(f"6.5.3 {name} among others, then {good}" for name, _, _, good, _ in WRONG_SETTINGS),
        "6.5.3 two wrong values of one setting, then a right one",
        "6.9.2 SETTINGS make a window too large for now",
    ],
    "a Content-Length that is not the length of the body": [
        "8.1.1 Content-Length is too large, with trailers",
        "8.1.1 Content-Length and no body",
    ],
    "an invalid Content-Length": ["8.1.1 Content-Length twice", "8.1.1 Content-Length in trailers"],
    "a body in a response that has none": ["8.1.1 a body in 204"],
    "TE or HTTP2-Settings in a response": [
        f"8.2.2 {field} {where}"
        for field in ("te: trailers", "http2-settings: AAMAAABk")
        for where in ("in a head", "in an interim head", "in trailers")
    ],
    "a field name that is not a token": ["8.2.1 a quote in a name"],
    "control characters in a field value": ["8.2.1 DEL in a value"],
    "a status outside 100 to 999, or 101": ["8.3.2 :status 099", "8.6 :status 101"],
    "HEADERS in a tunnel": ["8.5 HEADERS within a tunnel"],
}


def lenient() -> EventEngine:
    """An engine with the default rules: the engines of the table are strict."""
    engine = EventEngine()
    engine.start()
    engine.receive(settings())
    engine.request(GET, end=True)
    return engine


BLANK = Case("8.2.1", "a blank before a value, read leniently", head(1, (b"a", b" x"), end=True), "fine", lenient)
BY_NAME = {str(case): case for case in (*CASES, BLANK)}


def test_each_row_has_an_example() -> None:
    assert EXAMPLES.keys() == differences.STRICTER.keys() | differences.LAXER.keys()


@pytest.mark.parametrize(("row", "name"), [(row, name) for row, names in EXAMPLES.items() for name in names])
def test_a_row_of_the_table_is_still_true(row: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the row, the shadow would report the row's example."""
    for table in (differences.STRICTER, differences.LAXER):
        monkeypatch.delitem(table, row, raising=False)
    with pytest.raises(AssertionError, match=r"it (accepts input that is refused|refuses input that is accepted) here"):
        outcome(BY_NAME[name], watched, monkeypatch)


SETTINGS_5_IS_0 = "SETTINGS_MAX_FRAME_SIZE 0: expected 16,384 to 16,777,215 (PROTOCOL_ERROR)"


@pytest.mark.parametrize(
    ("frame", "may_differ"),
    [
        (settings((5, 0), (5, 16384)), True),
        (settings((5, 0)), False),
        (settings((5, 0), (5, 16384), (5, 0)), False),
        (settings((5, 16384), (5, 0)), False),
        (settings((5, 0), (4, 16384)), False),
        (settings((4, 0), (4, 1), (5, 0)), False),
        (b"\x00\x00\x0c\x06" + settings((5, 0), (5, 16384))[4:], False),
    ],
    ids=["replaced", "alone", "wrong again", "wrong at last", "another behind", "another twice", "a PING"],
)
def test_a_wrong_setting_may_differ_if_it_is_replaced(frame: bytes, may_differ: bool) -> None:
    assert differences.is_known_acceptance(SETTINGS_5_IS_0, frame[3], frame[9:]) == may_differ


NON_COMPLIANT = "Received frame with non-compliant data"
PADDING = "Received frame with invalid padding."


@pytest.mark.parametrize(
    ("refusal", "frame", "may_differ"),
    [
        ("a reset", data(GOT, b"", end=True), True),
        ("a reset", data(GOT, b"x", end=True), False),
        ("a reset", data(GOT, b"", pad=0), False),
        ("a reset", head(GOT), False),
        (NON_COMPLIANT, window_update(CANCELLED, 0), True),
        (NON_COMPLIANT, window_update(GOT, 1 << 31 | 1), True),
        (NON_COMPLIANT, window_update(GOT, 1), False),
        (NON_COMPLIANT, settings(), False),
        (PADDING, b"\x00\x00\x03\x01\x08" + bytes((0, 0, 0, GOT, 2, 0, 0)), True),
        (PADDING, b"\x00\x00\x04\x01\x08" + bytes((0, 0, 0, GOT, 2, 0x88, 0, 0)), False),
        (PADDING, data(GOT, b"", pad=2), False),
    ],
)
def test_a_known_error_of_h2_must_fit_the_frame_of_its_row(refusal: str, frame: bytes, may_differ: bool) -> None:
    assert differences.is_known_refusal(refusal, frame[3], frame[9:]) == may_differ


# The reference engine over h2.


def test_the_preface_and_settings_are_those_of_h2() -> None:
    engine = ReferenceEngine()
    engine.start()
    out = engine.take()
    assert engine.name == NAME
    granted = dict(struct.iter_unpack(">HL", out[24 + 9 :][: out[24 + 2]]))
    ours = {2: 0, 4: STREAM_WINDOW, 6: HEAD_BYTES}
    assert {name: granted[name] for name in ours} == ours
    assert granted.keys() - ours.keys() == {1, 5, 8}, "h2 also sends the settings with default values"


def test_an_error_of_h2_is_ours_and_names_no_class_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("h2_events.make_engine", ReferenceEngine)
    engine = opened()
    number = engine.request(POST, end=False)
    # This is a fault of our code that h2 detects: the window is larger in our engine than in h2.
    monkeypatch.setattr(ReferenceEngine, "window", lambda self, stream: 1 << 20)
    with pytest.raises(HTTPCoreError, match="h2 refuses to send this") as caught:
        engine.data(number, bytes(100_000), end=True)
    assert caught.value.__suppress_context__


def test_the_shadow_sees_an_engine_that_errs(monkeypatch: pytest.MonkeyPatch) -> None:
    class ErringEngine(ShadowEngine):
        def _took_end(self, stream: Any) -> None:
            H2Engine._took_end(self, stream)  # this leaves out the shadow's method, which records the end

    monkeypatch.setattr("h2_events.make_engine", partial(ErringEngine, alarm))
    with pytest.raises(AssertionError, match=f"{NAME}: end"):
        opened()
