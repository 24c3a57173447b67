"""A download that is resumed, with a bar of rich: `python -m examples.progress_bar URL FILE`."""

from __future__ import annotations

import sys

from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

import httpcore


def download(url: str, path: str) -> int:
    """Fetch `url` into `path`; returns how many bytes were received this time."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with httpcore.Client() as client, Progress(*columns) as bar:
        task = bar.add_task("download", total=None)

        def show(progress: httpcore.Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.total)

        return client.download(url, path, resume=True, on_progress=show).num_bytes_downloaded


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(f"{download(*sys.argv[1:3]):,} bytes")
