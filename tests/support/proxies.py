"""Widely used proxies, in processes of their own: squid, tinyproxy, dante, microsocks; and uvicorn on a socket."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from real_servers import program
from servers import free_port, process

USER, PASSWORD = "Aladdin", "open sesame:%"
"""The credentials that the guarded ports accept. They include characters that a URL must escape."""
TAME_PASSWORD = "open-sesame"
"""The password for tinyproxy, which accepts hardly any characters but letters and digits."""
ODD = {
    USER: PASSWORD,
    "müller": "pässwörd €",
    "per%41cent": "50%:/?#[]@&+=",
    "sp ace ": " first and last ",
    "k\"e\\y'": "日本語",
}
"""The credentials that squid accepts: user names and passwords, sent as UTF-8. Squid's file must contain MD5 or SHA
hashes: with the old crypt(3) squid uses eight characters and refuses longer passwords.
"""
ORIGIN = "origin.test"
"""Squid's name for this machine, which only squid resolves."""


class Ports(NamedTuple):
    """The ports of one proxy: open to all, with a password, and open to all under TLS; 0 if there is none."""

    open: int
    guarded: int = 0
    secure: int = 0


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that programs without root's rights can read; pytest's folders can be read by their owner alone."""
    with tempfile.TemporaryDirectory(prefix="httpcore-proxy-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


SQUID = """
http_port 127.0.0.1:{open}
http_port 127.0.0.1:{guarded}
https_port 127.0.0.1:{secure} tls-cert={pem}
auth_param basic program {checker} {passwords}
auth_param basic children 1 startup=1
auth_param basic realm cave
auth_param basic casesensitive on
acl guarded localport {guarded}
acl known proxy_auth REQUIRED
acl forbidden dstdomain forbidden.test
http_access deny forbidden
http_access deny guarded !known
http_access allow all
visible_hostname squid
pid_filename none
access_log none
cache_log /dev/null
cache deny all
cache_mem 0 MB
hosts_file {hosts}
max_filedescriptors 1024
shutdown_lifetime 0 seconds
pinger_enable off
coredump_dir none
"""


@contextmanager
def squid(pem: Path) -> Iterator[Ports]:
    """squid, which forwards and tunnels everywhere except to forbidden.test; `pem` is its own certificate."""
    found, ports = program("squid"), Ports(free_port(), free_port(), free_port())
    checkers = ("/usr/lib/squid/basic_ncsa_auth", "/usr/lib64/squid/basic_ncsa_auth", "basic_ncsa_auth")
    checker = next(filter(None, map(shutil.which, checkers)), "")
    with public_folder() as folder:
        passwords, copy, settings = folder / "passwords", folder / "squid.pem", folder / "squid.conf"
        hosts = folder / "hosts"
        lines = [f"{user}:{hashlib.md5(password.encode()).hexdigest()}\n" for user, password in ODD.items()]
        passwords.write_text("".join(lines), encoding="utf-8")
        hosts.write_text(f"127.0.0.1 localhost {ORIGIN}\n")
        copy.write_bytes(pem.read_bytes())
        files = {"pem": copy, "passwords": passwords, "hosts": hosts}
        settings.write_text(SQUID.format(checker=checker, **files, **ports._asdict()))
        with process([found, "-N", "-f", str(settings)], ports.secure):
            yield ports


@contextmanager
def tinyproxy(folder: Path) -> Iterator[Ports]:
    """tinyproxy, which forwards and tunnels; one process for each port. It names itself in a Via field."""
    ports = Ports(free_port(), free_port())
    with ExitStack() as stack:
        for port, more in ((ports.open, ""), (ports.guarded, f"BasicAuth {USER} {TAME_PASSWORD}\n")):
            settings = folder / f"tinyproxy-{port}.conf"
            settings.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 300\nLogLevel Critical\n{more}")
            stack.enter_context(process([program("tinyproxy"), "-d", "-c", str(settings)], port))
        yield ports


DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: {user}
user.unprivileged: {user}
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 protocol: tcp }}
"""


@contextmanager
def dante(folder: Path) -> Iterator[Ports]:
    """dante, for SOCKS4 and SOCKS5, open to all."""
    port, settings = free_port(), folder / "dante.conf"
    settings.write_text(DANTE.format(port=port, user=getpass.getuser()))
    with process([program("danted"), "-f", str(settings), "-p", str(folder / "dante.pid")], port):
        yield Ports(port)


@contextmanager
def microsocks() -> Iterator[Ports]:
    """microsocks, for SOCKS5; one process for each port."""
    ports, base = Ports(free_port(), free_port()), [program("microsocks"), "-i", "127.0.0.1", "-p"]
    with (
        process([*base, str(ports.open)], ports.open),
        process([*base, str(ports.guarded), "-u", USER, "-P", PASSWORD], ports.guarded),
    ):
        yield ports


@contextmanager
def uvicorn_on_a_socket(app: str) -> Iterator[str]:
    """uvicorn serving `app` on a unix socket; yields its path."""
    with tempfile.TemporaryDirectory(prefix="httpcore-") as folder:  # pytest's paths are too long for a socket
        path = os.path.join(folder, "uvicorn")
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            app,
            "--app-dir",
            "tests/support",
            "--uds",
            path,
            "--log-level",
            "error",
        ]
        with process(command, path):
            yield path
