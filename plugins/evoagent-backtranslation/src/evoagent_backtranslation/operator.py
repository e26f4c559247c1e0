"""The operator: what the response does already becomes what the instruction asks for."""

from __future__ import annotations

from evoagent import Evolution, Instruction, Models, Operator, append_sentence
from evoagent_backtranslation.choice import choose, stated, without_stated
from evoagent_backtranslation.config import BackTranslationConfig
from evoagent_backtranslation.constraint import Case
from evoagent_backtranslation.language import is_foreign

_MAX_CHARACTERS = 12_000  # of a parent with its response: beyond that, constraints are lost in it


class BackTranslation(Operator):
    """Constraint back-translation (arXiv 2410.24175), with constraints that are found and verified in code."""

    def __init__(self, config: BackTranslationConfig | None = None) -> None:
        self.config = config or BackTranslationConfig()

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
