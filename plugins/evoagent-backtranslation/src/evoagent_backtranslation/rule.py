"""The rule: a response must meet the constraints that its instruction states."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from evoagent import Candidate, Models, Rule, Verdict
from evoagent_backtranslation.choice import stated
from evoagent_backtranslation.operator import BackTranslation


class ConstraintsMet(Rule):
    """rejects responses that break a constraint of their instruction, verified in code

    It reads the constraints back out of the instruction, those of earlier rounds too, and verifies each.
    """

    name = "constraints-met"

    class Config(BaseModel):
        """Parameters of `constraints-met`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        every: bool = Field(
            False,
            description="Verify the candidates of other operators too, whose instruction still has a constraint that "
            "back-translation wrote. Their responses are new.",
        )

    config: Config

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is how many constraints are met, the threshold how many there are."""
        if candidate.operator != BackTranslation.name and not self.config.every:
            return Verdict(True)
        constraints = stated(candidate.instruction)
        broken = [constraint for constraint in constraints if not constraint.holds(candidate.response)]
        if not broken:
            return Verdict(True)
        met, detail = len(constraints) - len(broken), f"the response breaks {broken[0].text!r}"
        return Verdict(False, self.name, met, len(constraints), detail)
