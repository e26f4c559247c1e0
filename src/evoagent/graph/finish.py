"""finish: writes the dataset and the summary."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph.runtime import Runtime

from evoagent.errors import UserError
from evoagent.events import RunFinished
from evoagent.graph.context import EvolutionContext
from evoagent.graph.state import EvolutionState


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
    """The summary that `evoagent run --json` prints. Synchronous: call it in the ledger's thread.

    Of several stages, `survivors` are those of the last one, which are the dataset; those of the others, `handed_on`,
    were the populations of the stages after them. candidates = survivors + handed_on + the sum over `rejected`.
    """
    totals = context.store.results.totals(context.run_id)
    stages = _stages(context) if len(context.stages) > 1 else []
    survivors = stages[-1]["survivors"] if stages else totals.survivors
    usage = context.log.usage()
    retried = context.dispatcher.accounts.retries
    return {
        "run": str(context.directory),
        "rounds": context.store.results.rounds(context.run_id),
        "candidates": totals.candidates,
        "survivors": survivors,
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
        **({"handed_on": totals.survivors - survivors, "stages": stages} if stages else {}),
    }


def _stages(context: EvolutionContext) -> list[dict[str, Any]]:
    """The balance of each stage; one that was never reached has no rounds."""
    found, rounds = [], context.store.results.stages(context.run_id)
    for stage in context.stages:
        first, last = rounds.get(stage.name, (1, 0))
        totals = context.store.results.totals(context.run_id, first, last)
        found.append(
            {
                "stage": stage.name,
                "rounds": last - first + 1,
                "candidates": totals.candidates,
                "survivors": totals.survivors,
                "rejected": totals.rejected,
            }
        )
    return found
