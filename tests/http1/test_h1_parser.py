"""The HTTP/1.x response parser: accepted, refused and limited bytes, however they are cut into pieces."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from engines import chosen_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcore._errors import HTTPCoreError, LimitExceeded, RemoteProtocolError
from httpcore._http1 import chunks, grammar
from httpcore._http1.parser import H1Response
from httpcore._message.fields import FIELD_COUNT, HEAD_BYTES, INTERIM_BYTES, Remembered
from httpcore._message.head import Head

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class RequestFacts:
    """The request that the response answers."""

    method: bytes = b"GET"
    upgrade: bool = False
    close: bool = False

    def parser(self) -> Parser:
        return Parser(chosen_reader()(self.method, upgrade=self.upgrade, close=self.close))


@dataclass
class End:
    """The end of a complete message."""

    trailers: list[tuple[bytes, bytes]]


Part = Head | bytes | End


class Parser:
    """Reads one response, and returns the parts that each piece of its bytes completes, in order."""

    def __init__(self, response: H1Response) -> None:
        self.response = response

    def receive(self, data: bytes) -> list[Part]:
        response = self.response
        interims, head, ended = len(response.interim), response.head, response.ended
        response.receive(data)
        parts: list[Part] = [*response.interim[interims:]]
        if response.head is not head:
            assert head is None
            assert response.head is not None
            parts.append(response.head)
        assert response.held == sum(map(len, response.parts or ()))
        parts += response.parts or ()
        response.parts, response.held = None, 0
        if response.ended and not ended:
            parts.append(End(response.trailers))
        return parts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.response, name)


GET = RequestFacts()
HEAD = RequestFacts(b"HEAD")
CONNECT = RequestFacts(b"CONNECT")
UPGRADE = RequestFacts(upgrade=True)


def joined(parts: Iterable[Part]) -> list[Part]:
    """The parts with each body in one piece."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, bytes) and out and isinstance(out[-1], bytes):
            out[-1] += part
        else:
            out.append(part)
    return out


def play(pieces: Iterable[bytes], requested: RequestFacts = GET) -> tuple[list[Part], Parser]:
    parser = requested.parser()
    parts = [part for piece in pieces for part in parser.receive(piece)]
    return joined(parts), parser


def feed(parser: Parser, pieces: Iterable[bytes], parts: list[Part]) -> None:
    for piece in pieces:
        parts += parser.receive(piece)


def single_bytes(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


def ways_to_cut(raw: bytes) -> Iterator[list[bytes]]:
    """The bytes as one piece, byte by byte, and cut in two at every point."""
    yield [raw]
    yield single_bytes(raw)
    for at in range(1, len(raw)):
        yield [raw[:at], raw[at:]]


def head(status: int, reason: bytes = b"", *fields: tuple[bytes, bytes], version: bytes = b"1.1") -> Head:
    return Head(status, reason, version, [(name.lower(), value) for name, value in fields], list(fields))


def with_head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines, b"", b""])


def chunked_body(after_head: bytes) -> bytes:
    return CHUNKED + after_head


LENGTH_2 = (b"Content-Length", b"2")
IS_CHUNKED = (b"Transfer-Encoding", b"chunked")

# name: (bytes, request, parts, surplus, reusable)
Accepted = tuple[bytes, RequestFacts, list[Part], bytes, bool]
ACCEPTED: dict[str, Accepted] = {
    "a body of known length": (
        with_head(b"Content-Length: 2") + b"ab",
        GET,
        [head(200, b"OK", LENGTH_2), b"ab", End([])],
        b"",
        True,
    ),
    "a body of length zero": (
        with_head(b"Content-Length: 0"),
        GET,
        [head(200, b"OK", (b"Content-Length", b"0")), End([])],
        b"",
        True,
    ),
    "nineteen digits of length": (
        with_head(b"Content-Length: 0000000000000000002") + b"ab",
        GET,
        [head(200, b"OK", (b"Content-Length", b"0000000000000000002")), b"ab", End([])],
        b"",
        True,
    ),
    "white space around a value": (
        with_head(b"Content-Length:\t 2 \t", b"A:", b"B:   ", b"C:x\t y") + b"ab",
        GET,
        [head(200, b"OK", LENGTH_2, (b"A", b""), (b"B", b""), (b"C", b"x\t y")), b"ab", End([])],
        b"",
        True,
    ),
    "bytes above ASCII, and names of every token character": (
        with_head(b"X!#$%&'*+-.^_`|~9: \x80\xff", b"Content-Length: 0", status=b"HTTP/1.1 200 \xe9t\xe9"),
        GET,
        [head(200, b"\xe9t\xe9", (b"X!#$%&'*+-.^_`|~9", b"\x80\xff"), (b"Content-Length", b"0")), End([])],
        b"",
        True,
    ),
    "names in any case, order and repetition kept": (
        with_head(b"sEt-CooKie: a", b"CONTENT-LENGTH: 2", b"Set-Cookie: b") + b"ab",
        GET,
        [head(200, b"OK", (b"sEt-CooKie", b"a"), (b"CONTENT-LENGTH", b"2"), (b"Set-Cookie", b"b")), b"ab", End([])],
        b"",
        True,
    ),
    "no reason": (with_head(status=b"HTTP/1.1 204 "), GET, [head(204), End([])], b"", True),
    "no reason and no space": (with_head(status=b"HTTP/1.1 204"), GET, [head(204), End([])], b"", True),
    "the lowest and the highest status": (
        with_head(status=b"HTTP/1.1 100") + with_head(b"Content-Length: 0", status=b"HTTP/1.1 599 x"),
        GET,
        [head(100), head(599, b"x", (b"Content-Length", b"0")), End([])],
        b"",
        True,
    ),
    "bytes behind a body of known length": (
        with_head(b"Content-Length: 2") + b"abHTTP/1.1 200 OK\r\n",
        GET,
        [head(200, b"OK", LENGTH_2), b"ab", End([])],
        b"HTTP/1.1 200 OK\r\n",
        False,
    ),
    "Connection: close": (
        with_head(b"Content-Length: 2", b"connection: x, Close") + b"ab",
        GET,
        [head(200, b"OK", LENGTH_2, (b"connection", b"x, Close")), b"ab", End([])],
        b"",
        False,
    ),
    "close in a second Connection header": (
        with_head(b"Connection: keep-alive", b"Connection: close", b"Content-Length: 0"),
        GET,
        [
            head(200, b"OK", (b"Connection", b"keep-alive"), (b"Connection", b"close"), (b"Content-Length", b"0")),
            End([]),
        ],
        b"",
        False,
    ),
    "an option that only looks like close": (
        with_head(b"Connection: closed", b"Content-Length: 0"),
        GET,
        [head(200, b"OK", (b"Connection", b"closed"), (b"Content-Length", b"0")), End([])],
        b"",
        True,
    ),
    "Connection: close in our request": (
        with_head(b"Content-Length: 0"),
        RequestFacts(close=True),
        [head(200, b"OK", (b"Content-Length", b"0")), End([])],
        b"",
        False,
    ),
    "HTTP/1.0": (
        with_head(b"Content-Length: 2", status=b"HTTP/1.0 200 OK") + b"ab",
        GET,
        [head(200, b"OK", LENGTH_2, version=b"1.0"), b"ab", End([])],
        b"",
        False,
    ),
    "HTTP/1.0 that keeps alive": (
        with_head(b"Content-Length: 2", b"Connection: Keep-Alive", status=b"HTTP/1.0 200 OK") + b"ab",
        GET,
        [head(200, b"OK", LENGTH_2, (b"Connection", b"Keep-Alive"), version=b"1.0"), b"ab", End([])],
        b"",
        True,
    ),
    "HTTP/1.0 that keeps alive and closes": (
        with_head(b"Content-Length: 0", b"Connection: Keep-Alive, close", status=b"HTTP/1.0 200 OK"),
        GET,
        [
            head(200, b"OK", (b"Content-Length", b"0"), (b"Connection", b"Keep-Alive, close"), version=b"1.0"),
            End([]),
        ],
        b"",
        False,
    ),
    "a body until the end": (OK + b"\r\nab", GET, [head(200, b"OK"), b"ab"], b"", False),
    "HEAD with a length": (with_head(b"Content-Length: 2"), HEAD, [head(200, b"OK", LENGTH_2), End([])], b"", True),
    "HEAD with chunked": (CHUNKED, HEAD, [head(200, b"OK", IS_CHUNKED), End([])], b"", True),
    "HEAD without either": (OK + b"\r\n", HEAD, [head(200, b"OK"), End([])], b"", True),
    "HEAD with a body all the same": (
        with_head(b"Content-Length: 2") + b"ab",
        HEAD,
        [head(200, b"OK", LENGTH_2), End([])],
        b"ab",
        False,
    ),
    "204 with a length": (
        with_head(b"Content-Length: 2", status=b"HTTP/1.1 204 x") + b"ab",
        GET,
        [head(204, b"x", LENGTH_2), End([])],
        b"ab",
        False,
    ),
    "304 with a length": (
        with_head(b"Content-Length: 2", status=b"HTTP/1.1 304 x"),
        GET,
        [head(304, b"x", LENGTH_2), End([])],
        b"",
        True,
    ),
    "304 with chunked": (
        with_head(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 304 x"),
        GET,
        [head(304, b"x", IS_CHUNKED), End([])],
        b"",
        True,
    ),
    "interim responses, their fields without say": (
        with_head(b"Link: </a>", b"Connection: close", b"Content-Length: 9", status=b"HTTP/1.1 103 Early Hints")
        + with_head(status=b"HTTP/1.1 100 Continue")
        + with_head(b"Content-Length: 2")
        + b"ab",
        GET,
        [
            head(103, b"Early Hints", (b"Link", b"</a>"), (b"Connection", b"close"), (b"Content-Length", b"9")),
            head(100, b"Continue"),
            head(200, b"OK", LENGTH_2),
            b"ab",
            End([]),
        ],
        b"",
        True,
    ),
    "interim responses before the answer to an upgrade": (
        with_head(status=b"HTTP/1.1 100 Continue") + with_head(b"Upgrade: x", status=b"HTTP/1.1 101 Go") + b"\x01\x02",
        UPGRADE,
        [head(100, b"Continue"), head(101, b"Go", (b"Upgrade", b"x")), End([])],
        b"\x01\x02",
        False,
    ),
    "an upgrade that is not taken": (
        with_head(b"Content-Length: 2") + b"ab",
        UPGRADE,
        [head(200, b"OK", LENGTH_2), b"ab", End([])],
        b"",
        True,
    ),
    "CONNECT taken": (OK + b"\r\n\x16\x03", CONNECT, [head(200, b"OK"), End([])], b"\x16\x03", False),
    "CONNECT taken, with framing that means nothing": (
        with_head(b"Content-Length: 2", status=b"HTTP/1.1 299 x"),
        CONNECT,
        [head(299, b"x", LENGTH_2), End([])],
        b"",
        False,
    ),
    "CONNECT refused": (
        with_head(b"Content-Length: 2", status=b"HTTP/1.1 407 x") + b"ab",
        CONNECT,
        [head(407, b"x", LENGTH_2), b"ab", End([])],
        b"",
        True,
    ),
    "chunks": (
        chunked_body(b"2\r\nab\r\n00A\r\n0123456789\r\n0\r\n\r\n"),
        GET,
        [head(200, b"OK", IS_CHUNKED), b"ab0123456789", End([])],
        b"",
        True,
    ),
    "no chunk but the last": (chunked_body(b"0\r\n\r\n"), GET, [head(200, b"OK", IS_CHUNKED), End([])], b"", True),
    "a chunk that looks like the end": (
        chunked_body(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        GET,
        [head(200, b"OK", IS_CHUNKED), b"0\r\n\r\n", End([])],
        b"",
        True,
    ),
    "chunk extensions": (
        chunked_body(b'2;a;b=c ; d = "e\\";\t\xff" \t;f\r\nab\r\n0000;z=""\r\n\r\n'),
        GET,
        [head(200, b"OK", IS_CHUNKED), b"ab", End([])],
        b"",
        True,
    ),
    "sixteen hex digits of size": (
        chunked_body(b"0000000000000002\r\nab\r\n0000000000000000\r\n\r\n"),
        GET,
        [head(200, b"OK", IS_CHUNKED), b"ab", End([])],
        b"",
        True,
    ),
    "trailers": (
        chunked_body(b"1\r\na\r\n0\r\nX-Sum: 1 \r\nSet-Cookie: a\r\nY:\r\n\r\n"),
        GET,
        [head(200, b"OK", IS_CHUNKED), b"a", End([(b"x-sum", b"1"), (b"set-cookie", b"a"), (b"y", b"")])],
        b"",
        True,
    ),
    "bytes behind a chunked body": (
        chunked_body(b"1\r\na\r\n0\r\nX: 1\r\n\r\n\r\n"),
        GET,
        [head(200, b"OK", IS_CHUNKED), b"a", End([(b"x", b"1")])],
        b"\r\n",
        False,
    ),
    "chunked in capitals": (
        with_head(b"Transfer-Encoding: ChunkeD \t") + b"0\r\n\r\n",
        GET,
        [head(200, b"OK", (b"Transfer-Encoding", b"ChunkeD")), End([])],
        b"",
        True,
    ),
}

# Each message is refused although a valid message follows: nothing here depends on the end of the stream.
REFUSED: dict[str, tuple[bytes, RequestFacts]] = {
    **{
        f"status line {line!r}": (with_head(b"Content-Length: 0", status=line), GET)
        for line in [
            b"",
            b"200 OK",
            b"HTTP/2.0 200 OK",
            b"HTTP/2 200 OK",
            b"HTTP/0.9 200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/1.10 200 OK",
            b"HTTP/1 200 OK",
            b"http/1.1 200 OK",
            b" HTTP/1.1 200 OK",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1\t200 OK",
            b"HTTP/1.1 099 OK",
            b"HTTP/1.1 99 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 20O OK",
            b"HTTP/1.1 +20 OK",
            b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK",
            b"HTTP/1.1 200\tOK",
            b"HTTP/1.1 200OK",
            b"HTTP/1.1 200 O\x00K",
            b"HTTP/1.1 200 O\rK",
            b"HTTP/1.1 200 O\nK",
            b"HTTP/1.1 200 O\x1b[31mK",
            b"HTTP/1.1 200 O\x7fK",
            b"ICY 200 OK",
            b"\x15\x03\x01\x00\x02\x02\x46",
        ]
    },
    "an empty line before the status line": (b"\r\n" + with_head(b"Content-Length: 0"), GET),
    "a lone LF behind the status line": (b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", GET),
    "lone LFs everywhere": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", GET),
    "a lone LF behind a field": (OK + b"A: b\nContent-Length: 0\r\n\r\n", GET),
    "a lone LF for the empty line": (OK + b"Content-Length: 0\r\n\n\r\n\r\n", GET),
    "CR CR LF": (OK + b"Content-Length: 0\r\r\n\r\n", GET),
    **{
        f"header line {line!r}": (with_head(b"A: b", line, b"Content-Length: 0"), GET)
        for line in [
            b"no colon",
            b": no name",
            b"Space : before colon",
            b"Tab\t: before colon",
            b"In Name: x",
            b"In\x00Name: x",
            b"N\xe9: x",
            b"(comment): x",
            b" folded",
            b"\tfolded",
            b" folded: with colon",
            b"A: \x00",
            b"A: b\rc",
            b"A: b\x0bc",
            b"A: b\x0cc",
            b"A: b\x1bc",
            b"A: b\x7fc",
        ]
    },
    "a folded first line": (with_head(b" A: b", b"Content-Length: 0"), GET),
    **{
        f"length {value!r}": (with_head(b"Content-Length: " + value) + b"0123456789", GET)
        for value in [
            b"",
            b"+2",
            b"-1",
            b"1_0",
            b"0x2",
            b"2 2",
            b"2, 2",
            b"2,3",
            b"2;a",
            b"1.0",
            b"1e1",
            b"\xd9\xa2",
            b"\xb2",
            b"two",
            b"00000000000000000002",
            b"1" + b"0" * 30,
        ]
    },
    "two lengths": (with_head(b"Content-Length: 2", b"content-length: 3") + b"abc", GET),
    "one length twice": (with_head(b"Content-Length: 2", b"content-length: 2") + b"ab", GET),
    "length and coding": (with_head(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", GET),
    "coding and length": (with_head(b"Transfer-Encoding: chunked", b"Content-Length: 2") + b"0\r\n\r\n", GET),
    **{
        f"coding {value!r}": (with_head(b"Transfer-Encoding: " + value) + b"0\r\n\r\n", GET)
        for value in [
            b"",
            b"xchunked",
            b"chunkedx",
            b"chunked, chunked",
            b"chunked,",
            b",chunked",
            b"identity",
            b"gzip",
            b"gzip, chunked",
            b"chunked, gzip",
            b"identity, chunked",
            b"chunked;a=b",
            b'"chunked"',
            b"chun ked",
            b"\x0bchunked",
            b"chunked\x0c",
        ]
    },
    "two codings": (with_head(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", GET),
    "chunked twice": (with_head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", GET),
    "chunked in HTTP/1.0": (with_head(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 OK") + b"0\r\n\r\n", GET),
    "a bad length to HEAD": (with_head(b"Content-Length: 2, 2"), HEAD),
    "a bad length in 304": (with_head(b"Content-Length: x", status=b"HTTP/1.1 304 x"), GET),
    "a bad length in 103": (with_head(b"Content-Length: x", status=b"HTTP/1.1 103 x"), GET),
    "length and coding to CONNECT": (with_head(b"Content-Length: 2", b"Transfer-Encoding: chunked"), CONNECT),
    "101 without a request for it": (with_head(b"Upgrade: x", status=b"HTTP/1.1 101 Go"), GET),
    "101 to CONNECT": (with_head(b"Upgrade: x", status=b"HTTP/1.1 101 Go"), CONNECT),
    "101 after 100, without a request for it": (
        with_head(status=b"HTTP/1.1 100 x") + with_head(b"Upgrade: x", status=b"HTTP/1.1 101 Go"),
        GET,
    ),
    **{
        f"chunks {body!r}": (chunked_body(body + b"\r\n0\r\n\r\n"), GET)
        for body in [
            b"",
            b"\r\n2\r\nab",
            b"-2\r\nab",
            b"+2\r\nab",
            b"0x2\r\nab",
            b"2_0\r\nab",
            b"\xd9\xa2\r\nab",
            b"g\r\nab",
            b" 2\r\nab",
            b"2 \r\nab",
            b"2\t\r\nab",
            b"2\nab",
            b"2\rab",
            b"2\r\r\nab",
            b"2\r\nab\n0",
            b"2\r\nab\r0",
            b"2\r\nab0",
            b"2\r\nabc",
            b"2\r\nabc\r\n",
            b"2\r\nab \r\n",
            b"10000000000000000\r\nab",
            b"00000000000000002\r\nab",
            b"2;\r\nab",
            b"2;a=\r\nab",
            b"2;=b\r\nab",
            b"2;a b\r\nab",
            b"2;a\nb\r\nab",
            b"2;a\rb\r\nab",
            b"2;a\x00\r\nab",
            b'2;a="\r\nab',
            b'2;a="\x01"\r\nab',
            b"2;\xff\r\nab",
            b"2,a\r\nab",
        ]
    },
    **{
        f"trailer {line!r}": (chunked_body(b"0\r\n" + line + b"\r\n\r\n"), GET)
        for line in [
            b"no colon",
            b"A : b",
            b" A: b",
            b"A: b\r\n c",
            b"A: \x00",
            b"A: b\nB: c",
            b"\nA: b",
            b"A: b\rc",
            b"Content-Length: 2",
            b"A: b\r\ntransfer-ENCODING: chunked",
        ]
    },
    "a lone LF for the empty line after trailers": (chunked_body(b"0\r\nA: b\r\n\n\r\n\r\n"), GET),
    "a lone LF for the end of the chunks": (chunked_body(b"0\r\n\n\r\n\r\n"), GET),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_same_parts_come_however_the_bytes_are_cut(name: str) -> None:
    raw, requested, expected, surplus, reusable = ACCEPTED[name]
    for pieces in ways_to_cut(raw):
        parts, parser = play(pieces, requested)
        assert parts == expected
        assert (parser.surplus, parser.reusable) == (surplus, reusable)


@pytest.mark.parametrize("name", REFUSED)
def test_broken_grammar_is_refused_however_the_bytes_are_cut(name: str) -> None:
    raw, requested = REFUSED[name]
    for pieces in ways_to_cut(raw):
        parser = requested.parser()
        parts: list[Part] = []
        with pytest.raises(RemoteProtocolError) as caught:
            feed(parser, pieces, parts)
        assert not any(isinstance(part, End) for part in parts)
        assert not parser.reusable
        assert caught.value.message.isprintable()


# Behind the end.


def test_bytes_behind_the_end_make_the_connection_useless() -> None:
    _, parser = play([with_head(b"Content-Length: 0")])
    assert parser.reusable
    assert parser.receive(b"HTTP/1.1 408 x\r\n") == []
    assert parser.receive(b"\r\n") == []
    assert not parser.reusable
    assert parser.surplus == b"HTTP/1.1 408 x\r\n\r\n"


def test_the_end_of_the_stream_makes_the_connection_useless() -> None:
    _, parser = play([with_head(b"Content-Length: 0")])
    assert parser.reusable
    assert parser.receive(b"") == []
    assert not parser.reusable


def test_parsers_of_two_responses_share_nothing() -> None:
    first, second = GET.parser(), GET.parser()
    first.receive(with_head(status=b"HTTP/1.1 100 x") + CHUNKED + b"1\r\na\r\n0\r\nA: b\r\n\r\n")
    assert (len(first.interim), first.trailers, first.received) == (1, [(b"a", b"b")], 1)
    first.interim.clear()
    first.trailers.clear()
    assert (second.interim, second.trailers, second.received, second.started) == ([], [], 0, False)
    second.interim.append("x")
    second.trailers.append("x")
    third = GET.parser()
    assert (third.interim, third.trailers, third.parts, third.head) == ([], [], None, None)


def test_nothing_is_read_after_an_error() -> None:
    parser = GET.parser()
    for data in (b"SSH-2.0-x\r\n", with_head(b"Content-Length: 0")):
        with pytest.raises(RemoteProtocolError):
            parser.receive(data)
    assert not parser.reusable
    with pytest.raises(RemoteProtocolError):
        parser.receive(b"")


def test_the_allowance_for_heads_is_fresh_for_each_exchange() -> None:
    interim = with_head(b"A: " + b"x" * (INTERIM_BYTES // 2), status=b"HTTP/1.1 100 x")
    raw = interim + with_head(b"A: " + b"x" * (HEAD_BYTES // 2), b"Content-Length: 0")
    for _ in range(4):
        assert isinstance(GET.parser().receive(raw)[-1], End)


def test_bytes_after_a_switch_are_collected() -> None:
    parts, parser = play([OK, b"\r\n", b"a", b"b", b""], CONNECT)
    assert isinstance(parts[-1], End)
    assert parser.surplus == b"ab"


# The end of the stream.

WHOLE = {
    "length": (with_head(b"Content-Length: 5") + b"hello", GET),
    "chunked": (CHUNKED + b'3;a="b"\r\nabc\r\n0\r\nA: b\r\n\r\n', GET),
    "interim": (with_head(status=b"HTTP/1.1 100 x") + with_head(b"Content-Length: 1") + b"a", GET),
    "upgrade": (with_head(b"Upgrade: x", status=b"HTTP/1.1 101 x"), UPGRADE),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_message_that_was_cut_never_ends_well(name: str) -> None:
    raw, requested = WHOLE[name]
    for length in range(len(raw)):
        parts, parser = play([raw[:length]] if length else [], requested)
        assert not any(isinstance(part, End) for part in parts)
        assert parser.started == (length > 0)
        with pytest.raises(RemoteProtocolError) as caught:
            parser.receive(b"")
        assert ("before any byte" in str(caught.value)) == (length == 0)
        assert not parser.reusable


def test_body_until_the_end_ends_with_the_stream_and_connection() -> None:
    for requested, raw in [(GET, OK + b"\r\n"), (GET, with_head(b"Connection: keep-alive", status=b"HTTP/1.0 200 OK"))]:
        parts, parser = play([raw + b"a", b"b", b""], requested)
        assert parts[1:] == [b"ab", End([])]
        assert not parser.reusable


@pytest.mark.parametrize(
    ("raw", "missing"),
    [
        (b"", "the response head"),
        (b"HTTP/1.1 200", "the rest of the response head, 12 bytes of it were received"),
        (with_head(status=b"HTTP/1.1 100 x"), "the final response head, after an interim one"),
        (with_head(b"Content-Length: 2000") + b"ab", "1,998 bytes of the body, 2 of 2,000 were received"),
        (CHUNKED + b"5\r\nabc", "the end of a chunked body, 3 bytes of it were received"),
        (OK + b"\r\n", "the end of the connection, which ends the body"),
        (with_head(b"Content-Length: 0"), "nothing"),
    ],
)
def test_a_missing_part_is_named(raw: bytes, missing: str) -> None:
    _, parser = play([raw] if raw else [])
    assert parser.unfinished == missing


def test_bytes_of_chunked_body_are_counted_however_they_are_cut() -> None:
    raw = CHUNKED + b"3\r\nabc\r\n9\r\ndefg"
    for pieces in ways_to_cut(raw):
        _, parser = play(pieces)
        assert parser.unfinished == "the end of a chunked body, 7 bytes of it were received"


def test_after_an_error_a_response_without_errors_is_missing() -> None:
    parser = GET.parser()
    with pytest.raises(RemoteProtocolError):
        parser.receive(b"x")
    assert parser.unfinished == "a response without errors"


# Limits.

ENDLESS: dict[str, Callable[[], Iterable[bytes]]] = {
    "status line": lambda: itertools.chain([OK[:-2]], itertools.repeat(b"x" * 4096)),
    "header line": lambda: itertools.chain([OK + b"A: "], itertools.repeat(b"x" * 4096)),
    "header name": lambda: itertools.chain([OK], itertools.repeat(b"x" * 4096)),
    "headers": lambda: itertools.chain([OK], itertools.repeat(b"A: b\r\n" * 100)),
    "interim responses": lambda: itertools.repeat(with_head(status=b"HTTP/1.1 100 x")),
    "large interim responses": lambda: itertools.repeat(with_head(b"A: " + b"x" * 9999, status=b"HTTP/1.1 103 x")),
    "chunk size": lambda: itertools.chain([CHUNKED], itertools.repeat(b"0" * 4096)),
    "chunk extension": lambda: itertools.chain([CHUNKED + b"1;a="], itertools.repeat(b"x" * 4096)),
    "quoted chunk extension": lambda: itertools.chain([CHUNKED + b'1;a="'], itertools.repeat(b"\\x" * 4096)),
    "second chunk's extension": lambda: itertools.chain([CHUNKED + b"1\r\na\r\n1;a="], itertools.repeat(b"x" * 4096)),
    "many chunk extensions": lambda: itertools.chain([CHUNKED], itertools.repeat(b"1" + b";a=b" * 9 + b"\r\nx\r\n")),
    "trailer line": lambda: itertools.chain([CHUNKED + b"0\r\nA: "], itertools.repeat(b"x" * 4096)),
    "trailers": lambda: itertools.chain([CHUNKED + b"0\r\n"], itertools.repeat(b"A: b\r\n" * 100)),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("size", [1, 65536])
def test_an_endless_sender_is_stopped_early(name: str, size: int) -> None:
    room = MIB // 4
    raw = b"".join(_pieces_up_to(ENDLESS[name](), room))
    parser = GET.parser()
    parts: list[Part] = []
    with pytest.raises(LimitExceeded) as caught:
        feed(parser, (raw[at : at + size] for at in range(0, len(raw), size)), parts)
    assert not any(isinstance(part, End) for part in parts)
    assert caught.value.limit is not None
    assert not parser.reusable


def _pieces_up_to(pieces: Iterable[bytes], room: int) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        room -= len(piece)
        if room < 0:
            return


def test_head_may_be_as_long_as_the_limit_and_not_a_byte_longer() -> None:
    empty = len(with_head(b"A: ", b"Content-Length: 0"))
    for extra, fits in [(0, True), (1, False)]:
        raw = with_head(b"A: " + b"x" * (HEAD_BYTES - empty + extra), b"Content-Length: 0")
        for pieces in ([raw], [raw[:-1], raw[-1:]], [raw[:100], raw[100:]]):
            assert _fits(pieces) == fits


def test_head_may_have_as_many_fields_as_limit_and_not_one_more() -> None:
    for count, fits in [(FIELD_COUNT, True), (FIELD_COUNT + 1, False)]:
        raw = with_head(b"Content-Length: 0", *[b"A: b"] * (count - 1))
        assert _fits([raw]) == fits
        trailers = CHUNKED + b"0\r\n" + b"A: b\r\n" * count + b"\r\n"
        assert _fits([trailers]) == fits


def test_interim_heads_may_have_so_many_bytes_and_no_more() -> None:
    interim, final = with_head(b"A: " + b"x" * 233, status=b"HTTP/1.1 100 x"), with_head(b"Content-Length: 0")
    most = INTERIM_BYTES // len(interim)
    assert len(interim) == 256
    for count, fits in [(most, True), (most + 1, False)]:
        assert _fits([interim * count + final]) == fits
        assert _fits([interim] * count + [final]) == fits


def test_a_chunk_line_may_be_as_long_as_the_limit_and_no_longer() -> None:
    for lead in (b"", b"1\r\na\r\n"):
        for extra, fits in [(0, True), (1, False)]:
            size = chunks.CHUNK_LINE_BYTES - len(b"1;\r\n") - (2 if lead else 0) + extra
            raw = CHUNKED + lead + b"1;" + b"x" * size + b"\r\na\r\n0\r\n\r\n"
            for pieces in ([raw], single_bytes(raw)):
                assert _fits(pieces) == fits


def test_a_chunk_line_too_long_is_reported_as_that_first() -> None:
    raw = CHUNKED + b"?" * chunks.CHUNK_LINE_BYTES + b"\r\n"
    for pieces in ([raw], single_bytes(raw)):
        assert not _fits(pieces)


def test_bytes_beyond_size_of_a_chunk_are_refused_as_they_come() -> None:
    for pieces in ([b"1\r\nax"], [b"1\r\na", b"x"], [b"1\r\na\r", b"x"], [b"1\r\na", b"\r", b"x"]):
        with pytest.raises(RemoteProtocolError, match="expected CRLF"):
            play([CHUNKED, *pieces])


def test_extensions_may_be_as_long_as_the_body_and_an_allowance() -> None:
    chunk = b"64;" + b"x" * 99 + b"\r\n" + b"y" * 100 + b"\r\n"  # an extension of 100 bytes, and 100 bytes of body
    raw = chunk * 2000 + b"0\r\n\r\n"
    assert _fits([CHUNKED, raw])
    assert _fits([CHUNKED, *(raw[at : at + 70] for at in range(0, len(raw), 70))])
    chunk = b"1;" + b"x" * 8191 + b"\r\ny\r\n"
    assert _fits([CHUNKED, chunk * 8, b"0\r\n\r\n"])
    assert not _fits([CHUNKED, chunk * 9, b"0\r\n\r\n"])


def _fits(pieces: Iterable[bytes]) -> bool:
    try:
        parts, _ = play(pieces)
    except LimitExceeded:
        return False
    assert isinstance(parts[-1], End)
    return True


@pytest.mark.cpu_time
def test_small_chunks_take_linear_time() -> None:
    def seconds(count: int) -> float:
        raw = b"1\r\nx\r\n" * count + b"0\r\n\r\n"
        parser = GET.parser()
        parser.receive(CHUNKED)
        begun = time.process_time()
        parts = [part for at in range(0, len(raw), 65536) for part in parser.receive(raw[at : at + 65536])]
        assert joined(parts) == [b"x" * count, End([])]
        return time.process_time() - begun

    assert min(seconds(80_000) for _ in range(3)) < 9 * min(seconds(20_000) for _ in range(3))  # 4 linear, 16 quadratic


def test_body_bytes_of_one_piece_come_as_one_object() -> None:
    parts = CHUNKED + b"1\r\nx\r\n" * 1000
    assert GET.parser().receive(parts)[1:] == [b"x" * 1000]
    parser = GET.parser()
    parser.receive(with_head(b"Content-Length: 999999999999"))
    piece = b"x" * 65536
    assert parser.receive(piece)[0] is piece  # no copy, and nothing is reserved for bytes that have not been received


# Errors.


def test_errors_show_the_peers_bytes_escaped_and_cut() -> None:
    nasty = b"\x1b[31m\r\x00" + b"x" * 5000
    for raw in (
        with_head(status=b"HTTP/1.1 200 " + nasty),
        with_head(status=nasty),
        nasty,
        with_head(b"A: " + nasty),
        with_head(b"Content-Length: \xff" + b"9" * 5000),
        with_head(*[b"Content-Length: 1"] * 200),
        with_head(b"Transfer-Encoding: " + b"x, " * 5000),
        with_head(b"Content-Length: 1" + b"0" * 5000, b"Transfer-Encoding: chunked"),
        CHUNKED + nasty + b"\n",
        CHUNKED + b"1\r\na" + nasty,
        CHUNKED + b"0\r\n" + nasty + b"\r\n\r\n",
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            GET.parser().receive(raw)
        assert str(caught.value).isascii()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 550


# Random messages, cut at random places.

TOKENS = st.text("abcXYZ019-_.!~", min_size=1, max_size=8).map(str.encode)
VALUES = st.text('ab \t:,;="\\\x80\xff', max_size=12).map(lambda text: text.encode("latin-1").strip(b" \t"))
FIELDS = st.lists(st.tuples(TOKENS.map(lambda name: b"x-" + name), VALUES), max_size=4)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, list[Part]]:
    """The bytes of a response, and its parts."""
    raw, parts = b"", list[Part]()
    for status in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2)):
        fields = draw(FIELDS)
        raw += _head_bytes(status, fields)
        parts.append(head(status, b"r", *fields))
    fields, chunks = draw(FIELDS), draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    body, trailers = b"".join(chunks), draw(FIELDS)
    if draw(st.booleans()):
        fields.append(IS_CHUNKED)
        extension = draw(st.sampled_from([b"", b";a", b';a=b;c="\\""']))
        sent = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
        sent += b"0\r\n" + b"".join(b"%s:%s\r\n" % field for field in trailers) + b"\r\n"
    else:
        fields.insert(0, (b"content-LENGTH", str(len(body)).encode()))
        sent, trailers = body, []
    parts.append(head(200, b"r", *fields))
    parts += [body] if body else []
    parts.append(End([(name.lower(), value) for name, value in trailers]))
    return raw + _head_bytes(200, fields) + sent, parts


def _head_bytes(status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
    return with_head(*[b"%s: %s" % field for field in fields], status=b"HTTP/1.1 %d r" % status)


@settings(deadline=None, max_examples=150)
@given(messages(), st.lists(st.integers(1, 60), max_size=20), st.binary(max_size=9))
def test_any_message_comes_out_as_it_went_in_however_it_is_cut(
    message: tuple[bytes, list[Part]], cuts: list[int], surplus: bytes
) -> None:
    raw, expected = message
    ends = [*itertools.accumulate(cuts), None]
    whole = raw + surplus
    pieces = [whole[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    parts, parser = play([piece for piece in pieces if piece])
    assert parts == expected
    assert parser.surplus == surplus
    assert parser.reusable == (not surplus)


SEEDS = [raw for raw, *_ in ACCEPTED.values()]
MUTATIONS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.integers(0, 2), st.sampled_from(list(b'\r\n\t ;:,=\x00\xff019aF"'))
    ),
    max_size=3,
)


def mutated(raw: bytes, mutations: list[tuple[float, int, int]]) -> bytes:
    out = bytearray(raw)
    for where, width, byte in mutations:
        at = int(where * len(out))
        out[at : at + width] = bytes([byte])
    return bytes(out)


def outcome(pieces: Iterable[bytes], requested: RequestFacts) -> list[Part] | type[HTTPCoreError]:
    try:
        return play(pieces, requested)[0]
    except HTTPCoreError as error:
        return type(error)


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(SEEDS), MUTATIONS, st.sampled_from([GET, HEAD, CONNECT, UPGRADE]), st.floats(0, 1))
def test_damaged_messages_have_one_outcome_however_they_are_cut(
    seed: bytes, mutations: list[tuple[float, int, int]], requested: RequestFacts, where: float
) -> None:
    raw = mutated(seed, mutations)
    cut = int(where * len(raw))
    whole = outcome([raw, b""], requested)
    assert outcome([*single_bytes(raw), b""], requested) == whole
    assert outcome([*([raw[:cut]] if cut else []), raw[cut:], b""], requested) == whole


def test_the_framing_decision_is_all_in_the_grammar() -> None:
    raw = with_head(b"Content-Length: 5", b"Connection: close")
    _, *decided = grammar.read_head(raw, b"GET", False)
    assert decided == [grammar.Framing.LENGTH, 5, False]


def test_names_and_status_lines_are_remembered_within_bounds() -> None:
    many = 3 * Remembered.MOST
    for number in range(many):
        line = b"HTTP/1.1 200 number %d" % number
        field = b"X-Number-%d: 1" % number
        long = b"X-%s: 1" % (b"a" * Remembered.LONGEST)
        parts, _ = play([line + b"\r\n" + b"\r\n".join([field, long]) + b"\r\nContent-Length: 0\r\n\r\n"])
        assert isinstance(parts[0], Head)
        assert (parts[0].reason, parts[0].headers[0]) == (b"number %d" % number, (b"x-number-%d" % number, b"1"))
    # Caches between responses cost memory and time, and change no result.
    for kept in (grammar._names, grammar.statuses):
        assert len(kept) <= Remembered.MOST
        assert max(map(len, kept)) <= Remembered.LONGEST


def test_lines_of_fields_are_remembered_within_bounds() -> None:
    for number in range(3 * Remembered.MOST):
        same = [b"X-Always: %d" % number, b"X-Number-%d: 1" % number, b"X-Long: %s" % (b"a" * grammar.LINE_BYTES)]
        for _ in range(2):
            parts, _ = play([with_head(*same, b"Content-Length: 0")])
            assert isinstance(parts[0], Head)
            assert parts[0].raw_headers[0] == (b"X-Always", b"%d" % number)
            assert len(parts[0].raw_headers) == 4
    # No public name shows the content of this cache.
    kept = grammar._lines
    assert len(kept) <= Remembered.MOST
    for number in range(100):
        play([with_head(b"X-Another: %d" % number, b"Content-Length: 0")])
    assert max(map(len, kept)) <= grammar.LINE_BYTES
    assert 0 < sum(line.startswith(b"X-Another") for line in kept) <= grammar.LINES_OF_A_NAME


@pytest.mark.parametrize(
    "name", [b"Set-Cookie", b"Authentication-Info", b"WWW-Authenticate", b"X-CSRF-Token", b"X-Api-Key", b"Location"]
)
def test_lines_that_may_hold_credentials_are_not_remembered(name: bytes) -> None:
    for _ in range(2):
        play([with_head(name + b": not-to-be-kept", b"Content-Length: 0")])
    # No public name shows the content of this cache.
    assert not any(b"not-to-be-kept" in line for line in grammar._lines)


@pytest.mark.parametrize("bad", [b"X-A: a\nb", b"X-A: a\rb", b"X-A: a\x00", b"X-A\x01: a", b"X-A : a", b" X-A: a"])
def test_a_bad_line_among_known_ones_is_refused(bad: bytes) -> None:
    for _ in range(2):
        play([with_head(b"X-A: a", b"Content-Length: 0")])
        with pytest.raises(RemoteProtocolError, match="expected a header field"):
            play([with_head(b"X-A: a", bad, b"Content-Length: 0")])


def test_heads_are_remembered_when_all_their_lines_are() -> None:
    common = with_head(b"X-Common: 1", b"Content-Length: 0")
    private = with_head(b"X-Common: 1", b"Set-Cookie: not-to-be-kept", b"Content-Length: 0")
    for _ in range(3):
        for raw in (common, private):
            assert play([raw])[0][0].raw_headers[0] == (b"X-Common", b"1")  # type: ignore[union-attr]
    # No public name shows the content of this cache.
    kept = [raw for raw, _, _ in grammar._heads]
    assert common in kept
    assert not any(b"not-to-be-kept" in raw for raw in kept)
    # No public name shows the bound of this cache.
    assert len(grammar._heads) <= Remembered.MOST


def test_a_remembered_head_is_interpreted_for_its_request() -> None:
    raw = with_head(b"X-Common: 1", b"Content-Length: 2")
    for _ in range(3):
        assert grammar.read_head(raw, b"GET", False)[1:3] == (grammar.Framing.LENGTH, 2)
        assert grammar.read_head(raw, b"HEAD", False)[1:3] == (grammar.Framing.LENGTH, 0)
        assert grammar.read_head(raw, b"CONNECT", False)[1:3] == (grammar.Framing.SWITCHED, 0)
        raw_101 = with_head(b"X-Common: 1", status=b"HTTP/1.1 101 x")
        assert grammar.read_head(raw_101, b"GET", True)[1] == grammar.Framing.SWITCHED
        with pytest.raises(RemoteProtocolError, match="expected another status, since the request has no Upgrade"):
            grammar.read_head(raw_101, b"GET", False)


def test_known_lines_are_counted_as_new_ones_are() -> None:
    for _ in range(2):
        play([with_head(*[b"X-A: a"] * (FIELD_COUNT - 1), b"Content-Length: 0")])
        with pytest.raises(LimitExceeded, match="1001 header fields"):
            play([with_head(*[b"X-A: a"] * FIELD_COUNT, b"Content-Length: 0")])


@pytest.mark.parametrize("field", [b"X-Twice : 1", b"X Twice: 1", b": 1", b"X-Twice", b" X-Twice: 1"])
def test_a_field_that_was_refused_is_refused_again(field: bytes) -> None:
    play([with_head(b"X-Twice: 1", b"Content-Length: 0")])  # a similar name is remembered
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="expected a header field"):
            play([with_head(field, b"Content-Length: 0")])
