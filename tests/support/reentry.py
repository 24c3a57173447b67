"""Calls that interrupt a thread at any point, as a signal handler, a finaliser and a weakref callback do."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from strikes import traced

import httpcore

PACKAGE = os.path.dirname(httpcore.__file__)


class Interruption:
    """Calls `act` at the n-th line of httpcore that its thread reaches."""

    def __init__(self, act: Callable[[], object], line: int) -> None:
        self.act = act
        self.line = line
        self.seen = 0
        self.has_acted = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.seen += 1
            if self.seen == self.line:
                self.has_acted = True
                self.act()
        return self

    def during(self, call: Callable[[], object]) -> object:
        with traced(self):
            return call()


def run_with_time_limit(body: Callable[[], None], seconds: float = 120) -> None:
    """Run `body` in a thread of its own, so that a hang becomes an error here."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            body()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "the thread hangs"
    if failures:
        raise failures[0]


class Trap:
    """Calls `act` when the collector finds it: by its finaliser, or by the callback of a weak reference to it."""

    def __init__(self, act: Callable[[], object], *, weak: bool) -> None:
        self.cycle = self
        self.act = (lambda: None) if weak else act
        if weak:
            weakref.finalize(self, act)

    def __del__(self) -> None:
        self.act()
