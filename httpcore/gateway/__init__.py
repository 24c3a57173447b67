"""A gateway in Python: an ASGI app that forwards requests to upstreams, streaming both ways.

    from httpcore.gateway import Gateway, Upstream

    app = Gateway(["http://10.0.0.1:9000", Upstream("https://b.internal/api", weight=2)])

Any ASGI server runs it, e.g. `uvicorn --no-proxy-headers module:app`. The guide is docs/guide/gateway.md. `import
httpcore` does not import this package.
"""

from __future__ import annotations

from .gateway import Gateway
from .hooks import Returned
from .messages import Refusal
from .plan import Forward, Trust, plan
from .request_ids import RequestIds
from .router import Router
from .settings import Health, Limits, Sender, Timeouts, Upstream, WebSockets
from .stats import GatewayStats, UpstreamStats, prometheus

__all__ = [
    "Forward",
    "Gateway",
    "GatewayStats",
    "Health",
    "Limits",
    "Refusal",
    "Returned",
    "RequestIds",
    "Router",
    "Sender",
    "Timeouts",
    "Trust",
    "Upstream",
    "UpstreamStats",
    "WebSockets",
    "plan",
    "prometheus",
]

for _name in __all__:  # so tracebacks and documentation show the public name
    globals()[_name].__module__ = __name__
