"""Waiting: for models, while which a plugin's time limit stands still, and for tasks to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

logger = logging.getLogger(__name__)


class Patience:
    """The time limit of one call: it stands still while a request of the call waits for a model."""

    def __init__(self, timeout: asyncio.Timeout, limit: float) -> None:
        self._timeout, self._limit = timeout, limit
        self._asked = 0

    def pause(self) -> None:
        """Stop the clock: a request begins to wait."""
        self._asked += 1
        if self._asked == 1:
            self._reschedule(None)

    def resume(self) -> None:
        """Start it anew, once no request of the call waits any more."""
        self._asked -= 1
        if not self._asked:
            self._reschedule(asyncio.get_running_loop().time() + self._limit)

    def _reschedule(self, when: float | None) -> None:
        with suppress(RuntimeError):  # the call is over, and this is a task that it has left behind
            self._timeout.reschedule(when)


PATIENCE: ContextVar[Patience | None] = ContextVar("evoagent_patience", default=None)


@contextmanager
def asking() -> Iterator[None]:
    """Around a request to a model of ours: a plugin that waits for it is not idle."""
    patience = PATIENCE.get()
    if patience is None:
        yield
        return
    patience.pause()
    try:
        yield
    finally:
        patience.resume()


async def settle(tasks: Iterable[asyncio.Task[Any]], seconds: float) -> None:
    """Cancel `tasks` and wait for their end, at most so many `seconds`."""
    waiting = [task for task in tasks if not task.done()]
    for task in waiting:
        task.cancel()
    if not waiting:
        return
    done, pending = await asyncio.wait(waiting, timeout=seconds)
    for task in done:
        if not task.cancelled():
            task.exception()
    for task in pending:
        logger.warning("%s does not end when it is cancelled, and is left behind", task)


def retrieve(future: asyncio.Future[Any]) -> None:
    """Mark a failure as seen, so that a caller who was cancelled meanwhile leaves no warning behind."""
    if not future.cancelled():
        future.exception()
