"""Instruction Fusion for evoagent: an operator that merges two instructions into one that needs both."""

from __future__ import annotations

from collections.abc import Iterator

from evoagent import hookimpl
from evoagent_fusion.operator import Fusion

__all__ = ["Fusion", "evoagent_operators"]


@hookimpl
def evoagent_operators() -> Iterator[type[Fusion]]:
    """The operator `fusion`, for two parents."""
    yield Fusion
