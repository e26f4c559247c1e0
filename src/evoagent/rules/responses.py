"""Rules on the response: WizardLM's second and third."""

from __future__ import annotations

from pydantic import Field

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.records import KEEP, Candidate, Verdict
from evoagent.rules.base import Rule
from evoagent.text import STOP_WORDS, words


class RefusalConfig(Strict):
    """Parameters of `refusal`."""

    phrase: str = Field("sorry", min_length=1, description="The word or words that mark a refusal, in any case.")
    max_words: int = Field(80, ge=1, description="From this many words on, a response with it is taken for an answer.")


class Refusal(Rule):
    """Rejects candidates whose response is short and apologises: the instruction is too hard, or makes no sense."""

    def __init__(self, config: RefusalConfig | None = None) -> None:
        self.config = config or RefusalConfig()

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the number of words of the response."""
        length, limit, phrase = len(words(candidate.response)), self.config.max_words, self.config.phrase
        if phrase.lower() in candidate.response.lower() and length < limit:
            return Verdict(False, "refusal", length, limit, f"says {phrase!r} in a short response")
        return KEEP


class EmptyResponse(Rule):
    """Rejects candidates whose response is nothing but punctuation and stop words."""

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """The figure is the number of words with content."""
        if any(word not in STOP_WORDS for word in words(candidate.response)):
            return KEEP
        return Verdict(False, "empty_response", 0, 1, "no word of the response carries content")
