"""What users may set."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

OPERATOR = "back-translation"
RULE = "constraints-met"

Group = Literal["length", "structure", "format", "language", "words", "marks", "case", "ends"]


class BackTranslationConfig(BaseModel):
    """Parameters of `back-translation`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    most: int = Field(3, ge=1, le=3, description="Constraints added to one instruction, at most; how many is drawn.")
    total: int = Field(
        5, ge=1, description="An instruction that has so many constraints, after some rounds, gets no more."
    )
    without: tuple[Group, ...] = Field((), description="Groups of constraints that are not used.")


class ConstraintsMetConfig(BaseModel):
    """Parameters of `constraints-met`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: bool = Field(
        False,
        description="Verify the candidates of other operators too, whose instruction still has a constraint that "
        "back-translation wrote. Their responses are new.",
    )
