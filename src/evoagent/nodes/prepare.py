"""prepare: reads the run's counters from the ledger. The first step of a new run and of one decided anew."""

from __future__ import annotations

from langgraph.runtime import Runtime

from evoagent.state import EvolutionContext, EvolutionState


async def prepare(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Set round 1 and its population."""
    context = runtime.context
    population = await context.store.database.run(context.store.population_size, context.run_id, 1)
    return {
        "run_id": context.run_id,
        "round": 1,
        "population": population,
        "candidates": 0,
        "survivors": 0,
        "rejected": {},
        "visited": 0,
        "barren": 0,
        "stop_reason": None,
        "figures": {},
        "review": {},
        "last_round": {},
        "previews": [],
    }
