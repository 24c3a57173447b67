"""One rule for settings: a setting that a request omits is the pool's, and None means no limit. Settings can also be
read.
"""

from __future__ import annotations

import copy
import pickle
import ssl
from typing import Any

import pytest
from runtimes import Runtime, each_runtime

import httpcore
from httpcore import TimeoutConfig
from httpcore.testing import ServerEnd, Simulation

URL = "http://a.test/"
LEFT_OUT = object()


async def slow(peer: ServerEnd) -> None:
    """Answers after a hundred seconds."""
    await peer.recv_until(b"\r\n\r\n")
    await peer.scheduler.sleep(100)
    await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")


# The settings of a pool and of a request, and the timeout that ends the request: kind and seconds; None if a response
# is received.
CASES: list[tuple[Any, Any, tuple[str, float] | None]] = [
    (LEFT_OUT, LEFT_OUT, ("ReadTimeout", 5)),
    (LEFT_OUT, TimeoutConfig(), ("ReadTimeout", 5)),
    (TimeoutConfig(7, total=90), LEFT_OUT, ("ReadTimeout", 7)),
    (TimeoutConfig(7, total=90), TimeoutConfig(), ("ReadTimeout", 7)),
    (TimeoutConfig(7, total=90), 2, ("ReadTimeout", 2)),
    (TimeoutConfig(7, total=90), TimeoutConfig(2), ("ReadTimeout", 2)),
    (TimeoutConfig(7, total=90), TimeoutConfig(read=2), ("ReadTimeout", 2)),
    (TimeoutConfig(7, total=90), TimeoutConfig(connect=1), ("ReadTimeout", 7)),
    (TimeoutConfig(20, total=9), 12, ("TotalTimeout", 9)),
    (TimeoutConfig(20, total=9), TimeoutConfig(connect=1), ("TotalTimeout", 9)),
    (TimeoutConfig(20, total=9), TimeoutConfig(read=None), ("TotalTimeout", 9)),
    (TimeoutConfig(20, total=9), TimeoutConfig(None), ("TotalTimeout", 9)),
    (TimeoutConfig(20, total=9), TimeoutConfig(total=None), ("ReadTimeout", 20)),
    (TimeoutConfig(20, total=9), TimeoutConfig(total=4), ("TotalTimeout", 4)),
    (TimeoutConfig(20, total=9), None, None),
    (TimeoutConfig(20, total=9), TimeoutConfig(None, total=None), None),
    (None, LEFT_OUT, None),
    (None, None, None),
    (None, 3, ("ReadTimeout", 3)),
    (None, TimeoutConfig(read=3), ("ReadTimeout", 3)),
]
each_case = pytest.mark.parametrize(("pool", "request_", "end"), CASES)


def named(timeout: Any) -> dict[str, Any]:
    return {} if timeout is LEFT_OUT else {"timeout": timeout}


def seen(error: httpcore.Timeout) -> tuple[str, float | None]:
    return type(error).__name__, error.limit


@each_case
def test_a_request_ends_by_its_own_timeout_or_the_pools(pool: Any, request_: Any, end: Any) -> None:
    async def main() -> None:
        simulation.listen("a.test", 80, slow)
        async with httpcore.ConnectionPool(**named(pool)) as http:
            if end is None:
                assert (await http.request("GET", URL, **named(request_))).status_code == 204
            else:
                with pytest.raises(httpcore.Timeout) as caught:
                    await http.request("GET", URL, **named(request_))
                assert seen(caught.value) == end

    simulation = Simulation()
    simulation.run(main())


@each_case
def test_a_blocking_request_ends_by_its_own_or_the_pools_timeout(pool: Any, request_: Any, end: Any) -> None:
    simulation = Simulation()
    simulation.listen("a.test", 80, slow)
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend, **named(pool)) as http:
        if end is None:
            assert http.request("GET", URL, **named(request_)).status_code == 204
        else:
            with pytest.raises(httpcore.Timeout) as caught:
                http.request("GET", URL, **named(request_))
            assert seen(caught.value) == end


@each_case
def test_an_exchange_ends_by_its_own_timeout_or_the_pools(pool: Any, request_: Any, end: Any) -> None:
    async def main() -> None:
        simulation.listen("a.test", 80, slow)
        async with httpcore.HTTPTransport(backend=simulation.backend(), **named(pool)) as transport:
            exchange = transport.arequest("GET", URL, extensions=named(request_))  # type: ignore[arg-type]
            if end is None:
                async with exchange as (status_code, _, _, _):
                    assert status_code == 204
            else:
                with pytest.raises(httpcore.Timeout) as caught:
                    await exchange.__aenter__()
                assert seen(caught.value) == end

    simulation = Simulation()
    simulation.run(main())


def test_the_short_names_are_the_long_ones() -> None:
    assert TimeoutConfig(connect=1, read=2, write=3, pool=4, total=5) == TimeoutConfig(
        connect_timeout=1, read_timeout=2, write_timeout=3, pool_timeout=4, total_timeout=5
    )
    assert TimeoutConfig(9, read=1) == TimeoutConfig(9, read_timeout=1)
    for name in ("connect", "read", "write", "pool", "total"):
        assert getattr(TimeoutConfig(**{name: None}), f"{name}_timeout") is None
        with pytest.raises(TypeError, match=f"{name} and {name}_timeout are both given: expected one of them"):
            TimeoutConfig(**{name: 1, f"{name}_timeout": 1})


def test_other_timeouts_are_derived() -> None:
    config = TimeoutConfig(7, total=90)
    assert config.replace(read=2) == TimeoutConfig(7, read=2, total=90)
    assert config.replace(read_timeout=None, total=None) == TimeoutConfig(7, read=None)
    assert config.replace() == config
    assert config == TimeoutConfig(7, total=90)
    with pytest.raises(TypeError, match="replace"):
        config.replace(timeout=5)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="read_timeout is -1"):
        config.replace(read=-1)


def test_other_limits_and_tls_settings_are_derived() -> None:
    limits = httpcore.PoolLimits(7, max_connection_lifetime=60, max_head_fields=50)
    derived = limits.replace(max_connections=5, keepalive_expiry=None)
    assert derived == httpcore.PoolLimits(5, keepalive_expiry=None, max_connection_lifetime=60, max_head_fields=50)
    assert limits.replace() == limits
    config = httpcore.SSLConfig(("cert", "key", "password"), server_hostname="a.test", ciphers="ECDHE+AESGCM")
    other = config.replace(verify=False, alpn=["h2"])
    assert other == httpcore.SSLConfig(
        ("cert", "key", "password"), False, server_hostname="a.test", ciphers="ECDHE+AESGCM", alpn=("h2",)
    )
    assert config.replace() == config
    for value in (limits, config):
        with pytest.raises(TypeError, match="unexpected keyword argument 'no_field'"):
            value.replace(no_field=5)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="max_connections is 0"):
        limits.replace(max_connections=0)
    with pytest.raises(ValueError, match="minimum_version: expected"):
        config.replace(minimum_version="TLSv1")  # type: ignore[arg-type]


def test_omitted_settings_are_copied_and_pickled() -> None:
    """Which settings were omitted is not part of the value, but must be kept nevertheless."""
    partial = TimeoutConfig(read=2)
    for same in (copy.copy(partial), copy.deepcopy(partial), pickle.loads(pickle.dumps(partial))):
        assert same == partial
        assert TimeoutConfig(7, total=90).overlaid(same) == TimeoutConfig(7, read=2, total=90)
    assert repr(TimeoutConfig(1)) == (
        "TimeoutConfig(connect_timeout=1.0, read_timeout=1.0, write_timeout=1.0, pool_timeout=1.0, total_timeout=None)"
    )


@each_runtime
def test_the_settings_of_a_pool_can_be_read(runtime: Runtime) -> None:
    limits, tls = httpcore.PoolLimits(max_connections=7), httpcore.SSLConfig(verify=False)

    async def main() -> None:
        async with runtime.pool(tls, 3, limits, max_body=9) as http:
            pool = getattr(http, "sync", http)
            assert (pool.ssl, pool.timeout, pool.limits, pool.max_body) == (tls, TimeoutConfig(3), limits, 9)
        context = ssl.create_default_context()
        async with runtime.pool(context) as http:
            pool = getattr(http, "sync", http)
            assert pool.ssl is context
            assert (pool.timeout, pool.limits) == (TimeoutConfig(), httpcore.PoolLimits())
            assert pool.max_body is httpcore.UNSET

    runtime.run(main)


def test_a_pool_timeout_names_its_remedies() -> None:
    async def main() -> None:
        simulation.listen("a.test", 80, slow)
        limits = httpcore.PoolLimits(max_connections=1)
        async with httpcore.ConnectionPool(timeout=TimeoutConfig(None, pool=1), limits=limits) as http:
            simulation.spawn(http.request("GET", URL))
            await simulation.sleep(0.5)
            with pytest.raises(httpcore.PoolTimeout) as caught:
                await http.request("GET", URL)
            assert str(caught.value).startswith(
                "no connection to http://a.test:80 became free: 1 of 1 connections are busy, 0 dialing, requests "
                "waiting: 1; raise max_connections, bound the number of tasks, or set pool_timeout=None"
            )
            await simulation.sleep(200)

    simulation = Simulation()
    simulation.run(main())
