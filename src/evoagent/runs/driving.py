"""Driving the graph of an open run to its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

from evoagent.errors import UserError
from evoagent.events import Event
from evoagent.graph.build import build_graph, recursion_limit, ways_of
from evoagent.graph.context import EvolutionContext
from evoagent.ledger.files import LEDGER

YOUNG_OBJECTS = 20_000  # made between two collections of garbage


Reviewer = Callable[[dict[str, Any]], Any]


async def run_graph(context: EvolutionContext, answer: Reviewer | None = None) -> dict[str, Any]:
    """Run, or go on with, the graph of an open run; returns its summary.

    Args:
        answer: called with what the graph asks of a person (see `evoagent.graph.review`), returns the answer.

    Raises:
        UserError: the configuration wants a review, but there is nobody to `answer`.
    """
    with _rare_collections():
        return await _run_graph(context, answer)


async def _run_graph(context: EvolutionContext, answer: Reviewer | None) -> dict[str, Any]:
    async with _checkpoints(context.directory / LEDGER) as saver:
        if context.summary is not None:  # it is done already: write the same dataset again
            await context.store.database.run(context.finish, context.summary)
            return context.summary
        graph = build_graph(**ways_of(context.config)).compile(checkpointer=saver, name="evoagent")
        config: Any = {
            "configurable": {"thread_id": context.run_id},
            "recursion_limit": recursion_limit(context.config),
        }
        snapshot = await graph.aget_state(config)
        start: Any = None if snapshot.next else {}
        while True:
            # Every step is on disk before the next begins: a killed run goes on with the node that it was in.
            stream = graph.astream(start, config, context=context, stream_mode="custom", durability="sync")
            async for event in stream:
                context.listen(cast(Event, event))
            snapshot = await graph.aget_state(config)
            if not snapshot.interrupts:
                break
            if answer is None:
                raise UserError("review: the run asks for decisions, but there is nobody to answer")
            start = Command(resume=answer(snapshot.interrupts[0].value))
    summary: dict[str, Any] = snapshot.values["summary"]
    return summary


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect garbage less often: a thousand calls in flight are looked through again and again, and none is garbage.

    With Python's own thresholds that is a quarter of the time of a run whose models cost none.
    """
    thresholds = gc.get_threshold()
    if not 0 < thresholds[0] < YOUNG_OBJECTS:  # 0: the user collects himself; else another run has seen to it
        yield
        return
    gc.set_threshold(YOUNG_OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


@asynccontextmanager
async def _checkpoints(path: Path) -> AsyncIterator[AsyncSqliteSaver]:
    """LangGraph's, in the ledger's own file: whatever is lost of its end, checkpoints and rows are lost together."""
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        try:
            yield saver
        finally:
            # A graph that was cancelled still writes why: closed under that, the file would stay locked.
            await asyncio.sleep(0)
            async with saver.lock:
                pass
