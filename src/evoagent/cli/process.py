"""What a command's process needs around plugins: standard output kept for data, and an end in spite of them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from evoagent.cli.leaving import WORKERS
from evoagent.cli.terminal import tell
from evoagent.plugins.discovery import stdout_to_stderr
from evoagent.runs.loops import settled

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but nothing that a plugin has left running keeps it from returning."""
    return asyncio.run(settled(main, WORKERS))


def give_up(message: str) -> None:
    """End the process, from any thread, because of what `message` says."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")  # a progress bar hides the cursor
    tell(f"error: {message}")
    os._exit(1)


@contextmanager
def only_data_on_stdout() -> Iterator[None]:
    """Send to standard error what plugins, engines and their child processes print meanwhile."""
    kept = os.dup(1)
    with stdout_to_stderr():
        os.dup2(2, 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
