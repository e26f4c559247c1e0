"""How long the event loop is kept from everybody else."""

from __future__ import annotations

import asyncio
import time

BEAT_S = 0.005
_BUSY = 0.25


class Heartbeat:
    """A task that beats every few milliseconds; a gap between two beats is a stall. Use as an async context manager.

    A gap in which the thread computes for a good part counts by its CPU time, so that a busy machine is not held
    against the plugin; one in which it waits counts whole.
    """

    def __init__(self) -> None:
        self._last = self._last_cpu = self._longest = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Heartbeat:
        self.reset()
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    def reset(self) -> None:
        """Begin a measurement."""
        self._last, self._last_cpu, self._longest = time.perf_counter(), time.thread_time(), 0.0

    def longest(self) -> float:
        """The longest stall since `reset`, in seconds; the time between two beats of an idle loop is in it."""
        wall, cpu = time.perf_counter() - self._last, time.thread_time() - self._last_cpu
        return max(self._longest, cpu if cpu > _BUSY * wall else wall)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._longest = self.longest()
            self._last, self._last_cpu = time.perf_counter(), time.thread_time()
