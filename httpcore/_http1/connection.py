"""One HTTP/1.1 connection: its stream, its reader of responses, and whether it may carry another exchange."""

from __future__ import annotations

from .._backends.base import Backend, Stream
from .._errors import (
    ReadError,
)
from .engines import ResponseParser


class HTTP11Connection:
    """A stream and the parser of its responses. Carries `exchange()` after `exchange()`."""

    protocol = "HTTP/1.1"

    __slots__ = ("backend", "parser", "stream")

    def __init__(self, stream: Stream, parser: ResponseParser, backend: Backend) -> None:
        self.stream = stream
        self.parser = parser
        self.backend = backend

    @property
    def engine(self) -> str:
        return self.parser.name

    def is_quiet(self) -> bool:
        """Between exchanges: nothing has arrived and the peer has not left. Anything else is not ours to interpret."""
        try:
            return self.stream.take() is None
        except ReadError:
            return False

    def close(self) -> None:
        self.stream.close()
