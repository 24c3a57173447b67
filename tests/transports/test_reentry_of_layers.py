"""Layers above the pool, used by a signal handler or a finaliser that interrupts its thread in the middle of a step.

No call waits for the step that it interrupts: it is done at once, or refused with an error that says so.
"""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from reentry import Interruption, Trap, run_with_time_limit

import httpcore

URL = "https://a.test/"
LIMIT = 3
Act = Callable[["LayerUnderTest"], object]


class LayerUnderTest:
    """A client over one layer over a server in memory, and a response of it that is still open."""

    def __init__(self, layer: Callable[[httpcore.Transport], httpcore.Transport], **options: Any) -> None:
        self.counts: Counter[str] = Counter()
        """The answers of Digest by nonce and count: the server would refuse one that comes twice."""
        self.refusals = 0
        self.client = httpcore.Client(transport=layer(httpcore.MockTransport(self._serve)), **options)
        self._stack = ExitStack()
        self.held = self._stack.enter_context(self.client.stream("GET", URL))

    def _serve(self, method: str, url: str, headers: Any, stream: Any, extensions: Any) -> httpcore.Response:
        given = {name.lower(): value for name, value in headers}
        answer = given.get(b"authorization", b"").decode("ascii")
        if answer:
            self.counts["".join(re.findall(r'nonce="[^"]*"|nc=[0-9a-f]+', answer))] += 1
            status = 200
        else:
            status = 401 if url.endswith("/private") else 200
        fields = {
            "WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"',
            "Strict-Transport-Security": "max-age=1000",
            "Set-Cookie": f"name{len(self.counts)}=value",
        }
        return httpcore.Response(status, headers=fields, body=b"hello")

    def get(self) -> None:
        assert self.client.get(URL + "private" if self.client.auth else URL).content in (b"hello", b"")

    def get_inside(self) -> None:
        try:
            self.get()
        except httpcore.LocalProtocolError as error:
            assert "interrupted a step of the same object" in error.message  # noqa: PT017
            self.refusals += 1
        except httpcore.PoolTimeout:
            pass  # the interrupted request has the last place

    def close_held(self) -> None:
        self.held.close()

    def close(self) -> None:
        self._stack.close()
        self.client.close()


def app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Set-Cookie", "name=value")])
    return [b"hello"]


def recorded(below: httpcore.Transport, folder: Path) -> httpcore.Transport:
    return httpcore.RecordReplay(folder / "recorded.jsonl", mode="record", transport=below)


NO_WAIT = httpcore.TimeoutConfig(pool_timeout=0)
LAYERS: dict[str, Callable[[Path], LayerUnderTest]] = {
    "RateLimit": lambda folder: LayerUnderTest(lambda below: httpcore.RateLimit(1e6, burst=1000, transport=below)),
    "ConcurrencyLimit": lambda folder: LayerUnderTest(
        lambda below: httpcore.ConcurrencyLimit(LIMIT, below), timeout=NO_WAIT
    ),
    "HSTS": lambda folder: LayerUnderTest(lambda below: httpcore.HSTS(below)),
    "Retries": lambda folder: LayerUnderTest(lambda below: httpcore.Retries(transport=below)),
    "FaultInjection": lambda folder: LayerUnderTest(
        lambda below: httpcore.FaultInjection([httpcore.Fault(latency=1e-9, probability=0.5)], transport=below)
    ),
    "RecordReplay": lambda folder: LayerUnderTest(lambda below: recorded(below, folder)),
    "WSGITransport": lambda folder: LayerUnderTest(lambda below: httpcore.WSGITransport(app)),
    "Cookies": lambda folder: LayerUnderTest(lambda below: below),
    "DigestAuth": lambda folder: LayerUnderTest(lambda below: below, auth=httpcore.DigestAuth("user", "secret")),
}
ACTS: dict[str, Act] = {"a request": LayerUnderTest.get_inside, "the end of a response": LayerUnderTest.close_held}


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.collect()


def check(subject: LayerUnderTest) -> None:
    """All is as if nothing had interrupted: each place of the limit is free, and no count of Digest came twice."""
    subject.close_held()
    with ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(subject.client.stream("GET", URL))
    subject.get()
    assert set(subject.counts.values()) <= {1}
    subject.close()


@pytest.mark.proofs
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_can_be_used_in_the_middle_of_its_steps(layer: str, act: str, tmp_path: Path) -> None:
    refusals = 0

    def at(line: int) -> bool:
        nonlocal refusals
        subject = LAYERS[layer](tmp_path)
        interruption = Interruption(lambda: ACTS[act](subject), line)
        interruption.during(subject.get)
        check(subject)
        refusals += subject.refusals
        return interruption.has_acted

    def body() -> None:
        line = 1 + list(ACTS).index(act)
        while at(line):
            line += 3 if layer != "DigestAuth" else 7  # its requests are longest
        assert line > 100

    run_with_time_limit(body)
    # The cookies of a client refuse calls within their own steps, so each layer's table row has refusals.
    assert (refusals > 0) == (act == "a request")


@pytest.mark.proofs
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.usefixtures("thresholds")
def test_the_collector_may_use_a_layer_at_any_moment(layer: str, act: str, tmp_path: Path) -> None:
    def body() -> None:
        for _ in range(5):
            subject = LAYERS[layer](tmp_path)
            for _ in range(20):
                Trap(lambda subject=subject: ACTS[act](subject), weak=False)  # type: ignore[misc]
                subject.get()
            gc.collect()  # no trap acts after its client has been closed
            check(subject)

    gc.set_threshold(3, 2, 2)
    run_with_time_limit(body)
