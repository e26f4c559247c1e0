"""Length of an instruction."""

from __future__ import annotations

from evoagent.models.roles import Models
from evoagent.records import Candidate, Score
from evoagent.scorers.base import Scorer
from evoagent.text import words


class Length(Scorer):
    """Words of the instruction, its input left out; in scripts without spaces, characters."""

    async def score(self, candidate: Candidate, models: Models) -> Score:
        """`details` name the unit."""
        count = len(words(candidate.instruction))
        return Score(float(count), None, {"unit": "words"}) if count else Score(None, "there is no instruction")
