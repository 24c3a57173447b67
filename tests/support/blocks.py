"""Runs the python blocks of a page of documentation, in order and in one namespace, so that the printed code works."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path
from types import CodeType
from typing import Any

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks_of(page: Path) -> list[str]:
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def awaits(block: str) -> bool:
    """Whether the block awaits at its top level."""
    flags = compile(block, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT).co_flags
    return bool(flags & 0x80)  # inspect.CO_COROUTINE


def run_blocks(page: Path, **names: Any) -> None:
    """Run all blocks, each block that awaits in an asyncio loop of its own. A failure shows the page, the block and the
    line.
    """
    names["__name__"] = page.stem  # the `__module__` of the objects defined there
    for number, block in enumerate(blocks_of(page), 1):
        code = compile(block, f"{page.name}, block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if awaits(block):
            asyncio.run(_awaited(code, names))
        else:
            exec(code, names)


async def _awaited(code: CodeType, names: dict[str, Any]) -> None:
    result = eval(code, names)
    if result is not None:
        await result
