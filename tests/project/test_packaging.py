"""A source distribution has all that its tests and checks need."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import httpcore

PROJECT = Path(__file__).resolve().parents[2]


def tracked() -> set[str]:
    """The files of the project, but for those that only its repository needs."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=PROJECT)
    if listed.returncode:
        pytest.skip("this is no checkout")
    return {name for name in listed.stdout.splitlines() if not name.startswith(".") and (PROJECT / name).exists()}


def test_a_source_distribution_is_whole(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "-q", "egg_info", "-e", str(tmp_path), "sdist", "-d", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    root = f"httpcore-{httpcore.__version__}/"
    assert archive.name == root[:-1] + ".tar.gz"
    with tarfile.open(archive) as packed:
        names = {name.removeprefix(root) for name in packed.getnames()}
    assert tracked() - names == set()
    assert not [name for name in names if "__pycache__" in name]
