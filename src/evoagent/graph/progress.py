"""What the nodes share: progress events and batched writes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from langgraph.runtime import Runtime

from evoagent.events import Event, NodeFinished, NodeProgress, NodeStarted
from evoagent.graph.context import EvolutionContext
from evoagent.ledger.database import PAGE
from evoagent.ledger.rows import StoredCandidate

T = TypeVar("T")

WRITE_EVERY = 200  # rows a transaction
REPORT_SECONDS = 0.2  # between two progress events of one node


async def undecided(context: EvolutionContext, round: int) -> AsyncIterator[StoredCandidate]:
    """The candidates of `round` that have no verdict yet, in order of position, read in pages."""
    after = -1
    while True:
        page = await context.store.database.run(
            context.store.candidates.page, context.run_id, round, after, PAGE, undecided=True
        )
        for stored in page:
            yield stored
        if len(page) < PAGE:
            return
        after = page[-1].position


class Progress:
    """Reports a node's progress through the stream writer, at most five times a second."""

    def __init__(self, runtime: Runtime[EvolutionContext], node: str, round: int, total: int) -> None:
        self._write: Callable[[Event], None] = runtime.stream_writer
        self._dispatcher = runtime.context.dispatcher
        self._node, self._round, self._total = node, round, total
        self._done = 0
        self._started = time.monotonic()
        self._reported = 0.0
        self._tokens = self._dispatcher.accounts.completion_tokens
        self._retries = self._dispatcher.accounts.retries
        self._write(NodeStarted(node, round, total))

    def advance(self) -> None:
        """Count one item."""
        self._done += 1
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS or self._done == self._total:
            self._reported = now
            tokens = self._dispatcher.accounts.completion_tokens - self._tokens
            rate = tokens / max(now - self._started, 1e-6)
            self._write(NodeProgress(self._node, self._round, self._done, self._total, rate))

    def finish(self) -> None:
        """Report the end."""
        seconds, retries = time.monotonic() - self._started, self._dispatcher.accounts.retries - self._retries
        self._write(NodeFinished(self._node, self._round, self._done, seconds, retries))


class Batcher(Generic[T]):
    """Collects rows and writes them in transactions of `WRITE_EVERY`. Use as an async context manager.

    Rows are written even when the block is left by an error: what is done is kept.
    """

    def __init__(self, write: Callable[[list[T]], Awaitable[None]]) -> None:
        self._write = write
        self._rows: list[T] = []

    async def add(self, row: T) -> None:
        """Take one row, and write all of them if there are enough."""
        self._rows.append(row)
        if len(self._rows) >= WRITE_EVERY:
            await self._flush()

    async def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            await self._write(rows)

    async def __aenter__(self) -> Batcher[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._flush()
