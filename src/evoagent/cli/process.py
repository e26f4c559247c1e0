"""What a command's process needs around plugins: standard output kept for data, and an end in spite of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from evoagent.cli.leaving import WORKERS
from evoagent.plugins.discovery import stdout_to_stderr
from evoagent.runs.loops import settled

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but nothing that a plugin has left running keeps it from returning."""
    return asyncio.run(settled(main, WORKERS))


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
