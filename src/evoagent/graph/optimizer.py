"""optimizer: has the operators of a stage improved between two rounds, where the stage has an optimizer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from langgraph.runtime import Runtime

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.events import NodeFinished, NodeStarted, Notice
from evoagent.failures import explain
from evoagent.graph.context import EvolutionContext
from evoagent.graph.state import EvolutionState
from evoagent.ledger.database import PAGE
from evoagent.models.requests import Scope
from evoagent.operators.optimizer import DecidedPage, FinishedRound
from evoagent.plugins.returned import checked_parameters


async def optimizer(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Ask for new parameters after `last_round` and record them; they hold from the round that now begins."""
    context, round = runtime.context, state["round"]
    await context.enter({**state, "round": state["last_round"]["round"]})  # with the operators that it had
    loaded = context.stage.optimizer
    assert loaded is not None, "the graph leads here only where there is one"
    runtime.stream_writer(NodeStarted("optimizer", round, 1))
    began = context.seconds
    finished = _finished(context, state)
    models = context.models.scoped(Scope(loaded.name, round, f"{round}"))
    try:
        found = await context.calls.attempt(loaded, loaded.plugin.improve, finished, models)
        params = checked_parameters(found, context.operators, context.stage.remake)
        await context.store.database.run(context.store.runs.add_methods, context.run_id, round, params)
        if params:
            runtime.stream_writer(Notice(f"{loaded.title} has improved {', '.join(sorted(params))}"))
    except (EngineError, LedgerError, UserError):
        raise
    except Exception as error:
        message = f"{loaded.title}: {explain(error)}; the operators stay as they were"
        runtime.stream_writer(Notice(message))
    await context.dispatcher.flush()
    await context.save_seconds()
    runtime.stream_writer(NodeFinished("optimizer", round, 1, context.seconds - began))
    return {}


def _finished(context: EvolutionContext, state: EvolutionState) -> FinishedRound:
    number, store = state["last_round"]["round"], context.store

    async def pages() -> AsyncIterator[DecidedPage]:
        after = -1
        while page := await store.database.run(store.candidates.page, context.run_id, number, after, PAGE):
            verdicts = await store.database.run(
                store.results.verdicts, context.run_id, [stored.candidate.id for stored in page]
            )
            yield [(stored.candidate, verdicts[stored.candidate.id]) for stored in page]
            after = page[-1].position

    return FinishedRound(
        number=number,
        operators={name: operator.params for name, operator in context.operators.items()},
        candidates=state["last_round"]["candidates"],
        survivors=state["last_round"]["survivors"],
        rejected=state["last_round"]["rejected"],
        pages=pages,
    )
