"""Requests that wait for an engine, in the order in which it takes them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush

from evoagent.errors import TransientError
from evoagent.models.concurrency import START, AdaptiveLimit, BusyError, ElasticLane, Limit, Outcome
from evoagent.models.engines.base import Engine, Lane
from evoagent.models.requests import Request, Result, Scope, Verb


@dataclass(slots=True, eq=False)
class Pending:
    """A request on its way, and whoever waits for it."""

    key: str
    role: str
    request: Request
    scope: Scope
    future: asyncio.Future[Result]
    attempts: int = 0
    successes_before: int = 0


class Line:
    """The requests that wait for one verb of one engine: longest first where it takes several, else in order.

    Attributes:
        running: calls that the engine has not answered yet.
        successes: requests that it has answered.
    """

    def __init__(self, engine: Engine, verb: Verb, lane: Lane) -> None:
        self.engine, self.verb = engine, verb
        self.running = self.successes = 0
        self._batch, self._parallel = lane.batch, lane.parallel
        self._limit: Limit | None = None
        if isinstance(lane, ElasticLane):
            self._limit = AdaptiveLimit(lane.parallel)
            self._parallel = min(lane.parallel, START)
        self._in_order: deque[Pending] = deque()
        self._longest: list[tuple[int, str, Pending]] = []

    def put(self, pending: Pending) -> None:
        """Have one more wait."""
        if self._batch > 1:
            heappush(self._longest, (-pending.request.size, pending.key, pending))  # no two have one key
        else:
            self._in_order.append(pending)

    def take(self) -> list[Pending]:
        """The next batch, which is running from now on; empty while nothing waits or the engine takes no more."""
        if self.running >= self._parallel:
            return []
        if self._batch > 1:
            batch = [heappop(self._longest)[2] for _ in range(min(self._batch, len(self._longest)))]
        else:
            batch = [self._in_order.popleft()] if self._in_order else []
        self.running += bool(batch)
        return batch

    def learn(self, outcome: object, sent: float, ended: float) -> None:
        """Learn from what a call came to, and when: how many may run at once."""
        if self._limit is None or (isinstance(outcome, TransientError) and not isinstance(outcome, BusyError)):
            return  # a server that is down or broken says nothing of how much it can take
        crowded = bool(self._in_order or self._longest)
        self._parallel = self._limit.after(Outcome(isinstance(outcome, BusyError), sent, ended, crowded))

    def clear(self) -> None:
        """Forget what waits."""
        self._in_order.clear()
        self._longest.clear()
