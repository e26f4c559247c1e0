"""Names the plugin that blocks the event loop, with file and line.

Every coroutine of a run shares one thread: while one of them sleeps or computes in it, all others stand still. A thread
of our own asks the loop for a sign of life; where none comes in time, it looks at what the loop's thread is doing.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Self

WARN_SECONDS = 5.0  # without a sign of life
TICK = 0.5


class Watchdog:
    """Watches the event loop that it is entered in. Use as an async context manager.

    It sees what lets other threads run: a regular expression that takes for ever does not.
    """

    def __init__(self, owner: Callable[[str], str], notice: Callable[[str], None]) -> None:
        """Prepare to watch.

        Args:
            owner: distribution and version of the plugin that a module belongs to, "" for any other module.
            notice: told once of each plugin that blocks for `WARN_SECONDS`; called in the watchdog's thread.
        """
        self._owner, self._notice = owner, notice
        self._stop = threading.Event()
        self._told: set[str] = set()

    async def __aenter__(self) -> Self:
        watched = (asyncio.get_running_loop(), threading.get_ident())
        threading.Thread(target=self._watch, args=watched, name="watchdog", daemon=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()  # the thread ends by itself; to wait for it would block the loop

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._stop.wait(TICK):
            sign = threading.Event()
            try:
                loop.call_soon_threadsafe(sign.set)
            except RuntimeError:
                return  # the loop is closed
            if not sign.wait(WARN_SECONDS):
                self._look(sys._current_frames().get(thread))
                sign.wait()

    def _look(self, frame: FrameType | None) -> None:
        while frame is not None:
            label = self._owner(str(frame.f_globals.get("__name__", "")))
            if label and label not in self._told:
                self._told.add(label)
                self._notice(
                    f"{label} has blocked the event loop for {WARN_SECONDS:g} s in {_place(frame)}: "
                    "nothing else goes on meanwhile; it should await, or use asyncio.to_thread"
                )
            if label:
                return
            frame = frame.f_back


def _place(frame: FrameType) -> str:
    file = Path(frame.f_code.co_filename)
    packages = str(frame.f_globals.get("__name__", "")).count(".") + (file.stem == "__init__")
    return f"{frame.f_code.co_qualname} ({Path(*file.parts[-packages - 1 :])}:{frame.f_lineno})"
