"""One HTTP/1.1 connection: its stream, its reader of responses, and whether it may carry another exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .._backends.base import Backend, Stream
from .._deadline import Deadline
from .._errors import ReadError
from .._message.head import LIBRARY
from .._message.rules import DEFAULT_RULES, ReadRules
from .._totals import Totals


class HTTP11Connection:
    """A stream that carries one exchange after another.

    Attributes:
        engine: library and version of the reader of responses.
        is_quiet: whether, between exchanges, nothing was received and the peer has not closed. Otherwise the connection
            carries no further exchange, since we cannot interpret such input.
        rules: the accepted deviations of the peer.
        totals: the pool's counts of sent and received bytes.
        was_used: whether the connection has carried an exchange, so that `is_quiet` was called before the next one.
    """

    protocol: Final = "HTTP/1.1"

    # These values change only on a connection that many exchanges share.
    is_shared = False
    is_open = False
    needs_check = False
    capacity = 1
    streams = 0

    is_quiet: Callable[[], bool]

    __slots__ = ("_had_input", "backend", "engine", "is_quiet", "rules", "stream", "totals", "was_used")

    def __init__(
        self,
        stream: Stream,
        backend: Backend,
        rules: ReadRules = DEFAULT_RULES,
        engine: str = LIBRARY,
        totals: Totals | None = None,
    ) -> None:
        self.stream = stream
        self.backend = backend
        self.rules = rules
        self.engine = engine
        self.totals = Totals() if totals is None else totals
        self.was_used = False
        self._had_input = False
        # Whether the stream has this method is tested only once: it does not change, and each request would pay for the
        # test.
        look: Callable[[], bool] | None = getattr(stream, "is_quiet", None)
        self.is_quiet = self._is_quiet_to_take if look is None else look

    def _is_quiet_to_take(self) -> bool:
        """`is_quiet` for a stream without that method. The result is remembered: `take` returns input only once."""
        if not self._had_input:
            try:
                self._had_input = self.stream.take() is not None
            except ReadError:
                self._had_input = True
        return not self._had_input

    async def is_alive(self, deadline: Deadline) -> bool:
        """HTTP/1.1 has no PING: `is_quiet` is the only check."""
        return True

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when input arrives while no task reads, if the runtime supports it."""
        self.stream.watch(callback)

    def close(self) -> None:
        self.stream.close()

    def abandon(self) -> None:
        """Like `close`, in the child of a fork."""
        self.stream.abandon()
