"""The thread that owns a model and takes turns between generating and scoring."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from evoagent.errors import EngineError
from evoagent.models.engines.packed.tickets import Ticket

logger = logging.getLogger(__name__)


class Job(Protocol):
    """What the thread works on: requests go into `waiting`, and `step` does a part of the work."""

    waiting: deque[tuple[Ticket, Any]]

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""

    def step(self) -> None:
        """Do one pass of the model and resolve the tickets that are done."""

    def abandon(self) -> list[Ticket]:
        """Forget everything, and return the tickets of what was waiting or running."""


class Worker:
    """Runs jobs over one model in one thread, so that no two passes run at once.

    A job with work waits while the others have had less time than it. Whatever ends the thread, no ticket is left
    unresolved.
    """

    def __init__(self, load: Callable[[], dict[str, Job]], name: str) -> None:
        """Start the thread, which calls `load` first. `name` is for messages."""
        self._name = name
        self._changed = threading.Condition()
        self._inbox: list[tuple[str, Ticket, Any]] = []
        self._stopping = False
        self._failure: EngineError | None = None
        self._ready = Ticket()
        self._thread = threading.Thread(target=self._run, args=(load,), name=f"evoagent {name}", daemon=True)
        self._thread.start()

    async def started(self) -> None:
        """Wait until `load` has returned; raises what it raised, as an `EngineError`."""
        await self._ready.wait()

    async def do(self, job: str, work: Any) -> Any:
        """Hand `work` to a job and wait for its result; cancelling this drops the work."""
        ticket = Ticket()
        with self._changed:
            if self._failure is not None:
                raise self._failed()
            self._inbox.append((job, ticket, work))
            self._changed.notify()
        return await ticket.wait()

    def stop(self) -> None:
        """End the thread after its current pass and wait for that; what is left fails with an `EngineError`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _failed(self) -> EngineError:
        """A new exception each time: one that is raised in many places would gather all their tracebacks."""
        error = EngineError(str(self._failure))
        error.__cause__ = self._failure and self._failure.__cause__
        return error

    def _run(self, load: Callable[[], dict[str, Job]]) -> None:
        jobs: dict[str, Job] = {}
        failure = EngineError(f"{self._name} was closed")
        try:
            jobs.update(load())
            self._ready.resolve(None)
            self._serve(jobs)
        except EngineError as error:
            failure = error
        except BaseException as error:  # out of memory, or a bug: nobody may wait for ever
            logger.debug("the thread of %s ended", self._name, exc_info=True)
            traceback.clear_frames(error.__traceback__)  # they hold tensors
            failure = EngineError(f"{self._name} failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
        with self._changed:
            self._failure = failure
            tickets = [self._ready, *(ticket for _, ticket, _ in self._inbox)]
            self._inbox.clear()
        for job in jobs.values():
            tickets += job.abandon()
        jobs.clear()
        for ticket in tickets:
            ticket.resolve(self._failed())

    def _serve(self, jobs: dict[str, Job]) -> None:
        seconds = dict.fromkeys(jobs, 0.0)
        while True:
            with self._changed:
                while not (self._stopping or self._inbox or any(job.busy for job in jobs.values())):
                    self._changed.wait()
                if self._stopping:
                    return
                for name, ticket, work in self._inbox:
                    jobs[name].waiting.append((ticket, work))
                self._inbox.clear()
            busy = [name for name, job in jobs.items() if job.busy]
            if len(busy) == 1:
                seconds = dict.fromkeys(jobs, 0.0)
            name = min(busy, key=seconds.__getitem__)
            started = time.monotonic()
            jobs[name].step()
            seconds[name] += time.monotonic() - started
