"""The gateway of the examples, told that its upstream speaks HTTP/2: `uvicorn tests.support.h2_gateway:app`."""

from __future__ import annotations

import os

from httpcore.gateway import Gateway, Upstream

app = Gateway(Upstream(os.environ["UPSTREAM"], http2=True))
