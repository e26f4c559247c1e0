"""The rule: a response must meet the constraints that its instruction states."""

from __future__ import annotations

from evoagent import Candidate, Models, Rule, Verdict
from evoagent_backtranslation.choice import stated
from evoagent_backtranslation.config import OPERATOR, ConstraintsMetConfig


class ConstraintsMet(Rule):
    """Reads the constraints back out of the instruction, those of earlier rounds too, and verifies each."""

    def __init__(self, config: ConstraintsMetConfig | None = None) -> None:
        self.config = config or ConstraintsMetConfig()

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is how many constraints are met, the threshold how many there are."""
        if candidate.operator != OPERATOR and not self.config.every:
            return Verdict(True)
        constraints = stated(candidate.instruction)
        broken = [constraint for constraint in constraints if not constraint.holds(candidate.response)]
        if not broken:
            return Verdict(True)
        met, detail = len(constraints) - len(broken), f"the response breaks {broken[0].text!r}"
        return Verdict(False, "constraints-met", met, len(constraints), detail)
