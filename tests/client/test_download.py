"""Downloads: the file is complete or absent, and a download continues only if the resource is known to be unchanged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import client
from real_servers import Ports, patterned
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer

import httpcore

CONTENT = bytes(range(256)) * 400


class Flaky:
    """Sends `CONTENT`, or the range that a request with the right If-Range selects; each response ends after `cut`
    bytes.
    """

    def __init__(self) -> None:
        self.content = CONTENT
        self.tag: bytes | None = b'"v1"'
        self.cut: int | None = None
        self.heads: list[bytes] = []
        self.fields: list[bytes] = []
        self.misreports = False
        self.server = ScriptedServer(self.script)

    @property
    def url(self) -> str:
        return f"{self.server.url}/file"

    def script(self, peer: Peer) -> None:
        while head := peer.head():
            self.heads.append(head)
            start = self.start(head)
            if start is not None and start >= len(self.content):
                peer.send(b"HTTP/1.1 416 No\r\nContent-Length: 0\r\nContent-Range: bytes */%d\r\n" % len(self.content))
                peer.send(b"ETag: " + (self.tag or b"") + b"\r\n\r\n")
                continue
            rest = self.content[start or 0 :]
            lines = [b"HTTP/1.1 200 OK" if start is None else b"HTTP/1.1 206 Partial", *self.fields]
            lines += [b"ETag: " + self.tag] if self.tag else []
            lines.append(b"Content-Length: %d" % len(rest))
            if start is not None:
                begin = 0 if self.misreports else start
                lines.append(b"Content-Range: bytes %d-%d/%d" % (begin, len(self.content) - 1, len(self.content)))
            peer.send(b"\r\n".join(lines) + b"\r\n\r\n" + rest[: self.cut])
            if self.cut is not None:
                return

    def start(self, head: bytes) -> int | None:
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        if b"range" not in fields or fields.get(b"if-range") != self.tag:
            return None
        return int(fields[b"range"].removeprefix(b"bytes=").removesuffix(b"-"))


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    made = Flaky()
    with made.server:
        yield made


@each_runtime
def test_a_download_is_written_beside_and_renamed(flaky: Flaky, runtime: Runtime, tmp_path: Path) -> None:
    async def main() -> None:
        seen: list[httpcore.Progress] = []
        async with client(runtime) as http:
            response = await http.download(flaky.url, tmp_path / "file", on_progress=seen.append)
            assert (response.status_code, response.is_closed) == (200, True)
        assert (seen[-1].done, seen[-1].total) == (len(CONTENT), len(CONTENT))
        assert [each.done for each in seen] == sorted({each.done for each in seen})

    runtime.run(main)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["file"]
    assert b"Accept-Encoding: identity" in flaky.heads[0]


@each_runtime
@pytest.mark.parametrize("resume", [False, True])
def test_a_download_that_fails_leaves_the_old_file(
    flaky: Flaky, runtime: Runtime, tmp_path: Path, resume: bool
) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            with pytest.raises(httpcore.RemoteProtocolError):
                await http.download(flaky.url, tmp_path / "file", resume=resume)

    (tmp_path / "file").write_bytes(b"old")
    flaky.cut = 5000
    runtime.run(main)
    assert (tmp_path / "file").read_bytes() == b"old"
    kept = ["file", "file.part", "file.part.json"] if resume else ["file"]
    assert sorted(os.listdir(tmp_path)) == kept
    if resume:
        assert (tmp_path / "file.part").read_bytes() == CONTENT[:5000]
        assert (tmp_path / "file.part.json").stat().st_mode & 0o777 == 0o600


async def begin(http: Any, flaky: Flaky, path: Path) -> None:
    flaky.cut = 5000
    with pytest.raises(httpcore.RemoteProtocolError):
        await http.download(flaky.url, path, resume=True)
    flaky.cut = None


@each_runtime
def test_a_download_goes_on_where_it_ended(flaky: Flaky, runtime: Runtime, tmp_path: Path) -> None:
    async def main() -> None:
        seen: list[httpcore.Progress] = []
        async with client(runtime) as http:
            await begin(http, flaky, tmp_path / "file")
            response = await http.download(flaky.url, tmp_path / "file", resume=True, on_progress=seen.append)
            assert response.status_code == 206
        assert seen[0].done > 5000
        assert (seen[-1].done, seen[-1].total) == (len(CONTENT), len(CONTENT))

    runtime.run(main)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["file"]
    assert b'Range: bytes=5000-\r\nIf-Range: "v1"' in flaky.heads[-1]


def change_tag(flaky: Flaky) -> None:
    flaky.tag, flaky.content = b'"v2"', CONTENT[::-1]


def lose_tag(flaky: Flaky) -> None:
    flaky.tag = None


@each_runtime
@pytest.mark.parametrize("change", [change_tag, lose_tag])
def test_another_content_is_fetched_from_its_beginning(
    flaky: Flaky, runtime: Runtime, tmp_path: Path, change: Any
) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            await begin(http, flaky, tmp_path / "file")
            change(flaky)
            response = await http.download(flaky.url, tmp_path / "file", resume=True)
            assert response.status_code == 200

    runtime.run(main)
    assert (tmp_path / "file").read_bytes() == flaky.content


@each_runtime
def test_a_part_that_begins_elsewhere_is_an_error(flaky: Flaky, runtime: Runtime, tmp_path: Path) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            await begin(http, flaky, tmp_path / "file")
            flaky.misreports = True
            with pytest.raises(httpcore.RemoteProtocolError, match="expected one from byte 5000 on"):
                await http.download(flaky.url, tmp_path / "file", resume=True)

    runtime.run(main)
    assert not (tmp_path / "file").exists()


@each_runtime
def test_a_complete_body_in_hand_is_the_whole_body(flaky: Flaky, runtime: Runtime, tmp_path: Path) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            await begin(http, flaky, tmp_path / "file")
            (tmp_path / "file.part").write_bytes(CONTENT)
            response = await http.download(flaky.url, tmp_path / "file", resume=True)
            assert response.status_code == 416

    runtime.run(main)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["file"]


@each_runtime
@pytest.mark.parametrize("tag", [b'W/"weak"', None])
def test_a_part_that_cannot_be_resumed_is_not_kept(
    flaky: Flaky, runtime: Runtime, tmp_path: Path, tag: bytes | None
) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            flaky.tag = tag
            await begin(http, flaky, tmp_path / "file")
            assert os.listdir(tmp_path) == []
            await http.download(flaky.url, tmp_path / "file", resume=True)

    runtime.run(main)
    assert b"Range" not in flaky.heads[-1]
    assert (tmp_path / "file").read_bytes() == CONTENT


@each_runtime
def test_a_part_of_another_url_or_a_damaged_note_is_not_resumed(flaky: Flaky, runtime: Runtime, tmp_path: Path) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            for note in ("{", '{"url": 1}', "[]", '{"url": "http://b.test/", "validator": "x"}', '"\\ud800"'):
                (tmp_path / "file.part").write_bytes(b"other")
                (tmp_path / "file.part.json").write_text(note)
                await http.download(flaky.url, tmp_path / "file", resume=True)
                assert (tmp_path / "file").read_bytes() == CONTENT

    runtime.run(main)
    assert not [head for head in flaky.heads if b"Range" in head]


@each_runtime
def test_a_link_in_the_place_of_the_part_is_not_followed(flaky: Flaky, runtime: Runtime, tmp_path: Path) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            (tmp_path / "file.part").symlink_to(tmp_path / "precious")
            await http.download(flaky.url, tmp_path / "file")
            await begin(http, flaky, tmp_path / "other")
            (tmp_path / "other.part").unlink()
            (tmp_path / "other.part").symlink_to(tmp_path / "precious")
            with pytest.raises(OSError):
                await http.download(flaky.url, tmp_path / "other", resume=True)

    (tmp_path / "precious").write_bytes(b"precious")
    runtime.run(main)
    assert (tmp_path / "precious").read_bytes() == b"precious"


@each_runtime
def test_an_error_status_writes_nothing(runtime: Runtime, tmp_path: Path) -> None:
    async def main() -> None:
        async with client(runtime, transport=httpcore.MockTransport({"/": httpcore.Response(404, body=b"no")})) as http:
            with pytest.raises(httpcore.HTTPStatusError):
                await http.download("http://a.test/", tmp_path / "file")

    runtime.run(main)
    assert os.listdir(tmp_path) == []


@each_runtime
def test_nginx_sends_the_rest_of_a_file(nginx: Ports, runtime: Runtime, tmp_path: Path) -> None:
    async def main() -> None:
        url = f"http://127.0.0.1:{nginx.plain}/size-200000"
        transport = httpcore.HTTPTransport(http1=False)
        async with client(runtime, transport=transport) as http:
            tag = (await http.head(url)).headers["etag"]
            (tmp_path / "file.part").write_bytes(patterned(70_000))
            (tmp_path / "file.part.json").write_text(json.dumps({"url": url, "validator": tag}))
            response = await http.download(url, tmp_path / "file", resume=True)
            assert (response.status_code, response.num_bytes_downloaded) == (206, 130_000)
            response = await http.download(url, tmp_path / "whole")
            assert response.status_code == 200

    runtime.run(main)
    assert (tmp_path / "file").read_bytes() == (tmp_path / "whole").read_bytes() == patterned(200_000)
