"""Measures the CPU time that TLS 1.3 sessions save: `python benchmarks/resumption.py [CONNECTIONS]`, from the project's
directory.

It makes CONNECTIONS (100) connections to one origin, one after the other. The server closes each after a small GET.
Once each connection has a pool of its own, so that nothing can be resumed, and once all have one pool. The server
(Python's ssl, with keys for an elliptic curve and for RSA, and an intermediate authority, as is usual) runs in another
process, counts the resumed sessions, and reports its own CPU time. Three rounds of each are run by turns. The program
prints the medians of milliseconds per connection, and the saving by resumption.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import trustme

PROJECT = Path(__file__).resolve().parent.parent
ROUNDS = 3
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, world!"


def serve(certificate: str) -> None:
    """Print the port; then for each line of input the counts since the last: connections, resumed ones, CPU time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)
    for line in sys.stdin:
        resumed, began = 0, time.process_time()
        for _ in range(int(line)):
            plain, _ = listener.accept()
            with plain, context.wrap_socket(plain, server_side=True) as tls:
                tls.recv(65536)
                tls.sendall(ANSWER)
                resumed += bool(tls.session_reused)
        print(json.dumps([resumed, time.process_time() - began]), flush=True)


def measure(kind: trustme.KeyType, count: int) -> None:
    import httpcore

    authority = trustme.CA(key_type=kind)
    with tempfile.TemporaryDirectory() as folder:
        trusted, certificate = Path(folder, "ca.pem"), Path(folder, "server.pem")
        authority.cert_pem.write_to_path(str(trusted))
        issued = authority.create_child_ca(key_type=kind).issue_cert("127.0.0.1", key_type=kind)
        issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
        server = subprocess.Popen(
            [sys.executable, __file__, "serve", str(certificate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdin is not None
        assert server.stdout is not None
        url = f"https://127.0.0.1:{int(server.stdout.readline())}/"
        config = httpcore.SSLConfig(verify=str(trusted), trust_env=False)

        def anew() -> None:
            for _ in range(count):
                with httpcore.SyncConnectionPool(config) as pool:
                    assert pool.request("GET", url).status_code == 200

        def again() -> None:
            with httpcore.SyncConnectionPool(config) as pool:
                for _ in range(count):
                    assert pool.request("GET", url).status_code == 200

        def spent(work: Callable[[], None]) -> tuple[float, float, int]:
            assert server.stdin is not None
            assert server.stdout is not None
            print(count, file=server.stdin, flush=True)
            began = time.process_time()
            work()
            ours = time.process_time() - began
            resumed, theirs = json.loads(server.stdout.readline())
            return ours / count * 1000, theirs / count * 1000, resumed

        spent(again)  # everything is imported and the context made
        rounds = [(spent(anew), spent(again)) for _ in range(ROUNDS)]
        server.stdin.close()
        server.wait(10)
    for label, parts in (("client", [0]), ("server", [1]), ("both", [0, 1])):
        full, resuming = (median(sum(round_[which][at] for at in parts) for round_ in rounds) for which in (0, 1))
        saved = 1 - resuming / full
        print(f"{kind.name:6}{label:8}{full:10.2f} ms{resuming:10.2f} ms{saved:8.0%}")
    resumed = [(first[2], second[2]) for first, second in rounds]
    print(f"{'':6}resumed of {count}, by the server: {resumed}")


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
        return
    sys.path.insert(0, str(PROJECT))
    print(f"{'key':6}{'CPU of':8}{'in full':>13}{'resumed':>13}{'saved':>8}")
    for kind in (trustme.KeyType.ECDSA, trustme.KeyType.RSA):
        measure(kind, int(sys.argv[1]) if len(sys.argv) > 1 else 100)


if __name__ == "__main__":
    main()
