"""The gateway of the examples, configured for an HTTP/2 upstream: `uvicorn tests.support.h2_gateway:app`."""

from __future__ import annotations

import os

from httpcore.gateway import Gateway, Upstream

app = Gateway(Upstream(os.environ["UPSTREAM"], http2=True))
