"""Handing work to a thread, and its results back to the event loop."""

from __future__ import annotations

import asyncio
from typing import Any


class Ticket:
    """Where a worker thread puts one result; made on the event loop that awaits it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Any] = self._loop.create_future()
        self.cancelled = False

    def resolve(self, outcome: Any) -> None:
        """Set the result, or the exception. From any thread; only the first call counts."""
        try:
            self._loop.call_soon_threadsafe(self._set, outcome)
        except RuntimeError:
            self.cancelled = True  # the loop is closed: nobody waits any more

    def _set(self, outcome: Any) -> None:
        if self._future.done():
            return
        if isinstance(outcome, BaseException):
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)

    async def wait(self) -> Any:
        """The result; raises the exception. Cancelling this sets `cancelled`, which the worker looks at."""
        try:
            return await self._future
        except asyncio.CancelledError:
            self.cancelled = True
            raise
