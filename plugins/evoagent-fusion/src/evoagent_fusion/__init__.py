"""Instruction Fusion for evoagent: an operator that merges two instructions into one that needs both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evoagent import OperatorSpec, hookimpl
from evoagent_fusion.config import FusionConfig

if TYPE_CHECKING:
    from evoagent_fusion.operator import Fusion

__all__ = ["FusionConfig", "evoagent_operators"]


@hookimpl
def evoagent_operators() -> Iterator[OperatorSpec]:
    """The operator `fusion`, for two parents."""
    yield OperatorSpec(
        name="fusion",
        factory=_fusion,
        summary="merges two instructions into one that needs both",
        config=FusionConfig,
        family="breadth",  # half of what comes out is about something else than the first parent
        needs=("evolver.generate",),
        parents=2,
        exempt=("not_an_instruction",),  # it knows instructions, and not the sentences that tie two of them together
    )


def _fusion(config: FusionConfig) -> Fusion:
    from evoagent_fusion.operator import Fusion

    return Fusion(config)
