"""Widely used servers that require Digest authentication: Apache httpd (MD5), lighttpd (MD5, SHA-256,
SHA-512-256, user names hashed) and squid, a proxy (MD5).
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxies import public_folder
from real_servers import program
from servers import free_port, process

REALM = "cave"
PEOPLE = {"Aladdin": "open sesame:%", "müller": "pässwörd €", 'k"e\\y': "x"}
"""The users and passwords in the servers' files."""


def hashed(name: str, text: str) -> str:
    return hashlib.new(name, text.encode()).hexdigest()


def documents(folder: Path, *names: str) -> Path:
    """A folder that contains, for each name, a folder with a file `hello`."""
    root = folder / "documents"
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "hello").write_text("Hello, world")
    return root


APACHE = """
ServerName localhost
ServerRoot {folder}
DefaultRuntimeDir {folder}
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.log
{user}
{modules}
DocumentRoot {documents}
<Location />
  Require all granted
</Location>
{locations}
"""
APACHE_LOCATION = """
<Location /{name}>
  AuthType Digest
  AuthName "{realm}"
  AuthDigestProvider file
  AuthUserFile {passwords}
  AuthDigestNonceLifetime {lifetime}
  AuthDigestDomain /{name}/
  Require valid-user
</Location>
"""
APACHE_MODULES = ("authn_core", "authn_file", "authz_core", "authz_user", "auth_digest")


@contextmanager
def apache() -> Iterator[str]:
    """Apache: /digest/hello; /short/hello, whose nonces are stale after a second; /once/hello, whose nonces are valid
    for one request, with the next nonce in Authentication-Info; /open/hello without authentication. Yields its URL.
    """
    found, port = program("apache2"), free_port()
    lifetimes = {"digest": 300, "short": 1, "once": 0}
    home = next(path for path in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules") if os.path.isdir(path))
    mpm = next(name for name in ("mpm_event", "mpm_worker") if os.path.exists(f"{home}/mod_{name}.so"))
    modules = "\n".join([f"LoadModule {name}_module {home}/mod_{name}.so" for name in (mpm, *APACHE_MODULES)])
    with public_folder() as folder:
        passwords, settings = folder / "passwords", folder / "apache.conf"
        lines = [f"{user}:{REALM}:{hashed('md5', f'{user}:{REALM}:{word}')}\n" for user, word in PEOPLE.items()]
        passwords.write_text("".join(lines), encoding="utf-8")
        places = [
            APACHE_LOCATION.format(name=name, realm=REALM, passwords=passwords, lifetime=lifetime)
            for name, lifetime in lifetimes.items()
        ]
        settings.write_text(
            APACHE.format(
                folder=folder,
                port=port,
                modules=modules,
                documents=documents(folder, "open", *lifetimes),
                locations="".join(places),
                user="User www-data\nGroup www-data" if os.geteuid() == 0 else f"User {getpass.getuser()}",
            )
        )
        with process([found, "-f", str(settings), "-DFOREGROUND"], port):
            yield f"http://127.0.0.1:{port}"


LIGHTTPD = """
server.document-root = "{documents}"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ("mod_auth", "mod_authn_file")
server.errorlog = "{folder}/lighttpd.log"
auth.backend = "htdigest"
{locations}
"""
LIGHTTPD_LOCATION = """
$HTTP["url"] =~ "^/{name}/" {{
  auth.backend.htdigest.userfile = "{passwords}"
  auth.require = ("/{name}/" => (
    "method" => "digest", "realm" => "cave", "require" => "valid-user", "algorithm" => "{algorithm}"{more}
  ))
}}
"""
HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


@contextmanager
def lighttpd() -> Iterator[str]:
    """lighttpd: /MD5/hello, /SHA-256/hello, /SHA-512-256/hello; /hashed-MD5/hello and so on, where user names are
    hashed; /all/hello with three challenges, of which only the one for SHA-256 has a password. Yields its URL.
    """
    found, port = program("lighttpd"), free_port()
    with public_folder() as folder:
        locations = []
        for algorithm, name in HASHES.items():
            passwords = folder / f"passwords-{algorithm}"
            lines = [
                f"{user}:{REALM}:{hashed(name, f'{user}:{REALM}:{word}')}:{hashed(name, f'{user}:{REALM}')}\n"
                for user, word in PEOPLE.items()
                if '"' not in user
            ]
            passwords.write_text("".join(lines), encoding="utf-8")
            for place, more in ((algorithm, ""), (f"hashed-{algorithm}", ', "userhash" => "enable"')):
                locations.append(
                    LIGHTTPD_LOCATION.format(name=place, passwords=passwords, algorithm=algorithm, more=more)
                )
        locations.append(
            LIGHTTPD_LOCATION.format(
                name="all", passwords=folder / "passwords-SHA-512-256", algorithm="MD5|SHA-256|SHA-512-256", more=""
            )
        )
        names = [*HASHES, *[f"hashed-{algorithm}" for algorithm in HASHES], "all", "open"]
        settings = folder / "lighttpd.conf"
        settings.write_text(
            LIGHTTPD.format(documents=documents(folder, *names), port=port, folder=folder, locations="".join(locations))
        )
        with process([found, "-D", "-f", str(settings)], port):
            yield f"http://127.0.0.1:{port}"


SQUID = """
http_port 127.0.0.1:{port}
auth_param digest program {checker} -c {passwords}
auth_param digest children 1 startup=1
auth_param digest realm cave
auth_param digest nonce_max_count 5
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
visible_hostname squid
pid_filename none
access_log none
cache_log /dev/null
cache deny all
cache_mem 0 MB
max_filedescriptors 1024
shutdown_lifetime 0 seconds
pinger_enable off
coredump_dir none
"""


@contextmanager
def squid() -> Iterator[str]:
    """squid, which requires Digest authentication; a nonce is valid for five requests. Yields its URL."""
    found, port = program("squid"), free_port()
    checkers = ("/usr/lib/squid/digest_file_auth", "/usr/lib64/squid/digest_file_auth", "digest_file_auth")
    checker = next(filter(None, map(shutil.which, checkers)), "")
    with public_folder() as folder:
        passwords, settings = folder / "passwords", folder / "squid.conf"
        lines = [f"{user}:{REALM}:{hashed('md5', f'{user}:{REALM}:{word}')}\n" for user, word in PEOPLE.items()]
        passwords.write_text("".join(lines), encoding="utf-8")
        settings.write_text(SQUID.format(port=port, checker=checker, passwords=passwords))
        with process([found, "-N", "-f", str(settings)], port):
            yield f"http://127.0.0.1:{port}"
