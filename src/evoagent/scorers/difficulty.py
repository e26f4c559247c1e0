"""Difficulty of an instruction from 0 to 100, by a judge."""

from __future__ import annotations

import re

from pydantic import Field

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.prompts.judge import load_judge
from evoagent.records import Candidate, Score
from evoagent.scorers.base import Scorer

_RATING = re.compile(
    r"(?:(?:the )?(?:difficulty|score|rating)(?: is)? ?[:=]? ?)?([0-9]{1,3}(?:\.[0-9]{1,4})?)(?: ?/ ?100)?\.?"
)


class DifficultyConfig(Strict):
    """Parameters of `difficulty`."""

    askings: int = Field(
        1,
        ge=1,
        le=4,
        description="How often the judge is asked, in other words and with its examples in another order; the score "
        "is the mean of the ratings that can be read.",
    )
    max_tokens: int = Field(12, ge=1, description="Length of a reply; a number needs few tokens.")


class Difficulty(Scorer):
    """Mean of the judge's ratings at temperature 0 (Hui et al., arXiv 2412.11231)."""

    def __init__(self, config: DifficultyConfig | None = None) -> None:
        self.config = config or DifficultyConfig()
        self._prompt = load_judge("difficulty")
        self.prompt_hash = self._prompt.prompt_hash

    async def score(self, candidate: Candidate, models: Models) -> Score:
        """`details` hold each rating, and the replies that could not be read."""
        if not candidate.instruction.strip():
            return Score(None, "there is no instruction")
        values = {"instruction": candidate.instruction, "input": candidate.input}
        ratings: list[float] = []
        unread: list[str] = []
        for asking in range(self.config.askings):
            reply = await models.judge.generate(
                self._prompt.messages(values, asking), temperature=0.0, max_tokens=self.config.max_tokens
            )
            rating = parse_rating(reply.text)
            if rating is None:
                unread.append(reply.text[:80])
            else:
                ratings.append(rating)
        details = {"ratings": ratings, "unread": unread}
        if not ratings:
            return Score(None, f"no rating from 0 to 100 in the judge's reply: {unread[0]!r}", details)
        return Score(sum(ratings) / len(ratings), None, details)


def parse_rating(text: str) -> float | None:
    """The rating in a reply whose first line is a number from 0 to 100 and nothing else; None otherwise."""
    first = text.strip()[:200].split("\n", 1)[0]
    found = _RATING.fullmatch(" ".join(first.replace("*", " ").lower().split()))
    if found is None:
        return None
    rating = float(found[1])
    return rating if rating <= 100 else None
