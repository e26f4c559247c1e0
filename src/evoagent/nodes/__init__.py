"""The graph's nodes."""

from evoagent.nodes.critic import critic
from evoagent.nodes.eliminator import eliminator
from evoagent.nodes.evolver import evolver
from evoagent.nodes.finish import finish
from evoagent.nodes.optimizer import optimizer
from evoagent.nodes.prepare import prepare

__all__ = ["critic", "eliminator", "evolver", "finish", "optimizer", "prepare"]
