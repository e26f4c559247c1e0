"""The LangGraph state machine: one graph, whatever the configuration.

START → prepare → evolver → critic → eliminator → (evolver | optimizer → evolver | prepare | finish) → END. The way to
the optimizer is there where a stage has one, and the way back to prepare where there are several stages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from evoagent.config.model import RunConfig
from evoagent.graph.context import EvolutionContext
from evoagent.graph.critic import critic
from evoagent.graph.eliminator import eliminator
from evoagent.graph.evolver import evolver
from evoagent.graph.finish import finish
from evoagent.graph.optimizer import optimizer
from evoagent.graph.prepare import prepare
from evoagent.graph.state import EvolutionState

Builder = StateGraph[Any, Any, Any, Any]
Node = Callable[[EvolutionState, Runtime[EvolutionContext]], Awaitable[EvolutionState]]

NODES: dict[str, Node] = {
    "prepare": prepare,
    "evolver": evolver,
    "critic": critic,
    "eliminator": eliminator,
    "optimizer": optimizer,
    "finish": finish,
}

STEPS_PER_ROUND = 4


def route(state: EvolutionState) -> str:
    """Another round, another stage, or the end."""
    return state["then"]


def build_graph(
    *,
    stages: bool = False,
    optimizer: bool = False,
    state: type[Any] = EvolutionState,
    input: type[Any] | None = None,
    context: type[Any] | None = EvolutionContext,
    wrap: Callable[[str, Node], Any] = lambda name, node: node,
) -> Builder:
    """The builder, to be compiled with or without a checkpointer.

    Args:
        stages: there is a way back to prepare, for another stage.
        optimizer: there is a way over the optimizer.
        state: `EvolutionState`, or what extends it; `input` is the part of it that a run begins with.
        context: of the nodes, or of what `wrap` makes of each of them.
    """
    builder: Builder = StateGraph(state, context_schema=context, input_schema=input)
    for name, node in NODES.items():
        if name != "optimizer" or optimizer:
            builder.add_node(name, wrap(name, node))
    builder.add_edge(START, "prepare")
    builder.add_edge("prepare", "evolver")
    builder.add_edge("evolver", "critic")
    builder.add_edge("critic", "eliminator")
    ways = ["evolver", *(["optimizer"] if optimizer else []), *(["prepare"] if stages else []), "finish"]
    builder.add_conditional_edges("eliminator", route, ways)
    if optimizer:
        builder.add_edge("optimizer", "evolver")
    builder.add_edge("finish", END)
    return builder


def recursion_limit(config: RunConfig) -> int:
    """Steps that a run may take: LangGraph's own default of 25 would end it after seven rounds."""
    # Without a number of rounds, a candidate budget bounds them (a round makes at least one), else only tokens or time.
    rounds = [stage.stop.rounds or stage.stop.candidates or 1_000_000 for stage in config.plan]
    return STEPS_PER_ROUND * sum(rounds) + len(rounds) + 10


class Ways(TypedDict):
    """What `build_graph` needs to know of a configuration."""

    stages: bool
    optimizer: bool


def ways_of(config: RunConfig) -> Ways:
    """The ways that a run of `config` may take."""
    return {"stages": len(config.plan) > 1, "optimizer": any(stage.optimizer is not None for stage in config.plan)}
