"""The classes of the errors, their texts, and that they can be pickled."""

from __future__ import annotations

import gzip
import pickle
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import httpcore
from httpcore import _errors
from httpcore._errors import Code, show, show_value
from httpcore._message.response import _ConstructedBody  # the source of a response made by hand
from httpcore._sync import SyncResponse, run

CLASSES: list[type[httpcore.HTTPCoreError]] = [
    value
    for name in _errors.__all__
    if isinstance(value := getattr(_errors, name), type) and issubclass(value, httpcore.HTTPCoreError)
]
each_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)

FACTS: dict[str, Any] = {
    "phase": "connect",
    "method": "GET",
    "url": "http://example.com/",
    "peer": "127.0.0.1:80",
    "limit": 5.0,
    "elapsed": 1.25,
    "status_code": 200,
    "safe_to_retry": True,
}


def made(kind: type[Any], *message: str, **facts: Any) -> Any:
    if kind is httpcore.StreamReset:
        return kind(Code.CANCEL, *message, **facts)
    if kind is httpcore.GoAway:
        return kind(Code.NO_ERROR, 7, b"bye", *message, **facts)
    return kind(*message, **facts)


# Which is which.


def test_every_class_is_public_and_has_one_base() -> None:
    assert len(CLASSES) == 34
    for kind in CLASSES:
        assert getattr(httpcore, kind.__name__) is kind
        assert issubclass(kind, httpcore.HTTPCoreError)


def test_errors_of_the_network_alone_are_oserrors() -> None:
    network = {"NetworkError", "ConnectError", "TLSError", "ReadError", "WriteError"}
    assert {kind.__name__ for kind in CLASSES if issubclass(kind, OSError)} == network


def test_a_timeout_is_neither_an_oserror_nor_pythons_timeout() -> None:
    kinds = {kind.__name__ for kind in CLASSES if issubclass(kind, httpcore.Timeout)}
    waits = {"Timeout", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "TotalTimeout"}
    assert kinds == waits | {"ReadTooSlow", "WriteTooSlow"}
    assert issubclass(httpcore.ReadTooSlow, httpcore.ReadTimeout)
    assert issubclass(httpcore.WriteTooSlow, httpcore.WriteTimeout)
    assert not any(issubclass(kind, TimeoutError) for kind in CLASSES), "TimeoutError of Python is an OSError"


def test_the_classes_are_split_by_fault() -> None:
    assert issubclass(httpcore.InvalidURL, ValueError)
    assert issubclass(httpcore.TLSError, httpcore.ConnectError), "no connection was made"
    for remote in (httpcore.StreamReset, httpcore.GoAway):
        assert issubclass(remote, httpcore.RemoteProtocolError)
    for misuse in (httpcore.ResponseBusy, httpcore.ResponseClosed, httpcore.ResponseNotRead, httpcore.StreamConsumed):
        assert issubclass(misuse, httpcore.ResponseError)


# Texts.


@each_class
def test_the_text_is_never_empty(kind: type[Any]) -> None:
    assert str(made(kind))
    assert "phase: connect" in str(made(kind, phase="connect"))
    if kind not in (httpcore.StreamReset, httpcore.GoAway):
        assert str(kind()) == kind.__name__


@each_class
def test_the_text_gives_every_fact_that_is_known(kind: type[Any]) -> None:
    text = str(made(kind, "words", **FACTS))
    assert text == (
        "words [phase: connect; request: GET http://example.com/; peer: 127.0.0.1:80; limit: 5; elapsed: 1.250 s; "
        "status: 200]"
    )


@pytest.mark.parametrize(("limit", "shown"), [(1_000_000, "1,000,000"), (5, "5"), (0.25, "0.25"), (30.0, "30")])
def test_a_limit_in_bytes_is_shown_to_the_last_digit(limit: float, shown: str) -> None:
    assert str(httpcore.LimitExceeded("more", limit=limit)) == f"more [limit: {shown}]"


def test_without_a_method_the_text_has_the_url_alone() -> None:
    """An error like one of `connect`, which has no request."""
    text = str(httpcore.ConnectError("refused", phase="connect", url="http://example.com/"))
    assert text == "refused [phase: connect; url: http://example.com/]"


def test_known_facts_stay_and_unknown_ones_are_added() -> None:
    error = httpcore.ReadTimeout("late", peer="127.0.0.1:80")
    facts = (error.peer, error.limit, error.phase)
    assert facts == ("127.0.0.1:80", None, None)
    error.add(peer="elsewhere", limit=5, phase="read the response body")
    assert (error.peer, error.limit, error.phase) == ("127.0.0.1:80", 5, "read the response body")


def test_a_fact_that_does_not_exist_is_a_mistake_and_not_lost() -> None:
    with pytest.raises(AttributeError):
        httpcore.ReadTimeout("late", pear="127.0.0.1:80")


def test_a_network_error_has_the_errno_of_the_system() -> None:
    assert httpcore.ConnectError("refused", errno=111).errno == 111
    assert httpcore.ConnectError("refused").errno is None


def test_codes_of_http2_are_named_and_unknown_ones_are_numbers() -> None:
    assert "CANCEL (8)" in str(httpcore.StreamReset(8))
    assert "unknown code (4242)" in str(httpcore.StreamReset(4242))
    error = httpcore.GoAway(Code.ENHANCE_YOUR_CALM, 7, b"slow \x1b[31mdown")
    assert "ENHANCE_YOUR_CALM (11), last stream 7, debug data 'slow \\x1b[31mdown'" in str(error)
    assert "saying" not in str(httpcore.GoAway(0, 7))


# Travelling.


@each_class
def test_an_error_survives_a_pickle_with_all_its_facts(kind: type[Any]) -> None:
    error = made(kind, "words", **FACTS)
    if isinstance(error, OSError):
        error.errno = 104
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    if isinstance(error, OSError):
        assert copy.errno == 104
    if isinstance(error, httpcore.GoAway):
        assert (copy.code, copy.last_stream_id, copy.debug_data) == (0, 7, b"bye")
    if isinstance(error, httpcore.StreamReset):
        assert copy.code == Code.CANCEL


@each_class
def test_an_error_can_be_noted_on_and_still_travels(kind: type[Any]) -> None:
    error = made(kind, "words")
    error.add_note("seen at noon")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# Values of a peer or a caller.


def test_shown_bytes_are_escaped() -> None:
    assert show(b"a\r\n\x00\x1b\xff") == r"'a\r\n\x00\x1b\xff'"
    assert show("it's") == '"it\'s"'
    assert show(b"") == "''"


@pytest.mark.parametrize("raw", [b"x" * 201, "x" * 201, b"\x00" * 100, "\x00" * 1000, b"x" * 1_000_000])
def test_shown_bytes_are_cut_with_their_length(raw: bytes | str) -> None:
    text = show(raw)
    assert len(text) < 250
    assert text.endswith(f"... ({len(raw)} long)")


def test_a_short_text_is_shown_whole() -> None:
    assert show(b"x" * 200) == "'" + "x" * 200 + "'"


def test_a_long_value_is_not_copied_to_show_its_beginning() -> None:
    class Counted(bytes):
        def __getitem__(self, key: Any) -> Any:
            assert key.stop == 200
            return super().__getitem__(key)

    assert show(Counted(b"x" * 1000)).endswith("(1000 long)")


@pytest.mark.parametrize("value", ["it's", b"a\xff", 5, None, ["a", 1.5], float("nan")])
def test_a_short_argument_is_shown_by_its_repr(value: object) -> None:
    assert show_value(value) == repr(value)


@pytest.mark.parametrize("value", ["x" * 10_000, b"x" * 10_000, 10**1000, [b"x" * 10_000], ["\n"] * 10_000])
def test_a_long_argument_is_cut(value: object) -> None:
    text = show_value(value)
    assert len(text) < 250
    assert text.endswith(" long)")


def test_an_argument_without_a_repr_is_shown_by_its_type() -> None:
    assert show_value(-(10**5000)) == "a value of type int that has no repr"
    with pytest.raises(
        ValueError, match=r"^read_timeout is a value of type int that has no repr: expected a number of seconds"
    ):
        httpcore.TimeoutConfig(read=-(10**5000))


# Attributes.


def broken(coding: str, body: bytes) -> httpcore.Response:
    return httpcore.Response(200, headers={"Content-Encoding": coding}, body=body)


class Strict(_ConstructedBody):  # the private source of a response made by hand
    """A body of a strict pool: unusual content is an error."""

    def note(self, name: httpcore.Leniency) -> bool:
        return False

    def made(self, size: int) -> None:
        """This source counts no bytes."""


def strictly_read() -> httpcore.Response:
    response = broken("nothing", b"x")
    assert isinstance(response._source, _ConstructedBody)  # no public name returns the source
    response._source = Strict(response._source._body)  # the source of a strict pool, without a pool
    return response


def streamed() -> httpcore.Response:
    response = httpcore.Response(200, body=[b"x"])
    stream = response.stream()
    run(stream.__anext__())
    return response


def closed() -> httpcore.Response:
    response = httpcore.Response(200, body=[b"x"])
    run(response.close())
    return response


@cache
def too_large() -> bytes:
    """A response for `read`, which refuses more than 64 MiB."""
    return gzip.compress(bytes(80 << 20), 1)


NO_BODY: dict[str, tuple[Callable[[], httpcore.Response], type[httpcore.HTTPCoreError]]] = {
    "not read": (lambda: httpcore.Response(200, body=[b"x"]), httpcore.ResponseNotRead),
    "being streamed": (streamed, httpcore.StreamConsumed),
    "closed": (closed, httpcore.ResponseClosed),
    "damaged": (lambda: broken("gzip", b"x"), httpcore.DecodingError),
    "an unknown coding": (strictly_read, httpcore.DecodingError),
    "cut": (lambda: broken("gzip", gzip.compress(b"x")[:-1]), httpcore.DecodingError),
    "too large": (lambda: broken("gzip", too_large()), httpcore.LimitExceeded),
}
VARIANTS: dict[str, Callable[[httpcore.Response], Any]] = {"async": lambda response: response, "sync": SyncResponse}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", NO_BODY)
def test_without_a_body_a_response_has_no_attribute_body(case: str, variant: str) -> None:
    make, kind = NO_BODY[case]
    response = VARIANTS[variant](make())
    assert not hasattr(response, "body")
    assert getattr(response, "body", None) is None
    with pytest.raises(kind) as caught:
        _ = response.body
    assert isinstance(caught.value, AttributeError)
    error: Any = caught.value
    assert (error.status_code, error.phase) == (200, "read the response body")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert error.obj is None, "the error would keep the response alive"
    text = "".join(traceback.format_exception(error))
    assert "Did you mean" not in text


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", ["read", *NO_BODY])
def test_properties_of_a_response_raise_only_attribute_errors(case: str, variant: str) -> None:
    response = VARIANTS[variant](NO_BODY[case][0]() if case in NO_BODY else httpcore.Response(200, body=b"x"))
    names = [name for name in dir(type(response)) if isinstance(getattr(type(response), name), property)]
    assert "body" in names
    for name in names:
        assert hasattr(response, name) or name == "body"
    assert hasattr(response, "body") is (case == "read")
