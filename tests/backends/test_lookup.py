"""How names are resolved: in few threads, which do not delay the program's end, and with errors that name the host."""

from __future__ import annotations

import errno
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from httpcore._backends import lookup as names
from httpcore._backends.happy_eyeballs import connect_error
from httpcore._backends.lookup import Address, literal, look_up, numeric, resolve, show_address
from httpcore._backends.workers import Answer, Threads
from httpcore._errors import ConnectError, ConnectTimeout

LONG = 10.0
SHORT = 0.02


def found(*hosts: str) -> list[tuple[Any, ...]]:
    """The result of getaddrinfo for these hosts."""
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, 80, 0, 0))
        if ":" in host
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80))
        for host in hosts
    ]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[Any]]:
    """Replaces getaddrinfo; returns the list of the names that are looked up."""
    requested: list[Any] = []

    def set_answer(given: Any) -> list[Any]:
        def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> Any:
            requested.append(host)
            if isinstance(given, BaseException):
                raise given
            return given() if callable(given) else given

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return requested

    return set_answer


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """Threads for one test, so that no test sees the lookups of another."""
    ours = Threads(8, "test: host names")
    # The threads of the process may be at work for other tests.
    monkeypatch.setattr(names, "_lookups", ours)
    return ours


class StuckNameServer:
    """A name server that does not answer until `release`, and counts the lookups that it has received."""

    def __init__(self) -> None:
        self._gate = threading.Event()
        self._begun = threading.Semaphore(0)

    def __call__(self) -> list[tuple[Any, ...]]:
        self._begun.release()
        assert self._gate.wait(LONG)
        return found("127.0.0.1")

    def wait_until_begun(self, count: int) -> None:
        for _ in range(count):
            assert self._begun.acquire(timeout=LONG)

    def more_have_begun(self) -> bool:
        return self._begun.acquire(timeout=SHORT)

    def release(self) -> None:
        self._gate.set()


@pytest.fixture
def stuck(answer: Any, threads: Threads) -> Iterator[StuckNameServer]:
    server = StuckNameServer()
    answer(server)
    yield server
    server.release()


class Answers:
    """Collects the results that `look_up` passes to its callback."""

    def __init__(self) -> None:
        self._all: list[Answer] = []
        self._arrived = threading.Semaphore(0)

    def __call__(self, answer: Answer) -> None:
        self._all.append(answer)
        self._arrived.release()

    def wait(self, count: int) -> list[Answer]:
        for _ in range(count):
            assert self._arrived.acquire(timeout=LONG)
        return self._all


# Literals.


@pytest.mark.parametrize(
    ("host", "family", "sockaddr"),
    [
        ("127.0.0.1", socket.AF_INET, ("127.0.0.1", 80)),
        ("::1", socket.AF_INET6, ("::1", 80, 0, 0)),
        ("2001:db8::1", socket.AF_INET6, ("2001:db8::1", 80, 0, 0)),
        ("::ffff:10.0.0.1", socket.AF_INET6, ("::ffff:10.0.0.1", 80, 0, 0)),
        ("fe80::1%7", socket.AF_INET6, ("fe80::1", 80, 0, 7)),
    ],
)
def test_an_ip_literal_is_its_own_address(host: str, family: int, sockaddr: Any) -> None:
    assert literal(host, 80) == numeric(host, 80) == Address(family, sockaddr)


def test_a_zone_may_be_the_name_of_a_network_interface() -> None:
    index, name = socket.if_nameindex()[0]
    assert literal(f"fe80::1%{name}", 80) == Address(socket.AF_INET6, ("fe80::1", 80, 0, index))


@pytest.mark.parametrize("host", ["fe80::1%no-such-one", "fe80::1%", "fe80::1%a\0b"])
def test_a_zone_that_is_no_network_interface_is_a_connect_error(host: str) -> None:
    with pytest.raises(ConnectError, match=r"fe80::1%.*there is no network interface"):
        literal(host, 80)


@pytest.mark.parametrize("host", ["example.com", "localhost", "127.1", "0x7f.0.0.1", "1.2.3.4.5", "", "a%b", "\0", "☃"])
def test_text_that_is_no_ip_address_is_a_name(host: str) -> None:
    assert literal(host, 80) is None
    with pytest.raises(OSError, match="not an IP address"):
        numeric(host, 80)


# Answers.


def test_a_name_in_the_system_is_resolved() -> None:
    addresses = resolve("localhost", LONG)
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert addresses


def test_addresses_come_in_the_order_of_the_system_each_once(answer: Any, threads: Threads) -> None:
    requested = answer(found("::1", "127.0.0.1", "::1", "127.0.0.2"))
    assert resolve("example.com", LONG) == ["::1", "127.0.0.1", "127.0.0.2"]
    assert requested == [b"example.com"]


def test_the_zone_of_an_address_is_kept(answer: Any, threads: Threads) -> None:
    answer([(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 0, 0, number)) for number in (1, 2)])
    assert resolve("example.com", LONG) == ["fe80::1%1", "fe80::1%2"]


def test_an_address_of_a_family_that_is_not_ip_is_left_out(answer: Any, threads: Threads) -> None:
    answer([(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/x"), *found("127.0.0.1")])
    assert resolve("example.com", LONG) == ["127.0.0.1"]


def test_a_name_without_addresses_is_a_connect_error(answer: Any, threads: Threads) -> None:
    answer([])
    with pytest.raises(ConnectError, match=r"'example.com' has no address"):
        resolve("example.com", LONG)


def test_unknown_name_is_a_connect_error_with_the_systems_reason(answer: Any, threads: Threads) -> None:
    answer(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    with pytest.raises(
        ConnectError, match=r"'unknown\.invalid' does not resolve: Name or service not known"
    ) as failure:
        resolve("unknown.invalid", LONG)
    assert failure.value.errno == socket.EAI_NONAME
    assert isinstance(failure.value.__cause__, socket.gaierror)


@pytest.mark.parametrize("host", ["☃.example", "a\0b", "x" * 300, "a..b"])
def test_an_impossible_name_is_a_connect_error(host: str) -> None:
    with pytest.raises(ConnectError, match=r"does not resolve: .+"):
        resolve(host, LONG)


def test_an_error_without_words_still_has_a_message(answer: Any, threads: Threads) -> None:
    answer(MemoryError())
    with pytest.raises(ConnectError, match=r"'example.com' does not resolve: MemoryError"):
        resolve("example.com", LONG)


# Threads.


def test_a_name_server_that_does_not_answer_is_a_connect_timeout(stuck: StuckNameServer) -> None:
    with pytest.raises(ConnectTimeout, match=r"'example.com'") as failure:
        resolve("example.com", SHORT)
    assert failure.value.limit == SHORT


def test_at_most_eight_names_are_looked_up_at_once(stuck: StuckNameServer) -> None:
    answers = Answers()
    for number in range(20):
        look_up(f"{number}.example", answers)
    stuck.wait_until_begun(8)
    assert not stuck.more_have_begun()
    stuck.release()
    assert answers.wait(20) == [["127.0.0.1"]] * 20


def test_a_lookup_without_a_waiting_task_is_not_begun(stuck: StuckNameServer, answer: Any) -> None:
    answers, unwanted = Answers(), Answers()
    for number in range(8):
        look_up(f"{number}.example", answers)
    stuck.wait_until_begun(8)
    requested = answer(found("127.0.0.1"))
    requested.clear()
    look_up("left.example", unwanted).leave()
    look_up("last.example", answers)
    stuck.release()
    answers.wait(9)
    assert requested == [b"last.example"]
    # No public name shows that no answer was received: `wait` would block.
    assert unwanted._all == []


def test_the_threads_end_when_there_is_nothing_to_do(answer: Any, threads: Threads) -> None:
    workers: list[threading.Thread] = []

    def lookup() -> Any:
        workers.append(threading.current_thread())
        return found("127.0.0.1")

    answer(lookup)
    for _ in range(3):
        resolve("example.com", LONG)
    for worker in workers:
        worker.join(LONG)
        assert worker.daemon
        assert not worker.is_alive()


def test_thread_that_cannot_start_is_a_connect_error_and_no_leak(
    answer: Any, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(found("127.0.0.1"))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(9):
            with pytest.raises(ConnectError, match=r"cannot start a thread.*can't start new thread") as failure:
                resolve("example.com", LONG)
            assert failure.value.errno == errno.EAGAIN
    assert resolve("example.com", LONG)


def test_a_thread_that_cannot_start_leaves_its_work_to_others(
    stuck: StuckNameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers()
    look_up("first.example", answers)
    stuck.wait_until_begun(1)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    look_up("second.example", answers)
    stuck.release()
    answers.wait(2)


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=LONG)


def test_the_program_ends_without_waiting_for_a_name_server() -> None:
    outcome = run_script(
        "import socket, threading\n"
        "from httpcore._backends.lookup import resolve\n"
        "from httpcore._errors import ConnectTimeout\n"
        "socket.getaddrinfo = lambda *a, **k: threading.Event().wait()\n"
        "try:\n    resolve('example.com', 0.01)\n"
        "except ConnectTimeout:\n    print('too long')\n"
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "too long\n", "")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="nothing forks here")
def test_the_child_of_a_fork_has_threads_of_its_own() -> None:
    outcome = run_script(
        "import os, socket, threading, time, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from httpcore._backends import lookup as names\n"
        "begun = threading.Semaphore(0)\n"
        "def stuck(*a, **k):\n    begun.release()\n    threading.Event().wait()\n"
        "real, socket.getaddrinfo = socket.getaddrinfo, stuck\n"
        "for number in range(20):\n    names.look_up('example.com', print)\n"
        "for _ in range(8):\n    begun.acquire()\n"
        "names._lookups._lock.acquire()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    socket.getaddrinfo = real\n"
        "    os._exit(0 if names.resolve('localhost', 5) else 1)\n"
        "os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")


# Messages.


@pytest.mark.parametrize(
    ("sockaddr", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("::1", 80), "[::1]:80"),
        (("fe80::1", 80, 0, 2), "[fe80::1%2]:80"),
        (("fe80::1%eth0", 80, 0, 2), "[fe80::1%eth0]:80"),
        (("example.com", 443), "example.com:443"),
        ("/run/it.sock", "/run/it.sock"),
        ("\0hidden", "@hidden"),
        (b"\0hidden", "@hidden"),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_is_shown_as_people_write_it(sockaddr: object, text: str) -> None:
    assert show_address(sockaddr) == text


def test_one_error_names_every_address_and_has_the_last_cause() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    unreachable = OSError(errno.ENETUNREACH, "Network is unreachable")
    error = connect_error("example.com:80", [("127.0.0.1:80", refused), ("[::1]:80", unreachable)])
    assert error.message == (
        "cannot connect to example.com:80: 127.0.0.1:80: Connection refused (ECONNREFUSED); "
        "[::1]:80: Network is unreachable (ENETUNREACH)"
    )
    assert error.errno == errno.ENETUNREACH
    assert error.__cause__ is unreachable
    assert error.peer is None
    assert isinstance(error, OSError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_error_of_one_address_names_it_once() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    error = connect_error("127.0.0.1:80", [("127.0.0.1:80", refused)])
    assert error.message == "cannot connect to 127.0.0.1:80: Connection refused (ECONNREFUSED)"
    assert error.peer == "127.0.0.1:80"


def test_an_error_without_words_is_named_by_its_kind() -> None:
    assert connect_error("x:1", [("x:1", TimeoutError())]).message == "cannot connect to x:1: TimeoutError"
