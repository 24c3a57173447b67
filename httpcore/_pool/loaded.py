"""Every module that a request may need, imported when the first pool is made, so that no request imports anything.

An import inside a request holds a lock that is not ours. A fork in another thread meanwhile leaves this lock held in
the child for good, a signal handler that imports the same module fails or waits for itself, and an event loop stands
still. So a module that is imported inside a function, because `import httpcore` must stay light, is imported here
first: the function finds it loaded then, and takes no lock. Only TLS contexts are made later, since reading the
certificates takes longest: off the loop, and under the gate that a fork waits for (`_forking`), so certifi may be
imported then, with its own imports. And the libraries that few requests need are imported under the same gate: idna, a
third of all that was imported here, with the first host that is not ASCII; brotli and zstd with the first body that is
coded by them; the codec by which `ssl` encodes host names with the first https origin.

Not here: the event loop's backend, which `_backends.load` chooses; and the modules that an argument of the pool needs
(proxies, policies, retries).
"""

from __future__ import annotations

import ipaddress
import zlib

from .. import _trace
from .._connect import contexts as _contexts
from .._connect import socks, tls, tunnel
from .._http1 import parser as h1_parser
from .._http2 import engine as h2_engine
from .._message import decoders
from .._pool import connection as _connection

__all__ = ["MODULES"]

MODULES = (
    *(_connection, _contexts, _trace, tls, h1_parser, h2_engine, decoders, socks, tunnel),
    *(ipaddress, zlib),
)
