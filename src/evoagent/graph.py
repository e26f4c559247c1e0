"""The LangGraph state machine: START → prepare → evolver → critic → eliminator → (evolver | finish) → END."""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START, StateGraph

from evoagent.config import RunConfig
from evoagent.nodes import critic, eliminator, evolver, finish, prepare
from evoagent.state import EvolutionContext, EvolutionState

Builder = StateGraph[EvolutionState, EvolutionContext, EvolutionState, EvolutionState]

STEPS_PER_ROUND = 3


def route(state: EvolutionState) -> Literal["evolver", "finish"]:
    """Another round, or the end."""
    return "finish" if state["stop_reason"] else "evolver"


def build_graph() -> Builder:
    """The builder, to be compiled with or without a checkpointer."""
    builder: Builder = StateGraph(EvolutionState, context_schema=EvolutionContext)
    builder.add_node("prepare", prepare)
    builder.add_node("evolver", evolver)
    builder.add_node("critic", critic)
    builder.add_node("eliminator", eliminator)
    builder.add_node("finish", finish)
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
