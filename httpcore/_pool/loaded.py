"""Every module that a request may need, imported when the first pool is made, so that no request imports anything.

An import inside a request holds an import lock of Python, and blocks the event loop. If another thread forks at that
time, the lock stays held in the child for ever. If a signal handler imports the same module, it fails, or waits for
itself. So a module that is imported inside a function, because `import httpcore` must stay light, is imported here
first: the function then finds it loaded, and takes no lock.

Some imports happen later, under the gate that a fork waits for (`_forking`). TLS contexts are made off the event loop,
since reading the certificates takes longest, and certifi is imported then. The libraries that few requests need are
imported at their first use: idna with the first host that is not ASCII (it took a third of the time of all imports
here); brotli and zstd with the first body that is coded by them; the codec by which `ssl` encodes host names with the
first https origin.

Two more kinds of modules are not imported here: the event loop's backend, which `_backends.load` chooses, and the
modules that an argument of the pool needs (proxies, policies, retries).
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
