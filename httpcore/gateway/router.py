"""Routes requests to several apps, by the path of the request."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import show_value
from .lifespans import Lifespans
from .messages import App, Receive, Refusal, Scope, Send, answer, deny
from .targets import Target, leaves, target_of

__all__ = ["Router"]

_NOT_FOUND = Refusal(404, "no app serves this path")
_OUTSIDE = Refusal(400, "the path leads outside its route")


class Router:
    """An ASGI app that passes each request to one of several apps: to the app with the longest prefix that matches the
    path.

    Arguments:
        apps: a mapping from prefixes, which begin with "/", to ASGI apps: a `Gateway` or any other. "/api/" matches the
            paths that begin with it, and "/api" itself; the prefix "/api" matches the same paths, so not "/apis". The
            path is passed on unchanged. Prefixes are compared byte for byte with the path as it was sent. A path whose
            dot segments lead out of its prefix is answered with 400.
        default: the app for all other paths. Default None: they are answered with 404.

    Every app receives the events of the server's lifespan. If apps fail, the failure of the first one is reported.

    Raises:
        ValueError: a prefix is not a str, or does not begin with "/".
    """

    def __init__(self, apps: Mapping[str, App], default: App | None = None) -> None:
        for prefix in apps:
            if not isinstance(prefix, str) or not prefix.startswith("/"):
                raise ValueError(f'apps: expected prefixes that begin with "/", got {show_value(prefix)}')
        found = [(prefix.encode("ascii"), app) for prefix, app in apps.items()]
        self._apps = sorted(found, key=lambda pair: len(pair[0]), reverse=True)
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
            return
        app = self._app(scope)
        if not isinstance(app, Refusal):
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await answer(send, app)
        else:
            await deny(scope, send, app)

    def _app(self, scope: Scope) -> App | Refusal:
        target = target_of({"method": "GET", **scope})  # a WebSocket has no method
        if not isinstance(target, Target):
            return target
        path = target.path
        for prefix, app in self._apps:
            if path.startswith(prefix) and (prefix[-1:] == b"/" or path[len(prefix) :][:1] in (b"", b"/")):
                rest = path[len(prefix) - (prefix[-1:] == b"/") :]
                return _OUTSIDE if leaves(rest) else app
            if path + b"/" == prefix:
                return app
        return self._default or _NOT_FOUND

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the events of the lifespan to each app in turn; an app without lifespan support is left out."""
        apps = [app for _, app in self._apps] + ([self._default] if self._default is not None else [])
        await Lifespans(apps, scope).run(receive, send)
