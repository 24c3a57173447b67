"""HTTP/1.1 by h11: the reference engine, the shadow, and the table of their differences, row by row."""

from __future__ import annotations

from random import Random
from typing import Any

import h11
import pytest
from engines import AlarmingShadow
from hypothesis import given, settings
from hypothesis import strategies as st
from test_h1_parser import ACCEPTED, CONNECT, GET, HEAD, REFUSED, UPGRADE, RequestFacts, single_bytes
from test_references import ASKED, EACH, LAXER, Maker

from httpcore import RemoteProtocolError
from httpcore._errors import HTTPCoreError
from httpcore._http1 import differences, h11_reader
from httpcore._http1.h11_reader import NAME, H11Response
from httpcore._http1.parser import H1Response
from httpcore._http1.shadow import Shadow, ShadowResponse
from httpcore._message.head import Head

Outcome = tuple[object, ...]


def outcome(kind: type[H1Response], pieces: list[bytes], requested: RequestFacts) -> Outcome:
    """All results of a reader for a stream that ends after these pieces."""
    response = kind(requested.method, upgrade=requested.upgrade, close=requested.close)
    error = ""
    try:
        for piece in [*pieces, b""]:
            response.receive(piece)
    except HTTPCoreError as caught:
        error = str(caught)
    heads = [*response.interim, *([response.head] if response.head is not None else [])]
    body = b"".join(response.parts or ())
    end = response.ended, response.switched, response.surplus, response.trailers
    return [shown(head) for head in heads], body, end, response.reusable, error


def shown(head: Head) -> Outcome:
    return head.status, head.reason, head.version, [lowered(*field) for field in head.raw_headers]


def lowered(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """The field as h11 returns it: see `test_h11_lower_cases_the_transfer_encoding`."""
    return name, value.lower() if name.lower() == b"transfer-encoding" else value


def same(native: Outcome, reference: Outcome) -> bool:
    """Whether all results are equal, except the reuse of a connection of HTTP/1.0."""
    heads: list[Outcome] = native[0]  # type: ignore[assignment]  # the first of the five
    is_old = bool(heads) and heads[-1][2] == b"1.0"
    return native[:3] == reference[:3] and native[4] == reference[4] and (is_old or native[3] == reference[3])


EXAMPLES = {name: (raw, requested) for name, (raw, requested, *_) in ACCEPTED.items()} | REFUSED


@pytest.mark.parametrize("cut", ["whole", "single bytes"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_reference_engine_reads_as_the_native_one(name: str, cut: str) -> None:
    raw, requested = EXAMPLES[name]
    pieces = [raw] if cut == "whole" and raw else single_bytes(raw)
    assert same(outcome(H1Response, pieces, requested), outcome(H11Response, pieces, requested))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_shadow_finds_nothing_in_the_cases_of_the_parser(name: str) -> None:
    raw, requested = EXAMPLES[name]
    for pieces in ([raw] if raw else [], single_bytes(raw)):
        assert outcome(AlarmingShadow, pieces, requested) == outcome(H1Response, pieces, requested)


@pytest.mark.parametrize("mistakes", [0.0, 0.02, 0.1])
def test_engines_agree_on_right_damaged_and_hostile_messages(mistakes: float) -> None:
    @settings(deadline=None, max_examples=EACH // 3, derandomize=True)
    @given(st.randoms(use_true_random=True))
    def compare(random: Random) -> None:
        maker = Maker(random, mistakes)
        raw, requested = maker.message(), random.choice(ASKED)
        pieces = maker.pieces(raw)
        native = outcome(H1Response, pieces, requested)
        assert same(native, outcome(H11Response, pieces, requested))
        assert native == outcome(AlarmingShadow, pieces, requested)

    compare()


# Where the engines differ: `differences`, and the changes that h11 makes to a field.

KEPT = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
SPACED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 ;a\r\nx\r\n0\r\n\r\n"


def test_h11_keeps_no_connection_of_http_1_0() -> None:
    native, reference = H1Response(b"GET"), H11Response(b"GET")
    native.receive(KEPT)
    reference.receive(KEPT)
    assert (native.ended, native.reusable) == (True, True)
    assert (reference.ended, reference.reusable) == (True, False)
    row = differences.APART["an HTTP/1.0 connection is not kept"]
    assert (row.how, bool(row.evidence.search("1.0"))) == ("persistent", True)


def test_h11_lower_cases_the_transfer_encoding() -> None:
    reference = H11Response(b"GET")
    reference.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: ChunkeD\r\n\r\n")
    assert reference.head is not None
    assert reference.head.raw_headers == ((b"Transfer-Encoding", b"chunked"),)


def test_h11_refuses_white_space_before_a_chunk_extension() -> None:
    shadow = Shadow(b"GET", False, False)
    shadow.receive(SPACED)
    assert shadow.refusal is not None
    assert differences.explains("refused", shadow.refusal)
    native = H1Response(b"GET")
    native.receive(SPACED)
    assert native.ended
    reference = H11Response(b"GET")  # h11 reads only the heads for it
    reference.receive(SPACED)
    assert reference.ended


BEHIND = b"Content-Length: 1\r\n\nx\r\n"  # h11 ends the head at the lone LF; the bytes have no CRLF CRLF


@pytest.mark.parametrize("requested", [GET, HEAD])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 x\r\n\r\n"], ids=["alone", "behind 103"])
@pytest.mark.parametrize("version", [b"0.1", b"0.9", b"2.0", b"9.9"])
def test_another_version_is_named_with_any_line_end(version: bytes, interim: bytes, requested: RequestFacts) -> None:
    for end in (b"\r\n" + BEHIND, b"\r\n\r\nx", b"\n\n"):
        raw = interim + b"HTTP/" + version + b" 200 OK" + end
        for pieces in ([raw], [raw[:9], raw[9:]], single_bytes(raw)):
            native = outcome(H1Response, pieces, requested)
            assert native[4]
            assert native == outcome(AlarmingShadow, pieces, requested)
    shadow = Shadow(requested.method, False, False)
    shadow.receive(interim + b"HTTP/" + version + b" 200 OK\r\n" + BEHIND)
    assert shadow.heads[-1].version == version  # otherwise the row of `differences` is no longer needed


@pytest.mark.parametrize("text", ["SSH-2.0-x", "HTTP/", "HTTP/x.1 200 OK", "HTTP/2 200 OK", " HTTP/2.0 200 OK"])
def test_no_other_beginning_of_a_head_is_named(text: str) -> None:
    assert not differences.is_known_acceptance(f"expected the beginning of a response head, got {text!r}")


def test_the_rows_of_the_table_are_those_of_the_tests() -> None:
    assert differences.APART.keys() == {
        "an HTTP/1.0 connection is not kept",
        "white space before a chunk extension",
    }
    of_h11 = {pattern for pattern, references, *_ in LAXER.values() if "h11" in references}
    assert of_h11 == {pattern.pattern for name, (pattern, _) in differences.LAXER.items() if "limit" not in name}


# The engine over h11.


@pytest.mark.parametrize(
    "requested", [GET, HEAD, CONNECT, UPGRADE, RequestFacts(close=True), RequestFacts(b"M-SEARCH")]
)
def test_requests_of_one_kind_are_one_request_for_h11(requested: RequestFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[h11.Request] = []
    make = h11.Request

    def counted(**fields: Any) -> h11.Request:
        made.append(make(**fields))
        return made[-1]

    monkeypatch.setattr(h11, "Request", counted)
    h11_reader.REQUESTS.clear()
    for _ in range(3):
        response = H11Response(requested.method, upgrade=requested.upgrade, close=requested.close)
        response.receive(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert response.reusable is not (requested.close or response.switched)
    assert len(made) == 1


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", b"HTTP/1.1 101 x\r\n\r\n"])
def test_a_head_that_h11_refuses_is_a_fault_of_the_peer(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h11_reader, "read_head", lambda *requested: None)
    response = H11Response(b"GET")
    with pytest.raises(RemoteProtocolError, match=r"h11 refuses the head that begins with 'HTTP/1.1") as caught:
        response.receive(raw)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_grammar_names_the_fault_of_a_head() -> None:
    with pytest.raises(RemoteProtocolError, match="expected a header field, got 'A : b'"):
        H11Response(b"GET").receive(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n")


# The shadow: faults that it must find.


class RecordingShadow(ShadowResponse):
    def __init__(self, *requested: bytes) -> None:
        super().__init__(*requested)
        self.found: list[tuple[str, str]] = []

    def report(self, library: str, difference: str) -> None:
        self.found.append((library, difference))


class ReadsHeadsWrong(RecordingShadow):
    """Misreads heads as a faulty grammar would."""

    wrong: object = None

    def read_head(self, raw: bytes, method: bytes, upgrade: bool, most: int = 1000) -> object:  # type: ignore[override]
        head, framing, length, persistent = H1Response.read_head(raw, method, upgrade)
        if self.wrong == "length":
            length -= 1
        elif self.wrong == "status":
            head = Head(201, head.reason, head.version, head.headers, head.raw_headers)
        elif self.wrong == "persistent":
            persistent = not persistent
        return head, framing, length, persistent


class ReadsBodiesWrong(RecordingShadow):
    def _keep(self, body: bytes) -> None:
        super()._keep(body.replace(b"b", b"c"))


TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"


@pytest.mark.parametrize(
    ("wrong", "difference"),
    [
        ("length", "the number of bytes after the message"),
        ("status", "a head"),
        ("persistent", "whether the connection is kept"),
        ("body", "the body"),
    ],
)
def test_the_shadow_sees_a_reader_that_errs(wrong: str, difference: str) -> None:
    reader = ReadsBodiesWrong(b"GET") if wrong == "body" else ReadsHeadsWrong(b"GET")
    if isinstance(reader, ReadsHeadsWrong):
        reader.wrong = wrong
    reader.receive(TWO)
    expected = "the body" if wrong == "length" else difference
    assert reader.found == [(NAME, expected)]


def test_the_shadow_sees_a_reader_that_refuses_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*requested: object) -> None:
        raise RemoteProtocolError("no reason at all")

    monkeypatch.setattr(RecordingShadow, "read_head", staticmethod(refuse))
    reader = RecordingShadow(b"GET")
    with pytest.raises(RemoteProtocolError, match="no reason at all"):
        reader.receive(TWO)
    assert reader.found == [(NAME, "it accepts input that is refused here")]


def test_the_shadow_finds_a_reader_that_accepts_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = H1Response.read_head(TWO[:-2], b"GET", False)
    monkeypatch.setattr(RecordingShadow, "read_head", staticmethod(lambda *requested: fine))
    reader = RecordingShadow(b"GET")
    reader.receive(TWO.replace(b"Length:", b"Length :"))
    assert reader.found == [(NAME, "it refuses input that is accepted here")]
