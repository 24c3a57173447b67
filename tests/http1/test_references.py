"""h11 and llhttp (httptools) on the same bytes: they read all bytes that we accept in the same way, and we refuse all
bytes that both of them refuse.

Neither decides which bytes httpcore accepts. Where one of them is laxer or stricter than we are, a table has the
difference and its reason; any other difference would mean that two readers see two messages in the same bytes, which
makes response smuggling possible.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_h1_parser import ACCEPTED, CONNECT, GET, HEAD, REFUSED, UPGRADE, End, RequestFacts, single_bytes

from httpcore._errors import HTTPCoreError
from httpcore._message.fields import HEAD_BYTES
from httpcore._message.head import Head

Fields = list[tuple[bytes, bytes]]
EACH = 1500
"""The number of messages for each rate of mistakes. They are the same in each run: another number finds new
differences.
"""


@dataclass
class Reading:
    """The result of a reader for a stream that ends after the bytes.

    Attributes:
        heads: status, reason, version and fields (names as sent) of each head.
        end: where the message ends; None if it ends with the stream, or not at all.
        persistent: whether another message may follow; None if that is unknown.
    """

    heads: list[tuple[int, bytes, bytes, Fields]] = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    end: int | None = None
    persistent: bool | None = None


@dataclass
class Refusal:
    why: str = field(compare=False)


Verdict = Reading | Refusal


# The readers.


def ours(pieces: Iterable[bytes], requested: RequestFacts) -> Verdict:
    parser = requested.parser()
    reading = Reading()
    pieces = [*pieces, b""]
    size = sum(map(len, pieces))
    try:
        for piece in pieces:
            for part in parser.receive(piece):
                if isinstance(part, Head):
                    assert list(part.headers) == [(name.lower(), value) for name, value in part.raw_headers]
                    reading.heads.append((part.status, part.reason, part.version, list(part.raw_headers)))
                elif isinstance(part, End):
                    reading.trailers = part.trailers
                    reading.end = None if not piece else size
                    reading.persistent = parser.reusable
                else:
                    reading.body += part
    except HTTPCoreError as error:
        return Refusal(error.message)
    if reading.end is not None:
        reading.end -= len(parser.surplus)
        if parser.surplus:
            reading.persistent = None
    return reading


def of_h11(raw: bytes, requested: RequestFacts) -> Verdict:
    connection = h11.Connection(h11.CLIENT, HEAD_BYTES)
    headers = [("Host", "h"), ("Connection", "close")] if requested.close else [("Host", "h")]
    if requested.upgrade:
        headers += [("Upgrade", "u"), ("Connection", "upgrade")]
    connection.send(h11.Request(method=requested.method, target="h:1", headers=headers))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    reading = Reading()
    ended = False
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, (h11.Response, h11.InformationalResponse)):
                reading.heads.append((event.status_code, event.reason, event.http_version, event.headers.raw_items()))
            elif isinstance(event, h11.Data):
                reading.body += event.data
            elif event is h11.NEED_DATA:
                connection.receive_data(b"")
                ended = True
            else:
                break
    except h11.RemoteProtocolError as error:
        return Refusal(str(error))
    if event is h11.PAUSED:
        reading.persistent = False
    elif isinstance(event, h11.EndOfMessage):
        reading.trailers = list(event.headers)
        reading.persistent = connection.their_state is h11.DONE
    else:
        return Refusal("the stream ended before a response")
    if not ended:
        reading.end = len(raw) - len(connection.trailing_data[0])
    return reading


class Listener:
    """The callbacks of httptools, which have these names."""

    def __init__(self, requested: RequestFacts) -> None:
        self.requested = requested
        self.parser: Any = None
        self.reading = Reading()
        self.reason = b""
        self.fields: Fields = []
        self.in_body = False
        self.complete = False

    def on_message_begin(self) -> None:
        self.reason, self.fields, self.in_body = b"", [], False

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        value = value.rstrip(b" \t")  # llhttp leaves this to its caller
        if self.in_body:
            self.reading.trailers.append((name.lower(), value))
        else:
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_body = True
        status, version = self.parser.get_status_code(), self.parser.get_http_version().encode()
        self.reading.heads.append((status, self.reason, version, self.fields))
        # llhttp has no argument for the request, so it would wait for a body.
        tunnel = self.requested.method == b"CONNECT" and 200 <= status < 300
        self.complete = tunnel or status == 101 or (self.requested.method == b"HEAD" and status >= 200)

    def on_body(self, body: bytes) -> None:
        self.reading.body += body

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() >= 200:
            if not self.complete:
                self.reading.persistent = self.parser.should_keep_alive() and not self.requested.close
            self.complete = True


def of_llhttp(raw: bytes, requested: RequestFacts) -> Verdict:
    listener = Listener(requested)
    listener.parser = httptools.HttpResponseParser(listener)
    try:
        for at, byte in enumerate(single_bytes(raw)):
            listener.parser.feed_data(byte)
            if listener.complete:
                listener.reading.end = at + 1
                break
    except httptools.HttpParserError as error:
        if not listener.complete:
            return Refusal(str(error))
        listener.reading.end = at + 1
    except httptools.HttpParserUpgrade:
        listener.reading.end = at + 1
    if not listener.in_body or (not listener.complete and listener.reading.heads[-1][0] < 200):
        return Refusal("the stream ended before a response")
    return listener.reading


REFERENCES: dict[str, Callable[[bytes, RequestFacts], Verdict]] = {"h11": of_h11, "llhttp": of_llhttp}


def differs(our: Reading, verdict: Verdict) -> str:
    """The part in which a reference's result differs from ours: "refused", the name of an attribute, or "" for
    nothing.
    """
    if isinstance(verdict, Refusal):
        return "refused"
    if shown(our.heads) != shown(verdict.heads):
        return "heads"
    for name in ("body", "trailers", "end"):
        if getattr(our, name) != getattr(verdict, name):
            return name
    known = our.end is not None and None not in (our.persistent, verdict.persistent)
    return "persistent" if known and our.persistent != verdict.persistent else ""


def shown(heads: list[tuple[int, bytes, bytes, Fields]]) -> list[tuple[int, bytes, bytes, Fields]]:
    """The heads as h11 returns them: it lower-cases the value of Transfer-Encoding."""
    return [(status, reason, version, [lowered(each) for each in fields]) for status, reason, version, fields in heads]


def lowered(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    name, value = pair
    return name, value.lower() if name.lower() == b"transfer-encoding" else value


# Random messages: valid ones, and ones with one or two faults.

STATUS_LINES = (
    [b"HTTP/1.1 200 OK"] * 8
    + [b"HTTP/1.1 %d x" % status for status in (100, 101, 103, 204, 206, 299, 304, 404, 407, 599)]
    + b"HTTP/1.0 200 OK|HTTP/1.0 304|HTTP/1.1 200|HTTP/1.1 200 |HTTP/1.1 200  \xe9 \t|HTTP/1.0 101 x".split(b"|")
)
FIELD_LINES = (
    b"Connection: close|connection: Keep-Alive|Connection: x, close|Connection: keep-alive, close|Connection: closed|"
    b"CONNECTION: upgrade|Connection: ,close\t,|Connection:|Upgrade: u|Set-Cookie: a=b; c|X:|X: |X:\ta \t b\t |"
    b"x-\x60: \xff|!#$%&'*+-.^_~9:\"\\|Keep-Alive: timeout=5|Proxy-Connection: close|"
    b"TE: trailers|Trailer: x|Date:Sat, 21 Nov 2026"
).split(b"|")
SIZES = b'%x|%x|%x|%x|%X|0%x|%x;a|%x;a=b|%x;a="b;c"|%x;a=b;c'.split(b"|")

WRONG_STATUS_LINES = (
    b"HTTP/1.1 099 x|HTTP/1.2 200 OK|HTTP/2 200|ICY 200 OK|http/1.1 200 OK|| |HTTP/1.1  200 OK|"
    b"HTTP/1.1 200\tOK|HTTP/1.1 200OK|HTTP/1.1 20 OK|HTTP/1.1 200 \x00|HTTP/1.1 200 \x7f|GET / HTTP/1.1|HTTP/1.12 200"
).split(b"|")
WRONG_FIELD_LINES = (
    b"Content-Length: 2, 2|Content-Length: +2|Content-Length: 0x2|Content-Length: 2 2|Content-Length: -1|"
    b"Content-Length: 2,3|Content-Length: \xb2|Content-Length: 11111111111111111111|Content-Length: 3|"
    b"Content-Length: 03|Content_Length: 3|Content-Length : 3|content-length:0|Content-Length:\xa02|Content-Length:|"
    b"Content-Length:\x0b2|\xc2\xa0Content-Length: 1|Transfer-Encoding: xchunked|Transfer-Encoding: gzip, chunked|"
    b"Transfer-Encoding: chunked, chunked|Transfer-Encoding:|Transfer-Encoding: identity|Transfer-Encoding: chunked|"
    b"transfer-encoding:\tCHUNKED|Transfer-Encoding: chunked\t|Transfer-Encoding : chunked|Transfer-Encoding|"
    b"\tTransfer-Encoding: chunked| folded|: x|no colon|a b: c|a: \x00|a: \x0b|a\xe9: b||a: b\rc: d|x: \x7f|"
    b"a: b\nContent-Length: 1|a: b\r\r\n|\x00: a|(a): b|HTTP/1.1 200 OK"
).split(b"|")
WRONG_SIZES = (
    b'%x | %x|+%x|-%x|0x%x|%x;|%x;=|%x;a=|%x ;a|%x; a|%x;a b|%x\t|%x,|g%x||%x;\x00|%x;a="|%x;a\r|\xb2%x|1%x|%x1|%x\n|'
    b'0000000000000000%x|ffffffffffffffff|10000000000000000|%x\r\n\r\n|%x;a="\\"|%x;a="\xff"'
).split(b"|")
WRONG_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b" \r\n", b"\r\n ", b"\r\n\r\n")
BYTES = b'\r\n\t ;:,=\x00\xff019aF"'


@dataclass
class Maker:
    """Makes messages, with about one mistake in `mistakes` places."""

    random: Random
    mistakes: float

    def one(self, right: Sequence[bytes], wrong: Sequence[bytes]) -> bytes:
        return self.random.choice(wrong if self.random.random() < self.mistakes else right)

    def data(self) -> bytes:
        return self.random.choice((b"x", b"\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", self.random.randbytes(9)))

    def fields(self, most: int) -> list[bytes]:
        return [self.one(FIELD_LINES, WRONG_FIELD_LINES) for _ in range(self.random.randint(0, most))]

    def section(self, lines: Sequence[bytes]) -> bytes:
        return b"".join(line + self.one([b"\r\n"], WRONG_ENDS) for line in (*lines, b""))

    def chunks(self) -> bytes:
        made = b""
        for data in [*(self.data() for _ in range(self.random.randint(0, 3))), b""]:
            size = self.one(SIZES, WRONG_SIZES)
            made += self.section([size % len(data) if b"%" in size else size])[:-2] + (data + b"\r\n" if data else b"")
        return made + self.section(self.fields(2))

    def message(self) -> bytes:
        random = self.random
        interim = [self.section([b"HTTP/1.1 103 x", *self.fields(1)]) for _ in range(random.choice((0, 0, 0, 1, 2)))]
        lines = self.fields(3)
        body = self.data() * random.randint(0, 2)
        kind = random.choice((b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked", b""))
        if kind:
            lines.insert(random.randint(0, len(lines)), kind)
        if kind[:1] == b"T":
            body = self.chunks()
        head = self.section([self.one(STATUS_LINES, WRONG_STATUS_LINES), *lines])
        behind = random.choice((b"", b"", b"\r\n", b"HTTP/1.1 200 OK\r\n"))
        return self.damaged(b"".join(interim) + head + body + behind)

    def damaged(self, raw: bytes) -> bytes:
        while raw and self.random.random() < self.mistakes:
            at = self.random.randrange(len(raw))
            raw = raw[:at] + bytes([self.random.choice(BYTES)]) + raw[at + self.random.randint(0, 2) :]
        return raw

    def pieces(self, raw: bytes) -> list[bytes]:
        cuts = sorted({0, len(raw), *(self.random.randint(0, len(raw)) for _ in range(self.random.choice((1, 3, 40))))})
        return [raw[start:end] for start, end in itertools.pairwise(cuts)]


# Messages that only a reference accepts: our reason to refuse, the reference that accepts it, the rule, an example.

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Laxer = tuple[str, set[str], str, bytes]
LAXER: dict[str, Laxer] = {
    "an HTTP version other than 1.0 and 1.1": (
        r"expected (a status line.*|the beginning of a response head), got 'HTTP/\d\.\d ",
        {"h11", "llhttp"},
        "RFC 9112 2.3 does not define the format of 0.9, 1.2 and 2.0",
        b"HTTP/2.0 200 OK\r\n\r\n",
    ),
    "control characters in the reason phrase": (
        r"expected a status line.*\\(x[01]|x7f|t)",
        {"h11", "llhttp"},
        "RFC 9112 4: only HTAB, SP, VCHAR and obs-text are allowed",
        b"HTTP/1.1 200 O\x7fK\r\n\r\n",
    ),
    "an empty line before the status line": (
        r"expected (a status line.*, got '(\\n|')|the beginning of a response head, got '\\r)",
        {"llhttp"},
        "RFC 9112 2.2: a server should ignore one; nothing is said about a client",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    ),
    "a lone LF in a head": (
        r"(expected a (status line|header field).*\\n|a line of the response head ends in LF)",
        {"h11"},
        "RFC 9112 2.2: a recipient may accept it as a line terminator",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
    ),
    "a lone LF in a trailer section": (
        r"(expected a trailer field.*\\n|a line of the trailer section ends in LF)",
        {"h11"},
        "RFC 9112 2.2, and 7.1.2 for the trailer section",
        CHUNKED + b"0\r\nA: b\n\r\n",
    ),
    "a folded line": (
        r"expected a (header|trailer) field, got .( |\\t)",
        {"h11"},
        "RFC 9112 5.2: a recipient may replace it by spaces",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    ),
    "control characters in a field value": (
        r"expected a (header|trailer) field, got .*\\x",
        {"h11"},
        "RFC 9110 5.5: only HTAB, SP, VCHAR and obs-text are allowed",
        b"HTTP/1.1 200 OK\r\nA: \x1b\r\n\r\n",
    ),
    "one Content-Length field with a list of equal values": (
        r"the peer sent Content-Length '(\d+)(, \1)+': expected 1 to 19 digits",
        {"h11"},
        "RFC 9112 6.3: a recipient may use them as one value",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
    ),
    "several Content-Length fields with equal values": (
        r"the peer sent \d+ Content-Length headers",
        {"h11"},
        "RFC 9112 6.3: a recipient may use them as one value",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    ),
    "a Content-Length of twenty digits": (
        r"the peer sent Content-Length '\d{20}': expected 1 to 19 digits",
        {"h11", "llhttp"},
        "RFC 9110 8.6: a recipient must expect numbers that are too large; 2**64 has twenty digits",
        b"HTTP/1.1 200 OK\r\nContent-Length: 00000000000000000002\r\n\r\nab",
    ),
    "both Content-Length and Transfer-Encoding": (
        r"the peer sent Content-Length '.*' and Transfer-Encoding",
        {"h11"},
        "RFC 9112 6.3: a client may use the coding; it may be an attack, and ought to be handled as an error",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "another transfer coding": (
        r"the peer sent Transfer-Encoding '.*': expected 'chunked', once",
        {"llhttp"},
        "RFC 9112 6.1 and 7: our requests allow only chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nab",
    ),
    "Transfer-Encoding in HTTP/1.0": (
        r"the peer sent Transfer-Encoding '.*' in an HTTP/1.0 response: expected none",
        {"h11", "llhttp"},
        "RFC 9112 6.1: the framing of the message is faulty",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "101 without a request to upgrade": (
        r"the peer switched protocols \(101\)",
        {"llhttp"},
        "RFC 9110 15.2.2; llhttp does not get the request",
        b"HTTP/1.1 101 x\r\n\r\n",
    ),
    "a malformed chunk size or chunk extension": (
        r"expected a chunk's size and extensions",
        {"h11", "llhttp"},
        "RFC 9112 7.1 and 7.1.1; h11 accepts any extension, both accept an empty value and more than 16 digits",
        CHUNKED + b"1;a=\r\nx\r\n0\r\n\r\n",
    ),
    "Content-Length as a trailer": (
        r"the peer sent 'content-length' as a trailer",
        {"h11"},
        "RFC 9110 6.5.1: a field that is needed for framing must not be a trailer",
        CHUNKED + b"0\r\nContent-Length: 2\r\n\r\n",
    ),
    "Transfer-Encoding as a trailer": (
        r"the peer sent 'transfer-encoding' as a trailer",
        {"h11", "llhttp"},
        "RFC 9110 6.5.1: a field that is needed for framing must not be a trailer",
        CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
}

# Bytes that we accept and a reference reads differently: which reference, how, when (in the bytes), why, an example.
Apart = tuple[str, str, bytes, str, bytes]
APART: dict[str, Apart] = {
    "an HTTP/1.0 connection is not kept": (
        "h11",
        "persistent",
        rb"HTTP/1\.0 (?s:.)*\nconnection:[^\r]*keep-alive",
        "RFC 9112 9.3 allows both",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    ),
    "keep-alive before close": (
        "llhttp",
        "persistent",
        rb"HTTP/1\.0 (?s:.)*\nconnection:[^\r]*keep-alive",
        "RFC 9112 9.3: a recipient checks for close before keep-alive",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n",
    ),
    "Proxy-Connection is read as Connection": (
        "llhttp",
        "persistent",
        rb"\nproxy-connection:",
        "RFC 9112 C.2.2: it has no meaning",
        b"HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n",
    ),
    "a Connection trailer is obeyed": (
        "llhttp",
        "persistent",
        rb"\r\n0+(;[^\r]*)?\r(?s:.)*\n(proxy-)?connection:",
        "RFC 9110 6.5.1: trailers are not merged into the head",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n") + b"0\r\nConnection: close\r\n\r\n",
    ),
    "close in an interim response": (
        "llhttp",
        "refused",
        rb"HTTP/1\.(1 1|0 1)\d\d(?s:.)*\nHTTP/1\.",
        "RFC 9110 15.2: the final response follows it, also after an interim response of HTTP/1.0",
        b"HTTP/1.1 103 x\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    "white space before a chunk extension": (
        "h11",
        "refused",
        rb"\r\n[0-9a-fA-F]+[ \t]+;",
        "RFC 9112 7.1.1: a recipient must accept and remove it",
        CHUNKED + b"1 ;a\r\nx\r\n0\r\n\r\n",
    ),
    "white space or a quoted value in a chunk extension": (
        "llhttp",
        "refused",
        rb"\r\n[0-9a-fA-F]+([ \t]+;|;[^\r]*[ \t\"])",
        "RFC 9112 7.1.1: a recipient must accept white space, and a quoted value may have obs-text",
        CHUNKED + b"1; a\r\nx\r\n0\r\n\r\n",
    ),
    "a tab after chunked": (
        "llhttp",
        "body",
        rb"\ntransfer-encoding:[^\r]*chunked[ ]*\t",
        "RFC 9112 5: trailing white space is SP or HTAB",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    ),
}
WHEN = {what: re.compile(when, re.IGNORECASE) for what, (_, _, when, _, _) in APART.items()}


def is_listed_as_laxer(reference: str, why: str) -> bool:
    return any(reference in references and re.match(pattern, why) for pattern, references, _, _ in LAXER.values())


def is_known_difference(reference: str, how: str, raw: bytes) -> bool:
    return any(
        reference == label and how == in_what and WHEN[what].search(raw) for what, (label, in_what, *_) in APART.items()
    )


@pytest.mark.parametrize("what", LAXER)
def test_where_a_reference_is_laxer_the_table_is_right(what: str) -> None:
    pattern, references, _, raw = LAXER[what]
    our = ours([raw], GET)
    assert isinstance(our, Refusal)
    assert re.match(pattern, our.why)
    assert {name for name, reference in REFERENCES.items() if isinstance(reference(raw, GET), Reading)} == references


@pytest.mark.parametrize("what", APART)
def test_where_a_reference_differs_the_table_is_right(what: str) -> None:
    reference, how, _, _, raw = APART[what]
    our = ours([raw], GET)
    assert isinstance(our, Reading)
    assert differs(our, REFERENCES[reference](raw, GET)) == how
    assert WHEN[what].search(raw)


def check(raw: bytes, requested: RequestFacts) -> bool:
    """Whether we accept the message."""
    our = ours([raw] if raw else [], requested)
    for name, reference in REFERENCES.items():
        verdict = reference(raw, requested)
        if isinstance(our, Reading):
            how = differs(our, verdict)
            assert not how or is_known_difference(name, how, raw), (name, how, raw, requested, our, verdict)
        elif isinstance(verdict, Reading):
            # httptools cannot be notified of the end of the stream: a message that is cut off stays incomplete.
            cut = name == "llhttp" and verdict.end is None and our.why.startswith("the peer ended the connection")
            assert cut or is_listed_as_laxer(name, our.why), (name, raw, requested, our, verdict)
    return isinstance(our, Reading)


EXAMPLES = {name: (raw, requested) for name, (raw, requested, *_) in ACCEPTED.items()} | REFUSED


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_references_agree_about_the_cases_of_the_parser(name: str) -> None:
    assert check(*EXAMPLES[name]) == (name in ACCEPTED)


ASKED = (GET, GET, GET, HEAD, CONNECT, UPGRADE, RequestFacts(close=True))


@pytest.mark.proofs
@pytest.mark.parametrize("mistakes", [0.0, 0.02, 0.1])
def test_the_references_read_the_same_but_for_the_tables(mistakes: float) -> None:
    accepted = 0

    @settings(deadline=None, max_examples=EACH, derandomize=True)
    @given(st.randoms(use_true_random=True))
    def reference(random: Random) -> None:
        nonlocal accepted
        maker = Maker(random, mistakes)
        raw, requested = maker.message(), random.choice(ASKED)
        accepted += check(raw, requested)
        assert ours(maker.pieces(raw), requested) == ours([raw] if raw else [], requested)

    reference()
    assert accepted > EACH / 10
