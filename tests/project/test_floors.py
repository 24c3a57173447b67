"""Imports only go down, each foreign library has one owner, and `import httpcore` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import httpcore

PACKAGE = Path(__file__).resolve().parents[2] / "httpcore"

# The lowest floor is first: the floors of folders, and inside each folder the floors of its files; "" is the top
# folder. A module imports from folders on lower floors, and from lower floors of its own folder. So a new file needs a
# place here, and an import that does not fit belongs elsewhere. Imports of types count too, since a module depends on
# each name that it uses.
FOLDERS: list[dict[str, list[set[str]]]] = [
    {
        "": [
            {"_exact", "_forking", "_public", "_values"},
            {"_timing"},
            {"_address", "_errors"},
            {"_config", "_trace"},
            {"_certificate", "_deadline", "_log_handler", "_log_lines", "_reentry", "_totals"},
            {"_log"},
        ]
    },
    {
        "_backends": [
            {"base", "happy_eyeballs", "workers"},
            {"lookup"},
            {"sockets"},
            {"connecting"},
            {"asyncio", "trio", "threads"},
            {"__init__"},
        ]
    },
    {
        "_message": [
            {"__init__", "fields"},
            {"rules"},
            {"url", "body", "decoders", "lookup"},
            {"content", "head", "request"},
            {"raw"},
            {"response"},
        ],
        "testing": [{"scheduler"}, {"network"}, {"backend"}, {"simulation"}, {"sweep"}, {"__init__"}],
    },
    {
        "_http1": [
            {"__init__", "grammar", "section", "connection", "differences"},
            {"lenient"},
            {"chunks"},
            {"parser"},
            {"exchange"},
            {"duplex"},
            {"h11_reader"},
            {"shadow"},
            {"engines"},
        ]
    },
    {
        "_http2": [
            {"__init__", "fields", "flood_budget", "frames", "hpack_table", "liveness", "election"},
            {"differences", "frame_writer", "hpack_encoder", "hpack_memory", "streams"},
            {"frame_reader", "hpack_decoder", "inbox", "sender"},
            {"engine"},
            {"h2_engine"},
            {"shadow"},
            {"outbox"},
            {"uploads"},
            {"dispatch"},
            {"pump"},
            {"connection"},
            {"exchange", "engines"},
        ],
        "_connect": [
            {"__init__", "policy", "resolvers", "socks", "steps", "tunnel", "contexts", "tls_errors"},
            {"proxy"},
            {"environment", "network", "route", "tls"},
            {"sessions"},
            {"handshake"},
            {"dial"},
        ],
    },
    {
        "_pool": [
            {"__init__", "engines", "resend", "retry_policy", "stats", "tickets", "tracer"},
            {"counting", "expiry", "recovery", "ring", "protocols", "wire"},
            {"ledger"},
            {"connection"},
            {"arguments", "loaded", "streamed"},
            {"call", "routing"},
            {"draining"},
            {"leases"},
            {"connecting", "timing"},
            {"delivery"},
            {"attempts", "in_flight"},
            {"retrying"},
            {"pool"},
        ]
    },
    {"": [{"_sync"}, {"_faces"}]},
    {
        "gateway": [
            {"fleet", "messages", "settings", "stats"},
            {"forwarding", "front", "targets", "health", "watch", "lifespans", "failover"},
            {"plan", "request_ids", "router"},
            {"balance", "hints", "hooks", "upload", "upstreams", "handshakes"},
            {"websocket"},
            {"turns"},
            {"passing"},
            {"gateway"},
            {"config"},
            {"supervisor", "worker"},
            {"__init__", "__main__"},
        ]
    },
    {
        "_transports": [
            {"__init__", "extensions", "served", "tasks", "websocket_handshake"},
            {"base", "asgi_cycle"},
            {"asgi_websocket", "mock", "network", "wsgi", "lifespan"},
            {"asgi"},
            {"middleware"},
            {"hsts", "limits", "mounts", "recording", "retries"},
            {"faults"},
        ]
    },
    {
        "_client": [
            {
                "__init__",
                "challenges",
                "headers",
                "links",
                "netrc",
                "pairs",
                "public_suffixes",
                "query_params",
                "text",
            },
            {"digest", "multipart", "urls"},
            {"forms", "redirects", "set_cookie"},
            {"cookie_file", "cookie_store"},
            {"cookies", "request"},
            {"delivery"},
            {"progress", "reading"},
            {"response"},
            {"auth"},
            {"options"},
            {"in_flight"},
            {"session"},
            {"download", "settings"},
            {"client"},
            {"functions"},
        ]
    },
    {"contrib": [{"__init__", "_sends"}, {"opentelemetry", "prometheus"}]},
    {
        "_cli": [
            {"__init__", "clean", "exits", "plan", "timeline", "wire"},
            {"arguments", "narration", "output"},
            {"paint"},
            {"chart", "progress"},
            {"svg"},
            {"watch"},
            {"command"},
        ]
    },
    {"": [{"__init__", "__main__"}]},
]


PACKAGES = {folder for folders in FOLDERS for folder in folders if folder}


def numbered() -> dict[str, tuple[int, int]]:
    """The floor of each module: the floor of its folder, and its floor inside the folder."""
    found: dict[str, tuple[int, int]] = {}
    for outer, folders in enumerate(FOLDERS):
        for folder, floors in folders.items():
            for inner, files in enumerate(floors):
                for file in files:
                    path = f"{folder}/{file}".strip("/")
                    found[path.removesuffix("/__init__")] = (outer, inner)
    return found


NUMBER = numbered()

SOCKETS = {f"_backends/{name}" for name in ("lookup", "sockets", "connecting", "asyncio", "trio", "threads")}
COMMAND = {"gateway/__main__", "gateway/supervisor", "gateway/worker"}
"""The modules of the processes of `python -m httpcore.gateway`, which no other module imports."""
OWNERS: dict[str, set[str]] = {
    "asyncio": {"_backends/asyncio", "_transports/tasks", "gateway/gateway", "gateway/lifespans", "gateway/watch"}
    | COMMAND,
    "trio": {"_backends/trio", "_transports/tasks"},
    "socket": SOCKETS | COMMAND,
    "select": SOCKETS,
    "ssl": {"_connect/contexts", "_connect/tls", "_connect/tls_errors"},
    "certifi": {"_connect/contexts", "_pool/loaded"},
    "truststore": {"_connect/contexts"},
    "idna": {"_message/url"},
    "zlib": {"_message/decoders", "_pool/loaded"},
    "brotli": {"_message/decoders"},
    "h11": {"_http1/lenient", "_http1/h11_reader", "_http1/shadow"},
    "h2": {"_http2/h2_engine", "_http2/shadow"},
    "wsproto": {"_transports/asgi_websocket", "gateway/websocket"},
    "opentelemetry": {"contrib/opentelemetry"},
    "prometheus_client": {"contrib/prometheus"},
}
# These may name the class of a context that the caller passes on, and may do so only under `if TYPE_CHECKING`.
SSL_TYPES = {
    "_client/client",
    "_client/functions",
    "_client/options",
    "_client/session",
    "_client/settings",
    "_config",
    "_connect/proxy",
    "_connect/route",
    "_connect/handshake",
    "_connect/sessions",
    "_pool/arguments",
    "_pool/connection",
    "_pool/pool",
    "_pool/routing",
    "_faces",
    "_sync",
    "_transports/extensions",
    "gateway/settings",
    "_transports/network",
}
# Reference implementations for the tests; none decides which bytes are accepted.
REFERENCES = {"httptools", "hpack", "hyperframe", "ngh2"}

HEAVY = (
    "ssl",
    "asyncio",
    "trio",
    "h2",
    "hpack",
    "h11",
    "httptools",
    "ngh2",
    "certifi",
    "truststore",
    "idna",
    "brotli",
    "backports.zstd",
    "zlib",
    "wsproto",
    "opentelemetry",
    "prometheus_client",
    "rich",
)


def module_of(path: Path) -> str:
    """`_wire/http11` for its file, `_wire` for the package's own, `__init__` for the top."""
    name = path.relative_to(PACKAGE).with_suffix("").as_posix()
    return name.removesuffix("/__init__")


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
EACH = pytest.mark.parametrize("module", FILES)


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything imported in `tree`, at any place; the names of this package begin with "httpcore."."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_name(module, node)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def absolute_name(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = ["httpcore", *(module.split("/") if module != "__init__" else [])]
    is_package = FILES[module].name == "__init__.py"
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def ours(module: str, tree: ast.AST) -> set[str]:
    """The modules of this package that `tree` imports, without their parent packages."""
    names = {
        name.removeprefix("httpcore.").replace(".", "/") for name in imports(module, tree) if name[:8] == "httpcore"
    }
    found = names & NUMBER.keys()
    through = {other for other in found if any(name.startswith(f"{other}/") and name in NUMBER for name in names)}
    return found - through - {module}


def foreign(module: str, tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imports(module, tree)} - {"httpcore", ""}


def without_types(module: str) -> ast.Module:
    """The module without its `if TYPE_CHECKING` blocks, which do not run."""

    class Running(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            return node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    return Running().visit(ast.parse(ast.unparse(parsed(module))))  # type: ignore[no-any-return]


@cache
def libraries(module: str) -> set[str]:
    return foreign(module, parsed(module))


def importers(library: str) -> set[str]:
    return {module for module in FILES if library in libraries(module)}


@EACH
def test_each_module_has_a_floor(module: str) -> None:
    assert module in NUMBER, f"{module} is new: give it a floor in {Path(__file__).name}"


def test_no_module_has_two_floors_and_each_is_a_file() -> None:
    places = sum(len(files) for folders in FOLDERS for floors in folders.values() for files in floors)
    assert places == len(NUMBER)
    assert NUMBER.keys() == FILES.keys()


def folder_of(module: str) -> str:
    is_package = FILES[module].name == "__init__.py" and module != "__init__"
    return module if is_package else module.rpartition("/")[0]


def may_import(module: str, other: str) -> bool:
    """Whether the import is from a folder on a lower floor, or from a lower floor of the same folder."""
    (outer, inner), (other_outer, other_inner) = NUMBER[module], NUMBER[other]
    beside = folder_of(module) == folder_of(other) and other_outer == outer
    return other_outer < outer or (beside and other_inner < inner)


@EACH
def test_imports_only_go_down(module: str) -> None:
    up = {other: NUMBER[other] for other in ours(module, parsed(module)) if not may_import(module, other)}
    assert not up, f"{module} (floor {NUMBER.get(module)}) imports upward or sideways: {up}"


@pytest.mark.parametrize("folder", sorted(PACKAGES - {"_backends", "gateway", "testing"}))
def test_the_file_of_a_package_is_one_sentence(folder: str) -> None:
    """A package states its subject and re-exports nothing, so that each import names the file it depends on."""
    tree = parsed(folder)
    assert [type(node) for node in tree.body] == [ast.Expr]
    assert (ast.get_docstring(tree) or "").count("\n") == 0


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_imported_by_the_files_that_wrap_it(library: str) -> None:
    allowed = OWNERS[library] | (SSL_TYPES if library == "ssl" else set())
    assert importers(library) <= allowed


@EACH
def test_ssl_is_imported_where_it_runs_only_by_its_wrappers(module: str) -> None:
    assert "ssl" not in foreign(module, without_types(module)) or module in OWNERS["ssl"]


@pytest.mark.parametrize("library", sorted(REFERENCES))
def test_another_parser_decides_nothing(library: str) -> None:
    assert not importers(library)


BELOW_TESTING = {"_backends", "_backends/base", "_backends/happy_eyeballs", "_address", "_errors"}
TESTING = {module for module in FILES if module.split("/")[0] == "testing"}


@pytest.mark.parametrize("module", sorted(TESTING))
def test_testing_stands_on_the_backends_interface_alone(module: str) -> None:
    assert ours(module, parsed(module)) <= TESTING | BELOW_TESTING


def test_only_tests_import_testing() -> None:
    assert not [module for module in FILES if module not in TESTING and ours(module, parsed(module)) & TESTING]


def test_testing_loads_nothing_heavy() -> None:
    loaded = run(
        "import sys; before = set(sys.modules); import httpcore.testing\n"
        f"print(*[name for name in {(*HEAVY, 'socket')} if name in {{*sys.modules}} - before])"
    )
    assert loaded == []


def test_testing_is_loaded_only_at_its_first_use() -> None:
    assert run("import sys, httpcore; httpcore.ConnectionPool(); print('httpcore.testing' in sys.modules)") == ["False"]


@EACH
def test_each_module_has_a_summary_in_its_first_line(module: str) -> None:
    docstring = ast.get_docstring(parsed(module), clean=False) or ""
    first = docstring.split("\n")[0]
    assert first == first.strip()
    assert len(first) > 20


def run(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stderr == ""
    return done.stdout.split()


def test_importing_httpcore_and_its_values_loads_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); import httpcore\n"
        "httpcore.NetworkPolicy, httpcore.Proxy, httpcore.SSLConfig(), httpcore.HTTPCoreError\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules and name not in before])"
    )
    assert run(program) == []


def test_importing_httpcore_alone_loads_nothing_at_all() -> None:
    assert run("import sys; before = set(sys.modules); import httpcore; print(*{*sys.modules} - before)") == [
        "httpcore"
    ]


def test_every_public_name_is_found_and_known_to_type_checkers() -> None:
    # Names are found at run time by two private tables, which type checkers do not see.
    assert sorted(httpcore._MODULE) == sorted(httpcore.__all__)
    typed = {
        node.module: {alias.name for alias in node.names}
        for node in ast.walk(parsed("__init__"))
        if isinstance(node, ast.ImportFrom) and node.level
    }
    # This is the second of the two tables.
    assert typed == {module: set(names) for module, names in httpcore._WHERE.items()}
    for name in httpcore.__all__:
        assert getattr(httpcore, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = httpcore.Nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(httpcore._ELSEWHERE))  # each name that other libraries have
def test_a_name_of_another_library_is_answered_with_ours(name: str) -> None:
    import httpcore.testing

    with pytest.raises(AttributeError, match=f"has no attribute '{name}': use httpcore[.]") as caught:
        getattr(httpcore, name)
    ours = str(caught.value).rpartition("httpcore.")[2]
    thing = httpcore.testing.Simulation if ours == "testing.Simulation" else getattr(httpcore, ours)
    assert callable(thing)
    assert not hasattr(httpcore, name)


# The test itself: faults that it must find.


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("_connect/dial", "from .._pool.pool import X", {"_pool/pool"}),
        ("_connect/dial", "from .._pool import pool as p", {"_pool/pool"}),
        ("_connect/dial", "import httpcore._pool.pool", {"_pool/pool"}),
        ("_connect/dial", "def f():\n    from httpcore._http1.parser import X", {"_http1/parser"}),
        ("_http1/parser", "from .._backends.base import X", {"_backends/base"}),
        ("_http1/parser", "from .grammar import X", {"_http1/grammar"}),
        ("_http1/parser", "from .._backends import asyncio, current", {"_backends/asyncio"}),
        ("_http1/parser", "from .._backends import current", {"_backends"}),
        ("_backends", "from .trio import X", {"_backends/trio"}),
        ("_backends", "from .._errors import X", {"_errors"}),
        ("__init__", "if TYPE_CHECKING:\n    from ._sync import X", {"_sync"}),
        ("__init__", "import asyncio, h11", set()),
        ("_connect/dial", "import_module('httpcore._pool.pool')", {"_pool/pool"}),
    ],
)
def test_imports_are_found_however_they_are_spelled(module: str, source: str, found: set[str]) -> None:
    assert ours(module, ast.parse(source)) == found


@pytest.mark.parametrize(
    ("module", "other", "allowed"),
    [
        ("_pool/pool", "_connect/dial", True),
        ("_connect/dial", "_pool/pool", False),
        ("_http2/engine", "_http2/streams", True),
        ("_http2/streams", "_http2/engine", False),
        ("_http2/engine", "_connect/socks", False),  # beside it
        ("_sync", "_errors", True),
        ("_errors", "_sync", False),
    ],
)
def test_may_import_allows_only_imports_of_the_table(module: str, other: str, allowed: bool) -> None:
    assert may_import(module, other) is allowed


def test_libraries_are_found_however_they_are_imported() -> None:
    tree = ast.parse("import ssl, trio.lowlevel\nfrom asyncio import sleep")
    assert foreign("_connect/dial", tree) == {"ssl", "trio", "asyncio"}
