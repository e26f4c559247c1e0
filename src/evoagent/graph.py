"""The LangGraph state machine: START → prepare → evolver → critic → eliminator → (evolver | finish) → END."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from evoagent.config import RunConfig
from evoagent.nodes import critic, eliminator, evolver, finish, prepare
from evoagent.state import EvolutionContext, EvolutionState

Builder = StateGraph[Any, Any, Any, Any]
Node = Callable[[EvolutionState, Runtime[EvolutionContext]], Awaitable[EvolutionState]]

NODES: dict[str, Node] = {
    "prepare": prepare,
    "evolver": evolver,
    "critic": critic,
    "eliminator": eliminator,
    "finish": finish,
}

STEPS_PER_ROUND = 3


def route(state: EvolutionState) -> Literal["evolver", "finish"]:
    """Another round, or the end."""
    return "finish" if state["stop_reason"] else "evolver"


def build_graph(
    *,
    state: type[Any] = EvolutionState,
    input: type[Any] | None = None,
    context: type[Any] | None = EvolutionContext,
    wrap: Callable[[str, Node], Any] = lambda name, node: node,
) -> Builder:
    """The builder, to be compiled with or without a checkpointer.

    Args:
        state: `EvolutionState`, or what extends it; `input` is the part of it that a run begins with.
        context: of the nodes, or of what `wrap` makes of each of them.
    """
    builder: Builder = StateGraph(state, context_schema=context, input_schema=input)
    for name, node in NODES.items():
        builder.add_node(name, wrap(name, node))
    builder.add_edge(START, "prepare")
    builder.add_edge("prepare", "evolver")
    builder.add_edge("evolver", "critic")
    builder.add_edge("critic", "eliminator")
    builder.add_conditional_edges("eliminator", route, ["evolver", "finish"])
    builder.add_edge("finish", END)
    return builder


def recursion_limit(config: RunConfig) -> int:
    """Steps that a run may take: LangGraph's own default of 25 would end it after seven rounds."""
    stop = config.stop
    # Without a number of rounds, a candidate budget bounds them (a round makes at least one), else only tokens or time.
    rounds = stop.rounds or stop.candidates or 1_000_000
    return STEPS_PER_ROUND * rounds + 10
