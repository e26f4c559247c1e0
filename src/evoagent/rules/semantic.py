"""Rules on what an evolution means against its parent: too far from it, or no gain over it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.prompts.judge import load_judge
from evoagent.records import KEEP, Candidate, Verdict
from evoagent.rules.base import Rule
from evoagent.rules.surface import compared, parent_texts
from evoagent.text import content_words


class DriftConfig(Strict):
    """Parameters of `drift`."""

    min_similarity: float = Field(
        0.35, ge=-1, le=1, description="In depth: cosine similarity to the parent below which the topic is another."
    )
    min_similarity_breadth: float = Field(
        0.1, ge=-1, le=1, description="In breadth the topic may change, but not the field: the same bound for that."
    )


class Drift(Rule):
    """Rejects in-depth evolutions that left their parent's topic, and those in breadth that left its field."""

    def __init__(self, config: DriftConfig | None = None) -> None:
        self.config = config or DriftConfig()

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the cosine similarity to the parent, or to the nearest of several."""
        texts = parent_texts(candidate)
        if not texts:
            return KEEP
        vector = await models.embedder.embed(compared(candidate)[0])
        figure = max([float(np.dot(vector, await models.embedder.embed(text))) for text in texts])
        breadth = candidate.family == "breadth"
        limit = self.config.min_similarity_breadth if breadth else self.config.min_similarity
        detail = f"another {'field' if breadth else 'topic'} than the parent's"
        return Verdict(False, "drift", figure, limit, detail) if figure < limit else KEEP


class NoInformationGainConfig(Strict):
    """Parameters of `no_information_gain`."""

    method: Literal["auto", "judge", "lexical"] = Field(
        "auto",
        description="lexical: reject what adds too few words of content. judge: reject that, and what the judge calls "
        "equal to the parent. auto: lexical where the judge is so small that it needs worked examples, else judge.",
    )
    min_new_words: int = Field(2, ge=0, description="New words of content that make a gain; 0 leaves it to the judge.")
    max_tokens: int = Field(8, ge=1, description="judge: length of a reply; one word is asked for.")


class NoInformationGain(Rule):
    """Rejects evolutions that ask what their parent asks: WizardLM's first rule (Xu et al., arXiv 2304.12244)."""

    def __init__(self, config: NoInformationGainConfig | None = None) -> None:
        self.config = config or NoInformationGainConfig()
        self._prompt = load_judge("equality")
        self.prompt_hash = self._prompt.prompt_hash

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the number of new words of content; 1 where the judge says equal."""
        if candidate.parent.is_document:  # any instruction is a gain
            return KEEP
        method = self.config.method
        if method == "auto":
            method = "lexical" if models.judge.style == "examples" else "judge"
        verdict = self._lexical(candidate)
        if method == "lexical" or not verdict.kept:
            return verdict
        return await self._ask(candidate, models)

    def _lexical(self, candidate: Candidate) -> Verdict:
        # Words of the parent's input are not new: spelling it out in the instruction asks for nothing more.
        child, parent = compared(candidate)[0], candidate.parent.prompt_text
        figure, limit = len(content_words(child) - content_words(parent)), self.config.min_new_words
        if figure >= limit:
            return KEEP
        return Verdict(False, "no_information_gain", figure, limit, "adds too few words of content to the parent")

    async def _ask(self, candidate: Candidate, models: Models) -> Verdict:
        first, second = candidate.parent, candidate
        same = first.input == second.input
        values = {
            "first": first.instruction if same else first.prompt_text,
            "second": second.instruction if same else second.prompt_text,
        }
        chat = self._prompt.messages(values)
        reply = await models.judge.generate(chat, temperature=0.0, max_tokens=self.config.max_tokens)
        equal = parse_equality(reply.text)
        if equal is None:
            # A judge that cannot be understood is no reason to reject.
            return Verdict(True, "no_information_gain", detail=f"the judge's reply is neither: {reply.text[:80]!r}")
        return Verdict(False, "no_information_gain", 1, 1, "the judge calls it equal to the parent") if equal else KEEP


def parse_equality(text: str) -> bool | None:
    """Whether a reply says equal; None where its first line says neither that nor different, in a word or two."""
    first = text.strip()[:80].split("\n", 1)[0].lower().strip(" .!*\"'`:")
    if first in {"equal", "the same", "same", "they are equal"}:
        return True
    return False if first in {"different", "not equal", "unequal", "they are different"} else None
