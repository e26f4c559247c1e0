"""Rule against additions that have nothing to do with the parent: what tiny models write when they ramble."""

from __future__ import annotations

from pydantic import Field

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.records import KEEP, Candidate, Verdict
from evoagent.rules.base import Rule

NEUTRAL = "Here is a task."
"""The context that says nothing: what comes first in a text is always a surprise, whatever it is."""


class RelevanceConfig(Strict):
    """Parameters of `relevance`."""

    min_gain: float = Field(
        0.0, description="Nats a token by which knowing the parent must make the addition likelier; less is rejected."
    )


class Relevance(Rule):
    """Rejects what the parent does not make likelier.

    The figure is the pointwise mutual information of parent and addition, in nats a token of the addition:
    L(addition | neutral sentence) − L(addition | parent), by the scorer model. It costs two short forward passes.
    """

    def __init__(self, config: RelevanceConfig | None = None) -> None:
        self.config = config or RelevanceConfig()

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """Compare the two losses; an addition too short to have one passes, and an instruction for a document too."""
        if candidate.parent.is_document:
            return KEEP
        text = added_text(candidate)
        alone = (await models.scorer.loss(target=text, context=NEUTRAL, joiner=" ")).mean
        parents = "\n".join(parent.prompt_text for parent in (*candidate.mates, candidate.parent))
        known = (await models.scorer.loss(target=text, context=parents, joiner=" ")).mean
        if alone is None or known is None:
            return KEEP
        figure, limit = alone - known, self.config.min_gain
        if figure >= limit:
            return KEEP
        return Verdict(False, "relevance", figure, limit, "has nothing to do with the parent")


def added_text(candidate: Candidate) -> str:
    """What `candidate` adds to its parent's instruction and input; all of it where the parent was rewritten."""
    parent = candidate.parent
    parts = [_added(candidate.instruction, parent.instruction)]
    if candidate.input != parent.input:
        parts.append(_added(candidate.input, parent.input))
    return "\n".join(part for part in parts if part) or candidate.instruction


def _added(text: str, base: str) -> str:
    text, base = text.strip(), base.strip().rstrip(".:;,")
    return text[len(base) :].lstrip(".:;, \n") if base and text.startswith(base) else text
