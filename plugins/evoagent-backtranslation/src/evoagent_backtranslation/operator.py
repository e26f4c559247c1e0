"""The operator: what the response does already becomes what the instruction asks for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from evoagent import Evolution, Instruction, Models, Operator, append_sentence
from evoagent_backtranslation.choice import choose, stated, without_stated
from evoagent_backtranslation.constraint import Case
from evoagent_backtranslation.language import is_foreign

Group = Literal["length", "structure", "format", "language", "words", "marks", "case", "ends"]

_MAX_CHARACTERS = 12_000  # of a parent with its response: beyond that, constraints are lost in it


class BackTranslation(Operator):
    """adds constraints that the existing response already meets, and keeps the response

    Constraint back-translation (arXiv 2410.24175), with constraints that are found and verified in code.
    """

    name = "back-translation"
    # Both measure by a model what is written and verified in code here, and mistake one constraint in two.
    exempt = ("not_an_instruction", "relevance")

    class Config(BaseModel):
        """Parameters of `back-translation`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        most: int = Field(
            3, ge=1, le=3, description="Constraints added to one instruction, at most; how many is drawn."
        )
        total: int = Field(
            5, ge=1, description="An instruction that has so many constraints, after some rounds, gets no more."
        )
        without: tuple[Group, ...] = Field((), description="Groups of constraints that are not used.")

    config: Config

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        """Add constraints to `parent` and keep its response. No model is asked."""
        response, size = parent.output.strip(), len(parent.prompt_text) + len(parent.output)
        if not any(char.isalnum() for char in response):
            return Evolution("", reason="the parent has no response to learn from")
        if not any(char.isalnum() for char in parent.instruction):
            return Evolution("", reason="the parent's instruction has no words")
        if size > _MAX_CHARACTERS:
            return Evolution("", reason=f"parent and response have {size} characters, more than {_MAX_CHARACTERS}")
        if is_foreign(parent.instruction):
            return Evolution("", reason="the instruction is not in English, as the constraints would be")
        had = stated(parent.instruction)
        if broken := [constraint.text for constraint in had if not constraint.holds(response)]:
            return Evolution("", reason=f"the response breaks a constraint that is there already: {broken[0]!r}")
        room = min(self.config.most, self.config.total - len(had))
        case = Case(without_stated(parent.instruction), parent.input, response, f"{parent.id}\x1f{models.draw}")
        chosen = choose(case, room, self.config.without, had) if room > 0 else []
        if not chosen:
            return Evolution("", reason="no further constraint that the response meets would say anything")
        text = append_sentence(parent.instruction, " ".join(constraint.text for constraint in chosen))
        return Evolution(text, response=response)
