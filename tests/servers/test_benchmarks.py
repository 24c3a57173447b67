"""`scripts/bench` runs, reports errors, completes a run in spite of one failed client, and draws its results. No figure
is asserted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from real_servers import program

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "benchmarks"


@pytest.fixture(scope="module")
def modules() -> Iterator[SimpleNamespace]:
    """The modules of benchmarks/, whose scripts import each other by plain names."""
    sys.path.insert(0, str(FOLDER))
    try:
        import page
        import picture
        import results
        import server
        import works

        yield SimpleNamespace(page=page, picture=picture, results=results, server=server, works=works)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def urls(modules: SimpleNamespace) -> Iterator[dict[str, str]]:
    program("nginx")
    with modules.server.servers() as urls:
        yield urls


def run(*command: str, folder: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the Python program below `scripts/bench`, with no peer installed."""
    return run(
        sys.executable, str(FOLDER / "run.py"), sys.executable, "/no/peers", *arguments, folder=PROJECT, **environment
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["many"], {}, "expected a number of rounds, got 'many': scripts/bench [ROUNDS] [WORD]"),
        (["0"], {}, "expected a number of rounds, got '0'"),
        (["1", "sync", "GET"], {}, "too many arguments"),
        ([], {"PAGES": "/no/folder"}, "PAGES is '/no/folder', which is no folder"),
    ],
)
def test_the_command_names_a_mistake_from_any_folder(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], words: str
) -> None:
    done = run(str(PROJECT / "scripts/bench"), *arguments, folder=tmp_path, **environment)
    assert done.returncode == 2
    assert done.stderr.startswith("bench: ")
    assert words in done.stderr


def test_a_word_that_is_in_no_name_gets_all_names() -> None:
    done = bench("1", "HTTP/9")
    assert done.returncode == 1
    assert "no work has 'HTTP/9' in its name. There are: sync GET; " in done.stderr


def test_a_missing_program_is_named_with_its_package(modules: SimpleNamespace) -> None:
    with pytest.raises(SystemExit, match=r"nowhere is not here\. Debian: apt-get install nothing"):
        modules.server.program("nowhere", "nothing")


def test_a_round_prints_a_table_and_writes_page_and_picture(tmp_path: Path) -> None:
    """A client that fails, here because its library is missing, is reported and left out."""
    program("nginx")
    done = bench("1", "sync GET", PAGES=str(tmp_path), CLIENTS="httpcore, bare socket, urllib3", SHARE="0.05")
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines() if "µs CPU" in line] == ["sync GET", ""]
    assert "bench: sync GET: urllib3: " in done.stderr
    page = (tmp_path / "benchmarks.md").read_text()
    assert "## sync GET" in page
    assert "| **httpcore** | " in page
    assert "| *bare socket* | " in page
    assert "## Left out\n\n- sync GET: urllib3: " in page
    drawn = ElementTree.parse(tmp_path / "benchmarks.svg")
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"sync GET", "httpcore", "bare socket"} <= set(texts)


@pytest.mark.parametrize(
    ("script", "arguments", "keys"),
    [
        (
            "client.py",
            ("httpcore", "get", "plain", "{plain}/hello", "64", "16", "16"),
            {"cpu_us", "wall_us", "peak_mb"},
        ),
        ("client.py", ("httpcore async", "get", "h2", "{h2}/hello", "40", "20", "1"), {"cpu_us", "selects"}),
        ("client.py", ("httpcore", "vary", "plain", "{plain}/varied/", "40", "1", "1"), {"cpu_us"}),
        ("client.py", ("httpcore async", "vary", "h2", "{h2}/varied/", "40", "20", "1"), {"cpu_us"}),
        ("idle.py", ("httpcore", "make", "{plain}", "20"), {"cpu_us", "memory_kb"}),
        ("idle.py", ("httpcore", "hold", "{hold}", "30"), {"memory_kb"}),
        ("idle.py", ("httpcore async", "hold", "{hold tls}", "30"), {"memory_kb"}),
        ("fresh.py", ("httpcore", "import", "{plain}/hello"), {"cpu_ms", "modules", "brings"}),
    ],
)
def test_every_script_prints_its_measurements(
    urls: dict[str, str], script: str, arguments: tuple[str, ...], keys: set[str]
) -> None:
    done = run(sys.executable, str(FOLDER / script), *(argument.format_map(urls) for argument in arguments))
    assert done.returncode == 0, done.stderr
    assert keys <= json.loads(done.stdout).keys()


def test_the_gateway_runs_under_wrk(urls: dict[str, str]) -> None:
    program("wrk")
    done = run(sys.executable, str(FOLDER / "loading.py"), "httpcore async", "asyncio", urls["plain"], "1", "8")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == {"cpu_us", "per_second", "peak_mb"}


def test_every_work_begins_with_ours_and_no_name_is_there_twice(modules: SimpleNamespace) -> None:
    works = modules.works.WORKS
    assert len({work.name for work in works}) == len(works)
    for work in works:
        assert modules.works.is_ours(work.clients[0])
        assert len(set(work.clients)) == len(work.clients)
    assert {name for pair in modules.works.PAIRS for name in pair} <= {work.name for work in works}


def test_word_selects_the_work_of_that_name_or_all_that_have_it(modules: SimpleNamespace) -> None:
    assert [work.name for work in modules.works.chosen("sync GET")] == ["sync GET"]
    assert {"sync GET, TLS", "200 MB up, TLS, sync"} <= {work.name for work in modules.works.chosen("TLS")}
    assert modules.works.chosen("") == modules.works.WORKS


def test_twice_and_half_the_cost_are_equally_far_from_the_middle(modules: SimpleNamespace) -> None:
    place = modules.picture.place
    assert place(2) - place(1) == pytest.approx(place(1) - place(0.5))
    assert place(1000) == modules.picture.RIGHT
    assert place(0) == modules.picture.LEFT


def found(modules: SimpleNamespace, ratio: float | None) -> Any:
    return modules.results.Found({"cpu_us": 12.5, "wall_us": 20.0}, ratio, None)


def test_the_picture_has_a_bar_for_each_client_but_the_first(modules: SimpleNamespace) -> None:
    work = modules.works.Work("a <b> & c", ("httpcore", "bare x", "y"), modules.works.CPU, "", ())
    cells = {"httpcore": found(modules, 1.0), "bare x": found(modules, 0.25), "y": found(modules, 20.0)}
    drawn = ElementTree.fromstring(modules.picture.picture([work], {work.name: cells}))
    bars = [element.get("class") for element in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == ["floor", "peer"]
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a <b> & c", "httpcore: 12.5 µs CPU", "bare x", "0.25", "20"} <= set(texts)


def test_a_work_without_its_first_client_has_no_ratios(modules: SimpleNamespace) -> None:
    work = modules.works.Work("work", ("httpcore", "y"), modules.works.CPU, "", ())
    results = {"work": {"y": found(modules, None)}}
    assert "<rect" not in modules.picture.picture([work], results)
    assert "| y | 12.5 µs CPU | 50,000 |" in modules.page.page([work], results, 3, ["a fact"])
