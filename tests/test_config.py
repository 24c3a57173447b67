"""TimeoutConfig, PoolLimits and SSLConfig: defaults, refused values, and that equal values are the same."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import math
import pickle
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

import httpcore
import httpcore.testing
from httpcore._config import changed

FOUR = ("connect_timeout", "read_timeout", "write_timeout", "pool_timeout")


def four(config: httpcore.TimeoutConfig) -> list[float | None]:
    return [getattr(config, name) for name in FOUR]


# TimeoutConfig.


def test_the_default_is_five_seconds_and_no_total_limit() -> None:
    config = httpcore.TimeoutConfig()
    assert four(config) == [5.0] * 4
    assert config.total_timeout is None


@pytest.mark.parametrize("name", FOUR)
def test_an_omitted_field_follows_timeout_and_a_given_one_stands(name: str) -> None:
    config = httpcore.TimeoutConfig(2, **{name: 1})
    assert getattr(config, name) == 1.0
    assert sorted(four(config), key=str) == [1.0, 2.0, 2.0, 2.0]
    assert config.total_timeout is None, "timeout limits each wait, not the whole request"


@pytest.mark.parametrize("name", FOUR)
def test_none_is_no_limit_and_not_the_default(name: str) -> None:
    assert getattr(httpcore.TimeoutConfig(**{name: None}), name) is None
    assert getattr(httpcore.TimeoutConfig(None, **{name: 1}), name) == 1.0
    assert four(httpcore.TimeoutConfig(None)) == [None] * 4


def test_infinity_is_no_limit_and_zero_is_no_wait() -> None:
    config = httpcore.TimeoutConfig(math.inf, read_timeout=0, total_timeout=math.inf)
    assert (config.connect_timeout, config.read_timeout, config.total_timeout) == (None, 0.0, None)


@pytest.mark.parametrize("name", ["timeout", *FOUR, "total_timeout"])
@pytest.mark.parametrize(
    ("value", "error"),
    [("5", TypeError), (True, TypeError), (object(), TypeError), (-1, ValueError), (math.nan, ValueError)],
    ids=["text", "bool", "object", "negative", "nan"],
)
def test_a_malformed_timeout_is_refused_by_name(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name} is "):
        httpcore.TimeoutConfig(**{name: value})


def test_a_whole_that_may_take_no_time_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="total_timeout is 0: expected a number of seconds above 0"):
        httpcore.TimeoutConfig(total_timeout=0)


def test_equal_timeouts_made_differently_are_one() -> None:
    made = {
        httpcore.TimeoutConfig(1),
        httpcore.TimeoutConfig(1.0),
        httpcore.TimeoutConfig(9, connect_timeout=1, read_timeout=1, write_timeout=1, pool_timeout=1),
        httpcore.TimeoutConfig.of(1),
    }
    assert len(made) == 1
    assert httpcore.TimeoutConfig(1) != httpcore.TimeoutConfig(1, total_timeout=1)


def test_a_number_none_or_a_config_means_a_config() -> None:
    config = httpcore.TimeoutConfig(3)
    assert httpcore.TimeoutConfig.of(config) is config
    assert httpcore.TimeoutConfig.of(3) == config
    assert four(httpcore.TimeoutConfig.of(None)) == [None] * 4


def test_one_field_can_be_replaced_in_a_copy() -> None:
    config = httpcore.TimeoutConfig(3, total_timeout=9)
    changed = dataclasses.replace(config, read_timeout=60)
    assert (changed.read_timeout, changed.connect_timeout, changed.total_timeout) == (60.0, 3.0, 9.0)


# PoolLimits.


def test_default_limits_are_100_connections_and_30_seconds() -> None:
    assert httpcore.PoolLimits() == httpcore.PoolLimits(100, None, None, 30.0)


@pytest.mark.parametrize("name", ["max_connections", "max_connections_per_origin", "max_keepalive"])
@pytest.mark.parametrize(("value", "error"), [(1.0, TypeError), (True, TypeError), ("1", TypeError), (-1, ValueError)])
def test_a_limit_that_is_no_count_is_refused_by_name(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name} is "):
        httpcore.PoolLimits(**{name: value})


@pytest.mark.parametrize("name", ["max_connections", "max_connections_per_origin"])
def test_a_pool_without_a_connection_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0: expected a whole number from 1 up"):
        httpcore.PoolLimits(**{name: 0})


def test_max_keepalive_may_be_0_and_each_limit_may_be_none() -> None:
    assert httpcore.PoolLimits(max_keepalive=0).max_keepalive == 0
    limits = httpcore.PoolLimits(None, None, None, None)
    assert (limits.max_connections, limits.keepalive_expiry) == (None, None)
    assert httpcore.PoolLimits(keepalive_expiry=math.inf).keepalive_expiry is None


@pytest.mark.parametrize(("value", "error"), [("1", TypeError), (-1, ValueError), (math.nan, ValueError)])
def test_an_expiry_that_is_no_number_of_seconds_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^keepalive_expiry is "):
        httpcore.PoolLimits(keepalive_expiry=value)


# SSLConfig.

PIN = "0123456789abcdef" * 4


def test_path_is_same_as_its_text_and_a_missing_password_as_none() -> None:
    made = {
        httpcore.SSLConfig(cert=("a.pem", "a.key"), verify="ca.pem"),
        httpcore.SSLConfig(cert=["a.pem", "a.key"], verify=Path("ca.pem")),  # type: ignore[arg-type]
        httpcore.SSLConfig(cert=(Path("a.pem"), Path("a.key"), None), verify="ca.pem"),
    }
    assert len(made) == 1
    assert httpcore.SSLConfig(cert=Path("a.pem")) == httpcore.SSLConfig(cert="a.pem")


def test_any_difference_is_another_config() -> None:
    different = {
        httpcore.SSLConfig(),
        httpcore.SSLConfig(verify=False),
        httpcore.SSLConfig(verify="ca.pem"),
        httpcore.SSLConfig(trust_env=False),
        httpcore.SSLConfig(cert="a.pem"),
        httpcore.SSLConfig(cert=("a.pem", "a.key")),
        httpcore.SSLConfig(cert=("a.pem", "a.key", "password")),
        httpcore.SSLConfig(server_hostname="a.test"),
        httpcore.SSLConfig(alpn=("h2",)),
        httpcore.SSLConfig(alpn=()),
        httpcore.SSLConfig(fingerprints=(PIN,)),
    }
    assert len(different) == 11


@pytest.mark.parametrize("verify", [None, 1, 0, "", b"ca.pem", ["ca.pem"], object()])
def test_unusable_values_of_verify_are_refused(verify: Any) -> None:
    with pytest.raises(TypeError, match=r"^verify is "):
        httpcore.SSLConfig(verify=verify)


@pytest.mark.parametrize(
    "cert",
    [1, b"a.pem", ("a.pem",), ("a.pem", "a.key", "p", "q"), (1, "a.key"), ("a.pem", 1), ("a.pem", "a.key", 1), {"a"}],
)
def test_a_malformed_certificate_is_refused(cert: Any) -> None:
    with pytest.raises(TypeError, match=r"^cert is of type "):
        httpcore.SSLConfig(cert=cert)


def test_the_first_three_settings_of_tls_may_be_positional() -> None:
    assert httpcore.SSLConfig("a.pem", "ca.pem", False).trust_env is False
    with pytest.raises(TypeError):
        httpcore.SSLConfig("a.pem", "ca.pem", False, "a.test")  # type: ignore[call-arg]


def test_fingerprints_and_protocols_are_the_same_however_written() -> None:
    with_colons = ":".join(PIN[at : at + 2] for at in range(0, 64, 2)).upper()
    config = httpcore.SSLConfig(fingerprints=[with_colons], alpn=["h2", "http/1.1"])
    assert config == httpcore.SSLConfig(fingerprints=(PIN,), alpn=("h2", "http/1.1"))
    assert config.fingerprints == (PIN,)
    assert hash(config) == hash(httpcore.SSLConfig(fingerprints=(PIN,), alpn=("h2", "http/1.1")))


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"server_hostname": 1}, TypeError, "server_hostname is 1"),
        ({"server_hostname": ""}, ValueError, "server_hostname is ''"),
        ({"server_hostname": "a test"}, ValueError, "server_hostname is 'a test'"),
        ({"server_hostname": "a.test\r\n"}, ValueError, "server_hostname is"),
        ({"server_hostname": "a.test:443"}, ValueError, "server_hostname is 'a.test:443'"),
        ({"server_hostname": "[::1]"}, ValueError, "without brackets"),
        ({"server_hostname": "bücher.test"}, ValueError, "in ASCII"),
        ({"server_hostname": ".a.test"}, ValueError, "server_hostname is"),
        ({"server_hostname": "a..test"}, ValueError, "server_hostname is"),
        ({"server_hostname": "a.test\0.b.test"}, ValueError, "server_hostname is"),
        ({"alpn": "h2"}, TypeError, "a sequence of protocol names"),
        ({"alpn": (b"h2",)}, TypeError, "a sequence of protocol names"),
        ({"alpn": 1}, TypeError, "a sequence of protocol names"),
        ({"alpn": ("",)}, ValueError, "names of 1 to 255"),
        ({"alpn": ("x" * 256,)}, ValueError, "names of 1 to 255"),
        ({"alpn": ("é",)}, ValueError, "names of 1 to 255"),
        ({"fingerprints": PIN}, TypeError, "a sequence of SHA-256"),
        ({"fingerprints": None}, TypeError, "a sequence of SHA-256"),
        ({"fingerprints": (bytes(32),)}, TypeError, "a sequence of SHA-256"),
        ({"fingerprints": (PIN[:-1],)}, ValueError, "64 hexadecimal digits"),
        ({"fingerprints": (PIN, PIN[:40])}, ValueError, "64 hexadecimal digits"),
        ({"fingerprints": ("x" * 64,)}, ValueError, "64 hexadecimal digits"),
    ],
)
def test_a_setting_of_tls_that_makes_no_sense_is_refused_by_name(
    setting: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        httpcore.SSLConfig(**setting)


@pytest.mark.parametrize(
    "name", ["a.test", "a.test.", "localhost", "xn--bcher-kva.test", "_a.test", "::1", "127.0.0.1"]
)
def test_a_certificate_may_be_checked_for_names_and_addresses(name: str) -> None:
    assert httpcore.SSLConfig(server_hostname=name).server_hostname == name


def test_set_values_are_in_the_repr() -> None:
    assert repr(httpcore.SSLConfig()) == "SSLConfig(cert=None, verify=True, trust_env=True)"
    config = httpcore.SSLConfig(server_hostname="a.test", alpn=(), fingerprints=(PIN,))
    assert eval(repr(config), {"SSLConfig": httpcore.SSLConfig}) == config


def test_a_password_is_neither_in_the_repr_nor_in_an_error() -> None:
    config = httpcore.SSLConfig(cert=("a.pem", "a.key", "sesame"))
    assert "sesame" not in repr(config)
    assert "a.key" in repr(config)
    with pytest.raises(TypeError) as caught:
        httpcore.SSLConfig(cert=("a.pem", 1, "sesame"))  # type: ignore[arg-type]
    assert "sesame" not in str(caught.value)


# All three.


@pytest.mark.parametrize("name", ["minimum_version", "maximum_version"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("TLSv1.1", ValueError),
        ("TLSv1", ValueError),
        ("1.2", ValueError),
        ("", ValueError),
        (0x0302, ValueError),
        (True, ValueError),
        (-1, ValueError),  # ssl.TLSVersion.MAXIMUM_SUPPORTED
        (1.2, TypeError),
        (b"TLSv1.2", TypeError),
        (["TLSv1.2"], TypeError),
    ],
    ids=repr,
)
def test_an_unsupported_tls_version_is_refused(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf'^{name}: expected "TLSv1.2" or "TLSv1.3", or None, got '):
        httpcore.SSLConfig(**{name: value})


def test_a_tls_version_is_one_value_however_it_is_spelled() -> None:
    text = httpcore.SSLConfig(minimum_version="TLSv1.2", maximum_version="TLSv1.3", ciphers="A:B")
    member = httpcore.SSLConfig(
        minimum_version=ssl.TLSVersion.TLSv1_2, maximum_version=ssl.TLSVersion.TLSv1_3, ciphers=["A", "B"]
    )
    assert {text, member} == {text}
    assert repr(member).endswith("minimum_version='TLSv1.2', maximum_version='TLSv1.3', ciphers='A:B')")


def test_tls_settings_that_leave_nothing_to_choose_are_refused() -> None:
    with pytest.raises(ValueError, match=r"minimum_version: expected at most maximum_version \('TLSv1.2'\), got"):
        httpcore.SSLConfig(minimum_version="TLSv1.3", maximum_version="TLSv1.2")
    with pytest.raises(ValueError, match=r"only ciphers of TLS 1\.2 can be chosen"):
        httpcore.SSLConfig(minimum_version="TLSv1.3", ciphers="AES128-SHA")


@pytest.mark.parametrize(
    ("ciphers", "error"),
    [(5, TypeError), (b"A", TypeError), ([b"A"], TypeError), ("", ValueError), ([], ValueError), ("A\n", ValueError)],
    ids=repr,
)
def test_ciphers_that_are_no_names_are_refused(ciphers: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^ciphers: expected"):
        httpcore.SSLConfig(ciphers=ciphers)


def test_a_copy_of_a_config_keeps_every_other_field() -> None:
    values: dict[str, Any] = {
        "cert": "a.pem",
        "verify": "ca.pem",
        "trust_env": False,
        "server_hostname": "a.test",
        "alpn": ("h2",),
        "fingerprints": ("0" * 64,),
        "minimum_version": "TLSv1.2",
        "maximum_version": "TLSv1.3",
        "ciphers": "A",
    }
    assert set(values) == {field.name for field in dataclasses.fields(httpcore.SSLConfig)}
    config = httpcore.SSLConfig(**values)
    assert changed(config) == config
    assert changed(config, server_hostname="b.test") == httpcore.SSLConfig(**{**values, "server_hostname": "b.test"})


VALUES = [
    httpcore.TimeoutConfig(1, total_timeout=2),
    httpcore.PoolLimits(1, 2, 3, 4.0),
    httpcore.SSLConfig(cert=("a.pem", "a.key"), verify="ca.pem"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_cannot_be_changed_and_survives_a_pickle(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
    copy = pickle.loads(pickle.dumps(value))
    assert copy == value
    assert hash(copy) == hash(value)


# The use of these values by a pool.


POOLS: list[Any] = [httpcore.ConnectionPool, httpcore.SyncConnectionPool]
each_pool = pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.__name__)


@each_pool
@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"ssl": True}, TypeError, "ssl is of type bool"),
        ({"ssl": "ca.pem"}, TypeError, "ssl is of type str"),
        ({"timeout": "5"}, TypeError, "timeout is '5'"),
        ({"timeout": -1}, ValueError, "timeout is -1"),
        ({"limits": 10}, TypeError, "limits is of type int"),
        ({"http1": False, "http2": False}, ValueError, "http1 and http2"),
        ({"ping_interval": 0}, ValueError, "ping_interval is 0: expected a number of seconds above 0"),
        ({"ping_interval": "1"}, TypeError, "ping_interval is '1'"),
        ({"verify": False}, TypeError, "verify"),
        ({"trace": 5}, TypeError, "trace is of type int: expected a plain callable that accepts a TraceEvent, or None"),
        ({"trace": []}, TypeError, "trace is of type list: expected"),
        ({"retry_stale": None}, TypeError, "retry_stale is of type NoneType: expected True or False"),
    ],
)
def test_a_pool_refuses_settings_of_another_type_when_it_is_made(
    pool: Any, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        pool(**settings)


async def later(*arguments: Any) -> None: ...


class AsyncMethods:
    async def __call__(self, event: object) -> None: ...

    async def proxy_for(self, scheme: str, host: str, port: int) -> None: ...


class Chooser:
    def proxy_for(self, scheme: str, host: str, port: int) -> None: ...


class Resolver:
    async def resolve(self, host: str, system: Any) -> list[str]:
        return ["127.0.0.1"]

    def __call__(self, event: object) -> None: ...


class Endless:
    resolve = proxy_for = 5


class Yielding:
    async def resolve(self, host: str, system: Any) -> Any:
        yield host


BIG = 10**400


def shown(value: object) -> str:
    """The id of a case: without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))[:30]


WRONG: dict[str, list[Any]] = {
    "ssl": [True, 5, "ca.pem", b"ca.pem", [], {}, later, httpcore.SSLConfig],
    "timeout": ["5", True, [], {}, later, -1, -BIG, math.nan, httpcore.TimeoutConfig],
    "limits": [10, True, "10", [], {}, later, httpcore.PoolLimits],
    "http1": [None, 0, 1, "yes", [], later],
    "http2": [None, 0, 1, "yes", [], later],
    "proxy": [
        5,
        True,
        [],
        {},
        later,
        "",
        b"",
        "proxy",
        object(),
        AsyncMethods(),
        Chooser,
        Endless(),
        httpcore.Proxy,
        BIG,
    ],
    "uds": [5, b"path", "", "a\0b", [], later, Path, BIG],
    "local_address": [5, b"127.0.0.1", "", "localhost", "127.0.0.1:80", "127.0.0.1\n", [], later],
    "socket_options": [
        5,
        "abc",
        None,
        {"a": 1},
        [5],
        [()],
        [(1, 2)],
        [("1", 2, 3)],
        [(1, 2, "3")],
        [(1, 2, 2**31)],
        later,
    ],
    "resolver": [5, True, "a.test", [], {}, later, lambda host: ["127.0.0.1"], Resolver, Endless(), Yielding()],
    "resolve": [5, "a.test", [], later, {5: "127.0.0.1"}, {"a b": "127.0.0.1"}, {"a": "b"}, {"a": 5}, {"a": []}],
    "network_policy": [5, "public", [], later, httpcore.NetworkPolicy],
    "retries": [None, True, "3", -1, 1.5, [], later, httpcore.RetryPolicy, BIG],
    "strict": [None, 0, 1, "yes", [], later],
    "engines": [5, True, "h3", [], {"http/3": "native"}, {"http/2": "h3"}, later],
    "retry_stale": [None, 0, 1, "yes", [], later],
    "ping_interval": [0, -1, "1", True, math.nan, [], later],
    "trace": [0, 5, False, "", [], {}, later, AsyncMethods(), functools.partial(later), Yielding().resolve],
    "backend": [5, "asyncio", [], {}, later, object(), httpcore.testing.SimulatedBackend],
    "max_body": [-1, 1.5, "5", True, [], {}, later],
}
RIGHT: dict[str, list[Any]] = {
    "ssl": [None, httpcore.SSLConfig(verify=False), httpcore.ssl_context()],
    "timeout": [None, 0, 5, 1.5, math.inf, BIG, httpcore.TimeoutConfig(1)],
    "limits": [None, httpcore.PoolLimits(1)],
    "http1": [True, False],
    "http2": [True, False],
    "proxy": [
        None,
        "http://h",
        b"http://h",
        httpcore.Proxy("http://h"),
        Chooser(),
        httpcore.proxies_from_environment({}),
    ],
    "uds": [None, "/tmp/x", Path("/tmp/x")],
    "local_address": [None, "127.0.0.1", "::1"],
    "socket_options": [(), [], [(1, 2, 3)], ((1, 2, b"3"),), [[1, 2, 3]]],
    "resolver": [None, Resolver(), httpcore.CachingResolver()],
    "resolve": [None, {}, {"a.test": "127.0.0.1", "b.test": ["::1", "127.0.0.1"]}],
    "network_policy": [None, httpcore.NetworkPolicy.public_only()],
    "retries": [0, 3, httpcore.RetryPolicy()],
    "retry_stale": [True, False],
    "strict": [True, False],
    "engines": [None, "native", "reference", "shadow", {"http/2": "reference"}],
    "ping_interval": [None, 1, 0.5, math.inf],
    "trace": [None, print, lambda event: None, [].append, functools.partial(print), Resolver()],
    "backend": [None, httpcore.threads_backend()],
    "max_body": [None, 0, 1000, BIG],
}


@each_pool
def test_the_tables_have_every_argument_of_a_pool(pool: Any) -> None:
    assert set(inspect.signature(pool).parameters) == set(WRONG) == set(RIGHT)


@each_pool
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG.items() for value in values],
    ids=shown,
)
def test_each_argument_is_checked_when_the_pool_is_made(pool: Any, name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        pool(**{name: value})
    text = str(caught.value)
    assert name in text
    assert re.search("expected|allowed|must be|to be", text), text
    assert len(text) < 700
    assert caught.value.__cause__ is None


@each_pool
@pytest.mark.parametrize("name", RIGHT)
def test_each_valid_argument_makes_a_pool(pool: Any, name: str) -> None:
    for value in RIGHT[name]:
        assert repr(pool(**{name: value}))


@each_pool
@pytest.mark.parametrize("value", WRONG["trace"], ids=shown)
def test_the_trace_of_a_request_is_checked_before_it_is_sent(pool: Any, value: Any) -> None:
    made = pool()

    async def request() -> None:
        await made.request("GET", "http://127.0.0.1:1/", trace=value)

    def send_request() -> None:
        if pool is httpcore.SyncConnectionPool:
            made.request("GET", "http://127.0.0.1:1/", trace=value)
        asyncio.run(request())

    with pytest.raises(TypeError, match=r"trace is .*: expected a plain callable"):
        send_request()
    assert made.stats().connections == 0
