"""The settings of the command, from tables of names and values: those of a TOML file and of the flags. No I/O.

`TABLES` and `GATEWAY` list the names that each table may have. The values are checked by the classes that use them
(`Timeouts`, `Limits`, `Health`, `Upstream`, `Gateway`, `Service`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final

from .._config import SSLConfig
from .._errors import HTTPCoreError, show_value
from .._values import dataclass
from .gateway import Gateway
from .messages import App
from .request_ids import RequestIds
from .router import Router
from .settings import DEFAULT_LIMITS, Health, Limits, Timeouts, Upstream, WebSockets, checked_finite, checked_whole

__all__ = [
    "GATEWAY",
    "Settings",
    "Service",
    "Table",
    "TABLES",
    "apps_of",
    "checked",
    "merged",
    "routed",
    "settings_of",
    "summary",
]

Table = dict[str, object]


@dataclass(frozen=True, slots=True)
class Service:
    """How the gateway is served.

    Attributes:
        host: the address to listen on. Default "127.0.0.1".
        port: the port to listen on. Default 8000.
        workers: number of worker processes, which share this port. Default 1.
        metrics_port: the port that serves `/metrics` (Prometheus) and `/ready`. Default None: they are not served.
        metrics_host: the address to listen on for `metrics_port`. Default "127.0.0.1".
        ready: a path that the gateway answers itself: with 200, and after SIGTERM with 503. Default None: no such path.
        notice: seconds after SIGTERM for which new connections are still accepted, so that balancers can notice the
            shutdown. Default 0.
        grace: seconds within which requests must end: all requests after SIGTERM, those of the old workers after
            SIGHUP. Default 30.
        keep_alive: seconds for which a client's idle connection is kept. Default 75: nginx and most balancers keep
            theirs for 60 s.
        backlog: how many connections may wait to be accepted. Default 2048.
        access_log: whether each request is logged, in one line. Default False: only failures are logged.
        request_id: whether each request gets an id, which is sent to the upstream and to the client in X-Request-ID,
            and logged. The id of a trusted proxy is kept. Default False.

    Raises:
        TypeError, ValueError: a value has another type, or is not allowed.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    ready: str | None = None
    notice: float = 0.0
    grace: float = 30.0
    keep_alive: int = 75
    backlog: int = 2048
    access_log: bool = False
    request_id: bool = False

    def __post_init__(self) -> None:
        for name in ("host", "metrics_host"):
            _string(name, getattr(self, name))
        for name, least in (("port", 0), ("metrics_port", 0), ("workers", 1), ("backlog", 1), ("keep_alive", 0)):
            value = getattr(self, name)
            checked_whole(name, value, least=least, optional=name == "metrics_port")
            if name.endswith("port") and value is not None and value > 65535:
                raise ValueError(f"{name}: expected a number up to 65535, got {show_value(value)}")
        if self.ready is not None and not _string("ready", self.ready).startswith("/"):
            raise ValueError(f'ready: expected a path that begins with "/", got {show_value(self.ready)}')
        for name in ("notice", "grace"):
            checked_finite(name, getattr(self, name), zero=True)
        _flag("access_log", self.access_log)
        _flag("request_id", self.request_id)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a command line and its file.

    Attributes:
        service: how the gateways are served.
        gateways: pairs of a path prefix and the arguments of the `Gateway` for it. The prefix "" is for all other
            paths.
    """

    service: Service
    gateways: tuple[tuple[str, dict[str, Any]], ...]


# Values of single settings.


def _seen(value: object) -> str:
    """A value for an error; of a string, list or table only the type: it may contain a password."""
    if isinstance(value, (str, list, dict)):
        kind = "string" if isinstance(value, str) else "list" if isinstance(value, list) else "table"
        return f"a {kind}" if value else f"an empty {kind}"
    return show_value(value)


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, got {_seen(value)}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected true or false, got {show_value(value)}")
    return value


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number, got {show_value(value)}")
    return value


def _strings(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{name}: expected a list of strings, got {_seen(value)}")
    return tuple([_string(f"{name}[{index}]", each) for index, each in enumerate(value)])


def _table(name: str, value: object) -> Table:
    if not isinstance(value, dict):
        raise TypeError(f"{name}: expected a table, got {_seen(value)}")
    return value


# Tables.

TABLES: Final[dict[str, tuple[Callable[..., object], tuple[str, ...]]]] = {
    "service": (
        Service,
        (
            *("host", "port", "workers", "metrics_port", "metrics_host", "ready"),
            *("notice", "grace", "keep_alive", "backlog", "access_log", "request_id"),
        ),
    ),
    "timeouts": (Timeouts, ("connect", "first_byte", "idle", "total")),
    "limits": (Limits, ("concurrent", "queue", "queue_wait", "body")),
    "health": (Health, ("path", "interval", "timeout", "fall", "rise", "passive", "ejection")),
    "websocket": (WebSockets, ("max_message", "ping_interval", "close_timeout")),
    "upstreams": (Upstream, ("url", "weight", "http2", "max_connections")),
    "ssl": (SSLConfig, ("verify", "cert", "server_hostname")),
}
"""For each table: the class that is made from it, and the names that it may have. `ssl` is a table within a table of
`upstreams`.
"""

_SIMPLE: Final[dict[str, Callable[[str, object], object]]] = {
    "balance": _string,
    "retries": _integer,
    "host": _string,
    "trusted_proxies": _strings,
    "forwarded": _strings,
    "trace_method": _flag,
    "websocket": _flag,  # or a table
    "name": _string,
}
GATEWAY: Final = (*_SIMPLE, "timeouts", "limits", "health", "upstreams")
"""The names that a gateway's own table may have: the arguments of `Gateway`, except those that only Python can express.
"""


def merged(under: Mapping[str, object], over: Mapping[str, object]) -> Table:
    """Both tables merged, including nested tables. For a name that is in both, the value in `over` is used."""
    found: Table = dict(under)
    for name, value in over.items():
        beneath = found.get(name)
        found[name] = merged(beneath, value) if isinstance(beneath, dict) and isinstance(value, dict) else value
    return found


def settings_of(table: Mapping[str, object]) -> Settings:
    """The settings of a whole file.

    Raises:
        TypeError, ValueError: a name is unknown, or a value has another type or is not allowed; the message names it.
    """
    _known("", table, (*GATEWAY, "service", "routes"))
    service = _made("service", "", table.get("service", {}))
    assert isinstance(service, Service)
    routes = _table("routes", table.get("routes", {}))
    own = {name: value for name, value in table.items() if name not in ("service", "routes")}
    gateways = [(prefix, _gateway(f'routes."{prefix}".', _table(prefix, each))) for prefix, each in routes.items()]
    if "upstreams" in own or not routes:
        gateways.append(("", _gateway("", own)))
    elif own:
        raise ValueError(f"{next(iter(own))}: expected upstreams beside it, or its place in a table of routes")
    return Settings(service, tuple(gateways))


def _gateway(where: str, table: Table) -> dict[str, Any]:
    """The arguments for `Gateway`."""
    _known(where, table, GATEWAY)
    if "upstreams" not in table:
        raise ValueError(f"{where}upstreams: expected at least one URL, got none")
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name == "upstreams":
            found[name] = _upstreams(where, value)
        elif name in TABLES and not (name == "websocket" and isinstance(value, bool)):
            found[name] = _made(name, where, value)
        else:
            found[name] = _SIMPLE[name](f"{where}{name}", value)
    return found


def _upstreams(where: str, value: object) -> list[Upstream]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        raise TypeError(f"{where}upstreams: expected a list of URLs and tables, got {_seen(value)}")
    return [_upstream(where, {"url": each} if isinstance(each, str) else each) for each in listed]


def _upstream(where: str, value: object) -> Upstream:
    table = dict(_table(f"{where}upstreams", value))
    ssl = table.pop("ssl", None)
    if "url" not in table:
        raise ValueError(f"{where}upstreams.url: expected a URL, got none")
    extra = {} if ssl is None else {"ssl": _made("ssl", f"{where}upstreams.", ssl)}
    made = _made("upstreams", where, table, "ssl", **extra)
    assert isinstance(made, Upstream)
    return made


def _made(kind: str, where: str, value: object, *further: str, **extra: object) -> object:
    """Make the value of a table (see `TABLES`); "none" becomes None. Errors begin with the table's name."""
    table = _table(f"{where}{kind}", value)
    make, names = TABLES[kind]
    _known(f"{where}{kind}.", table, (*names, *further))
    given = {name: None if each == "none" else each for name, each in table.items()}
    if kind == "ssl" and isinstance(given.get("cert"), list):
        given["cert"] = tuple(_strings(f"{where}ssl.cert", given["cert"]))
    try:
        return make(**given, **extra)
    except TypeError as error:
        raise TypeError(f"{where}{kind}.{error}") from None
    except (ValueError, HTTPCoreError) as error:
        raise ValueError(f"{where}{kind}.{error}") from None


def _known(where: str, table: Mapping[str, object], names: Iterable[str]) -> None:
    known = sorted(names)
    for name in table:
        if name not in known:
            near = get_close_matches(name, known, 1, 0)
            nearest = f'; the nearest is "{near[0]}"' if near else ""
            raise ValueError(f"{where}{name}: expected one of {', '.join(known)}, got an unknown name{nearest}")


# The apps that the settings describe.


def apps_of(settings: Settings, name: str | None = None, make: Callable[..., Gateway] = Gateway) -> dict[str, Gateway]:
    """The gateways by prefix, for one of the workers. Each worker has its share of the limits.

    Arguments:
        name: the name in Via for gateways without a name of their own. It is the same in each process, so that each
            process detects loops.
        make: called with the arguments of each gateway.

    Raises:
        TypeError, ValueError: an argument is not allowed; the message names it.
    """
    workers = settings.service.workers
    found = {}
    for prefix, given in settings.gateways:
        where = f'routes."{prefix}".' if prefix else ""
        limits: Limits = given.get("limits", DEFAULT_LIMITS)
        own = {
            "name": name,
            **given,
            "limits": replace(limits, concurrent=_part(limits.concurrent, workers), queue=_part(limits.queue, workers)),
            "upstreams": [
                replace(each, max_connections=_part(each.max_connections, workers)) for each in given["upstreams"]
            ],
        }
        try:
            found[prefix] = make(**own, forward_date=True)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}{error}") from None
    return found


def _part(number: int | None, workers: int) -> Any:
    """One worker's share of a limit, rounded up; None (no limit) stays None."""
    return None if number is None else -(-number // workers)


def routed(settings: Settings, gateways: Mapping[str, Gateway]) -> App:
    """One app for all gateways.

    Raises:
        ValueError: a prefix does not begin with "/".
    """
    routes: dict[str, App] = {prefix: app for prefix, app in gateways.items() if prefix}
    app = Router(routes, gateways.get("")) if routes else gateways[""]
    if not settings.service.request_id:
        return app
    return RequestIds(app, [each for _, given in settings.gateways for each in given.get("trusted_proxies", ())])


def checked(table: Table) -> Settings:
    """The settings of a whole file, with the checks that only `Gateway` and `Router` make.

    Raises:
        TypeError, ValueError: a name is unknown, or a value is not allowed; the message names it.
    """
    settings = settings_of(table)
    routed(settings, apps_of(settings))
    return settings


def summary(settings: Settings) -> list[str]:
    """A summary of the settings, as lines for people."""
    service = settings.service
    workers = "1 worker" if service.workers == 1 else f"{service.workers} workers"
    lines = [f"{workers} on {service.host}:{service.port}, {service.grace:g} s of grace"]
    if service.metrics_port is not None:
        lines.append(f"metrics on {service.metrics_host}:{service.metrics_port}")
    others = "all paths" if len(settings.gateways) == 1 else "all other paths"
    for prefix, given in settings.gateways:
        lines.append(f"{prefix or others}: {', '.join([each.url for each in given['upstreams']])}")
        lines += [f"  {name}: {value}" for name, value in given.items() if name != "upstreams"]
    return lines
