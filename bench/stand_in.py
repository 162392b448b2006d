"""The API stand-in in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.process.program import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def stand_in(module: str, file: Path, count: int, *options: str) -> Iterator[Path]:
    """`module`, run with so many Secrets; `file` becomes the kubeconfig that leads to it."""
    command = [sys.executable, "-m", module, "--fill", str(count), "--kubeconfig", str(file), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("http")
        yield file
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
