"""The view of type checkers and editors: each name, no `Any`, valid calls accepted and invalid ones refused."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jedi
import pytest

import httpcore
import httpcore.testing

PROJECT = Path(__file__).resolve().parents[2]
WRONG = PROJECT / "tests" / "project" / "wrong_calls.py"

RIGHT = """
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import TypeVar
import httpcore

events: list[httpcore.TraceEvent] = []

def pieces() -> Iterator[bytes]:
    yield b""

async def more_pieces() -> AsyncIterator[bytes]:
    yield b""

def plain(http: httpcore.SyncConnectionPool) -> None:
    for headers in ({"a": "b"}, {b"a": b"b"}, {"a": b"b"}, [("a", "b")], [("a", b"b")], (("a", "b"),), None):
        given: httpcore.HeaderTypes = headers
        http.request("GET", "http://a.test/", given)
    http.request("GET", "http://a.test/", {"a": "b"}, timeout=5)
    http.request(b"GET", b"http://a.test/", [("a", "b"), (b"a", b"b")], timeout=None, trace=events.append)
    http.request("GET", "http://a.test/", timeout=http.timeout.replace(read=5, total=None, min_rate=1000))
    http.request("GET", "http://a.test/", timeout=httpcore.TimeoutConfig(min_rate=1000, min_rate_window=None))
    with open("file", "rb") as file:
        http.request("PUT", "http://a.test/", body=file)
    for body in (b"", bytearray(), memoryview(b""), "text", [b"", b""], pieces(), pieces, None):
        http.request("PUT", "http://a.test/", body=body)
    http.request("PUT", "http://a.test/", body=httpcore.ReplayableBody(pieces), trailers=lambda: {"a": "b"})
    http.request("GET", "http://a.test/", ssl=ssl.create_default_context(), max_body=5)

R = TypeVar("R")

def get(pool: httpcore.AnyPool[R]) -> R:
    assert pool.stats().open == 0 and pool.timeout.read_timeout and not pool.requests()
    return pool.request("GET", "http://a.test/", {"a": "b"}, timeout=5, max_body=None)

def blocking(pool: httpcore.AnyPool[httpcore.SyncResponse]) -> int:
    return pool.request("GET", "http://a.test/").status_code

async def awaited(pool: httpcore.AnyPool[Awaitable[httpcore.Response]]) -> int:
    return (await pool.request("GET", "http://a.test/")).status_code

def look(response: httpcore.AnyResponse) -> str | None:
    assert response.status_code and response.body and response.info.tls
    return response.header("a")

async def either(http: httpcore.ConnectionPool, plain: httpcore.SyncConnectionPool) -> None:
    look(await get(http))
    look(get(plain))
    response: httpcore.SyncResponse = get(plain)
    blocking(plain) + await awaited(http)
    with plain.stream("GET", "http://a.test/") as streamed:
        for piece in streamed.stream():
            piece.hex()
    given = httpcore.SyncResponse(200, body=b"", connection=response.connection)
    if given.connection is not None:
        with given.connection as raw:
            raw.send(raw.recv())
    connection = (await http.request("CONNECT", "http://a.test/")).connection
    if connection is not None:
        async with connection as other:
            await other.send(await other.recv())
        connection.close()
        await connection.close()
        await connection.aclose()

async def waits(http: httpcore.ConnectionPool) -> None:
    await http.request("PUT", "http://a.test/", body=more_pieces())
    await http.request("PUT", "http://a.test/", body=more_pieces, timeout=httpcore.TimeoutConfig(read=5))

httpcore.PoolLimits().replace(max_connections=5, keepalive_expiry=None)
httpcore.SSLConfig().replace(verify=Path("ca"), ciphers=["x"])
httpcore.get("http://a.test/", trace=events.append, tag=5)
httpcore.RetryPolicy(statuses={503}, methods=["GET"])
httpcore.RetryPolicy(statuses=(503,))
httpcore.SSLConfig(Path("cert"), Path("ca"), alpn=["h2"], fingerprints=["00"])
httpcore.SSLConfig(("cert", Path("key")))
httpcore.NetworkPolicy(["10.0.0.0/8"], ports=[80])
httpcore.ConnectionPool(timeout=5, retries=httpcore.RetryPolicy(), socket_options=[(6, 1, 1)])
httpcore.HTTPTransport(verify=Path("ca"), cert=Path("cert"))
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}


def pyright(*arguments: str) -> Any:
    """The output of pyright, as values of JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", *arguments],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=environment(),
    )
    return json.loads(done.stdout)


def refused_by_pyright(file: Path) -> set[int]:
    found = pyright(str(file))["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


def refused_by_mypy(file: Path) -> set[int]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    return {int(line) for line in re.findall(rf"{file.name}:(\d+): error", done.stdout)}


CHECKERS = {"mypy": refused_by_mypy, "pyright": refused_by_pyright}
each_checker = pytest.mark.parametrize("checker", CHECKERS)


@each_checker
def test_each_wrong_call_is_refused_by_both_checkers(checker: str) -> None:
    lines = WRONG.read_text(encoding="utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# refused")}
    refused = CHECKERS[checker](WRONG)
    assert [lines[number - 1].strip() for number in sorted(wrong - refused)] == []
    assert [lines[number - 1].strip() for number in sorted(refused - wrong)] == []


@each_checker
def test_each_right_call_is_accepted_by_both_checkers(checker: str, tmp_path: Path) -> None:
    file = tmp_path / "right_calls.py"
    file.write_text(RIGHT)
    lines = RIGHT.splitlines()
    assert [lines[number - 1].strip() for number in sorted(CHECKERS[checker](file))] == []


def test_the_type_of_every_public_name_is_known() -> None:
    found = pyright("--verifytypes", "httpcore", "--ignoreexternal")["typeCompleteness"]
    missing = [
        f"{symbol['name']}: {each['message']}"
        for symbol in found["symbols"]
        for each in symbol["diagnostics"]
        if "docstring" not in each["message"]
    ]
    assert missing == []
    assert found["completenessScore"] == 1


# Signatures.


def annotated() -> Iterator[tuple[str, dict[str, object]]]:
    """The annotations of each public function, method and class."""
    for module in (httpcore, httpcore.testing):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                yield name, thing.__annotations__
            if not inspect.isclass(thing):
                continue
            yield name, getattr(thing, "__annotations__", {})
            for member in dir(thing):
                if not member.startswith("_") or member in ("__init__", "__call__", "__reduce__"):
                    function = inspect.getattr_static(thing, member)
                    function = getattr(function, "__func__", getattr(function, "fget", function))
                    if inspect.isfunction(function):
                        yield f"{name}.{member}", function.__annotations__


def test_no_public_signature_has_any() -> None:
    """The only exception is the content of JSON, whose type only the caller knows."""
    found = [name for name, notes in annotated() if re.search(r"\bAny\b", str(notes))]
    assert [name for name in found if not name.endswith((".json", ".iter_json"))] == []


# Editors.


def completed(program: str) -> set[str]:
    script = jedi.Script(program, path=PROJECT / "program.py", project=jedi.Project(PROJECT))
    return {each.name for each in script.complete()}


def test_an_editor_completes_the_module() -> None:
    assert set(httpcore.__all__) <= completed("import httpcore\nhttpcore.")


@pytest.mark.parametrize("name", ["ConnectionPool", "SyncConnectionPool", "HTTPTransport", "Client"])
def test_an_editor_completes_returned_objects(name: str) -> None:
    members = {member for member in dir(getattr(httpcore, name)) if not member.startswith("_")}
    assert members <= completed(f"import httpcore\nhttp = httpcore.{name}()\nhttp.")


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (httpcore.SyncResponse, "SyncConnectionPool().request('GET', 'http://a.test/')"),
        (httpcore.ClientResponse, "Client().get('http://a.test/')"),
        (httpcore.ClientResponse, "get('http://a.test/')"),
    ],
)
def test_an_editor_completes_a_response(kind: type, call: str) -> None:
    members = {member for member in dir(kind) if not member.startswith("_")}
    assert members <= completed(f"import httpcore\nresponse = httpcore.{call}\nresponse.")
