"""The gateway of the examples, told that its upstream speaks HTTP/2: `uvicorn tests.support.h2_gateway:app`."""

from __future__ import annotations

import os

import httpcore
from examples.gateway import TIMEOUT, Gateway

app = Gateway(os.environ["UPSTREAM"], httpcore.ConnectionPool(http1=False, timeout=TIMEOUT))
