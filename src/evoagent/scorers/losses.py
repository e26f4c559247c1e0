"""Scorers over the losses of a response A and its instruction Q: IFD, its variants, and L(Q) itself.

L is a mean cross-entropy in nats per scored token. All of them ask for the same two passes, A after Q and A alone,
which therefore run once a row however many of these scorers are configured.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from evoagent.config.model import Strict
from evoagent.models.requests import Loss
from evoagent.models.roles import Models
from evoagent.records import Candidate, Score
from evoagent.scorers.base import Scorer


class IFDConfig(Strict):
    """Parameters of every scorer here. Scores of two conventions do not compare."""

    convention: Literal["raw", "chat"] = Field(
        "raw",
        description="raw: instruction, newline, response, without a chat template, as in the published figures. "
        "chat: the instruction as a user turn of the model's template, the response as the reply.",
    )


@dataclass(frozen=True, slots=True)
class Losses:
    """The two passes of a row: `joint` over Q and A, `alone` over A."""

    joint: Loss
    alone: Loss
    convention: str

    @property
    def details(self) -> dict[str, Any]:
        """What the ledger keeps beside a score; `merged`: a token straddles Q and A, so their border is approximate."""
        return {
            "convention": self.convention,
            "merged": self.joint.merged,
            "answer_tokens": self.joint.target_tokens,
            "instruction_tokens": self.joint.context_tokens,
            "L(A|Q)": _known(self.joint.mean),
            "L(A)": _known(self.alone.mean),
            "L(Q)": _known(self.joint.context_mean),
        }


class _LossScorer(Scorer):
    """What the three ratios share: the passes, and the reasons for which there is no figure."""

    def __init__(self, config: IFDConfig | None = None) -> None:
        self.config = config or IFDConfig()

    async def score(self, candidate: Candidate, models: Models) -> Score:
        """`details` hold the convention, the losses and their numbers of tokens."""
        losses = await measure(candidate, models, self.config.convention)
        if isinstance(losses, Score):
            return losses
        given, alone, question = losses.joint.mean, losses.alone.mean, losses.joint.context_mean
        if given is None or alone is None:
            return Score(None, "the response has no token with a loss", losses.details)
        return self._combine(given, alone, question, losses.details)

    @abstractmethod
    def _combine(self, given: float, alone: float, question: float | None, details: Mapping[str, Any]) -> Score:
        """The score from L(A|Q), L(A) and L(Q)."""


class IFD(_LossScorer):
    """Instruction-following difficulty, L(A|Q) / L(A) (Li et al., arXiv 2308.12032); above 1 Q hinders."""

    def _combine(self, given: float, alone: float, question: float | None, details: Mapping[str, Any]) -> Score:
        return _ratio(given, alone, "L(A)", details)


class IFDPerplexity(_LossScorer):
    """IFD as a ratio of perplexities: exp(L(A|Q) - L(A)) (Superfiltering, arXiv 2402.00530)."""

    def _combine(self, given: float, alone: float, question: float | None, details: Mapping[str, Any]) -> Score:
        try:
            value = math.exp(given - alone)
        except OverflowError:
            value = math.inf
        return _finite(value, "exp(L(A|Q) - L(A))", details)


class InstructionComplexIFD(_LossScorer):
    """IC-IFD: L(A|Q) / (L(Q) L(A)), of losses and not perplexities (Hui et al., arXiv 2412.11231)."""

    def _combine(self, given: float, alone: float, question: float | None, details: Mapping[str, Any]) -> Score:
        if question is None:
            return Score(None, "the instruction has no token with a loss", details)
        return _ratio(given, question * alone, "L(Q) L(A)", details)


class InstructionLoss(Scorer):
    """L(Q): how unexpected the instruction is by itself.

    It is read from the pass over Q and A where there is a response, and from a pass over Q alone elsewhere.
    """

    def __init__(self, config: IFDConfig | None = None) -> None:
        self.config = config or IFDConfig()

    async def score(self, candidate: Candidate, models: Models) -> Score:
        """`details` hold the convention and the number of tokens."""
        convention = self.config.convention
        if not candidate.prompt_text.strip():
            return Score(None, "there is no instruction")
        answer = candidate.response if candidate.response.strip() else ""
        joint = await models.scorer.loss(context=candidate.prompt_text, target=answer, convention=convention)
        details = {
            "convention": convention,
            "merged": joint.merged,
            "instruction_tokens": joint.context_tokens,
        }
        if joint.context_mean is None:
            return Score(None, "the instruction has no token with a loss", details)
        return _finite(joint.context_mean, "L(Q)", details)


async def measure(candidate: Candidate, models: Models, convention: Literal["raw", "chat"]) -> Losses | Score:
    """Both passes over `candidate`, or the score without a value that says which text is missing."""
    if not candidate.prompt_text.strip():
        return Score(None, "there is no instruction")
    if not candidate.response.strip():
        return Score(None, "there is no response")
    joint = await models.scorer.loss(context=candidate.prompt_text, target=candidate.response, convention=convention)
    alone = await models.scorer.loss(target=candidate.response, convention=convention)
    return Losses(joint, alone, convention)


def _ratio(numerator: float, denominator: float, name: str, details: Mapping[str, Any]) -> Score:
    if denominator == 0:
        return Score(None, f"{name} is 0", details)
    return _finite(numerator / denominator, name, details)


def _finite(value: float, name: str, details: Mapping[str, Any]) -> Score:
    if not math.isfinite(value):
        return Score(None, f"not a finite number, from {name}", details)
    return Score(value, None, details)


def _known(value: float | None) -> float | None:
    # JSON has no NaN, and the details go into the ledger as JSON.
    return value if value is not None and math.isfinite(value) else None
