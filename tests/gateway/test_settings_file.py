"""The settings file and the flags of the command, as values."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import httpcore
from httpcore.gateway import Gateway, Health, Limits, Timeouts, Upstream, WebSockets
from httpcore.gateway.__main__ import FLAGS, arguments, main, table_of
from httpcore.gateway.config import GATEWAY, TABLES, Service, apps_of, merged, routed, settings_of, summary

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "gateway.md"
URL = "http://a:9000"
ONLY_IN_PYTHON = {
    Gateway: {"log", "forward_date", "on_request", "on_response"},  # the command sets Date and Server right
    Upstream: {"ssl", "pool"},  # `ssl` is a table of its own
    httpcore.SSLConfig: {"trust_env", "alpn", "fingerprints", "minimum_version", "maximum_version", "ciphers"},
}


@pytest.mark.parametrize("name", TABLES)
def test_every_setting_has_a_name_in_the_file(name: str) -> None:
    make, names = TABLES[name]
    assert set(inspect.signature(make).parameters) - ONLY_IN_PYTHON.get(make, set()) == set(names)  # type: ignore[call-overload]


def test_every_argument_of_a_gateway_has_a_name_in_the_file() -> None:
    assert set(inspect.signature(Gateway).parameters) - ONLY_IN_PYTHON[Gateway] == set(GATEWAY)


def reference() -> list[str]:
    """A row for each name in a settings file: its flag, its default, and its documentation in its class."""
    found = []
    for table, (make, names) in {"": (Gateway, GATEWAY), **TABLES}.items():
        defaults = {name: each.default for name, each in inspect.signature(make).parameters.items()}
        for name in names:
            if not table and name in TABLES:
                continue
            flags = [flag.name for flag in FLAGS if (flag.table, flag.setting) == (table, name)]
            place = f"{'upstreams.ssl' if table == 'ssl' else table}.{name}".removeprefix(".")
            default = written(defaults[name]) if defaults[name] is not None or table else ""
            found.append(f"| `{place}` | {''.join(flags)} | {default} | {documented_meaning(make, name)} |")
    return found


def written(default: object) -> str:
    if default is inspect.Parameter.empty:
        return ""
    if default is None:
        return '"none"'
    if isinstance(default, tuple):
        return str(list(default)).replace("'", '"')
    return f'"{default}"' if isinstance(default, str) else str(default).lower()


def documented_meaning(make: Any, name: str) -> str:
    text = inspect.cleandoc(make.__doc__)
    (found,) = re.findall(rf"^    {name}: (.*(?:\n {{8}}.*)*)", text, re.MULTILINE)
    return re.sub(r"\s+", " ", found.partition("Default")[0]).strip()


def test_the_guide_has_every_setting() -> None:
    table = GUIDE.read_text(encoding="utf-8").partition("| setting | flag | default | meaning |\n|---|---|---|---|\n")[
        2
    ]
    assert table.partition("\n\n")[0].split("\n") == reference()


FILE: dict[str, Any] = {
    "upstreams": [
        URL,
        {"url": "https://b/api", "weight": 2, "http2": True, "max_connections": 20, "ssl": {"verify": False}},
    ],
    "balance": "round_robin",
    "retries": 2,
    "host": "keep",
    "trusted_proxies": ["10.0.0.0/8"],
    "forwarded": ["forwarded"],
    "trace_method": True,
    "name": "gw",
    "websocket": {"max_message": 1000, "ping_interval": "none"},
    "timeouts": {"connect": 2, "first_byte": 30, "idle": "none", "total": 90},
    "limits": {"concurrent": 100, "queue": 5, "queue_wait": 2, "body": 1000},
    "health": {"path": "/up", "interval": 1, "timeout": 1, "fall": 1, "rise": 1, "passive": "none", "ejection": 1},
    "service": {"port": 80, "workers": 2, "metrics_port": 9100, "ready": "/ready", "notice": 1, "access_log": True},
}


def test_the_settings_of_a_file_are_values() -> None:
    settings = settings_of(FILE)
    assert settings.service == Service(port=80, workers=2, metrics_port=9100, ready="/ready", notice=1, access_log=True)
    ((prefix, given),) = settings.gateways
    assert prefix == ""
    assert given["timeouts"] == Timeouts(connect=2, first_byte=30, idle=None, total=90)
    assert given["limits"] == Limits(concurrent=100, queue=5, queue_wait=2, body=1000)
    assert given["health"] == Health(path="/up", interval=1, timeout=1, fall=1, rise=1, passive=None, ejection=1)
    assert given["upstreams"] == [
        Upstream(URL),
        Upstream("https://b/api", weight=2, http2=True, max_connections=20, ssl=httpcore.SSLConfig(verify=False)),
    ]
    assert given["trusted_proxies"] == ("10.0.0.0/8",)
    assert given["websocket"] == WebSockets(max_message=1000, ping_interval=None)
    assert settings_of({"upstreams": URL, "websocket": False}).gateways[0][1]["websocket"] is False
    assert [up.name for up in apps_of(settings)[""].stats().upstreams] == [URL, "https://b"]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"retrys": 1}, 'retrys: expected one of balance, forwarded, .*; the nearest is "retries"'),
        ({"limits": {"queu": 1}}, 'limits.queu: expected one of .*; the nearest is "queue"'),
        ({"health": {"paths": "/"}}, 'health.paths: expected one of .*; the nearest is "path"'),
        ({"service": {"worker": 2}}, 'service.worker: expected one of .*; the nearest is "workers"'),
        ({"upstreams": [{"url": URL, "wieght": 1}]}, 'upstreams.wieght: expected one of .*; the nearest is "weight"'),
        ({"upstreams": [{"url": URL, "ssl": {"verfy": 1}}]}, 'upstreams.ssl.verfy: .*; the nearest is "verify"'),
        ({"routes": {"/a/": {"upstreams": [URL], "balanse": ""}}}, 'routes."/a/".balanse: .* nearest is "balance"'),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest(change: dict[str, Any], shown: str) -> None:
    with pytest.raises(ValueError, match=f"^{shown}$"):
        settings_of({"upstreams": [URL], **change})


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"upstreams": []}, "upstreams: expected a list of URLs and tables, got an empty list"),
        ({"upstreams": [5]}, "upstreams: expected a table, got 5"),
        ({"upstreams": ["ftp://a"]}, "upstreams.url is 'ftp://a': the scheme must be http or https"),
        ({"upstreams": [{"weight": 1}]}, "upstreams.url: expected a URL, got none"),
        ({"upstreams": [{"url": URL, "weight": 0}]}, "upstreams.weight: expected a number from 1 up, got 0"),
        (
            {"upstreams": [{"url": URL, "ssl": {"cert": [1]}}]},
            "upstreams.ssl.cert[0]: expected a string, got 1",
        ),
        ({"retries": "two"}, "retries: expected a whole number, got 'two'"),
        ({"retries": -1}, "retries: expected a number from 0 up, got -1"),
        ({"balance": "best"}, "balance: expected one of"),
        ({"balance": 1}, "balance: expected a string, got 1"),
        ({"trace_method": 1}, "trace_method: expected true or false, got 1"),
        ({"trusted_proxies": "10.0.0.0/8"}, "trusted_proxies: expected a list of strings, got a string"),
        ({"websocket": 1}, "websocket: expected a table, got 1"),
        ({"timeouts": 5}, "timeouts: expected a table, got 5"),
        ({"timeouts": {"idle": "long"}}, "timeouts.idle"),
        ({"limits": {"queue": "none"}}, "limits.queue: expected a whole number, got None"),
        ({"limits": {"queue_wait": "none"}}, "limits.queue_wait: expected a number of seconds, got None"),
        ({"health": {"path": 5}}, "health.path: expected a str or None, got int"),
        ({"health": {"path": "up"}}, "health.path: expected a path that begins with \"/\", or None, got 'up'"),
        ({"service": {"port": 65536}}, "service.port: expected a number up to 65535, got 65536"),
        ({"service": {"port": "none"}}, "service.port: expected a whole number, got None"),
        ({"service": {"workers": 0}}, "service.workers: expected a number from 1 up, got 0"),
        ({"service": {"host": 1}}, "service.host: expected a string, got 1"),
        ({"service": {"ready": "x"}}, "service.ready: expected a path that begins with \"/\", got 'x'"),
        ({"service": {"grace": "none"}}, "service.grace: expected a number of seconds, got None"),
        ({"service": {"access_log": "yes"}}, "service.access_log: expected true or false, got 'yes'"),
        ({"routes": {"/a/": {}}}, 'routes."/a/".upstreams: expected at least one URL, got none'),
        ({"routes": {"a": {"upstreams": [URL]}}}, "apps: expected prefixes that begin with \"/\", got 'a'"),
        ({"routes": {"/a/": {"upstreams": [URL], "retries": -1}}}, 'routes."/a/".retries: expected a number from 0 up'),
    ],
)
def test_a_wrong_value_is_an_error_that_names_it(change: dict[str, Any], shown: str) -> None:
    def run() -> None:
        settings = settings_of({"upstreams": [URL], **change})
        routed(settings, apps_of(settings))

    with pytest.raises((TypeError, ValueError)) as caught:
        run()
    assert str(caught.value).startswith(shown)


def test_a_file_without_upstreams_is_an_error() -> None:
    with pytest.raises(ValueError, match="upstreams: expected at least one URL, got none"):
        settings_of({})
    with pytest.raises(ValueError, match="retries: expected upstreams beside it"):
        settings_of({"retries": 1, "routes": {"/a/": {"upstreams": [URL]}}})


def test_routes_are_gateways_of_their_own() -> None:
    settings = settings_of({"upstreams": URL, "routes": {"/b/": {"upstreams": ["http://b"], "retries": 0}}})
    apps = apps_of(settings, "gw")
    assert [(prefix, app.stats().upstreams[0].name) for prefix, app in apps.items()] == [("/b/", "http://b"), ("", URL)]
    alone = settings_of({"upstreams": URL})
    assert type(routed(alone, apps_of(alone, "gw"))) is Gateway
    assert summary(settings)[1:] == ["/b/: http://b", "  retries: 0", f"all other paths: {URL}"]


def test_the_workers_share_the_limits() -> None:
    """Each share is rounded up. Settings that are not sums over the workers, such as a wait, are the same for each
    worker.
    """
    table = {**FILE, "service": {"workers": 3}}
    made: list[dict[str, Any]] = []

    class RecordingGateway(Gateway):
        def __init__(self, upstreams: Any, **given: Any) -> None:
            made.append({"upstreams": upstreams, **given})
            super().__init__(upstreams, **given)

    apps_of(settings_of(table), make=RecordingGateway)
    assert made[0]["limits"] == Limits(concurrent=34, queue=2, queue_wait=2, body=1000)
    assert [up.max_connections for up in made[0]["upstreams"]] == [None, 7]
    assert made[0]["upstreams"][1].ssl == httpcore.SSLConfig(verify=False)


def test_flags_override_the_settings_file() -> None:
    under = {"upstreams": ["http://x"], "retries": 3, "timeouts": {"idle": 5, "connect": 1}}
    flags = ["http://y", "--idle", "none", "--keep-host", "--trust", "10.0.0.1", "--trust", "::1", "--workers", "2"]
    table = merged(under, table_of(arguments(flags)))
    assert table == {
        "upstreams": ["http://y"],
        "retries": 3,
        "timeouts": {"idle": "none", "connect": 1},
        "host": "keep",
        "trusted_proxies": ["10.0.0.1", "::1"],
        "service": {"workers": 2},
    }


def test_every_flag_is_a_setting() -> None:
    for flag in FLAGS:
        assert flag.setting in (TABLES[flag.table][1] if flag.table else GATEWAY)


# The command, in this process.


@pytest.mark.parametrize(
    ("text", "status", "shown"),
    [
        (f'upstreams = ["{URL}"]\n[service]\nworkers = 2\nmetrics_port = 9100', 0, "2 workers on 127.0.0.1:8000"),
        (f'upstreams = ["{URL}"]\n[limits]\nqueu = 1', 1, "gateway.toml: limits.queu: expected one of"),
        ("upstreams = [", 1, "gateway.toml: "),
        (f'[routes."/a/"]\nupstreams = "{URL}"', 0, f"/a/: {URL}"),
    ],
)
def test_check_prints_the_settings_of_a_file(
    text: str, status: int, shown: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    assert main(["--config", str(path), "--check"]) == status
    out, err = capsys.readouterr()
    assert shown in (err if status else out)


def test_the_file_in_the_guide_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(GUIDE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0])
    assert main(["--config", str(path), "--check"]) == 0
    assert "/llm/: http://10.0.1.1:8000" in capsys.readouterr().out


def test_a_missing_file_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "/nowhere/gateway.toml", "--check"]) == 1
    assert "/nowhere/gateway.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "status", "shown"),
    [
        ("uvicorn", 1, "expected uvicorn, got none: pip install '.[gateway]' in a clone of httpcore"),
        ("httptools", 0, "twice as much"),
    ],
)
def test_a_missing_server_is_named_with_its_extra(
    missing: str, status: int, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("httpcore.gateway.__main__.find_spec", lambda name: None if name == missing else name)
    assert main([URL, "--check"]) == status
    assert shown in capsys.readouterr().err


def test_a_port_that_is_taken_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main([URL, "--port", port]) == 1
        assert main([URL, "--port", "0", "--metrics-port", port]) == 1
    assert capsys.readouterr().err.count(f"127.0.0.1:{port}: ") == 2
