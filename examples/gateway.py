"""A gateway: `UPSTREAM=http://127.0.0.1:9000 uvicorn --no-proxy-headers examples.gateway:app`.

UPSTREAM_CA names the certificates that an https upstream is checked against, UPSTREAM_TIMEOUT how many seconds it may
be silent. Set FORWARD_DATE=1 if the server runs with `--no-date-header --no-server-header`.
"""

import os

import httpcore
from httpcore.gateway import Gateway, Timeouts, Upstream

TIMEOUT = float(os.environ.get("UPSTREAM_TIMEOUT", "60"))
app = Gateway(
    Upstream(
        os.environ.get("UPSTREAM", "http://127.0.0.1:9000"),
        ssl=httpcore.SSLConfig(verify=os.environ.get("UPSTREAM_CA") or True),
    ),
    timeouts=Timeouts(connect=5, first_byte=TIMEOUT, idle=TIMEOUT),
    forward_date="FORWARD_DATE" in os.environ,
)
