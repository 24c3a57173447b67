"""gRPC's own server, with bytes for messages. `python -m tests.support.grpc_server PLAIN_PORT SECURE_PORT server.pem`.

All methods are below `/test.Words/`. Unary and Chat return their input, Count(b"n size") returns n messages of that
size, Join returns all received messages as one, Fail returns a status and no message, FailLate an error status after
two messages. Hang sends nothing until its call is cancelled, and Cancelled returns how often this has happened.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

SERVICE = "test.Words"
LONGEST = 64 * 1024 * 1024


class WordService:
    def __init__(self) -> None:
        self.cancelled = 0
        self.lock = threading.Lock()

    def unary(self, message: bytes, context: Any) -> bytes:
        context.send_initial_metadata((("x-first", "begins"),))
        context.set_trailing_metadata((("x-last", "ends"), ("x-data-bin", b"\x00\xff")))
        return message

    def count(self, message: bytes, context: Any) -> Iterator[bytes]:
        number, size = message.split()
        for at in range(int(number)):
            yield b"%d " % at + b"x" * int(size)

    def join(self, messages: Iterator[bytes], context: Any) -> bytes:
        return b"".join(messages)

    def chat(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield from messages

    def fail(self, message: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "100 % söß")
        raise AssertionError

    def fail_late(self, message: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        context.abort(grpc.StatusCode.DATA_LOSS, "there is no three")

    def hang(self, message: bytes, context: Any) -> Iterator[bytes]:
        ended = threading.Event()
        context.add_callback(ended.set)
        context.send_initial_metadata(())
        ended.wait()
        with self.lock:
            self.cancelled += 1
        yield from ()

    def report_cancelled(self, message: bytes, context: Any) -> bytes:
        return b"%d" % self.cancelled


def main(plain: int, secure: int, pem: bytes) -> None:
    words = WordService()
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(words.unary),
        "Count": grpc.unary_stream_rpc_method_handler(words.count),
        "Join": grpc.stream_unary_rpc_method_handler(words.join),
        "Chat": grpc.stream_stream_rpc_method_handler(words.chat),
        "Fail": grpc.unary_unary_rpc_method_handler(words.fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(words.fail_late),
        "Hang": grpc.unary_stream_rpc_method_handler(words.hang),
        "Cancelled": grpc.unary_unary_rpc_method_handler(words.report_cancelled),
    }
    server = grpc.server(
        ThreadPoolExecutor(100),
        options=[("grpc.max_receive_message_length", LONGEST), ("grpc.max_send_message_length", LONGEST)],
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_secure_port(f"127.0.0.1:{secure}", grpc.ssl_server_credentials([(pem, pem)]))
    server.add_insecure_port(f"127.0.0.1:{plain}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).read_bytes())
