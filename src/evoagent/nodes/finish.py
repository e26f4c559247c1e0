"""finish: writes the dataset and the summary."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph.runtime import Runtime

from evoagent.errors import UserError
from evoagent.events import RunFinished
from evoagent.state import EvolutionContext, EvolutionState


async def finish(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Write what the run leaves behind, and mark it as done."""
    context = runtime.context
    if not state.get("stop_reason"):
        raise UserError("finish: the run has not come to its end; go on with the node that was next")
    run = context.store.database.run
    await context.dispatcher.flush()
    summary = await run(summarise, context, state["stop_reason"])
    await run(context.finish, summary)
    event = RunFinished(summary)
    runtime.stream_writer(event)
    await asyncio.to_thread(context.observe, event)
    return {"summary": summary}


def summarise(context: EvolutionContext, stop_reason: str | None) -> dict[str, Any]:
    """The summary that `evoagent run --json` prints. Synchronous: call it in the ledger's thread."""
    totals = context.store.totals(context.run_id)
    usage = context.log.usage()
    retried = context.dispatcher.accounts.retries
    return {
        "run": str(context.directory),
        "rounds": context.store.rounds(context.run_id),
        "candidates": totals.candidates,
        "survivors": totals.survivors,
        "rejected": totals.rejected,
        "tokens": {
            role: {"prompt": int(figures["prompt"]), "completion": int(figures["completion"])}
            for role, figures in usage.items()
        },
        "requests": {
            "sent": int(sum(figures["requests"] for figures in usage.values())),
            "cached": int(context.dispatcher.accounts.total("cached")),
            "retried": retried,
        },
        "seconds": round(context.seconds, 1),
        "stop_reason": stop_reason,
    }
