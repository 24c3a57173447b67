"""The files for the package index: a wheel with the types, and a source distribution whose tests can be run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import httpcore

PROJECT = Path(__file__).resolve().parents[2]
METADATA: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
HOME = METADATA["urls"]["Homepage"]

LEFT_OUT = (".git", ".venv*", "node_modules", "__pycache__", ".*_cache", ".hypothesis", ".coverage*", "build", "dist")
BUILD = "import sys; from setuptools import build_meta as backend; backend.build_{}(sys.argv[1])"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, without generated files."""
    folder = tmp_path_factory.mktemp("packaging") / "clone"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT, "*.egg-info", "htmlcov"))
    return folder


@pytest.fixture(scope="module")
def archives(clone: Path) -> Path:
    """The folder of both archives, made by the project's own build backend."""
    folder = clone.parent / "archives"
    folder.mkdir()
    before = {path for path in clone.rglob("*") if path.is_file()}
    for kind in ("sdist", "wheel"):
        command = [sys.executable, "-c", BUILD.format(kind), str(folder)]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for path in {path for path in clone.rglob("*") if path.is_file()} - before:
        path.unlink()  # the build has left these files
    return folder


@pytest.fixture(scope="module")
def unpacked(archives: Path) -> Path:
    with tarfile.open(archives / f"httpcore-{httpcore.__version__}.tar.gz") as archive:
        archive.extractall(archives, filter="data")
    return archives / f"httpcore-{httpcore.__version__}"


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_source_distribution_has_all_that_a_clone_has(clone: Path, unpacked: Path) -> None:
    made = {"PKG-INFO", "setup.cfg"}
    found = {name for name in _files(unpacked) if not name.startswith("httpcore.egg-info/")}
    assert found - made == _files(clone) - made


def test_scripts_of_a_source_distribution_can_be_run(unpacked: Path) -> None:
    assert all(os.access(path, os.X_OK) for path in (unpacked / "scripts").iterdir())
    assert os.access(unpacked / "scripts" / "test", os.X_OK)


def _pytest(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=_environment(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment(folder: Path) -> dict[str, str]:
    """An environment in which the tests import the httpcore of `folder`, without the settings of the outer test run."""
    left_out = ("PYTEST_", "COV_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PYTHONPATH": str(folder)}


@pytest.mark.proofs  # it imports all tests
def test_every_test_of_a_source_distribution_is_found(unpacked: Path) -> None:
    assert re.search(r"\n\d{4,} tests collected", _pytest(unpacked, "--collect-only"))


def test_tests_of_a_source_distribution_run(unpacked: Path) -> None:
    ran = _pytest(unpacked, "tests/test_values.py", "tests/test_deadline.py", "tests/pool/test_resend.py")
    assert " passed" in ran
    assert "skipped" not in ran


def test_wheel_has_each_module_and_the_types(clone: Path, archives: Path) -> None:
    source = {f"httpcore/{name}" for name in _files(clone / "httpcore")}
    with zipfile.ZipFile(archives / f"httpcore-{httpcore.__version__}-py3-none-any.whl") as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        described = archive.read(f"httpcore-{httpcore.__version__}.dist-info/METADATA").decode()
    assert names == source
    assert "httpcore/py.typed" in names
    assert "Author: httpcore authors" in described
    assert f"Project-URL: Source, {HOME}" in described


def test_version_is_one_that_the_index_never_had() -> None:
    assert httpcore.__version__ == "2.0.0"
    assert METADATA["dynamic"] == ["version"]
    assert "version" not in METADATA


def test_classifiers_name_only_tested_versions() -> None:
    classifiers = METADATA["classifiers"]
    systems = [each for each in classifiers if each.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX"]
    named = {each.rpartition(" ")[2] for each in classifiers if re.search(r"Python :: 3\.\d+$", each)}
    tested = set(re.findall(r'- "(3\.\d+)"', (PROJECT / ".travis.yml").read_text()))
    assert named
    assert named <= tested


def test_links_of_the_readme_work_on_an_index_page() -> None:
    text = (PROJECT / "README.md").read_text()
    defined = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", text, re.MULTILINE))
    assert set(defined) == set(re.findall(r"\]\[([^]]*)\]", text))
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *defined.values()]
    own = [link for link in links if link.startswith(f"{HOME}/blob/HEAD/")]
    assert [link for link in links if not link.startswith("https://")] == []
    assert own
    missing = [link for link in own if not (PROJECT / link.removeprefix(f"{HOME}/blob/HEAD/")).is_file()]
    assert missing == []
