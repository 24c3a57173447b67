"""A long differential fuzz of the engines: `fuzz.py [COUNT [SEED [http1|http2]]]`. See `scripts/fuzz`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), *(str(TESTS / folder) for folder in ("support", "http1", "http2"))]

import h2_events  # noqa: E402 - found by the path above
from engines import AlarmingShadow, alarm  # noqa: E402
from test_h2_engine import opened  # noqa: E402
from test_h2_reference import damaged, played  # noqa: E402
from test_h11_engine import outcome, same  # noqa: E402
from test_references import ASKED, Maker  # noqa: E402

from httpcore._http1.h11_reader import H11Response  # noqa: E402
from httpcore._http1.parser import H1Response  # noqa: E402
from httpcore._http2.engine import H2Engine  # noqa: E402
from httpcore._http2.h2_engine import ReferenceEngine  # noqa: E402
from httpcore._http2.shadow import ShadowEngine  # noqa: E402


def http1(random: Random) -> bool:
    """Compares one message; returns whether it is accepted."""
    maker = Maker(random, random.choice((0.0, 0.02, 0.1)))
    raw, requested = maker.message(), random.choice(ASKED)
    pieces = maker.pieces(raw)
    native = outcome(H1Response, pieces, requested)
    assert same(native, outcome(H11Response, pieces, requested)), (pieces, requested)
    try:
        assert native == outcome(AlarmingShadow, pieces, requested)
    except AssertionError as error:
        raise AssertionError(str(error), pieces, requested) from None
    return not native[4]


def http2(random: Random) -> bool:
    """Compares one script; returns whether it is accepted."""
    script = damaged(random)
    cuts = sorted(random.randint(0, len(script)) for _ in range(random.choice((0, 1, 20))))
    results = []
    for kind in (H2Engine, ReferenceEngine, partial(ShadowEngine, alarm)):
        h2_events.make_engine = kind
        try:
            received, out = played(opened(), script, cuts)
        except AssertionError as error:
            raise AssertionError(str(error), script, cuts) from None
        results.append((received.log, received.bodies, out))
    assert results[0] == results[1] == results[2], (script, cuts)
    return received.error is None and not received.malformed


def run(name: str, one: Callable[[Random], bool], count: int, seed: int) -> None:
    began = time.monotonic()
    accepted = 0
    for number in range(count):
        accepted += one(Random(f"{seed}/{name}/{number}"))
        if number % 10_000 == 9_999:
            print(f"{name}: {number + 1:,} read, {accepted:,} accepted, no difference", flush=True)
    print(f"{name}: {count:,} messages, {accepted:,} accepted, no difference, {time.monotonic() - began:.0f} s")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for name, one in {"http1": http1, "http2": http2}.items():
        if name in (sys.argv[3:] or name):
            run(name, one, count, seed)


if __name__ == "__main__":
    main()
