"""The operator: two parents become one instruction that needs both (Instruction Fusion, arXiv 2312.15692)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from evoagent import Evolution, Instruction, Models, Operator, extract
from evoagent_fusion import plain, tiny
from evoagent_fusion.links import form, is_formal, is_tied, tie
from evoagent_fusion.words import kept_share, only_joined

_SPARE_TOKENS = 96  # what the tie between two tasks may take
_MAX_CHARACTERS = 6000  # of a parent: longer ones are documents, and leave no room for another


class Fusion(Operator):
    """merges two instructions into one that needs both

    It does so in the style that suits the evolver.
    """

    name = "fusion"
    needs = ("evolver.generate",)
    parents = 2
    family = "breadth"  # half of what comes out is about something else than the first parent
    exempt = ("not_an_instruction",)  # it knows instructions, and not the sentences that tie two of them together

    class Config(BaseModel):
        """Parameters of `fusion`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        min_share: float = Field(
            0.2,
            ge=0,
            le=1,
            description="`evolver.style: plain` only, in which a model of 1.5 billion parameters hardly ever merges "
            "two tasks; `style: examples` works better. Share of a parent's own words of content that the fused "
            "instruction must still have; with fewer that parent is lost.",
        )
        max_topic_words: int = Field(
            8,
            ge=1,
            description="`evolver.style: examples` only: with more words than this, a topic is none but a whole task.",
        )

    config: Config

    async def combine(self, parents: tuple[Instruction, ...], models: Models) -> Evolution:
        """Merge the first two of `parents`; raises as `Role.generate` does."""
        if len(parents) < 2:
            return Evolution("", reason=f"fusion needs two parents, found {len(parents)}")
        first, second = parents[:2]
        if reason := _unfit(first, second):
            return Evolution("", reason=reason)
        if models.evolver.style == "examples":
            return await self._give_subject(first, second, models)
        return await self._merge(first, second, models)

    async def _merge(self, first: Instruction, second: Instruction, models: Models) -> Evolution:
        size = (len(first.instruction) + len(second.instruction)) // 2 + _SPARE_TOKENS
        completion = await models.evolver.generate(
            plain.messages(first, second), max_tokens=min(models.evolver.max_tokens, size)
        )
        raw, truncated = completion.text, completion.finish_reason == "length"
        found = extract(raw)
        text, reason = found.instruction, found.reason
        if text and plain.declines(text):
            reason = "the model found that they do not fit"
        elif text:
            reason = self._loss(text, first, second)
            if reason is None and (run := plain.copied(text, first, second)):
                reason = f"it copies an example: {run!r}"
            elif reason is None and only_joined(text, first.instruction, second.instruction):
                reason = "it only puts the one after the other"
        if reason:
            return Evolution("", None, reason, raw, truncated)
        return Evolution(text, plain.joined_input(first, second), None, raw, truncated)

    async def _give_subject(self, first: Instruction, second: Instruction, models: Models) -> Evolution:
        reasons, raw = [], ""
        for task, source in ((first, second), (second, first)):
            if source.input:
                continue  # its subject is in its input, and stays behind
            if is_tied(task.instruction):
                reasons.append("the task has got a subject from another one already")
                continue
            if not form(task):
                reasons.append("no sentence is known that brings another subject into this kind of task")
                continue
            if is_formal(source, task):
                reasons.append("a program or a calculation is no subject for another kind of task")
                continue
            # Greedy: one parent has one subject, and naming it again for the next pair costs nothing.
            completion = await models.evolver.generate(
                tiny.messages(source), temperature=0.0, max_tokens=tiny.MAX_TOKENS, stop=tiny.STOP
            )
            raw = completion.text
            subject, reason = tiny.subject(raw, source, task, self.config.max_topic_words)
            if subject:
                return Evolution(tie(task, subject, source, models.draw), task.input, None, raw)
            reasons.append(reason or "no topic")
        return Evolution("", None, "; ".join(dict.fromkeys(reasons)) or "both parents have an input", raw)

    def _loss(self, text: str, first: Instruction, second: Instruction) -> str | None:
        """Which parent `text` has lost; None if both are in it."""
        for name, own, other in (("first", first, second), ("second", second, first)):
            share = kept_share(text, own.instruction, other.instruction)
            if share < self.config.min_share:
                return f"it lost the {name} parent: it has {share:.2f} of its words, expected {self.config.min_share}"
        return None


def _unfit(first: Instruction, second: Instruction) -> str | None:
    for name, parent in (("first", first), ("second", second)):
        if not any(letter.isalnum() for letter in parent.instruction):
            return f"the {name} parent has no words"
        if len(parent.prompt_text) > _MAX_CHARACTERS:
            return f"the {name} parent has {len(parent.prompt_text)} characters, more than {_MAX_CHARACTERS}"
    if first.instruction.split() == second.instruction.split():
        return "both parents ask the same"
    return None
