"""Ends the process although a plugin's thread does not: Python itself would wait for it."""

from __future__ import annotations

import os
import sys
import threading
import time

WORKERS = "evoagent-worker"  # how the threads behind `asyncio.to_thread` are called
LEAVE_SECONDS = 5.0  # that tasks and threads get to end


def leave() -> None:
    """End the process at once where a thread of a plugin would keep it: Python waits for each of them.

    Called last, in a `finally`; otherwise returns, and whatever is being raised goes on.
    """
    deadline = time.monotonic() + LEAVE_SECONDS
    while _working():
        if time.monotonic() > deadline:
            error = sys.exception()
            code = error.code if isinstance(error, SystemExit) else int(error is not None)
            os._exit(code if isinstance(code, int) else int(code is not None))
        time.sleep(0.05)


def _working() -> bool:
    return any(thread.name.startswith(WORKERS) for thread in threading.enumerate())
