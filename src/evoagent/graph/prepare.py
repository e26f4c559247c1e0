"""prepare: begins a stage. The first step of a run, and what follows the eliminator where a stage has ended."""

from __future__ import annotations

from langgraph.runtime import Runtime

from evoagent.events import StageStarted
from evoagent.graph.context import EvolutionContext
from evoagent.graph.state import EvolutionState


async def prepare(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Set the first round of the stage and its population: the seeds, or what has survived the stage before."""
    context = runtime.context
    run, round, stage = context.store.database.run, 1, context.stages[0].name
    if goes_on(state, context):
        round, stage = state["round"], state["stage"]
        await run(context.store.population.begin_stage, context.run_id, round, state["since"])
    population = await run(context.store.population.size, context.run_id, round)
    if len(context.stages) > 1:
        runtime.stream_writer(StageStarted(stage, round, population))
    return {
        "run_id": context.run_id,
        "stage": stage,
        "since": round,
        "round": round,
        "population": population,
        "tokens_before": context.tokens,
        "seconds_before": context.seconds,
        "candidates": 0,
        "survivors": 0,
        "rejected": {},
        "visited": 0,
        "barren": 0,
        "then": "",
        "stop_reason": None,
        "figures": {},
        "review": {},
        "last_round": {},
        "previews": [],
    }


def goes_on(state: EvolutionState, context: EvolutionContext) -> bool:
    """Whether a stage comes after another; else the run begins, whatever a thread that is used again remembers."""
    return state.get("then") == "prepare" and state.get("run_id") == context.run_id
